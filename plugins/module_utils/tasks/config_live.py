# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to become of machine configurations, and what the machines say to it; config_change.py then changes them (talos-api 7.3, users.md 5).

    steps = config_live.plan(params, view, machines, patch_of, what)
    config_live.dry_run(params, view, steps, what)
    config_change.carry_out(params, say, view, steps, verify)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import DeadlineExceeded, RoleRefused, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.judge import managers, versions
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_merge, steady
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_patch as rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused, refuse
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, config_way, etcd_live

READS = tuple(sorted({*preconditions.READS, *steady.READS, 'SiderolinkStatuses', 'NodeIPConfigs'}))
METHOD = '/machine.MachineService/ApplyConfiguration'
ADMIN = 'os:admin'

NO_REBOOT, TRY, STAGED = 'no_reboot', 'try', 'staged'
MODES = (NO_REBOOT, TRY, STAGED)
WIRE = {NO_REBOOT: 'NO_REBOOT', TRY: 'TRY', STAGED: 'STAGED'}
# A dry run in the mode TRY checks the same as one in NO_REBOOT, and leaves alone what somebody else has on trial (edge-cases 57).
_DRY = {NO_REBOOT: 'TRY', TRY: 'TRY', STAGED: 'STAGED'}

UNCHANGED, PLANNED, CHANGED, FAILED, ROLLED_BACK = 'unchanged', 'planned', 'changed', 'failed', 'rolled_back'


@dataclass
class Step:
    """What is to become of a machine's configuration. C(before) and C(after) are texts with secrets in them."""

    machine: object
    before: str
    after: str
    mode: str
    seconds: float
    state: str = UNCHANGED
    blind: bool = False
    warnings: list = field(default_factory=list)

    @property
    def label(self):
        return self.machine.label


def plan(params, view, machines, patch_of, what):
    """[Step] of the machines, workers first and the leader of etcd last. C(patch_of(machine)) gives documents. Raises TalosError."""
    refuse(what, [reason for machine in machines for reason in unfit(view, machine)])
    owners = [owner for owner in managers.of(view) if owner == managers.OMNI]
    refuse(what, [f'{owner} manages these machines, and would undo it' for owner in owners])
    order = etcd_live.followers_first(view)
    machines = sorted(machines, key=lambda one: (one.is_control_plane, order.index(one) if one in order else -1))
    steps, reasons, redactor = [], [], Redactor()
    has_data = not view.etcd.never_started
    for machine in machines:
        try:
            with config_way.connected(params, view, machine) as handle:
                active, saved = config_way.read(handle)
        except TalosError as error:
            error = etcd_live.may(view, error, ADMIN)
            raise TalosError(f'{what}: the configuration of {machine.label} was not read: {error.message}', error.hint) from None
        step, why = _step(params, view, machine, active, saved, patch_of(machine))
        reasons += [f'{machine.label}: {one}' for one in (*why, *rules.forbidden(step.before, step.after, has_data))]
        steps.append(step)
    refuse(what, [redactor.text(reason) for reason in reasons])
    _agreed(params, steps, what)
    return steps


def dry_run(params, view, steps, what):
    """Let each machine check what it is to become: it changes nothing. Raises TalosError."""
    redactor, reasons = Redactor(), []
    for step in [one for one in steps if one.state == PLANNED]:
        try:
            with config_way.connected(params, view, step.machine) as handle:
                answer = handle.unary(METHOD, {'data': step.after.encode(), 'mode': _DRY[step.mode], 'dry_run': True})
        except RoleRefused as error:
            raise etcd_live.may(view, error, ADMIN) from None
        except (TransportError, DeadlineExceeded) as error:
            raise TalosError(f'{what}: the dry run on {step.label} failed: {error.message.rstrip(".")}.', error.hint) from None
        except TalosError as error:
            reasons.append(f'{step.label} does not take it: {rules.said(error.message, redactor)}')
            continue
        if rules.no_changes(answer['mode_details']):
            step.state = UNCHANGED
            continue
        if answer['mode'] != _DRY[step.mode]:
            reasons.append(f'{step.label} would do it in the mode {answer["mode"]}')
        others = rules.strangers(answer['mode_details'], step.before, step.after)
        if others:
            reasons.append(f'the dry run of {step.label} changes what the patch does not name: {", ".join(others[:6])}')
        step.warnings += [f'{step.label}: {redactor.text(warning)}' for warning in answer['warnings'] or ()]
    refuse(what, reasons)


def shown(steps):
    """The differences, for C(diff): without secrets."""
    redactor, found = Redactor(), []
    for step in steps:
        if step.state != UNCHANGED:
            before, after = rules.shown(step.before, step.after, redactor)
            head = f'machine configuration of {step.label}'
            found.append({'before_header': head, 'after_header': head, 'before': before, 'after': after})
    return found


# -- planning -------------------------------------------------------------------------------------------------------

def unfit(view, machine):
    if machine.key in view.elsewhere:
        return [f'{machine.label} belongs to another cluster']
    if not machine.answered:
        said = (machine.unreachable or {}).get('text') or machine.datum('Version').why()
        return [f'{machine.label} does not answer ({said.rstrip(".")})']
    stage = view.stage(machine)
    if stage is None:
        return [f'the stage of {machine.label} is not known ({machine.datum("MachineStatuses").why()})']
    return [f'{machine.label} is {stage}'] if stage != 'running' and (view.in_progress(machine) or stage != 'booting') else []


def _step(params, view, machine, active, saved, patch):
    """C((Step, reasons against it))."""
    mode, whose = params['mode'], f'The machine configuration of {machine.label}'
    tag = (machine.value('Version') or {}).get('version') or {}
    talos = versions.parse(tag.get('tag'))
    after = config_merge.merged(active['text'], patch, whose)
    step = Step(machine, active['text'], after, mode, params['try_timeout'], PLANNED if after != active['text'] else UNCHANGED)
    if step.state == PLANNED and mode == STAGED and saved is not None and rules.same(after, saved['text'], zero=True):
        step.state = UNCHANGED  # it is staged already
        return step, []
    why = rules.pending(active, saved, tag.get('tag'), talos and talos.line, view.now)
    if why and saved is None and talos is not None and talos.line < rules.PERSISTENT_SINCE and mode != STAGED:
        step.blind, why = step.state == PLANNED, None
    return step, [why] if why else []


def _agreed(params, steps, what):
    blind = [step.label for step in steps if step.blind]
    if not blind or rules.sentence(access.cluster_of(params)) in (params.get('confirm') or ()):
        return
    said = (f'{", ".join(blind)} cannot tell whether a configuration is staged or on trial there, because Talos tells that from 1.10 on. This needs '
            f'confirm: "{rules.sentence(access.cluster_of(params))}"')
    if not params.get('check_mode'):
        raise Refused(f'{what}: {said}.')
    steps[0].warnings.append(f'{said}.')
