# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several checks know of the kubelet as a service of Talos, worked out once for a snapshot.

The 64 events of a service and its log keep the bootstrap: what counts is the present state and the age of the last
event (edge-cases 44d).
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import CRASH_WINDOW, CRASHED, Event
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

HEALTHY = 'Health check successful'
_NEW_ATTEMPT = ('Starting service', 'Running pre state')


class KubeletFacts:
    """Facts of a View; see the methods."""

    def __init__(self, view):
        self.view = view

    def service(self, machine):
        """{id, state, events, health} of ServiceList, None where it is not listed or the list was not read."""
        return self.view.service(machine, 'kubelet')

    def state(self, machine):
        """The state as Talos spells it, None where it is not known."""
        return (self.service(machine) or {}).get('state')

    def runs(self, machine):
        """It runs and its health check succeeds; None where the services were not read."""
        if not machine.datum('ServiceList').ok:
            return None
        service = self.service(machine) or {}
        return service.get('state') == 'Running' and bool((service.get('health') or {}).get('healthy'))

    def events(self, machine):
        """Events of the service, oldest first."""
        listed = ((self.service(machine) or {}).get('events') or {}).get('events') or []
        return [Event(parse_time(item.get('ts')), item.get('state') or '', item.get('msg') or '') for item in listed]

    def last_event(self, machine):
        events = self.events(machine)
        return events[-1] if events else None

    def crashes(self, machine):
        """Exits in the five minutes before the last event, unless a successful health check came after them."""
        found, events = [], self.events(machine)
        for event in events:
            if CRASHED.match(event.msg):
                found.append(event)
            elif event.msg == HEALTHY or event.state == 'Finished':
                found = []
        newest = events[-1].at if events else None
        return [e for e in found if e.at is None or newest is None or (newest - e.at).total_seconds() <= CRASH_WINDOW]

    def exits(self, machine, seconds):
        """Every exit of the last so many seconds, also where the kubelet became healthy again after it."""
        return [e for e in self.events(machine)
                if CRASHED.match(e.msg) and e.at is not None and (self.view.now - e.at).total_seconds() <= seconds]

    def attempt_since(self, machine):
        """When the present attempt to start began, None when the events do not say."""
        since = None
        for event in self.events(machine):
            if event.state == 'Starting' or event.msg in _NEW_ATTEMPT:
                since = event.at
        return since

    def attempt_lines(self, machine):
        """Lines of machined's log since the present attempt to start began (all of them where that is not known)."""
        since = self.attempt_since(machine)
        return [line for line in self.view.etcd.log(machine, 'machined')
                if since is None or line.near is None or (line.near - since).total_seconds() >= -2]

    def seconds_since(self, event):
        """Age of an event, None where it has no time."""
        return None if event is None or event.at is None else max(0.0, (self.view.now - event.at).total_seconds())

    def version(self, machine):
        """Version of the kubelet that this machine is told to run ("v1.36.3"), None where it is not known (KUB-3).

        From the image of KubeletStatuses (Talos 1.14), KubeletSpecs or the machine configuration (both os:admin), else
        of the only kubelet image that it holds.
        """
        spec, status = machine.resource('KubeletSpecs', 'kubelet') or {}, machine.resource('KubeletStatuses', 'kubelet') or {}
        held = {tag for tag in (_tag(item.get('name')) for item in machine.value('ImageList') or []
                                if 'kubelet' in str(item.get('name')).rpartition('/')[2]) if tag}
        return _tag(status.get('image')) or _tag(spec.get('image')) or (held.pop() if len(held) == 1 else None)


def _tag(image):
    """The tag of an image's reference, None where it has none."""
    name = str(image or '').partition('@')[0].rpartition('/')[2]
    tag = name.partition(':')[2]
    return tag or None
