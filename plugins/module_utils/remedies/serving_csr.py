# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests for serving certificates of kubelets: which may be approved (users.md 5, "CSR approval"; check catalogue KUB-5).

The rule is judge/csr_rules.py. Here are only the questions beyond one request: whose machine it is, and who else is there to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import controller_of
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_requests import api_names, machine_named, owner_of
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import addresses_of, listed
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.csr_rules import APPROVE, HOLD, REFUSE
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused

ISSUED = 'issued'
_OPEN = 'Look at it with kubectl describe csr, and approve nothing before the question is answered.'


@dataclass(frozen=True)
class Row:
    """A request (snapshot/objects.py: csr) with what is to be done about it: approve, hold, refuse or issued."""

    csr: dict
    verdict: str
    why: tuple = ()

    @property
    def name(self):
        return self.csr['name']

    @property
    def node(self):
        return csr_rules.node_name(self.csr)


def rows(view, names=()):
    """The Row of every pending request for a serving certificate, or of the requests of these names. Raises TalosError."""
    csrs = view.kubernetes.csrs
    if csrs is None:
        raise TalosError(f'Which requests there are could not be read: {view.kubernetes.datum("csrs").why()}.',
                         'Give a kubeconfig, or find out why the API does not answer.')
    missing = [name for name in names if name not in {csr['name'] for csr in csrs}]
    if missing:
        raise InputError(f'There is no request {listed(missing)}.', f'Pending are: {listed(_pending(csrs)) or "none"}.')
    chosen = [csr for csr in csrs if (csr['name'] in names if names else csr.get('signer') == csr_rules.SERVING and csr_rules.pending(csr))]
    found = [row(view, csr) for csr in sorted(chosen, key=lambda csr: (csr_rules.node_name(csr) or '', str(csr.get('created')), csr['name']))]
    if not view.kubernetes.read:
        raise TalosError(f'Which Nodes there are could not be read: {view.kubernetes.datum("nodes").why()}.', 'Nothing is approved without them.')
    approved = [one for one in found if one.verdict == APPROVE]
    if len(approved) > len(view.kubernetes.nodes or []) or len({one.node for one in approved}) < len(approved):
        raise Refused(f'{len(approved)} requests would be approved, which is more than one for each of {len(view.kubernetes.nodes or [])} Nodes.', _OPEN)
    return found


def row(view, csr):
    """The Row of one request."""
    if csr.get('issued') and csr.get('signer') == csr_rules.SERVING:
        return Row(csr, ISSUED)
    if not csr_rules.pending(csr):
        return Row(csr, HOLD if 'Approved' in csr_rules.states(csr) else REFUSE, (f'it was decided already: {", ".join(sorted(csr_rules.states(csr)))}',))
    name = csr_rules.node_name(csr)
    machine = machine_named(view, name) if name else None
    judgement = csr_rules.judge_serving(csr, owner_of(view, machine, name), api_names(view), view.kubernetes.csrs)
    if judgement.verdict == REFUSE:
        return Row(csr, REFUSE, judgement.why)
    if machine is not None and machine.key in view.elsewhere:
        return Row(csr, REFUSE, (f'{machine.label} belongs to another cluster',))
    held = [*judgement.why, *_held(view, name, machine)]
    return Row(csr, HOLD if held else APPROVE, tuple(held))


def must_be_approved(found, names):
    """Raises TalosError where one that was asked for by name is neither issued nor may be approved."""
    for one in found:
        if one.name in names and one.verdict in (HOLD, REFUSE):
            what = 'must not be approved' if one.verdict == REFUSE else 'is held'
            raise Refused(f'The request {one.name} of {one.csr.get("username")} {what}: {"; ".join(one.why)}.', _OPEN)


def _held(view, name, machine):
    """Reasons to leave the decision to somebody else."""
    if not view.vips_known:
        yield 'the virtual IPs were not read, which no kubelet may be certified for'
    node = next((node for node in view.kubernetes.nodes or [] if node['name'] == name), {})
    owner = controller_of(view, node, machine)
    if owner:
        yield f'{owner} manages this Node, and decides about its requests'
    expected = {normal(one) for one in view.settings.expected_nodes}
    if expected and not expected & ({normal(name or '')} | (addresses_of(view, machine) if machine is not None else set())):
        yield f'{name} is not among the expected nodes'


def _pending(csrs):
    return [csr['name'] for csr in csrs if csr_rules.pending(csr)]
