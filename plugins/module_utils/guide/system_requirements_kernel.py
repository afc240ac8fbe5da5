# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": what the kernel says of failing hardware and of tables that are full (check catalogue EXT-KERN, EXT-CONNTRACK).

Only the kernel's own lines of level error or worse count: a machine tells a lot at its boot that sounds worse (rec: "EDAC MC: Ver: 3.0.0").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, logs_quiet
from ansible_collections.talosops.talos.plugins.module_utils.guide.system_requirements_machine import SECTION, own
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, Evidence, Threshold, error, info, warning
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

_LINE = re.compile(r'^kern:\s+(?P<level>emerg|alert|crit|err): \[(?P<at>[^\]]+)\]: (?P<text>.*)$', re.MULTILINE)
_ANY_LEVEL = re.compile(r'^kern:\s+\w+: \[(?P<at>[^\]]+)\]: (?P<text>.*)$', re.MULTILINE)
_CONNTRACK = re.compile(r'nf_conntrack: (?:nf_conntrack: )?table full')
# A drive without a medium says so at every boot of a virtual machine.
_NO_DISK = re.compile(r'\bdev (?:fd|sr|loop|ram)\d+\b')
_DEVICE = re.compile(r'(?:\bdev |device |/dev/|\(|nvme (?=nvme))'
                     r'(?P<device>(?:nvme\d+n\d+|mmcblk\d+)(?:p\d+)?|(?:[shv]|xv)d[a-z]+\d*|nvme\d+|dm-\d+)\b')


@dataclass(frozen=True)
class _Kind:
    """What lines mean: C(tell) makes the outcome, C(title) stands behind the machine's name."""

    name: str
    pattern: re.Pattern
    tell: object
    title: str
    means: str
    step: str


_DISK_STEP = ('Take a snapshot of etcd from another control plane node first. Then replace the disk: on a control plane node leave etcd, drain, '
              'reset and join anew. Look at cable and controller, too.')
_KINDS = (
    _Kind('disk', re.compile(r'I/O error, dev |Buffer I/O error|EXT4-fs (?:error|\(\S+\): .*[Rr]emounting)'
                             r'|XFS .*(?:[Cc]orruption|I/O [Ee]rror|[Ss]hutting down)|nvme\S* .*(?:timeout|Abort status)'),
          error, 'the kernel reports errors of a disk', 'Data that is read may be wrong, and what is written may be lost.', _DISK_STEP),
    _Kind('stall', re.compile(r'blocked for more than \d+ seconds|soft lockup|hard LOCKUP|rcu: INFO: .*stall'),
          error, 'the kernel reports that something hangs for minutes',
          'A disk or a network filesystem does not answer, or the machine gets no processor from its host.',
          'Look at the storage that the process named here waits for, and, on a virtual machine, at the load of its host.'),
    _Kind('hardware', re.compile(r'[Mm]achine [Cc]heck Exception|EDAC .*\bUE\b|[Uu]ncorrected (?:hardware )?error'),
          error, 'the kernel reports a fault of the hardware that could not be corrected', 'Memory or a processor fails.',
          'Move what runs there away, and replace the part.'),
    _Kind('corrected', re.compile(r'[Mm]achine [Cc]heck events|EDAC .*\bCE\b'),
          warning, 'the kernel reports faults of the hardware that were corrected', 'Memory or a processor begins to fail.',
          'Watch whether their number grows, and replace the part then.'),
    _Kind('panic', re.compile(r'Kernel panic|BUG: |Oops|segfault'),
          error, 'the kernel reports a fault of its own or of the first process', 'The machine may stop or restart at any time.',
          'Note what it says, update Talos, and see whether a driver or extension is named.'),
)
_NEEDLES = ('I/O error', 'I/O Error', 'EXT4-fs', 'XFS ', 'nvme', 'blocked for more', 'lockup', 'LOCKUP', 'stall', 'achine ', 'EDAC', 'ncorrected',
            'panic', 'BUG: ', 'Oops', 'segfault')


