# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Network Configuration": packets that links of the host lose (check catalogue NET-2).

One sample counts since the boot, and tells what once was. Two of them, some seconds apart (option sample_seconds), tell what is.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.host_links import is_cni_link, is_overlay
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, Threshold, info, ok, unknown, warning
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

RATIO, PACKETS, SECONDS = 'network_configuration_loss_ratio', 'network_configuration_loss_packets', 'network_configuration_loss_seconds'
_COUNTERS = tuple(f'{way}_{what}' for way in ('rx', 'tx') for what in ('packets', 'errors', 'dropped'))


def packets_lost(view, machine):
    """Links of the host lose next to nothing; those of a CNI are left out (rec: flannel.1 drops before its first packet)."""
    before, after = _counters(machine, 'NetworkDeviceStats'), machine.data.get('NetworkDeviceStats2')
    if after is None:
        return _since_boot(view, machine, before)
    if not after.ok:
        return unknown(machine.key, f'whether {machine.label} loses packets now: the second sample: {after.why()}', nodes=[machine.key],
                       next_step='Gather again with sample_seconds.')
    seconds = _between(machine)
    if seconds is None or seconds < view.threshold(SECONDS):
        return _since_boot(view, machine, before)
    later = _counters(machine, 'NetworkDeviceStats2')
    losing = [found for name in sorted(before.keys() & later.keys())
              for found in _losses(view, name, {key: later[name][key] - before[name][key] for key in _COUNTERS})]
    if not losing:
        return ok(machine.key, nodes=[machine.key])
    return warning(machine.key, f'{machine.label} loses packets: {_words(losing)} within {seconds:.0f} s',
                   'A cable, a switch port, a duplex or MTU that does not fit, or a machine that does not keep up with its traffic. Retransmissions '
                   'make etcd and everything else slow.',
                   'Look at cable, transceiver and the counters of the switch port; compare MTU and duplex on both sides; see whether the machine is '
                   'overloaded.', nodes=[machine.key],
                   evidence=[seen(machine, 'NetworkDeviceStats2', _words([found])) for found in losing])


def _since_boot(view, machine, counters):
    losing = [found for name in sorted(counters) for found in _losses(view, name, counters[name])]
    if not losing:
        return ok(machine.key, nodes=[machine.key])
    return info(machine.key, f'{machine.label} has lost packets since its boot: {_words(losing)}',
                'The counters begin with the boot, so it may be long ago; what nobody listens for counts as dropped, too.',
                'Gather with sample_seconds (talos_sample_seconds: 10) to see whether packets are lost now.', nodes=[machine.key],
                evidence=[seen(machine, 'NetworkDeviceStats', _words([found])) for found in losing])


def _counters(machine, kind):
    """{link: {counter: number}} of the links of the host."""
    return {device.get('name'): {key: int(device.get(key) or 0) for key in _COUNTERS} for device in (machine.value(kind) or {}).get('devices') or []
            if device.get('name') and not is_cni_link(device['name']) and not is_overlay(device['name'])}


def _losses(view, name, counted):
    """[(link, "rx" or "tx", lost, of how many)] where more than the threshold is lost of enough packets; counters may begin anew."""
    found = []
    for way in ('rx', 'tx'):
        packets, lost = counted[f'{way}_packets'], counted[f'{way}_errors'] + counted[f'{way}_dropped']
        if packets >= view.threshold(PACKETS) and lost > view.threshold(RATIO) * packets:
            found.append((name, way, lost, packets))
    return found


def _words(losing):
    return listed(f'{name} {"received" if way == "rx" else "sent"} {packets} and lost {lost} ({lost / packets:.1%})'
                  for name, way, lost, packets in losing)


def _between(machine):
    """Seconds between the two samples, None where that is not known."""
    first, second = (parse_time(machine.datum(kind).at) for kind in ('NetworkDeviceStats', 'NetworkDeviceStats2'))
    return (second - first).total_seconds() if first and second else None


CHECKS = (
    Check('network_configuration.packets_lost', 'network_configuration', 'links lose next to no packets', packets_lost, each=ALL,
          needs=('NetworkDeviceStats',), reads=('NetworkDeviceStats2',), catalogue='NET-2', thresholds={
              RATIO: Threshold(0.001, 'ratio', 'share of its packets that a link may lose'),
              PACKETS: Threshold(1000, 'count', 'how many packets a link must have carried for its losses to be judged'),
              SECONDS: Threshold(10, 's', 'how far apart two samples of the counters must be to show the present')}),
)
