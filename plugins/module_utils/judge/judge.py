# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(judge(snapshot, settings, checks) -> report): the report as data (design, "The report as data").

Pure: the same snapshot, settings and checks give the same report, whoever asks and whenever.
"""

from __future__ import annotations

from collections import Counter

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import FAILED, REFUSED, TIMED_OUT, UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.judge import causes, managers, nodes_source, verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, CONTROL_PLANES, WORKERS, Outcome, unknown
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import BY_KEY, CUSTOM, SECTIONS
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, WORKER

SCHEMA = 'https://github.com/talosops/talosops.talos/schema/report/1'
NOT_BUILT = 'not built yet'
EVIDENCE_MOST = 5
EVIDENCE_CHARACTERS = 500

# States of reads of which the client's role is not the reason.
_BROKEN = (FAILED, TIMED_OUT, UNREACHABLE)

_KINDS = {CONTROL_PLANES: (CONTROL_PLANE,), WORKERS: (WORKER,)}
_NOUN = {ALL: 'machine', CONTROL_PLANES: 'control plane node', WORKERS: 'worker'}


def judge(snapshot, settings, checks):
    """Judge the whole snapshot; returns the report of design.md as plain data.

    C(settings) is a Settings (settings.build), C(checks) an iterable of Check.
    """
    view = View(snapshot, settings)
    outcomes_of = Judged(checks, view)
    judged = [(check, outcomes_of(check)) for check in checks]
    managed_by = managers.of(view)
    findings = _unique(managers.leave_to(managed_by, _finding(check, outcome, view)) for check, outcomes in judged for outcome in outcomes
                       if v.rank(outcome.verdict) > v.rank(v.OK))
    causes.link(findings)
    findings = causes.in_order(findings)
    for finding in findings:
        del finding['asserts'], finding['explained_by']
    sections = {section.key: _section(section, judged, view) for section in SECTIONS}
    counts = Counter(outcome.verdict for _check, outcomes in judged for outcome in outcomes)
    versions = sorted({(m.value('Version') or {}).get('version', {}).get('tag') for m in snapshot.answering()} - {None})
    kubernetes = (snapshot.kubernetes.get('data') or {}).get('version')
    seen = bool(snapshot.control_planes(answered=True))
    return {
        'schema': SCHEMA,
        'cluster': snapshot.cluster.get('name'),
        'cluster_id': snapshot.cluster.get('id'),
        'class': v.class_of(f['verdict'] for f in findings) if seen else v.NOT_JUDGED,
        'complete': seen and complete(sections),
        'started_at': snapshot.taken_at,
        'finished_at': snapshot.finished_at,
        'talos': ', '.join(versions) or None,
        'kubernetes': (kubernetes.value or {}).get('gitVersion') if kubernetes is not None and kubernetes.ok else None,
        'kubernetes_source': snapshot.kubernetes.get('source'),
        'managed_by': managed_by,
        'role': ', '.join((snapshot.client.get('certificate') or {}).get('roles') or []) or None,
        'collection': snapshot.collection,
        'control_node': dict(snapshot.control_node),
        'nodes': [_node(machine) for machine in snapshot.machines],
        'nodes_source': nodes_source.of(view),
        'sections': sections,
        'checks': [{'check': check.id, 'section': check.section, 'verdict': v.worst(o.verdict for o in outcomes), 'subjects': len(outcomes)}
                   for check, outcomes in judged],
        'findings': findings,
        'plan': [],
        'accepted': [],
        'counts': {name: counts.get(name, 0) for name in (v.OK, v.INFO, v.UNKNOWN, v.WARNING, v.ERROR, v.CRITICAL, v.NOT_APPLICABLE)},
    }


def part(report, sections):
    """The part of a report that belongs to some section keys: {verdict, complete, sections, findings, checks}."""
    keys = set(sections)
    chosen = {key: value for key, value in report['sections'].items() if key in keys}
    return {
        'verdict': v.worst(value['verdict'] for value in chosen.values()),
        'complete': report['class'] != v.NOT_JUDGED and complete(chosen),
        'sections': chosen,
        'findings': [finding for finding in report['findings'] if finding['section'] in keys],
        'checks': [check for check in report['checks'] if check['section'] in keys],
    }


def complete(sections):
    """Whether everything that these sections look at could be seen."""
    return not any(s['verdict'] == v.UNKNOWN or s['nodes_missing'] or s['unseen'] for s in sections.values())


class Judged:
    """Each check once for a view; a check may ask what another section says of the same view (View.judged)."""

    def __init__(self, checks, view):
        self._checks = checks
        self._view = view
        self._found = {}
        view.judged = self.of_section

    def __call__(self, check):
        if check.id not in self._found:
            self._found[check.id] = []  # whoever asks for it meanwhile is asked for by it
            self._found[check.id] = _run(check, self._view)
        return self._found[check.id]

    def of_section(self, key):
        """The outcomes of all checks of a section."""
        return [outcome for check in self._checks if check.section == key for outcome in self(check)]


def _run(check, view):
    """The outcomes of one check; never empty. A check that breaks is unknown and leaves the others alone."""
    try:
        return _outcomes(check, view)
    except Exception as exc:  # a fault in one check must cost that check, not the report
        return [unknown('cluster', f'{check.title}: the check itself failed ({type(exc).__name__}: {exc})',
                        'This is a fault of this collection, or the snapshot is damaged; nothing is known about the cluster here.',
                        'Report it with the snapshot.')]


def _outcomes(check, view):
    if check.each is None:
        outcomes = _as_list(check.run(view))
        return outcomes or [unknown('cluster', f'{check.title}: the check had nothing to look at')]
    in_scope = _in_scope(check.each, view.snapshot)
    outcomes = []
    for machine in in_scope:
        if machine.answered:
            outcomes.extend(_unread(check, machine) or _as_list(check.run(view, machine)))
    if outcomes:
        return _told_once(check, [machine for machine in in_scope if machine.answered], outcomes)
    noun = _NOUN[check.each]
    if not in_scope and check.each == WORKERS and view.answering_control_planes:
        return [Outcome(v.NOT_APPLICABLE, 'cluster', f'no {noun} is known')]
    if check.each == WORKERS and view.answering_control_planes:
        return [Outcome(v.NOT_APPLICABLE, 'cluster', f'no {noun} was read')]
    if in_scope and any(machine.answered for machine in in_scope):
        return [Outcome(v.NOT_APPLICABLE, 'cluster', f'no {noun} is concerned')]
    return [unknown('cluster', f'{check.title}: no {noun} could be read', nodes=[m.key for m in in_scope],
                    explained_by=tuple(f'unreachable:{m.key}' for m in in_scope) + ('not_judged',))]


def _unread(check, machine):
    """One unknown outcome that names every needed read that is missing, or an empty list."""
    missing = [kind for kind in check.needs if not machine.datum(kind).ok]
    if not missing:
        return []
    why = '; '.join(f'{kind}: {machine.datum(kind).why()}' for kind in missing)
    return [unknown(machine.key, f'{check.title}: not judged on {machine.label}, {why}', nodes=[machine.key],
                    next_step='Read it with a client certificate that may, or find out why the machine does not answer.',
                    explained_by=('role', 'not_judged'))]


def _told_once(check, machines, outcomes):
    """One unknown outcome for all machines together where the client's role is all that keeps the check from each of them."""
    if len(outcomes) < 2 or any(outcome.verdict != v.UNKNOWN for outcome in outcomes):
        return outcomes
    reads = [(kind, [machine.datum(kind) for machine in machines]) for kind in dict.fromkeys((*check.needs, *check.reads))]
    reads += [(f'log {name}', [machine.log(name) for machine in machines]) for name in check.logs]
    refused = [(kind, data) for kind, data in reads if all(datum.state == REFUSED for datum in data)]
    if not refused or any(datum.state in _BROKEN for _kind, data in reads for datum in data):
        return outcomes
    why = f'{", ".join(kind for kind, _data in refused)}: {refused[0][1][0].why()}'
    return [unknown('cluster', f'{check.title}: not judged on any machine, {why}', nodes=[machine.key for machine in machines],
                    next_step='Use a client certificate that may.',
                    explained_by=tuple(dict.fromkeys(fact for outcome in outcomes for fact in outcome.explained_by)))]


