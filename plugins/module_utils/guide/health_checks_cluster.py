# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of the cluster as a whole: what does no harm today (EXT-CFG, EXT-CERT, EXT-HA, cordons)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen, span, unread as words_unread
from ansible_collections.talosops.talos.plugins.module_utils.judge import versions
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Evidence, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import unreachable
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

DAY = 86400
ACTIVE, PERSISTENT = 'v1alpha1', 'persistent'
_AUTHORITIES = {
    'talosconfig': 'the Talos API', 'cluster.ca': 'Kubernetes', 'cluster.aggregatorCA': 'the aggregation layer of Kubernetes',
    'cluster.etcd.ca': 'etcd',
}


# -- EXT-CFG ----------------------------------------------------------------------------------------------------

def config_pending(view):
    """The machines run with the configuration that they would boot with.

    C(persistent) is missing after a boot from STATE, which is well (edge-cases 75), and always before Talos 1.10, where nothing tells (talos-api 8).
    """
    answering = view.snapshot.answering()
    unread = [machine for machine in answering if not machine.datum('MachineConfigs').ok]
    silent = [machine for machine in answering if machine not in unread and _tells_of_one_alone(machine)]
    outcomes = [_pending(machine) for machine in answering if machine not in unread and _differs(machine)]
    if unread or not answering:
        why = '; '.join(words_unread(unread, 'MachineConfigs')) or 'no machine answered'
        outcomes.append(unknown('cluster', f'whether machines run with the configuration on their disk: {why}', nodes=[m.key for m in unread],
                                explained_by=('role', 'not_judged')))
    if not outcomes and len(silent) < len(answering):
        outcomes.append(ok('cluster'))
    return outcomes + [not_applicable(machine.key, f'{machine.label}: a Talos before 1.10 does not tell the configuration on its disk', nodes=[machine.key])
                       for machine in silent]


def _tells_of_one_alone(machine):
    version = versions.parse(((machine.value('Version') or {}).get('version') or {}).get('tag'))
    return version is not None and version.line < (1, 10)


def _differs(machine):
    digests = {item.get('id'): (item.get('spec') or {}).get('digest') for item in machine.value('MachineConfigs')}
    return ACTIVE in digests and PERSISTENT in digests and digests[ACTIVE] != digests[PERSISTENT]


def _pending(machine):
    return warning(machine.key, f'{machine.label} has another machine configuration on its disk than the one it runs with',
                   'A change was staged and takes effect at the next boot, or one is being tried and is taken back by itself. Whatever '
                   'changes the configuration now loses one of the two.',
                   f'Compare them: talosctl -n {machine.address or machine.label} get machineconfig {PERSISTENT} -o yaml with {ACTIVE}. '
                   'Restart the machine to take the staged one, or apply the active one again.', nodes=[machine.key],
                   evidence=[seen(machine, 'MachineConfigs', f'{ACTIVE} and {PERSISTENT} differ')])


def type_init(view, machine):
    """No machine is of the type init."""
    spec = machine.resource('MachineTypes')
    if spec != 'init':
        return ok(machine.key)
    return warning(machine.key, f'{machine.label} is of the machine type init', 'This type is deprecated: its etcd starts a new cluster by itself '
                                                                                'when its data '
                   'is gone, which makes a recovery impossible.', 'Set machine.type to controlplane in its configuration (talosctl patch '
                                                                  'machineconfig).',
                   nodes=[machine.key], evidence=[seen(machine, 'MachineTypes', 'init')])


# -- EXT-CERT ---------------------------------------------------------------------------------------------------

