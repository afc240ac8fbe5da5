# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_certsans: names in the certificates of control plane nodes, one node after the other, each certificate read before the next."""

from __future__ import annotations

import socket
import time

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, NotFound, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.remedies import certsans as rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_merge
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import refuse
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, config_live, config_patch, config_way, etcd_live

_KINDS = (*config_live.READS, *rules.READS, *rules.CLUSTER_READS)
READS = (*dict.fromkeys((*config_live.READS, *rules.READS)), 'Kubernetes endpoint', 'ApplyConfiguration dry run')
CHANGES = 'the machine configuration of control plane nodes'
NEEDS_ADMIN = ('MachineConfigs', 'ApplyConfiguration', 'Kubeconfig (unless a kubeconfig is given)')

_SANS = 'CertSANs.secrets.talos.dev'
_PORTS = {rules.MACHINE: endpoints_.PORT, rules.KUBERNETES: 6443}
# A new certificate is served within so many seconds (users.md 5); an API server is started anew for it.
SERVED_WITHIN = {rules.MACHINE: 60.0, rules.KUBERNETES: 180.0}
_LOOK_SECONDS = 5.0


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError where nothing was changed."""
    names, lists = [str(name).strip() for name in params['names']], list(dict.fromkeys(params['lists']))
    if not names or not all(names):
        raise InputError('names is empty, or one of them is.')
    if not lists:
        raise InputError('lists is empty.')
    config_patch.check_options(params, check_mode)
    cluster, nodes = access.cluster_of(params), params.get('nodes')
    view = etcd_live.look({**params, 'nodes': [text for text in nodes or () if is_ip(text)]}, say, _KINDS)
    what, lacking = f'The certificates of {cluster} are not changed', rules.missing(view, names, lists, nodes)
    machines = [machine for machine in rules.targets(view, nodes) if machine.label in lacking]
    more = {'names': names, 'missing': lacking}
    if not machines:
        refuse(what, rules.of_nodes(view, nodes))
        return {'changed': False, 'cluster': cluster, 'mode': params['mode'], 'backup_files': {}, **more, 'confirm': None, 'diff': [], 'nodes': [],
                'ran_on': access.here()}
    hint = 'The VIP belongs to the list of the API server: lists: [api_server].' if set(map(normal, names)) & {normal(vip) for vip in view.vips} else None
    refuse(what, rules.against(view, names, lists, nodes, _resolved(names)), hint)
    proof = _Proof(params, view, lacking, {machine.label: {one: _kept(machine, one) for one in lacking[machine.label]} for machine in machines})
    steps = config_live.plan({**params, 'check_mode': check_mode}, view, machines, lambda machine: _patch(lacking[machine.label]), what)
    return config_patch.bring(params, check_mode, say, view, steps, what, proof if params['mode'] != config_live.STAGED else None, more)


def _patch(lacking):
    """The documents that add names: config_moved.py finds the list where the machine has it."""
    patch = {}
    if rules.MACHINE in lacking:
        patch['machine'] = {'certSANs': lacking[rules.MACHINE]}
    if rules.KUBERNETES in lacking:
        patch['cluster'] = {'apiServer': {'certSANs': lacking[rules.KUBERNETES]}}
    return config_merge.patches(patch)


def _resolved(names):
    """C({name: [addresses]}) of what the names lead to from here, without those that lead nowhere."""
    found = {}
    for name in names:
        if is_ip(name):
            continue
        try:
            told = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            continue
        found[normal(name)] = list(dict.fromkeys(normal(one[4][0]) for one in told))
    return found


def _kept(machine, one):
    """What must be in the certificate afterwards as well, and who issued it: C((names, issuer))."""
    facts = machine.value(rules.CERTIFICATE[one]) or {}
    return rules.served_names(machine, one) or set(), facts.get('issuer')


class _Proof:
    """Whether the certificates that a machine serves have the names now: called again and again until they do."""

    def __init__(self, params, view, lacking, kept):
        self._params = params
        self._view = view
        self._lacking = lacking
        self._kept = kept
        self._began = {}

    def __call__(self, machine):
        """Reasons why it has not yet. Raises TalosError once that takes too long."""
        reasons = [reason for one in self._lacking[machine.label] for reason in self._of(machine, one)]
        began, most = self._began.setdefault(machine.key, time.monotonic()), max(SERVED_WITHIN[one] for one in self._lacking[machine.label])
        if reasons and time.monotonic() - began > most:
            raise TalosError(f'{"; ".join(reasons)}, {most:g} s after it was changed.')
        return reasons

    def _of(self, machine, one):
        old, issuer = self._kept[machine.label][one]
        which = f'the certificate of {"apid" if one == rules.MACHINE else "the API server"} on {machine.label}'
        names, now = self._served(machine, one)
        if names is None:
            return [f'{which} was not seen ({now})']
        lacking = [name for name in self._lacking[machine.label][one] if not rules.covered(names, name)]
        lost = sorted(old - names)
        return [*([f'{which} does not name {", ".join(lacking)} yet'] if lacking else []),
                *([f'{which} does not name {", ".join(lost)} any more'] if lost else []),
                *([f'{which} was issued by {now}, and not by {issuer}'] if issuer and now and now != issuer else [])]

    def _served(self, machine, one):
        """C((names, issuer)) as the machine's own port serves them, else as the machine tells them; C((None, why)) where neither is seen."""
        found = access.of(self._params)
        with Client(found.context, endpoints=self._params.get('endpoints') or None, proxy=self._params.get('proxy'), timeout=self._params['timeout'],
                    tmp_dir=found.tmp_dir) as client:
            place = endpoints_.parse(endpoints_.join(machine.address, _PORTS[one]))
            try:
                facts = client.look(place, min(self._params['timeout'], _LOOK_SECONDS))
                if facts:
                    return {normal(name) for name in facts['dns'] + facts['ips']}, facts['issuer']
                said = 'it serves none'
            except TransportError as error:
                said = error.message.rstrip('.')
            if self._kept[machine.label][one][1]:
                return None, said  # before it was seen there
            try:
                told = config_way.reach(client, self._view, machine).resource(_SANS, 'secrets', rules.RESOURCE[one])['spec']
            except NotFound:
                return None, said
            except TalosError as error:
                return None, f'{said}; {error.message.rstrip(".")}'
        return {normal(name) for name in (told.get('dnsNames') or []) + (told.get('ips') or [])}, None
