# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules return beside findings: plain facts of a snapshot, without judgement and of bounded size."""

from __future__ import annotations

import json

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

RESULT_BYTES = 60 * 1024
FACTS_BYTES = 30 * 1024
MACHINES_MOST = 200


def labels(snapshot):
    """Machine key to a label that no other machine of the snapshot has: its name, with the address where names are shared."""
    names = [machine.label for machine in snapshot.machines]
    return {machine.key: machine.label if names.count(machine.label) == 1 else f'{machine.label} ({machine.address or machine.key})'
            for machine in snapshot.machines}


def unread(snapshot, machines, kind):
    """Label to reason, for those of C(machines) on which this read did not succeed."""
    names = labels(snapshot)
    return {names[machine.key]: machine.unreachable['text'] if machine.unreachable else machine.datum(kind).why()
            for machine in machines if not machine.datum(kind).ok}


def machines(snapshot):
    """The machines in short, at most MACHINES_MOST."""
    names = labels(snapshot)
    return [{'name': names[machine.key], 'address': machine.address, 'type': machine.type, 'answered': machine.answered}
            for machine in snapshot.machines[:MACHINES_MOST]]


def bounded(result):
    """The result of a section, cut to what a task result may weigh: evidence first, then facts, then the least severe findings.

    Says in C(findings_omitted) how many findings, and in C(facts_omitted) how many entries of which facts, only
    report.json, or a gather, can show.
    """
    result['findings_omitted'], result['facts_omitted'] = 0, {}
    if _size(result) <= RESULT_BYTES:
        return result
    result['findings'] = [{**finding, 'evidence': [], 'more_evidence': len(finding['evidence']) + finding['more_evidence']}
                          for finding in result['findings']]
    _cut_facts(result)
    while result['findings'] and _size(result) > RESULT_BYTES:
        keep = len(result['findings']) * 3 // 4
        result['findings_omitted'] += len(result['findings']) - keep
        result['findings'] = result['findings'][:keep]
    return result


def _cut_facts(result):
    """Halve the longest of the lists and mappings that are neither findings nor sections, until all together leave room for those."""
    given = [name for name, value in result.items() if isinstance(value, (list, dict)) and name not in ('findings', 'sections', 'facts_omitted')]
    before = {name: len(result[name]) for name in given}
    while sum(_size(result[name]) for name in given) > FACTS_BYTES:
        longest = max(given, key=lambda name: _size(result[name]))
        kept = list(result[longest])[:len(result[longest]) // 2]
        result[longest] = {key: result[longest][key] for key in kept} if isinstance(result[longest], dict) else kept
    result['facts_omitted'] = {name: before[name] - len(result[name]) for name in given if len(result[name]) < before[name]}


def _size(result):
    return len(json.dumps(result, ensure_ascii=False).encode())


def fitting(items, most):
    """How many of the first C(items) fit into C(most) bytes of JSON together."""
    size = 0
    for number, item in enumerate(items):
        size += _size(item) + 2
        if size > most:
            return number
    return len(items)


def limit_of(params):
    """The option limit_bytes. Raises InputError."""
    limit = params['limit_bytes']
    if limit <= 0:
        raise InputError(f'limit_bytes must be a number of bytes above zero, not {limit}.')
    return limit
