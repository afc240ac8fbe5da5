# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody may wish for by name, and what is never done: it destroys data, stops what still works, or hides the cause (users.md 5).

No option changes that. Who asks for it is told why not, with what was seen in this very cluster.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies import seen, serving_csr
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_preconditions import CORRUPT, NOSPACE


@dataclass(frozen=True)
class Never:
    """C(what) is not done, in words, and C(why) in general; C(evidence(view, target)) is this cluster's. C(aliases) are other names of it."""

    name: str
    what: str
    why: str
    evidence: Callable
    aliases: tuple = ()

    def reason(self, view, target):
        """Why it is not done here, as the end of a sentence."""
        return f'{self.why}; {self.evidence(view, target)}'


def find(name):
    """The Never of this name or alias, however it is written; None where it is none of them."""
    wanted = re.sub(r'[^a-z0-9]+', '_', str(name).strip().lower()).strip('_')
    return _BY_NAME.get(wanted)


def names():
    """All names and aliases."""
    return sorted(_BY_NAME)


def _bootstrap(view, target):
    machine = seen.machine(view, target) if target else None
    if machine is not None and machine.key in view.elsewhere:
        return seen.target(view, target)
    known = seen.exists(view)
    if known is not None:
        return f'{known}, and a bootstrap makes a second one; {seen.etcd(view)}'
    unseen = seen.unseen_data(view)
    if unseen is not None:
        return unseen
    waiting = [one.label for one in ordered(view.answering_control_planes) if not (one.resource('TimeStatuses') or {}).get('synced')]
    time = f', and first the clocks have to be in sync ({listed(waiting)} {"is" if len(waiting) == 1 else "are"} not)' if waiting else ''
    return f'no control plane node holds data of etcd, so a person bootstraps one of them, once and by hand{time}'


def _recover(view, _target):
    silent = [one.label for one in ordered(view.control_planes) if not one.answered]
    down = [one.label for one in ordered(view.answering_control_planes) if one not in view.etcd.healthy and view.etcd.data_empty(one) is False]
    told = [seen.exists(view) or 'no cluster was seen', seen.etcd(view)]
    told += [f'{listed(down)} may hold its data, and {"its" if len(down) == 1 else "their"} etcd has to be repaired first'] if down else []
    told += [f'{listed(silent)} {"does" if len(silent) == 1 else "do"} not answer, and {"has" if len(silent) == 1 else "have"} to be brought back first'] \
        if silent else []
    return '; '.join(told)


def _disarm(view, _target):
    if not view.etcd.alarms:
        return f'{seen.alarms(view)}; {seen.databases(view)}'
    if preconditions.raised(view, CORRUPT):
        return f'{seen.alarms(view)}, so the data of a member differ from those of the others, and that would only be hidden'
    if preconditions.below_quota(view):
        return f'{seen.alarms(view)}, and it would come back at once: {seen.databases(view)}; the remedy etcd_nospace makes room first'
    return f'{seen.alarms(view)}; the remedy etcd_nospace disarms it, behind its preconditions'


def _defragment_all(view, _target):
    members = [view.etcd.calls(member['id']) for member in view.etcd.members or ()]
    return (f'{listed(members) or "all members"} would stand still together; {seen.etcd(view)}; the remedies etcd_defragment and etcd_nospace do one '
            'member after the other, the leader last')


def _quota(view, _target):
    again = f'; {seen.alarms(view)}, and where much is not in use defragmentation is enough' if preconditions.raised(view, NOSPACE) else ''
    return f'{seen.databases(view)}{again}; {seen.etcd(view)}'


def _by_name(view, target):
    named = [member for member in view.etcd.members or () if target in (member.get('hostname'), *view.etcd.hosts(member))]
    ids = f'{listed(view.etcd.calls(member["id"]) for member in named)} {"has" if len(named) == 1 else "have"} that name' if named else 'no member is named so'
    return f'{ids}; {seen.target(view, target)}; the remedy etcd_stale_member takes the id'


