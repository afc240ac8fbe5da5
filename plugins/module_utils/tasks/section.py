# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every section's task does: take a snapshot or make one, judge it, return the section's part."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import GATE_LOGS, GATE_READS
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import of_role
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts, judged

NOTHING_REACHED = 'talos_api.nothing_reached'


def run(params, say, sections, facts_of):
    """The result of a section's module.

    C(sections) is a role's name or a tuple of section keys; C(facts_of(snapshot, params)) gives the facts.
    Raises TalosError.
    """
    keys = of_role(sections) if isinstance(sections, str) else sections
    settings = judged.settings(params)
    if params.get('snapshot'):
        snapshot, report = judged.from_file(params['snapshot'], settings)
    else:
        kinds, logs = needs(keys)
        snapshot = access.gather(params, say, kinds, logs)
        report = judged.anew(snapshot, settings)
        if isinstance(sections, str):
            _need_an_answer(report, keys)
    part = judge.part(report, keys)
    return facts.bounded({
        'changed': False,
        'cluster': snapshot.cluster.get('name'),
        'verdict': part['verdict'],
        'complete': part['complete'],
        'sections': part['sections'],
        'findings': part['findings'],
        'ran_on': access.here(),
        **facts_of(snapshot, params),
    })


def _need_an_answer(report, keys):
    """Raises TalosError where nothing was reached and the sections that are wanted cannot say why themselves."""
    for finding in report['findings']:
        if finding['check'] == NOTHING_REACHED and finding['section'] not in keys:
            said = '; '.join(evidence['text'].rstrip('.') for evidence in finding['evidence'])
            raise TalosError(f'{finding["title"]}: {said}.', finding['next_step'])


def needs(keys):
    """(reads, logs) of the checks of some sections, and of the gates (design, "Judging")."""
    return needs_of(check for check in CHECKS if check.section in keys)


def needs_of(checks):
    """(reads, logs) of these checks, and of the gates."""
    kinds, logs = set(GATE_READS), set(GATE_LOGS)
    for check in checks:
        kinds.update(check.needs, check.reads, check.cluster_reads)
        logs.update(check.logs)
    return kinds, logs
