# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes before consequences."""

from __future__ import annotations

import itertools

from ansible_collections.talosops.talos.plugins.module_utils.judge import causes


def finding(name, verdict='error', asserts=(), explained_by=()):
    return {'id': name, 'check': name, 'nodes': [], 'verdict': verdict, 'asserts': tuple(asserts), 'explained_by': tuple(explained_by)}


def linked(*findings):
    causes.link(findings)
    return {f['id']: f['because_of'] for f in findings}


def test_a_fact_that_nobody_asserts_explains_nothing():
    assert linked(finding('a', explained_by=['x'])) == {'a': []}


def test_shared_facts_link():
    a, b = finding('a', asserts=['x']), finding('b', explained_by=['x', 'y'])
    assert linked(a, b) == {'a': [], 'b': ['a']}
    assert a['root'] and not b['root']


def test_only_what_is_a_fault_explains():
    for verdict in ('info', 'unknown'):
        assert linked(finding('a', verdict, asserts=['x']), finding('b', explained_by=['x']))['b'] == []
    assert linked(finding('a', 'warning', asserts=['x']), finding('b', explained_by=['x']))['b'] == ['a']


def test_nothing_explains_itself_or_its_own_cause():
    both = linked(finding('a', asserts=['x'], explained_by=['y']), finding('b', asserts=['y'], explained_by=['x']))
    assert sorted(map(len, both.values())) == [0, 1]
    assert linked(finding('a', asserts=['x'], explained_by=['x'])) == {'a': []}
    ring = linked(*(finding(str(n), asserts=[f'f{n}'], explained_by=[f'f{(n + 1) % 4}']) for n in range(4)))
    assert [name for name, because in ring.items() if not because]


def test_of_two_that_explain_each_other_the_worse_is_the_cause():
    for names in itertools.permutations('abc'):
        ring = [finding(name, verdict, asserts=[f'f{n}'], explained_by=[f'f{(n + 1) % 3}', f'f{(n + 2) % 3}'])
                for n, (name, verdict) in enumerate(zip(names, ('warning', 'critical', 'error'), strict=True))]
        for arrangement in itertools.permutations(ring):
            links = linked(*arrangement)
            assert (links[names[1]], links[names[2]], sorted(links[names[0]])) == ([], [names[1]], sorted(names[1:]))


def test_a_cause_shows_through_what_is_not_known():
    root, unseen, last = finding('a', asserts=['x']), finding('b', 'unknown', ['y'], ['x']), finding('c', explained_by=['y'])
    assert linked(root, unseen, last) == {'a': [], 'b': ['a'], 'c': ['a']}
    assert linked(unseen, last)['c'] == []
    assert linked(finding('n', 'info', ['y'], ['z']), finding('m', 'info', ['z'], ['y', 'x']), root, last)['c'] == ['a']


def test_a_cause_that_two_facts_name_is_named_once():
    assert linked(finding('a', asserts=['x', 'y']), finding('b', explained_by=['x', 'y']))['b'] == ['a']


def test_several_causes():
    assert linked(finding('a', asserts=['x']), finding('b', asserts=['x']), finding('c', explained_by=['x']))['c'] == ['a', 'b']


def test_the_order_is_worst_first_with_every_cause_before_its_consequences():
    findings = [finding('critical', 'critical', explained_by=['x']), finding('cause', 'error', asserts=['x']), finding('other', 'critical'),
                finding('unsure', 'unknown', explained_by=['x']), finding('note', 'info'), finding('also', 'error')]
    for arrangement in itertools.permutations(findings):
        causes.link(arrangement)
        assert [f['id'] for f in causes.in_order(arrangement)] == ['other', 'also', 'cause', 'critical', 'unsure', 'note']


def test_findings_of_one_check_stand_together_by_name_and_not_by_key():
    findings = [{**finding(f'a/{key}', verdict), 'check': 'a', 'nodes': [name]} for key, name,
                verdict in (('x', 'cp-3', 'error'), ('z', 'cp-1', 'error'), ('y', 'cp-2', 'critical'))]
    causes.link(findings)
    assert [f['nodes'][0] for f in causes.in_order(findings)] == ['cp-2', 'cp-1', 'cp-3']