def _snapshot(view, target):
    bad = preconditions.raised(view, CORRUPT)
    return f'{seen.alarms(view)}{", whose snapshot would hold wrong data" if bad else ""}; {seen.target(view, target)}'


def _all_csrs(view, _target):
    csrs = view.kubernetes.csrs
    if csrs is None:
        return f'the requests were not read ({view.kubernetes.datum("csrs").why()})'
    pending = [csr for csr in csrs if csr_rules.pending(csr)]
    wrong = []
    for csr in pending:
        row = serving_csr.row(view, csr)
        if row.verdict != csr_rules.APPROVE:
            what = 'must not be approved' if row.verdict == csr_rules.REFUSE else 'is held'
            wrong.append(f'{row.name} of {csr.get("username")} {what}: {"; ".join(row.why)}')
    told = f'{len(pending)} {"is" if len(pending) == 1 else "are"} pending'
    return f'{told}, of which {"; ".join(wrong[:3])}' if wrong else told


def _cidr(view, _target):
    known = seen.exists(view) or seen.unseen_data(view) or 'it was not bootstrapped, so a person may still change the configuration'
    return f'{seen.networks(view)}; {known}'


def _pods(view, target):
    found = next((pod for pod in view.kubernetes.pods or () if pod['name'] == target), None)
    return f'{found["namespace"]}/{target} is {found["phase"]} on {found["node"]}' if found else seen.nodes(view)


def _machine(view, target):
    return '; '.join(filter(None, (seen.moving(view), seen.target(view, target))))


def _also(*evidences):
    def evidence(view, target):
        return '; '.join(dict.fromkeys(one(view, target) for one in evidences))
    return evidence


def _of(words):
    return lambda view, _target: words(view)


_PERSON = 'that is decided and done by a person'

