# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as text for a person at a terminal, at most 100 columns wide.

What stands in a report came from the cluster, log lines included: control characters never reach the terminal.
"""

from __future__ import annotations

import re
import textwrap
from itertools import groupby

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import CUSTOM, SECTIONS

WIDTH = 100
FINDINGS_MOST = 20
UNKNOWN_MOST = 3
ROOTS_MOST = 5
EVIDENCE_MOST = 3
EVIDENCE_CHARACTERS = 300
TITLE_CHARACTERS = 240
NODES_MOST = 6
SOURCES_MOST = 3

_MARGIN = 2
_COLUMN = 10
_WORD = {v.NOT_APPLICABLE: 'n/a'}
_ABSENT = {'verdict': v.UNKNOWN, 'reason': NOT_BUILT, 'nodes_missing': []}
_COUNTED = (v.CRITICAL, v.ERROR, v.WARNING, v.UNKNOWN, v.INFO)


def render(report, path=None, paint=None):
    """The whole report as text without a final newline.

    C(path) is where report.json lies. C(paint(text, verdict)) returns the text in the colour of a verdict; without
    it the text is plain.
    """
    paint = paint or (lambda text, verdict: text)
    lines = [*_head(report, paint), '']
    chosen = [section for section in SECTIONS if 'only' not in report or section.key in report['only']]
    for built, sections in groupby(chosen, key=lambda section: _shown(report, section)['reason'] != NOT_BUILT):
        if built:
            for section in sections:
                if section.key != CUSTOM or _shown(report, section)['verdict'] != v.NOT_APPLICABLE:
                    lines.extend(_section(report, section, paint))
        else:
            lines.extend(_not_built(list(sections), paint))
    return '\n'.join([*lines, '', *_foot(report, path, paint)])


def headline(report):
    """One sentence: the cluster, its class, and whether all was seen (and why not)."""
    name = _clean(report.get('cluster') or 'cluster') + _only(report)
    if report['class'] == v.NOT_JUDGED:
        return f'{name}: not judged, no control plane node could be read'
    whole = 'complete' if report.get('complete') else f'NOT complete ({"; ".join(_incomplete(report))})'
    return f'{name}: {report["class"]}, {whole}'


def _only(report):
    """Which sections were chosen, where not all are shown."""
    if 'only' not in report:
        return ''
    roles = list(dict.fromkeys(section.role for section in SECTIONS if section.key in report['only']))
    every = list(dict.fromkeys(section.role for section in SECTIONS))
    left = [role for role in every if role not in roles]
    said = f'all but {_names(left)}' if len(left) < len(roles) else f'only {_names(roles)}'
    return f' ({said.replace("_", " ")})'


def _head(report, paint):
    lines = _wrap(headline(report), '', '  ')
    name, colon, rest = lines[0].partition(': ')
    lines[0] = name + colon + _paint_word(rest, report['class'].replace('_', ' '), _verdict_of(report['class']), paint)
    answered = sum(1 for node in report['nodes'] if node['answered'])
    facts = [f'Talos {report["talos"]}' if report.get('talos') else None,
             f'Kubernetes {report["kubernetes"]}' if report.get('kubernetes') else None,
             f'{answered} of {len(report["nodes"])} machines read',
             f'as {report["role"]}' if report.get('role') else None,
             f'managed by {" and ".join(report["managed_by"])}' if report.get('managed_by') else None,
             report.get('started_at')]
    return lines + _wrap(', '.join(_clean(fact) for fact in facts if fact), '', '  ') + _sources(report)


def _sources(report):
    """A line about machines on which the sources of truth differ."""
    differ = (report.get('nodes_source') or {}).get('disagreements') or []
    said = [f'{one["node"]} (known from {", ".join(one["known_from"])}, not from {", ".join(one["missing_from"])})' for one in differ[:SOURCES_MOST]]
    more = f' and {len(differ) - SOURCES_MOST} more' if len(differ) > SOURCES_MOST else ''
    return _wrap(f'Not known to all: {_clean("; ".join(said).replace("_", " "))}{more}', '', '  ') if said else []


def _incomplete(report):
    """The reasons why a report is not complete, as parts of a sentence; never empty."""
    sections = report['sections'].values()
    missing = list(dict.fromkeys(node for section in sections for node in section['nodes_missing']))
    unseen = sum(1 for section in sections if _has_unseen(section))
    unbuilt = sum(1 for section in sections if section['reason'] == NOT_BUILT)
    reasons = []
    if missing:
        reasons.append(f'not read: {_names(missing)}')
    if unseen:
        reasons.append(f'{unseen} {_plural("section", unseen)} could not be judged in full')
    if unbuilt:
        reasons.append(f'{unbuilt} of {len(report["sections"])} sections are {NOT_BUILT}')
    return reasons or ['not everything could be seen']


def _has_unseen(section):
    return section['reason'] != NOT_BUILT and (section['verdict'] == v.UNKNOWN or section.get('unseen', 0) > 0)


def _section(report, section, paint):
    shown = _shown(report, section)
    title = section.title
    if shown['nodes_missing']:
        title += f' (not read: {_names(shown["nodes_missing"])})'
    lines = _entry(shown['verdict'], title, _MARGIN, paint)
    mine = [finding for finding in report['findings'] if finding['section'] == section.key]
    hidden = [finding for finding in mine if finding['verdict'] == v.UNKNOWN and finding['because_of']]
    told = [finding for finding in mine if finding['verdict'] != v.UNKNOWN][:FINDINGS_MOST]
    unseen = [finding for finding in mine if finding['verdict'] == v.UNKNOWN and not finding['because_of']][:UNKNOWN_MOST]
    for _shared, group in groupby((finding for finding in mine if finding in told or finding in unseen), key=_alike):
        lines.extend(_findings(report, list(group), paint))
    left = len(mine) - len(hidden) - len(told) - len(unseen)
    margin = ' ' * (_MARGIN + _COLUMN)
    if hidden:
        causes = ', '.join(_causes(report, [cause for finding in hidden for cause in finding['because_of']]))
        checks = len({finding['check'] for finding in hidden})
        lines.extend(_wrap(f'{checks} {_plural("check", checks)} could not be judged because of {causes}', margin, margin))
    if left:
        lines.append(f'{margin}and {left} more, in report.json')
    return lines


def _not_built(sections, paint):
    """Sections that no check belongs to yet, in one entry that names each."""
    names = []
    for head, group in groupby(sections, key=lambda section: section.title.partition(': ')[0]):
        tails = [section.title.partition(': ')[2] for section in group]
        names.append(f'{head} ({", ".join(tails)})' if any(tails) else head)
    return _entry(v.UNKNOWN, f'{NOT_BUILT}: {", ".join(names)}', _MARGIN, paint)


def _alike(finding):
    """What findings must share to be told together."""
    return finding['check'], finding['verdict'], finding['because_of']


def _findings(report, findings, paint):
    """Findings of one check: each with what was seen; what they mean and what to do is said once where it is the same."""
    indent = _MARGIN + _COLUMN
    lines = []
    for finding, following in zip(findings, [*findings[1:], None]):
        lines.extend(_entry(finding['verdict'], f'{_clean(finding["title"], TITLE_CHARACTERS)} [{finding["check"]}]', indent, paint))
        if finding['verdict'] == v.UNKNOWN:
            continue
        lines.extend(_seen(report, finding, indent))
        for label, field in (('means', 'means'), ('next', 'next_step')):
            if finding[field] and (following is None or following[field] != finding[field]):
                lines.extend(_detail(label, finding[field], indent))
    return lines + _because(report, findings[-1], indent)


def _seen(report, finding, indent):
    untold = [node for node in finding['nodes'] if str(node) not in finding['title']]
    lines = _detail('nodes', _names(finding['nodes']), indent) if untold else []
    for evidence in finding['evidence'][:EVIDENCE_MOST]:
        lines.extend(_detail('seen', _evidence(report, evidence), indent))
    left = len(finding['evidence'][EVIDENCE_MOST:]) + finding.get('more_evidence', 0)
    if left:
        lines.extend(_detail('', f'and {left} more', indent))
    return lines


def _because(report, finding, indent):
    lead = ' ' * (indent + _COLUMN)
    return [line for cause in _causes(report, finding['because_of']) for line in _wrap(f'explained by {cause}', lead, lead + ' ' * 7)]


def _causes(report, ids):
    """Findings by their ids as texts: each check once, with the nodes it was found on."""
    causes = {}
    for finding in report['findings']:
        if finding['id'] in ids:
            causes.setdefault(finding['check'], []).extend(finding['nodes'])
    return [f'{check}{_on(nodes)}' for check, nodes in causes.items()]


def _evidence(report, evidence):
    at = str(evidence.get('at') or '')
    day, _t, clock = at.partition('T')
    if clock and day == str(report.get('started_at'))[:len(day)]:
        at = clock
    at = re.sub(r'\.\d+', '', at)
    where = ' '.join(_clean(part) for part in (evidence.get('node'), evidence.get('source'), at) if part)
    return f'{where}: {_clean(evidence["text"], EVIDENCE_CHARACTERS)}' if where else _clean(evidence['text'], EVIDENCE_CHARACTERS)


def _foot(report, path, paint):
    counts = report['counts']
    first = ', '.join(paint(f'{counts.get(name, 0)} {name}', name) if counts.get(name) else f'0 {name}' for name in _COUNTED)
    lines = [f'{" " * _MARGIN}judged: {first}, {counts.get(v.OK, 0)} ok, {counts.get(v.NOT_APPLICABLE, 0)} not applicable']
    roots = [finding for finding in report['findings'] if finding['root'] and v.rank(finding['verdict']) >= v.rank(v.WARNING)]
    kinds = {}
    for finding in roots:
        kinds.setdefault(finding['check'], []).append(finding)
    for number, alike in enumerate(list(kinds.values())[:ROOTS_MOST], 1):
        lead = f'{" " * _MARGIN}{"begin with: " if number == 1 else " " * 12}{number}. '
        more = f', and {len(alike) - 1} more of this kind' if len(alike) > 1 else ''
        lines.extend(_wrap(f'{_clean(alike[0]["title"], TITLE_CHARACTERS)}{more}', lead, ' ' * len(lead)))
    if len(kinds) > ROOTS_MOST:
        lines.append(f'{" " * (_MARGIN + 12)}and {len(kinds) - ROOTS_MOST} more causes of their own')
    if path:
        lines.append(f'{" " * _MARGIN}report: {path}')
    return lines


def _entry(verdict, text, indent, paint):
    """A verdict in its column, and text beside it that wraps under itself."""
    word = _WORD.get(verdict, verdict)
    lines = _wrap(text, f'{" " * indent}{word:<{_COLUMN}}', ' ' * (indent + _COLUMN))
    lines[0] = _paint_word(lines[0], word, verdict, paint)
    return lines


def _detail(label, text, indent):
    lead = ' ' * (indent + _COLUMN)
    return _wrap(_clean(text), f'{lead}{label:<7}', lead + ' ' * 7)


def _wrap(text, first, rest):
    """Lines of at most WIDTH columns; a word that is longer than a line (a path, an id) stays whole."""
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False,
                         break_on_hyphens=False) or [first.rstrip()]


def _paint_word(line, word, verdict, paint):
    before, found, after = line.partition(word)
    return f'{before}{paint(found, verdict)}{after}' if found else line


def _verdict_of(cluster_class):
    return {'healthy': v.OK, 'warnings': v.WARNING, 'errors': v.ERROR, 'critical': v.CRITICAL}.get(cluster_class, v.UNKNOWN)


def _shown(report, section):
    return report['sections'].get(section.key) or _ABSENT


def _names(names):
    shown = ', '.join(_clean(name) for name in names[:NODES_MOST])
    return f'{shown} and {len(names) - NODES_MOST} more' if len(names) > NODES_MOST else shown


def _plural(noun, number):
    return noun if number == 1 else noun + 's'


def _on(nodes):
    unique = list(dict.fromkeys(nodes))
    return f' ({_names(unique)})' if unique else ''


def _clean(text, most=None):
    """One line of printable text, of at most so many characters."""
    line = ''.join(c if c.isprintable() else '?' for c in ' '.join(str(text).split()))
    return line if most is None or len(line) <= most else line[:most - 1] + '…'