def _in_scope(each, snapshot):
    kinds = _KINDS.get(each)
    return [machine for machine in snapshot.machines if kinds is None or machine.type in kinds]


def _as_list(outcomes):
    if outcomes is None:
        return []
    return [outcomes] if isinstance(outcomes, Outcome) else list(outcomes)


def _section(section, judged, view):
    """Verdict, reason, nodes_missing and counts of one section."""
    mine = [(check, outcomes) for check, outcomes in judged if check.section == section.key]
    if not mine and section.key == CUSTOM:
        return {'verdict': v.NOT_APPLICABLE, 'reason': None, 'nodes_missing': [], 'unseen': 0, 'counts': {}}
    if not mine:
        return {'verdict': v.UNKNOWN, 'reason': NOT_BUILT, 'nodes_missing': [], 'unseen': 0, 'counts': {}}
    moving = [outcome for check, outcomes in mine for outcome in outcomes if not (check.sharpens and outcome.verdict == v.UNKNOWN)]
    verdict = v.worst((outcome.verdict for outcome in moving), v.OK)
    unseen = [outcome for outcome in moving if outcome.verdict == v.UNKNOWN]
    missing = []
    for check, _outcomes in mine:
        for machine in _in_scope(check.each, view.snapshot) if check.each else ():
            if not machine.answered and machine.label not in missing:
                missing.append(machine.label)
    return {
        'verdict': verdict,
        'reason': unseen[0].title if verdict == v.UNKNOWN else None,
        'nodes_missing': missing,
        'unseen': len(unseen),
        'counts': dict(Counter(outcome.verdict for _check, outcomes in mine for outcome in outcomes)),
    }


