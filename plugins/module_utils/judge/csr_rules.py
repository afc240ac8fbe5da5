# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a request for a kubelet's serving certificate may be signed: a pure rule (users.md 5, "CSR approval").

"Approve all" signs foreign names. A request is approved only where everything that it says agrees with what the machine
itself says over the Talos API; it is refused where something disagrees, and held where something was not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal

SERVING = 'kubernetes.io/kubelet-serving'
CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet'
NODE_USER = 'system:node:'
NODES_GROUP = 'system:nodes'
SERVER_AUTH = 'server auth'
USAGES = frozenset(('digital signature', 'key encipherment', SERVER_AUTH))
LOCAL = ('127.0.0.1', '::1')
API_NAMES = ('kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost')

APPROVE, HOLD, REFUSE = 'approve', 'hold', 'refuse'


@dataclass(frozen=True)
class Owner:
    """What the Talos API says of the machine of a Node; C(None) where no machine of that name is known.

    C(addresses), C(names): its own, None where they were not read. C(granted): addresses and names that only
    Kubernetes gives the Node (a cloud controller manager).
    """

    addresses: frozenset | None = None
    names: frozenset | None = None
    granted: frozenset = frozenset()


@dataclass(frozen=True)
class Judgement:
    """C(verdict) is approve, hold or refuse; C(why) says each reason as the end of a sentence."""

    verdict: str
    why: tuple = ()
    writes_only: bool = field(default=False)

    @property
    def text(self):
        if self.writes_only:
            return 'it is right, and can be approved once etcd takes writes again'
        words = {APPROVE: 'it is right and may be approved', HOLD: 'it must wait', REFUSE: 'it must not be approved'}[self.verdict]
        return f'{words}: {"; ".join(self.why)}' if self.why else words


def node_name(csr):
    """The name of the Node that asks, None where no kubelet asks."""
    username = csr.get('username') or ''
    return username[len(NODE_USER):] if username.startswith(NODE_USER) else None


def asked_name(csr):
    """The name of the Node that a request for a client certificate is for, None where it cannot be read."""
    common_name = (csr.get('asks_for') or {}).get('common_name') or ''
    return common_name[len(NODE_USER):] if common_name.startswith(NODE_USER) else None


def states(csr):
    """The types of its conditions that are true: Approved, Denied, Failed."""
    return {condition.get('type') for condition in csr.get('conditions') or [] if condition.get('status', 'True') != 'False'}


def pending(csr):
    """Nobody has decided about it."""
    return not states(csr) & {'Approved', 'Denied', 'Failed'} and not csr.get('issued')


def superseded(csr, csrs):
    """A newer request of the same user for the same signer is there: the kubelet waits for that one."""
    return any(other is not csr and other.get('username') == csr.get('username') and other.get('signer') == csr.get('signer')
               and (str(other.get('created')), str(other.get('name'))) > (str(csr.get('created')), str(csr.get('name'))) for other in csrs)


def judge_serving(csr, owner, forbidden=frozenset(), csrs=(), writable=True):
    """The Judgement of a request for a serving certificate.

    C(owner) is the Owner of the Node that asks, or None where no machine of that name is known to Talos; C(forbidden)
    are names and addresses of the API (VIPs, endpoint), C(csrs) all requests, C(writable) whether etcd takes writes.
    """
    name, asked = node_name(csr), csr.get('asks_for')
    wrong, unsure = _form(csr, name), []
    if name and owner is None:
        wrong.append(f'no machine is known whose Node is {name}')
    if asked is not None:
        wrong += _subject(csr, name, asked)
        of_api = _of_api(asked, owner, forbidden)
        wrong += [f'it asks for {", ".join(of_api)}, which belongs to the API'] if of_api else []
        foreign, unsure = _foreign([value for value in _wanted(asked) if value not in of_api], owner) if owner is not None else ([], [])
        wrong += foreign
    if wrong:
        return Judgement(REFUSE, tuple(wrong))
    if asked is None:
        unsure.append('what it asks for could not be read')
    if superseded(csr, csrs):
        unsure.append('a newer request of the same kubelet is there')
    if unsure:
        return Judgement(HOLD, tuple(unsure))
    return Judgement(APPROVE) if writable else Judgement(HOLD, ('etcd takes no writes, so nothing can be approved',), writes_only=True)


def _form(csr, name):
    wrong = []
    if csr.get('signer') != SERVING:
        wrong.append(f'its signer is {csr.get("signer")}')
    if not name:
        wrong.append(f'{csr.get("username")} is no kubelet')
    elif NODES_GROUP not in (csr.get('groups') or []):
        wrong.append(f'{csr.get("username")} is not in the group {NODES_GROUP}')
    usages = set(csr.get('usages') or [])
    if SERVER_AUTH not in usages or usages - USAGES:
        wrong.append(f'its usages are {", ".join(sorted(usages)) or "none"}')
    return wrong


def _subject(csr, name, asked):
    wrong = []
    if asked.get('common_name') != csr.get('username'):
        wrong.append(f'{csr.get("username")} asks for {asked.get("common_name")}')
    if list(asked.get('organization') or []) != [NODES_GROUP]:
        wrong.append(f'its organization is {", ".join(asked.get("organization") or []) or "none"}, not {NODES_GROUP}')
    if asked.get('other'):
        wrong.append(f'it asks for {", ".join(map(str, asked["other"]))}, which is neither a DNS name nor an address')
    if name and not asked.get('dns') and not asked.get('ips'):
        wrong.append('it names neither a host name nor an address')
    return wrong


def _wanted(asked):
    return [normal(value) for value in (*(asked.get('dns') or []), *(asked.get('ips') or []))]


def _of_api(asked, owner, forbidden):
    """Names and addresses of the API; a machine's own address may be the endpoint of a cluster of one control plane node."""
    own = (owner.addresses or frozenset()) | (owner.names or frozenset()) if owner is not None else frozenset()
    never = {normal(value) for value in forbidden} - {normal(value) for value in own}
    return [value for value in _wanted(asked)
            if value in never or value in API_NAMES or value.startswith('kubernetes.default.svc.') or value in LOCAL]


def _foreign(wanted, owner):
    """([what does not belong to the machine], [what could not be told])."""
    wrong, unsure = [], []
    names, addresses = ({normal(value) for value in known} if known is not None else None for known in (owner.names, owner.addresses))
    granted = {normal(value) for value in owner.granted}
    for value in wanted:
        known = addresses if is_ip(value) else names
        if known is not None and value in known:
            continue
        if value in granted:
            unsure.append(f'{value} is given to the Node by Kubernetes alone, not by the machine')
        elif known is None:
            unsure.append(f'the machine was not read, so whether {value} is its own is not known')
        else:
            wrong.append(f'{value} is not of this machine')
    return wrong, unsure
