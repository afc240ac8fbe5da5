# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""From where it is known which machines there are, and on which of them the sources differ.

A machine that one source names and another does not is evidence for the checks of discovery, etcd and Kubernetes; here
it is told once, whatever they make of it.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WORKER

EXPECTED = 'expected_nodes'
DISCOVERY, ETCD, KUBERNETES = 'discovery', 'etcd', 'kubernetes'
TRUTHS = (EXPECTED, DISCOVERY, ETCD, KUBERNETES)


def of(view):
    """C({expected_from, sources: {source: [node]}, disagreements: [{node, known_from, missing_from}]}).

    C(expected_from): the source by which machines are expected: the user's own list, else discovery, else etcd and
    Kubernetes, else null. Sources that were not read are missing from C(sources), and no machine is missing from them.
    """
    read = _read(view)
    machines = view.snapshot.machines
    sources = {source: [m.label for m in machines if source in _known_from(view, m)] for source in (*TRUTHS, 'talosconfig', 'options')
               if source in read or source not in TRUTHS}
    unmatched = [name for name in view.settings.expected_nodes if not any(normal(name) in _names(m) for m in machines)]
    disagreements = [{'node': name, 'known_from': [EXPECTED], 'missing_from': [source for source in read if source != EXPECTED]} for name in unmatched]
    if unmatched:
        sources[EXPECTED] = sources[EXPECTED] + unmatched
    for machine in machines:
        known = _known_from(view, machine)
        missing = [source for source in read if source not in known and not (source == ETCD and machine.type == WORKER)]
        if missing and (known & set(read)):
            disagreements.append({'node': machine.label, 'known_from': [source for source in read if source in known], 'missing_from': missing})
    chosen = EXPECTED if EXPECTED in read else DISCOVERY if DISCOVERY in read else ' and '.join(source for source in (ETCD, KUBERNETES) if source in read)
    return {'expected_from': chosen or None, 'sources': sources, 'disagreements': disagreements}


def _read(view):
    """The sources of truth that could be read, best first."""
    lists = [m for m in view.answering_control_planes if m.datum('Members').ok and view.discovery_disabled(m) is not True and m.value('Members')]
    said = {EXPECTED: bool(view.settings.expected_nodes), DISCOVERY: bool(lists), ETCD: view.etcd.members is not None, KUBERNETES: bool(view.kubernetes.nodes)}
    return [source for source in TRUTHS if said[source]]


def _known_from(view, machine):
    wanted = {normal(name) for name in view.settings.expected_nodes}
    return {source for source in machine.known_from if source in ('talosconfig', 'options', *TRUTHS)} | ({EXPECTED} if wanted & _names(machine) else set())


def _names(machine):
    return {normal(name) for name in (machine.name, machine.address, *machine.addresses) if name}