@own('the kernel')
def kernel_errors(view, machine):
    """The kernel reports no failing disk, memory or processor, and nothing that hangs, within a day."""
    now = view.signatures.clock(machine)
    found = {}
    for line in _lines(machine):
        kind = next((kind for kind in _KINDS if kind.pattern.search(line['text'])), None)
        if kind is not None and not _NO_DISK.search(line['text']):
            found.setdefault(kind.name, []).append(line)
    outcomes = [_told(view, machine, kind, found[kind.name], now) for kind in _KINDS if kind.name in found]
    return outcomes or logs_quiet(view, machine, f'whether the kernel of {machine.label} reports faults', 'dmesg')


def _lines(machine):
    """The kernel's own lines of level error or worse that may be one of _KINDS."""
    text = machine.log('dmesg').value if machine.log('dmesg').ok else ''
    return [line for line in _LINE.finditer(text or '') if any(needle in line['text'] for needle in _NEEDLES)]


def _told(view, machine, kind, found, now):
    last = found[-1]
    at = parse_time(last['at'])
    evidence = [Evidence(last['text'] + (f' (the last of {len(found)} lines)' if len(found) > 1 else ''), 'log dmesg', machine.label, last['at'])]
    evidence += [Evidence(found[0]['text'], 'log dmesg', machine.label, found[0]['at'])] if len(found) > 1 else []
    subject, title = f'{machine.key}/{kind.name}', f'{machine.label}: {kind.title}'
    devices = list(dict.fromkeys(said['device'] for line in found for said in [_DEVICE.search(line['text'])] if said)) if kind.name == 'disk' else []
    title += f' ({listed(devices)})' if devices else ''
    if at is not None and (now - at).total_seconds() > view.threshold('system_requirements_kernel_error_seconds'):
        return info(subject, f'{title}, more than a day ago', kind.means, kind.step, nodes=[machine.key], evidence=evidence)
    return kind.tell(subject, title, kind.means, kind.step, nodes=[machine.key], evidence=evidence,
                     asserts=(f'disk_failing:{machine.key}',) if kind.name in ('disk', 'stall') else ())


@own('the table of connections')
def conntrack_full(view, machine):
    """The table of connections has room; else packets of new ones are dropped without a word to anybody."""
    text = machine.log('dmesg').value if machine.log('dmesg').ok else ''
    found = [line for line in _ANY_LEVEL.finditer(text) if _CONNTRACK.search(line['text'])] if text and 'nf_conntrack' in text else []
    if not found:
        return logs_quiet(view, machine, f'whether the table of connections of {machine.label} is full', 'dmesg')
    at = parse_time(found[-1]['at'])
    evidence = [Evidence(f'{found[-1]["text"]} (the last of {len(found)} lines)', 'log dmesg', machine.label, found[-1]['at'])]
    if at is not None and (view.signatures.clock(machine) - at).total_seconds() > view.threshold('system_requirements_conntrack_seconds'):
        return info(machine.key, f'the table of connections of {machine.label} was full', 'It is not any more.', 'See whether it happens again.',
                    nodes=[machine.key], evidence=evidence)
    return warning(machine.key, f'the table of connections of {machine.label} is full',
                   'New connections are dropped at random: names do not resolve, and probes fail.',
                   'Raise net.netfilter.nf_conntrack_max (machine.sysctls), and find out what opens so many connections.',
                   nodes=[machine.key], evidence=evidence)


CHECKS = (
    Check('system_requirements.kernel_errors', SECTION, 'the kernel reports no faults', kernel_errors, each=ALL,
          reads=('Version', 'Time'), logs=('dmesg',), catalogue='EXT-KERN', thresholds={
              'system_requirements_kernel_error_seconds': Threshold(86400, 's', 'how long ago the kernel may have reported a fault for it to count')}),
    Check('system_requirements.conntrack_full', SECTION, 'the table of connections has room', conntrack_full, each=ALL,
          reads=('Version', 'Time',), logs=('dmesg',), catalogue='EXT-CONNTRACK', thresholds={
              'system_requirements_conntrack_seconds': Threshold(600, 's', 'how long ago the table of connections may have been full for it to count')}),
)
