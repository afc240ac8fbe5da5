# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as text for a person at a terminal, at most 100 columns wide.

What stands in a report came from the cluster, log lines included: control characters never reach the terminal.
"""

from __future__ import annotations

import textwrap
from itertools import groupby

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import SECTIONS

WIDTH = 100
FINDINGS_MOST = 20
UNKNOWN_MOST = 3
ROOTS_MOST = 5
EVIDENCE_MOST = 3
EVIDENCE_CHARACTERS = 300
NODES_MOST = 6

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
    for built, sections in groupby(SECTIONS, key=lambda section: _shown(report, section)['reason'] != NOT_BUILT):
        if built:
            for section in sections:
                lines.extend(_section(report, section, paint))
        else:
            lines.extend(_not_built(list(sections), paint))
    return '\n'.join([*lines, '', *_foot(report, path, paint)])


def headline(report):
    """One sentence: the cluster, its class, and whether all was seen (and why not)."""
    name = _clean(report.get('cluster') or 'cluster')
    if report['class'] == v.NOT_JUDGED:
        return f'{name}: not judged, no control plane node could be read'
    whole = 'complete' if report.get('complete') else 'NOT complete: ' + '; '.join(_incomplete(report))
    return f'{name}: {report["class"]}, {whole}'


def _head(report, paint):
    lines = _wrap(headline(report), '', '  ')
    name, colon, rest = lines[0].partition(': ')
    lines[0] = name + colon + _paint_word(rest, report['class'].replace('_', ' '), _verdict_of(report['class']), paint)
    answered = sum(1 for node in report['nodes'] if node['answered'])
    facts = [f'Talos {report["talos"]}' if report.get('talos') else None,
             f'Kubernetes {report["kubernetes"]}' if report.get('kubernetes') else None,
             f'{answered} of {len(report["nodes"])} machines read',
             f'as {report["role"]}' if report.get('role') else None,
             report.get('started_at')]
    return lines + _wrap(', '.join(_clean(fact) for fact in facts if fact), '', '  ')


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
    told = [finding for finding in mine if finding['verdict'] != v.UNKNOWN][:FINDINGS_MOST]
    unseen = [finding for finding in mine if finding['verdict'] == v.UNKNOWN][:UNKNOWN_MOST]
    for _shared, group in groupby((f for f in mine if f in told or f in unseen), key=_advice):
        lines.extend(_findings(report, list(group), paint))
    left = len(mine) - len(told) - len(unseen)
    if left:
        lines.append(f'{" " * (_MARGIN + _COLUMN)}and {left} more, in report.json')
    return lines


def _not_built(sections, paint):
    """Sections that no check belongs to yet, in one entry that names each."""
    names = []
    for head, group in groupby(sections, key=lambda section: section.title.partition(': ')[0]):
        tails = [section.title.partition(': ')[2] for section in group]
        names.append(f'{head} ({", ".join(tails)})' if any(tails) else head)
    return _entry(v.UNKNOWN, f'{NOT_BUILT}: {", ".join(names)}', _MARGIN, paint)


def _advice(finding):
    """What findings must share to be explained together."""
    return finding['check'], finding['verdict'], finding['means'], finding['next_step'], finding['because_of']


def _findings(report, findings, paint):
    """Findings that one explanation fits: each with what was seen, then what it means and what to do, once."""
    indent = _MARGIN + _COLUMN
    last = findings[-1]
    lines = []
    for finding in findings:
        lines.extend(_entry(finding['verdict'], f'{_clean(finding["title"])} [{finding["check"]}]', indent, paint))
        if finding['verdict'] != v.UNKNOWN:
            lines.extend(_seen(finding, indent))
    if last['means'] and last['verdict'] != v.UNKNOWN:
        lines.extend(_detail('means', last['means'], indent))
    lines.extend(_because(report, last, indent + _COLUMN))
    if last['next_step'] and last['verdict'] != v.UNKNOWN:
        lines.extend(_detail('next', last['next_step'], indent))
    return lines


def _seen(finding, indent):
    lines = _detail('nodes', _names(finding['nodes']), indent) if finding['nodes'] else []
    for evidence in finding['evidence'][:EVIDENCE_MOST]:
        lines.extend(_detail('seen', _evidence(evidence), indent))
    left = len(finding['evidence'][EVIDENCE_MOST:]) + finding.get('more_evidence', 0)
    if left:
        lines.extend(_detail('', f'and {left} more', indent))
    return lines


def _because(report, finding, indent):
    titles = {other['id']: other['title'] for other in report['findings']}
    margin = ' ' * indent
    return [line for cause in finding['because_of']
            for line in _wrap(f'because of {_clean(cause)}: {_clean(titles.get(cause, ""))}'.rstrip(': '), margin, margin + '  ')]


def _evidence(evidence):
    text = _clean(evidence['text'])
    if len(text) > EVIDENCE_CHARACTERS:
        text = text[:EVIDENCE_CHARACTERS - 1] + '…'
    where = ' '.join(_clean(part) for part in (evidence.get('node'), evidence.get('source'), evidence.get('at')) if part)
    return f'{where}: {text}' if where else text


def _foot(report, path, paint):
    counts = report['counts']
    first = ', '.join(paint(f'{counts.get(name, 0)} {name}', name) if counts.get(name) else f'0 {name}' for name in _COUNTED)
    lines = [f'{" " * _MARGIN}judged: {first}, {counts.get(v.OK, 0)} ok, {counts.get(v.NOT_APPLICABLE, 0)} not applicable']
    roots = [finding for finding in report['findings'] if finding['root'] and v.rank(finding['verdict']) >= v.rank(v.WARNING)]
    for number, finding in enumerate(roots[:ROOTS_MOST], 1):
        lead = f'{" " * _MARGIN}{"begin with: " if number == 1 else " " * 12}{number}. '
        where = f' ({_names(finding["nodes"])})' if finding['nodes'] else ''
        lines.extend(_wrap(f'{_clean(finding["title"])}{where}', lead, ' ' * len(lead)))
    if len(roots) > ROOTS_MOST:
        lines.append(f'{" " * (_MARGIN + 12)}and {len(roots) - ROOTS_MOST} more causes of their own')
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


def _clean(text):
    """One line of printable text."""
    return ''.join(c if c.isprintable() else '?' for c in ' '.join(str(text).split()))
