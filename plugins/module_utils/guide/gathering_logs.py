# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Gathering Logs": whether the logs that the other sections look at could be read, and read to their end.

What the lines say is judged where they belong. A log that is missing is no fault of the cluster.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ABSENT, NOT_ASKED, READ, REFUSED
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, Evidence, info, ok, unknown
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import CONTROL_PLANES, LOGS, METAL, READS, ContainerLogs

_WANTED = tuple(read for read in READS if isinstance(read, LOGS))
# A log that Talos keeps from boot on; the others exist once their service has run (talos-api 5.2).
_ALWAYS = ('machined', 'controller-runtime')
OVER = 'for the whole gather'  # what is not asked for want of time (snapshot/ask.py: Budget)


def logs_incomplete(view, machine):
    """Every log of a machine that is looked at was read to its end."""
    logs = _wanted(view, machine)
    if not logs:
        return unknown(machine.key, f'whether the logs of {machine.label} can be read: none was asked for', nodes=[machine.key],
                       explained_by=('not_judged',))
    refused = [name for name, datum in logs.items() if datum.state == REFUSED]
    unread = [name for name, datum in logs.items() if datum.state not in (READ, REFUSED)]
    cut = [name for name, datum in logs.items() if datum.state == READ and not datum.complete]
    if len(refused) + len(unread) == len(logs):
        return unknown(machine.key, f'none of the logs of {machine.label} could be read: {logs[(refused + unread)[0]].why()}',
                       'What only logs tell is not known of this machine.', 'Read them with a client certificate that may (os:reader suffices).',
                       nodes=[machine.key], explained_by=('role', 'not_judged', f'network:{machine.key}'))
    if not refused + unread + cut:
        return ok(machine.key)
    ways = ((refused + unread, 'could not be read'), (cut, 'was cut' if len(cut) == 1 else 'were cut'))
    said = [f'{listed(names)} {how}' for names, how in ways if names]
    return info(machine.key, f'Logs of {machine.label} are not complete: {" and ".join(said)}',
                'Lines may be missing that would have shown a cause.',
                f'Read them by hand: talosctl -n {machine.address or machine.label} logs '
                f'{(refused + unread + cut)[0].rpartition(":")[0] or (refused + unread + cut)[0]}.',
                nodes=[machine.key], explained_by=(f'network:{machine.key}', f'disk_full:{machine.key}'),
                evidence=[_why(machine, name, logs[name]) for name in refused + unread + cut])


def _wanted(view, machine):
    """{name: Datum} of the logs that this machine was asked for and should have."""
    found, running = {}, _running(machine)
    for read in _WANTED:
        if read.on == CONTROL_PLANES and not machine.is_control_plane or read.on == METAL and view.container(machine) is not False:
            continue
        names = [read.kind]
        if isinstance(read, ContainerLogs):
            names += [name for name in machine.logs if ':' in name]
        for name in names:
            datum = machine.log(name)
            on_purpose = datum.state == NOT_ASKED and OVER not in (datum.reason or '')
            never_ran = datum.state == ABSENT and name not in _ALWAYS and running is not None and name not in running
            if not on_purpose and not never_ran:
                found[name] = datum
    return found


def _running(machine):
    """Ids of the services that run, None where the list was not read."""
    if not machine.datum('ServiceList').ok:
        return None
    return {service.get('id') for service in machine.value('ServiceList').get('services') or [] if service.get('state') == 'Running'}


def _why(machine, name, datum):
    why = datum.reason or 'it ended before its end' if datum.state == READ else datum.why()
    return Evidence(f'{name}: {why}', f'log {name}', machine.label, datum.at)


CHECKS = (
    Check('gathering_logs.logs_incomplete', 'gathering_logs', 'The logs could be read', logs_incomplete, each=ALL,
          reads=('Version', 'ServiceList'), logs=tuple(read.kind for read in _WANTED), catalogue='section 12'),
)
