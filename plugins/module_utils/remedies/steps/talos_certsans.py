# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy talos_certsans: a name that is dialled stands in the certificates (guide, "TCP Loadbalancer"; users.md 5, certSANs patch)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered
from ansible_collections.talosops.talos.plugins.module_utils.judge import versions
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.remedies import certsans, config_patch
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import BACKUP_DIR, Action, Remedy, Step, unasked
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps.common import leaving, outage
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import etcd_stale_member

NAME = 'talos_certsans'
_WHOSE = {certsans.MACHINE: 'apid', certsans.KUBERNETES: 'the API server'}


def step(view, target, args, coming):
    """The Step that adds this name to the lists that the findings name, of all control plane nodes; to both where none names it."""
    name = normal(target)
    if not name or ' ' in name:
        raise InputError(f'"{target}" is no name for a certificate.')
    lists = tuple(one for one in certsans.LISTS if one in (args or {}).get('lists', certsans.LISTS))
    whose = listed(_WHOSE[one] for one in lists)
    lacking, gone = certsans.missing(view, [name], lists), leaving(coming)
    reasons, later = (certsans.against(view, [name], lists, without=without) for without in ((), gone))
    if not lacking and certsans.targets(view):
        later = [f'{name} stands in the certificates already']
    cluster = view.snapshot.cluster.get('name')
    return Step(
        title=f'Add {name} to the certificates of {whose} of {cluster}',
        evidence=tuple(f'{name} is missing in {listed(certsans.PATHS[one] for one in missing)} of {label}' for label, missing in sorted(lacking.items())),
        preconditions=('every control plane node answers, none is being installed, upgraded, rebooted or reset, and all members of etcd are healthy',
                       f'{name} is dialled, is no worker, lies in no network of pods or services, and is not the virtual IP where apid is to have it',
                       'the certificate of each node names an address of its own',
                       'the dry run on each node differs in that list alone, needs no reboot, and no configuration is staged or on trial there'),
        predicted={'configuration': {label: {certsans.PATHS[one]: f'+ {name}' for one in missing} for label, missing in sorted(lacking.items())},
                   'restarts': _restarts(lists)},
        actions=(Action(f'Keep the configuration of each control plane node, and add {name} to {listed(certsans.PATHS[one] for one in lists)}, one node after '
                        'the other', 'talos_certsans', {'names': [name], 'lists': list(lists), 'backup_dir': BACKUP_DIR,
                                                        'confirm': list(_confirm(view, cluster))}),),
        verify=(f'the certificate that each node serves has {name}, still has the names that it had, and is of the same authority',),
        way_back='The configurations as they were are kept. The name is taken out of the list by hand; nothing else was changed.',
        confirm=(*_confirm(view, cluster), *(outage(view, 'restart the API server') if certsans.KUBERNETES in lists else ())),
        refused=unasked(args, later),
        after=tuple((etcd_stale_member.NAME, member) for member in gone) if reasons != later and lacking else (),
        rests_on={'name': name, 'missing': {machine.key: list(lacking[machine.label]) for machine in ordered(view.control_planes) if machine.label in lacking}},
    )


def _restarts(lists):
    if certsans.KUBERNETES in lists:
        return 'no machine; the API server of one control plane node after the other'
    return 'nothing; the new certificates are served within a minute'


def _confirm(view, cluster):
    """Where a machine does not tell what is staged on it, that it may be overwritten has to be agreed to."""
    tags = [((machine.value('Version') or {}).get('version') or {}).get('tag') for machine in view.answering_control_planes]
    old = [talos for talos in map(versions.parse, filter(None, tags)) if talos is not None and talos.line < config_patch.PERSISTENT_SINCE]
    return (config_patch.sentence(cluster),) if old else ()


def _targets(_view, args):
    return tuple(dict.fromkeys(normal(name) for name in args['names']))


def _merged(args, others):
    return {**args, 'lists': [one for one in certsans.LISTS if one in (*args['lists'], *others['lists'])]}


REMEDY = Remedy(NAME, 'adds a name to the certificates of the control plane nodes', 'the DNS name or the address', _targets, step, merged=_merged)
