# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades: machines that are on their way, that do not arrive, and what their logs say of it (EXT-UPG)."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ABSENT, UNSUPPORTED
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import seen, span, unread as words_unread
from ansible_collections.talosops.talos.plugins.module_utils.judge import versions
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, CONTROL_PLANES, Check, Threshold, error, info, not_applicable, ok, unknown,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, down
from ansible_collections.talosops.talos.plugins.module_utils.judge.progress import (
    MOVES, MOVING, STAGE_LIMIT, STAGE_SECONDS, seconds_in_stage, stuck,
)

UNATTENDED, UNATTENDED_FROM = 'UnattendedInstallStatuses', (1, 14)

_BOOTS = re.compile(r'boot sequence: [1-9]\d* phase\(s\)|machine is running and ready')
_PHASE_FAILED = re.compile(r'error running phase (?P<number>\d+) in (?P<name>\w+) sequence: (?P<why>.+)')
_FAILED = ('upgrade.phase_failed', 'etcd.leave_failed')
_RECENT = 300


# -- EXT-UPG ----------------------------------------------------------------------------------------------------

def stage_stuck(view, machine):
    """A machine comes out of an upgrade, an installation or a reboot within a quarter of an hour."""
    stage = view.stage(machine)
    if stage is None:
        return unknown(machine.key, f'whether {machine.label} is being upgraded: MachineStatuses holds no stage', nodes=[machine.key],
                       explained_by=('not_judged',))
    if stage not in MOVING:
        return ok(machine.key)
    seconds = seconds_in_stage(view, machine)
    more = {'nodes': [machine.key], 'evidence': _stage_evidence(view, machine, stage)}
    if seconds is None:
        return info(machine.key, f'{machine.label} is {stage}, since when is not known', 'What fails on it meanwhile is part of that.',
                    'Gather again in a few minutes.', **more)
    if seconds <= view.threshold(STAGE_SECONDS):
        return info(machine.key, f'{machine.label} is {stage} for {span(seconds)}', 'What fails on it meanwhile is part of that.',
                    'Gather again in a few minutes.', **more)
    return error(machine.key, f'{machine.label} is {stage} for {span(seconds)}',
                 'This takes a few minutes: a step of it hangs, most often the drain of the node, the leaving of etcd, or a volume that cannot be '
                 'unmounted.',
                 f'Read what it waits for: talosctl -n {machine.address or machine.label} logs machined. Repair that; only if nothing moves any '
                 'more, restart '
                 'the machine, one control plane node at a time.', asserts=(stuck(machine),),
                 explained_by=(NO_QUORUM, f'volume_failed:{machine.key}', f'disk_full:{machine.key}', f'image_pull:{machine.key}'), **more)


def _stage_evidence(view, machine, stage):
    lines = [line for line in view.etcd.log(machine, 'machined') if MOVES.search(line.text) or _PHASE_FAILED.search(line.text)
             or line.text.startswith(('[talos] phase ', '[talos] task '))]
    return [seen(machine, 'MachineStatuses', f'stage {stage}'), *(view.etcd.quote(machine, 'machined', line) for line in lines[-2:])]


def unattended_install_failed(view):
    """Talos installed itself, where it was told to (1.14 and later)."""
    answering = view.snapshot.answering()
    concerned = [machine for machine in answering if _installs_itself(machine)]
    unread = [machine for machine in concerned if not machine.datum(UNATTENDED).ok]
    outcomes = [_install_failed(machine) for machine in concerned if (machine.resource(UNATTENDED) or {}).get('phase') == 'failed']
    if unread or not answering:
        why = '; '.join(words_unread(unread, UNATTENDED)) or 'no machine answered'
        outcomes.append(unknown('cluster', f'whether Talos installed itself: {why}', nodes=[m.key for m in unread], explained_by=('role',
                                                                                                                                  'not_judged')))
    return outcomes or (ok('cluster') if concerned else not_applicable('cluster', 'Talos installs itself from 1.14 on'))


def _installs_itself(machine):
    """False where Talos is too old for it, or says that there is no such thing."""
    datum, release = machine.datum(UNATTENDED), versions.parse(((machine.value('Version') or {}).get('version') or {}).get('tag'))
    return datum.state != ABSENT and not (datum.state == UNSUPPORTED and release is not None and release.line < UNATTENDED_FROM)


def _install_failed(machine):
    status = machine.resource(UNATTENDED)
    said, image = str(status.get('error') or 'no error is told'), f', image {status["image"]}' if status.get('image') else ''
    return error(machine.key, f'The unattended installation of Talos failed on {machine.label}: {said}',
                 'Talos runs from memory and is gone after a restart; services that wait for the installation do not start.',
                 f'Repair the cause (disk{image}), then restart the machine, or install it with talosctl.', nodes=[machine.key],
                 evidence=[seen(machine, UNATTENDED, f'phase failed: {said}')], asserts=(f'boot_blocked:{machine.key}',),
                 explained_by=(f'image_pull:{machine.key}', f'disk_full:{machine.key}', f'network:{machine.key}'))