def _unique(findings):
    """One finding for each id: of several, the worst, which then has the evidence of all, and establishes what all problems among them do."""
    kept = {}
    for finding in sorted(findings, key=lambda f: -v.rank(f['verdict'])):
        first = kept.setdefault(finding['id'], finding)
        if first is not finding:
            room = EVIDENCE_MOST - len(first['evidence'])
            first['more_evidence'] += finding['more_evidence'] + max(0, len(finding['evidence']) - room)
            first['evidence'] += finding['evidence'][:room]
            if v.rank(finding['verdict']) >= v.rank(v.WARNING):
                first['asserts'] = (*first['asserts'], *finding['asserts'])
    return list(kept.values())


def _finding(check, outcome, view):
    shown = [_evidence(evidence) for evidence in outcome.evidence[:EVIDENCE_MOST]]
    return {
        'id': f'{check.id}/{outcome.subject}',
        'check': check.id,
        'section': check.section,
        'verdict': outcome.verdict,
        'nodes': [view.label(key) for key in outcome.nodes],
        'node_keys': list(outcome.nodes),
        'subject': outcome.subject,
        'title': outcome.title,
        'means': outcome.means,
        'evidence': shown,
        'more_evidence': len(outcome.evidence) - len(shown),
        'root': True,
        'because_of': [],
        'remedy': outcome.remedy,
        'next_step': outcome.next_step,
        'guide': BY_KEY[check.section].guide,
        'asserts': outcome.asserts,
        'explained_by': (*outcome.explained_by, *(_lost(view, outcome) if outcome.verdict == v.UNKNOWN else ())),
    }


def _lost(view, outcome):
    """The facts that machines were lost while they were read, which explain what is not known of them, or of the cluster."""
    keys = [*outcome.nodes, outcome.subject] if outcome.subject != 'cluster' else [machine.key for machine in view.snapshot.answering()]
    return tuple(unreachable(machine) for machine in map(view.snapshot.machine, dict.fromkeys(keys)) if machine is not None and machine.answered)


def _evidence(evidence):
    text = evidence.text if len(evidence.text) <= EVIDENCE_CHARACTERS else evidence.text[:EVIDENCE_CHARACTERS - 1] + '…'
    return {'node': evidence.node, 'source': evidence.source, 'at': evidence.at, 'text': text}


def _node(machine):
    return {
        'key': machine.key,
        'name': machine.name,
        'addresses': list(machine.addresses),
        'type': machine.type,
        'talos': (machine.value('Version') or {}).get('version', {}).get('tag'),
        'answered': machine.answered,
        'known_from': list(machine.known_from),
        'unreachable': machine.unreachable,
    }