ALL = (
    Never('bootstrap', 'A bootstrap', 'it makes a new cluster of etcd', _bootstrap, ('etcd_bootstrap', 'cluster_bootstrap')),
    Never('etcd_recover', 'The recovery of etcd from a snapshot', f'it throws away what was written since, and {_PERSON}', _recover,
          ('recover', 'restore', 'etcd_restore', 'restore_etcd', 'force_new_cluster', 'etcd_force_new_cluster', 'etcd_force', 'disaster_recovery')),
    Never('reset', 'The reset of a machine', f'it destroys what is on the disk, and {_PERSON}', _machine,
          ('wipe', 'machine_reset', 'node_reset', 'reset_ephemeral', 'reset_graceful', 'reinstall')),
    Never('reboot', 'A reboot', f'it takes the machine out of service, and {_PERSON}, one machine after the other', _machine,
          ('restart', 'machine_reboot', 'node_reboot', 'power_cycle')),
    Never('shutdown', 'Switching a machine off', f'it takes the machine out of service, and {_PERSON}', _machine,
          ('power_off', 'poweroff', 'halt', 'machine_shutdown')),
    Never('upgrade', 'An upgrade of Talos', f'it restarts the machine, and {_PERSON}, one machine after the other', _machine,
          ('upgrade_talos', 'talos_upgrade', 'upgrade_force', 'force_upgrade', 'downgrade', 'rollback')),
    Never('upgrade_kubernetes', 'An upgrade of Kubernetes', f'it restarts the whole control plane, and {_PERSON}',
          _also(_of(seen.api_servers), _of(seen.nodes)), ('upgrade_k8s', 'kubernetes_upgrade')),
    Never('etcd_disarm', 'Disarming an alarm by itself', 'it takes all alarms, and not what raised them', _disarm,
          ('disarm', 'alarm_disarm', 'etcd_alarm_disarm', 'etcd_alarm', 'disarm_nospace', 'disarm_corrupt', 'etcd_disarm_corrupt', 'etcd_corrupt')),
    Never('etcd_defragment_all', 'Defragmenting all members of etcd at once', 'a member does not answer meanwhile', _defragment_all,
          ('defragment_all', 'defrag_all')),
    Never('etcd_quota', 'Setting another quota of etcd', f'every member has to be restarted with its machine for it, and {_PERSON}', _quota,
          ('raise_quota', 'quota', 'etcd_raise_quota', 'quota_backend_bytes')),
    Never('etcd_delete_keys', 'Deleting what is in etcd', 'it belongs to Kubernetes, through whose API alone it may be deleted',
          _also(_of(seen.databases), _of(seen.alarms)), ('delete_keys', 'etcd_delete', 'etcd_compact', 'compact')),
    Never('etcd_leave', 'Letting a living member leave etcd', f'it comes back by a reset only, and {_PERSON}', _machine,
          ('leave', 'etcd_leave_cluster', 'leave_cluster')),
    Never('etcd_forfeit_leadership', 'Moving the leadership of etcd', 'it ends no fault, and costs an election', _machine,
          ('forfeit_leadership', 'move_leader', 'etcd_move_leader')),
    Never('etcd_remove_member_by_name', 'Removing a member of etcd by its name', 'a machine that was installed anew keeps its name, and is another member',
          _by_name,
          ('etcd_remove_member', 'remove_member', 'etcd_member_remove')),
    Never('etcd_snapshot', 'A snapshot of etcd as a remedy', 'it repairs nothing; remedies that change etcd take one before',
          _snapshot, ('snapshot', 'snapshot_corrupt')),
    Never('etcd_restart', 'A restart of etcd', 'Talos starts it anew with its machine only', _machine, ('restart_etcd', 'etcd_stop', 'stop_etcd')),
    Never('service_restart', 'A restart of another service than the kubelet', 'Talos lets none be restarted but the kubelet and extensions', _machine,
          ('restart_service', 'apid_restart', 'containerd_restart', 'cri_restart', 'restart_pods')),
    Never('change_subnets', 'Changing the pod or service network', 'every address of every service and pod of a living cluster would break', _cidr,
          ('change_cidr', 'cidr', 'subnets', 'pod_subnets', 'service_subnets', 'change_networks')),
    Never('machine_config', 'Another change of the machine configuration', 'only what a remedy names is changed; everything else is done by a person',
          _also(_machine, _of(seen.api_servers)), ('config', 'config_patch', 'apply_config', 'talos_config_patch', 'change_config', 'extra_args')),
    Never('approve_all_csrs', 'Approving all requests at once', 'it signs foreign names too; the remedy kubelet_serving_csr takes the name of one', _all_csrs,
          ('approve_csrs', 'csr_approve_all', 'approve_all')),
    Never('drain', 'Draining or cordoning a Node', f'it moves what runs there, and {_PERSON}', _also(_machine, _of(seen.nodes)),
          ('cordon', 'uncordon', 'taint')),
    Never('delete_pod', 'Deleting pods or other objects', f'what they hold may be lost, and {_PERSON}', _pods,
          ('delete_pods', 'delete_objects', 'delete_secrets', 'delete_workload', 'delete_volume', 'force_detach')),
    Never('rotate_authorities', 'Making new secrets, authorities or certificates', f'machines and clients would be locked out, and {_PERSON}',
          _also(_of(seen.authority), _of(seen.refused_certificates)),
          ('rotate_ca', 'new_secrets', 'new_certificates', 'renew_certificates', 'rotate_secrets', 'regenerate_secrets')),
    Never('disable_verification', 'Switching the verification of certificates off', 'anybody could answer then, and take what is sent',
          _of(seen.refused_certificates), ('insecure', 'skip_verify', 'insecure_skip_tls_verify', 'switch_verification_off', 'no_verify')),
)
_BY_NAME = {name: never for never in ALL for name in (never.name, *never.aliases)}
