# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy kubelet_restart: the kubelet of one machine is started anew (guide, "Kubelet and Kubernetes Node Issues"; users.md 5, service restart)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import service
from ansible_collections.talosops.talos.plugins.module_utils.remedies.service import KUBELET, RESTARTED
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import NOT_ASKED_FOR, Action, Remedy, Step
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps.common import outage

NAME = 'kubelet_restart'


def step(view, target, args, _coming):
    """The Step that restarts the kubelet of this machine. One that runs and is well is restarted only where it is to read something anew."""
    title = f'Restart the kubelet of {target}'
    try:
        machine = service.machine_of(view, target)
        if args is not None and machine.key != args.get('node'):
            return Step(title, refused=(f'{target} is another machine than was found: {machine.key}',))
        service.needed(view, machine, KUBELET, RESTARTED, False)
    except InputError:
        raise
    except TalosError as error:
        return Step(title, refused=(error.message,))
    now, well = service.words(view.service(machine, KUBELET)), service.healthy(view.service(machine, KUBELET))
    objection = service.objection(view, machine, KUBELET, RESTARTED)
    reasons = [objection] if objection else []
    if args is None and not reasons:
        reasons = [f'its kubelet is {now}, and {NOT_ASKED_FOR}']
    return Step(
        title=title,
        evidence=(f'the kubelet of {machine.label} is {now}',),
        preconditions=(f'{machine.label} answers, and is not being installed, upgraded, rebooted or reset',
                       *(('what has kept it from starting was repaired by hand',) if failed(view, {'node': machine.key}) else ()),
                       *(() if well else ('its kubelet is still not running, or not healthy',))),
        predicted={'restarts': f'kubelet on {machine.label}', 'goes_on': 'pods that run, static pods and etcd among them; the machine does not reboot'},
        actions=(Action(f'Restart the kubelet of {machine.label}', 'talos_service',
                        {'node': machine.address, 'service': KUBELET, 'state': RESTARTED, 'only_unhealthy': not well}),),
        verify=('the kubelet runs and its health check succeeds', f'the Node of {machine.label} is Ready'),
        way_back='None is needed: a restart changes no configuration.',
        confirm=outage(view, f'restart the kubelet of {machine.label}') if machine.is_control_plane else (),
        refused=tuple(reasons),
        rests_on={'machine': machine.key, 'booted': _booted(machine)},
    )


def named(view, args):
    """The targets of a finding: the name of its machine, the address where others have that name as well."""
    machine = view.snapshot.machine(args['node'])
    if machine is None:
        return (args['node'],)
    alone = machine.name and [one.name for one in view.snapshot.machines].count(machine.name) == 1
    return (machine.name if alone else machine.address or machine.key,)


def _booted(machine):
    """The beginning of the state that a machine has since its boot, None where it was not read."""
    return next((item.get('created') for item in machine.value('MachineStatuses') or () if item.get('id') == 'machine'), None)


def failed(view, args):
    """Whether Talos has given the kubelet up: then what keeps it from starting, such as its image, has to be repaired first."""
    machine = view.snapshot.machine(args['node'])
    return machine is not None and view.kubelet.state(machine) == 'Failed'


REMEDY = Remedy(NAME, 'restarts the kubelet of a machine', 'the name of the machine', named, step, by_hand_first=failed)