def authority_expires(view):
    """The certificate authorities of Talos, Kubernetes and etcd are good for more than a year."""
    own = (view.snapshot.client.get('ca') or {}).get('not_after')
    ends = {'talosconfig': (own, Evidence(f'valid to {own}', 'talosconfig'))} if own else {}
    readers = [machine for machine in view.snapshot.answering() if machine.datum('MachineConfigs').ok]
    for machine in ordered(readers):
        for path, end in (_active(machine).get('authorities') or {}).items():
            if path in _AUTHORITIES:
                ends.setdefault(path, (end, seen(machine, 'MachineConfigs', f'{path} is valid to {end}')))
    outcomes = [outcome for path, (end, evidence) in sorted(ends.items()) for outcome in _expires(view, path, end, evidence)]
    if not ends:
        return unknown('cluster', 'how long the certificate authorities are good for: the talosconfig holds none and no machine configuration was '
                                  'read',
                       explained_by=('role', 'not_judged'))
    return outcomes or ok('cluster')


def _expires(view, path, end, evidence):
    at = parse_time(end)
    if at is None:
        return []
    left = (at - view.control_now).total_seconds()
    if left >= view.threshold('health_checks_authority_warning_days') * DAY:
        return []
    raise_it = error if left < view.threshold('health_checks_authority_error_days') * DAY else warning
    how = f'expires in {span(left)}' if left > 0 else f'expired {span(left)} ago'
    command = 'talosctl rotate-ca --kubernetes=false' if path == 'talosconfig' else 'talosctl rotate-ca --talos=false'
    means = 'When it ends no certificate that it signed is accepted any more, by anybody, at once.'
    step = (f'Replace it while it still works: {command} (first with --dry-run).' if path in ('talosconfig', 'cluster.ca')
            else 'Plan its replacement with the vendor\'s guide on certificate authorities.')
    return [raise_it(path, f'The certificate authority of {_AUTHORITIES[path]} {how}, on {end}', means, step, evidence=[evidence])]


def authority_rotates(view):
    """One certificate authority is accepted, and not two."""
    found = []
    count = (view.snapshot.client.get('ca') or {}).get('count') or 0
    if count > 1:
        found.append((None, Evidence(f'{count} certificates in ca', 'talosconfig')))
    answering = view.snapshot.answering()
    for machine in ordered(answering):
        accepted = _active(machine).get('accepted') or {}
        found += [(machine, seen(machine, 'MachineConfigs', f'{part}.acceptedCAs has {number}')) for part,
                  number in sorted(accepted.items()) if number]
    if found:
        machines = [machine for machine, _evidence in found if machine]
        return info('cluster', 'More than one certificate authority is accepted', 'A rotation is going on, or was never finished: what the old one '
                                                                                  'signed is '
                    'still accepted.', 'Finish it: take the old one out when every certificate and talosconfig is renewed.',
                    nodes=list(dict.fromkeys(machine.key for machine in machines)), evidence=[evidence for _machine, evidence in found])
    unread = [machine for machine in answering if not machine.datum('MachineConfigs').ok]
    if unread or not answering:
        why = '; '.join(words_unread(unread, 'MachineConfigs')) or 'no machine answered'
        return unknown('cluster', f'whether a rotation of a certificate authority is going on: {why}', nodes=[m.key for m in unread],
                       explained_by=('role', 'not_judged'))
    return ok('cluster')


def _active(machine):
    spec = machine.resource('MachineConfigs', ACTIVE)
    return (spec.get('v1alpha1') or {}) if isinstance(spec, dict) else {}


# -- EXT-HA -----------------------------------------------------------------------------------------------------