def sequence_failed(view, machine):
    """No upgrade, reset or reboot was given up half way since the machine booted."""
    if not machine.log('machined').ok:
        return unknown(machine.key, f'whether an upgrade failed on {machine.label}: log machined: {machine.log("machined").why()}',
                       nodes=[machine.key],
                       explained_by=('role', 'not_judged'))
    hits = [hit for hit in view.signatures.recent(machine, *_FAILED) if hit.age is None or hit.age <= view.threshold('upgrade_failed_seconds')]
    later = [line.near for line in view.etcd.log(machine, 'machined') if line.near and (MOVES.search(line.text) or _BOOTS.search(line.text))]
    hits = [hit for hit in hits if hit.at is None or not any(at > hit.at for at in later)]
    if not hits:
        return ok(machine.key)
    hit = hits[-1]
    phase, leave = _PHASE_FAILED.search(hit.line.text), next((each for each in reversed(hits) if each.id == 'etcd.leave_failed'), None)
    name = phase.group('name') if phase else 'upgrade'
    more = {'nodes': [machine.key], 'evidence': [each.evidence() for each in hits]}
    if leave:
        return error(machine.key, f'The {name} of {machine.label} failed when it left etcd: {leave.groups.get("why")}',
                     'It may have left half: when its member is gone and its data is not, etcd of this node will never start again.',
                     f'Look from another control plane node whether its member is still listed (talosctl etcd members). If it is gone, reset '
                     'EPHEMERAL of '
                     f'{machine.label}; if not, {name} it again.', asserts=(down(machine),), explained_by=(NO_QUORUM,), **more)
    return error(machine.key, f'The {name} of {machine.label} failed in phase {phase.group("number")}: {phase.group("why")}',
                 'The machine stands half way: what the sequence stopped stays stopped, and its lock is held until the machine restarts.',
                 f'Read the lines before it in talosctl -n {machine.address or machine.label} logs machined, repair the cause, restart the machine '
                 'and do it again.',
                 asserts=(stuck(machine),), explained_by=(NO_QUORUM, f'volume_failed:{machine.key}', f'disk_full:{machine.key}',
                                                          f'image_pull:{machine.key}',
                                                          f'boot_blocked:{machine.key}'), **more)


def etcd_incompatible(view, machine):
    """No etcd member refuses another one for its version."""
    if view.service(machine, 'etcd') is None:
        return None
    if machine.log('etcd').state == ABSENT:
        return None  # etcd has never run
    if not machine.log('etcd').ok:
        return unknown(machine.key, f'whether versions of etcd go together: log etcd of {machine.label}: {machine.log("etcd").why()}',
                       nodes=[machine.key],
                       explained_by=(down(machine), 'role', 'not_judged'))
    hits = [hit for hit in view.signatures.recent(machine, 'etcd.version_incompatible') if hit.age is None or hit.age <= _RECENT]
    if not hits:
        return ok(machine.key)
    return error(machine.key, f'Another etcd member ignores the requests of {machine.label} because of its version',
                 'The versions of the members are too far apart: this member gets no data from the others.',
                 'Finish the upgrade that stopped half way, in order; members may be one minor apart at most (talosctl etcd status shows their '
                 'versions).',
                 nodes=[machine.key], evidence=[hit.evidence() for hit in hits])


CHECKS = (
    Check('upgrade.stage_stuck', 'x.upgrade', 'Machines come out of an upgrade or a reboot', stage_stuck, each=ALL,
          needs=('MachineStatuses',), logs=('machined',), catalogue='EXT-UPG', thresholds={
              STAGE_SECONDS: STAGE_LIMIT}),
    Check('upgrade.sequence_failed', 'x.upgrade', 'No upgrade was given up half way', sequence_failed, each=ALL,
          reads=('MachineStatuses',), logs=('machined',), catalogue='EXT-UPG', sharpens=True, thresholds={
              'upgrade_failed_seconds': Threshold(3600, 's', 'how long a failed upgrade, reset or reboot in the log is news')}),
    Check('upgrade.unattended_install_failed', 'x.upgrade', 'Talos installed itself', unattended_install_failed,
          reads=('Version', 'UnattendedInstallStatuses'), catalogue='EXT-UPG', sharpens=True),
    Check('upgrade.etcd_incompatible', 'x.upgrade', 'etcd members take each other\'s requests', etcd_incompatible, each=CONTROL_PLANES,
          needs=('ServiceList',), logs=('etcd',), catalogue='EXT-VER', sharpens=True),
)