def one_zone(view):
    """The control plane nodes are not all in one zone; how many there are is judged with etcd."""
    planes = view.control_planes
    if len(planes) < 2:
        return not_applicable('cluster', 'there are not several control plane nodes')
    unread = [machine for machine in planes if not machine.datum('PlatformMetadatas').ok]
    zones = {machine.key: ((machine.resource('PlatformMetadatas') or {}).get('zone') or '').strip() for machine in planes if machine not in unread}
    if len({zone for zone in zones.values() if zone}) > 1:
        return ok('cluster')
    if unread and all(zones.values()):
        return unknown('cluster', f'whether the control plane is spread over zones: {"; ".join(words_unread(unread, "PlatformMetadatas"))}',
                       nodes=[m.key for m in unread], explained_by=('role', 'not_judged', *(unreachable(m) for m in unread)))
    zone = next(iter(zones.values()))
    if not zone or not all(zones.values()):
        return not_applicable('cluster', 'the platform tells of no zones')
    return info('cluster', f'All {len(planes)} control plane nodes are in one zone ({zone})', 'When the zone fails the cluster fails.',
                'Spread them over three zones, if the platform has them.', nodes=[m.key for m in planes],
                evidence=[seen(m, 'PlatformMetadatas', f'zone {zone}') for m in planes])


# -- cordons ----------------------------------------------------------------------------------------------------

def cordoned(view):
    """No node is cordoned; one that is was most often cordoned on purpose."""
    if view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    nodes = view.kubernetes.nodes
    if nodes is not None:
        names = {node['name']: view.kubernetes.machine_of(node) for node in nodes if node['unschedulable']}
        evidence = [Evidence(f'{name}: unschedulable', 'nodes', None, view.kubernetes.datum('nodes').at) for name in sorted(names)]
    else:
        told = [(machine, item.get('spec') or {}) for machine in view.snapshot.answering() for item in machine.value('NodeStatuses') or []]
        unread = [machine for machine in view.snapshot.answering() if not machine.datum('NodeStatuses').ok]
        if unread or not told:
            why = unread[0].datum('NodeStatuses').why() if unread else 'no machine knows its Node'
            return unknown('cluster', f'whether a node is cordoned: NodeStatuses: {why}', nodes=[m.key for m in unread],
                           explained_by=view.kubernetes.troubles)
        names = {spec.get('nodename') or machine.label: machine for machine, spec in told if spec.get('unschedulable')}
        evidence = [seen(machine, 'NodeStatuses', f'{name}: unschedulable') for name, machine in sorted(names.items())]
    if not names:
        return ok('cluster')
    return info('cluster', f'{listed(sorted(names))} {"is" if len(names) == 1 else "are"} cordoned', 'No new pod is placed there. Somebody, or an '
                                                                                                     'upgrade, wanted '
                'that.', f'When it is not wanted any more: kubectl uncordon {sorted(names)[0]}.',
                nodes=[machine.key for machine in names.values() if machine],
                evidence=evidence)


CHECKS = (
    Check('health_checks.config_pending', 'health_checks', 'Machines run with the configuration on their disk', config_pending,
          reads=('MachineConfigs', 'Version'), role='os:admin', catalogue='EXT-CFG', sharpens=True),
    Check('health_checks.type_init', 'health_checks', 'No machine is of the type init', type_init, each=ALL, needs=('MachineTypes',),
          catalogue='EXT-CFG'),
    Check('health_checks.authority_expires', 'health_checks', 'The certificate authorities last', authority_expires,
          reads=('MachineConfigs',), catalogue='EXT-CERT', thresholds={
              'health_checks_authority_warning_days': Threshold(365, 'days', 'how long a certificate authority must still be good for before it is a warning'),
              'health_checks_authority_error_days': Threshold(90, 'days', 'how long a certificate authority must still be good for before it is an error')}),
    Check('health_checks.authority_rotates', 'health_checks', 'One certificate authority is accepted', authority_rotates,
          reads=('MachineConfigs',), role='os:admin', catalogue='EXT-CERT', sharpens=True),
    Check('health_checks.one_zone', 'health_checks', 'The control plane is spread over zones', one_zone,
          reads=('PlatformMetadatas',), catalogue='EXT-HA', sharpens=True),
    Check('health_checks.cordoned', 'health_checks', 'No node is cordoned', cordoned,
          reads=('NodeStatuses', 'ServiceList', 'NodeIPConfigs'), cluster_reads=('nodes',), sharpens=True, catalogue='section 11'),
)
