# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as text for a person at a terminal: in full, section by section, at most 100 columns wide; where that is longer than
two screens, the short form (short.py), which leads with the causes.
"""

from __future__ import annotations

from itertools import groupby

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.causes import ROLE_MAY_NOT, is_withheld
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import CUSTOM, SECTIONS
from ansible_collections.talosops.talos.plugins.module_utils.report import short, words

WIDTH = 100
# What is quoted is not wider than a wide screen: lines of logs in JSON have no blanks.
SCREEN = 120
FINDINGS_MOST = 20
UNKNOWN_MOST = 3
ROOTS_MOST = 5
EVIDENCE_MOST = 3
TITLE_CHARACTERS = 240
SOURCES_MOST = 3
# Two screens of fifty lines.
LINES_MOST = 100

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
    chosen = [section for section in SECTIONS if 'only' not in report or section.key in report['only']]
    chosen = [section for section in chosen if section.key != CUSTOM or _shown(report, section)['verdict'] != v.NOT_APPLICABLE]
    lines = [*_head(report, paint), '', *_in_full(report, chosen, paint), '', *_foot(report, path, paint)]
    if len(lines) > LINES_MOST or not _names_every_cause(report, chosen, lines):
        lines = _in_short(report, chosen, path, paint)
    return '\n'.join(lines)


def _names_every_cause(report, sections, lines):
    """A section with very many findings tells only the first of them, which may leave out a check."""
    text, keys = '\n'.join(lines), {section.key for section in sections}
    return all(f'[{finding["check"]}]' in text for finding in report['findings'] if finding['section'] in keys and _is_cause(finding))


def _is_cause(finding):
    return finding['root'] and v.rank(finding['verdict']) >= v.rank(v.WARNING)


def _in_full(report, sections, paint):
    lines = []
    for built, group in groupby(sections, key=lambda section: _shown(report, section)['reason'] != NOT_BUILT):
        if built:
            for section in group:
                lines.extend(_section(report, section, paint))
        else:
            lines.extend(_not_built(list(group), paint))
    return lines


def _in_short(report, sections, path, paint):
    head = _head(report, paint, short.WIDTH)
    foot = [_counts(report, paint), f'{" " * _MARGIN}this is the short form: all that was found and seen is in report.json', *_path(path)]
    titles = [(section.title, _shown(report, section)['verdict']) for section in sections]
    return [*head, '', *short.lines(report, titles, LINES_MOST - len(head) - 1 - len(foot), paint), *foot]


def headline(report):
    """One sentence: the cluster, its class, and whether all was seen (and why not)."""
    name = words.clean(report.get('cluster') or 'cluster') + _only(report)
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
    said = f'all but {words.names(left)}' if len(left) < len(roles) else f'only {words.names(roles)}'
    return f' ({said.replace("_", " ")})'


def _head(report, paint, width=WIDTH):
    lines = words.wrap(headline(report), '', '  ', width)
    name, colon, rest = lines[0].partition(': ')
    lines[0] = name + colon + words.painted(rest, report['class'].replace('_', ' '), _verdict_of(report['class']), paint)
    answered = sum(1 for node in report['nodes'] if node['answered'])
    facts = [f'Talos {report["talos"]}' if report.get('talos') else None,
             f'Kubernetes {report["kubernetes"]}' if report.get('kubernetes') else None,
             f'{answered} of {len(report["nodes"])} machines read',
             f'as {report["role"]}' if report.get('role') else None,
             f'managed by {" and ".join(report["managed_by"])}' if report.get('managed_by') else None,
             report.get('started_at')]
    return lines + words.wrap(', '.join(words.clean(fact) for fact in facts if fact), '', '  ', width) + _sources(report, width)


def _sources(report, width):
    """A line about machines on which the sources of truth differ."""
    differ = (report.get('nodes_source') or {}).get('disagreements') or []
    said = [f'{one["node"]} (known from {", ".join(one["known_from"])}, not from {", ".join(one["missing_from"])})' for one in differ[:SOURCES_MOST]]
    more = f' and {len(differ) - SOURCES_MOST} more' if len(differ) > SOURCES_MOST else ''
    return words.wrap(f'Not known to all: {words.clean("; ".join(said).replace("_", " "))}{more}', '', '  ', width) if said else []


def _incomplete(report):
    """The reasons why a report is not complete, as parts of a sentence; never empty."""
    sections = report['sections'].values()
    missing = list(dict.fromkeys(node for section in sections for node in section['nodes_missing']))
    unseen = sum(1 for section in sections if _has_unseen(section))
    unbuilt = sum(1 for section in sections if section['reason'] == NOT_BUILT)
    reasons = []
    if missing:
        reasons.append(f'not read: {words.names(missing)}')
    if unseen:
        reasons.append(f'{unseen} {words.plural("section", unseen)} could not be judged in full')
    if unbuilt:
        reasons.append(f'{unbuilt} of {len(report["sections"])} sections are {NOT_BUILT}')
    return reasons or ['not everything could be seen']


def _has_unseen(section):
    return section['reason'] != NOT_BUILT and (section['verdict'] == v.UNKNOWN or section.get('unseen', 0) > 0)


def _section(report, section, paint):
    shown = _shown(report, section)
    title = section.title
    if shown['nodes_missing']:
        title += f' (not read: {words.names(shown["nodes_missing"])})'
    lines = _entry(shown['verdict'], title, _MARGIN, paint)
    mine = [finding for finding in report['findings'] if finding['section'] == section.key]
    hidden = [finding for finding in mine if finding['verdict'] == v.UNKNOWN and finding['because_of']]
    withheld = [finding for finding in mine if is_withheld(finding)]
    told = [finding for finding in mine if finding['verdict'] != v.UNKNOWN][:FINDINGS_MOST]
    unseen = [finding for finding in mine if finding['verdict'] == v.UNKNOWN and not finding['because_of'] and finding not in withheld][:UNKNOWN_MOST]
    for _shared, group in groupby((finding for finding in mine if finding in told or finding in unseen), key=_alike):
        lines.extend(_findings(report, list(group), paint))
    left = len(mine) - len(hidden) - len(withheld) - len(told) - len(unseen)
    margin = ' ' * (_MARGIN + _COLUMN)
    if hidden:
        causes = ', '.join(_causes(report, [cause for finding in hidden for cause in finding['because_of']]))
        checks = len({finding['check'] for finding in hidden})
        lines.extend(_wrap(f'{checks} {words.plural("check", checks)} could not be judged because of {causes}', margin, margin))
    if withheld:
        checks = dict.fromkeys(finding['check'] for finding in withheld)
        lines.extend(_entry(v.UNKNOWN, f'{len(checks)} {words.plural("check", len(checks))} could not be judged: {ROLE_MAY_NOT} read what '
                                       f'{"it needs" if len(checks) == 1 else "they need"} ({", ".join(checks)})', _MARGIN + _COLUMN, paint))
    if left:
        lines.append(f'{margin}and {left} more, in report.json')
    return lines


def _not_built(sections, paint):
    """Sections that no check belongs to yet, in one entry that names each."""
    return _entry(v.UNKNOWN, f'{NOT_BUILT}: {words.together([section.title for section in sections])}', _MARGIN, paint)


def _alike(finding):
    """What findings must share to be told together."""
    return finding['check'], finding['verdict'], finding['because_of']


def _findings(report, findings, paint):
    """Findings of one check: each with what was seen; what they mean and what to do is said once where it is the same."""
    indent = _MARGIN + _COLUMN
    lines = []
    for finding, following in zip(findings, [*findings[1:], None]):
        lines.extend(_entry(finding['verdict'], f'{words.clean(finding["title"], TITLE_CHARACTERS)} [{finding["check"]}]', indent, paint))
        if finding['verdict'] == v.UNKNOWN:
            continue
        lines.extend(_seen(report, finding, indent))
        for label, field in (('means', 'means'), ('next', 'next_step')):
            if finding[field] and (following is None or following[field] != finding[field]):
                lines.extend(_detail(label, finding[field], indent))
    return lines + _because(report, findings[-1], indent)


def _seen(report, finding, indent):
    untold = [node for node in finding['nodes'] if str(node) not in finding['title']]
    lines = _detail('nodes', words.names(finding['nodes']), indent) if untold else []
    for evidence in finding['evidence'][:EVIDENCE_MOST]:
        lines.extend(_detail('seen', words.evidence(report, evidence), indent))
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


def _counts(report, paint):
    counts = report['counts']
    first = ', '.join(paint(f'{counts.get(name, 0)} {name}', name) if counts.get(name) else f'0 {name}' for name in _COUNTED)
    return f'{" " * _MARGIN}judged: {first}, {counts.get(v.OK, 0)} ok, {counts.get(v.NOT_APPLICABLE, 0)} not applicable'


def _foot(report, path, paint):
    lines = [_counts(report, paint)]
    kinds = {}
    for finding in filter(_is_cause, report['findings']):
        kinds.setdefault(finding['check'], []).append(finding)
    for number, alike in enumerate(list(kinds.values())[:ROOTS_MOST], 1):
        lead = f'{" " * _MARGIN}{"begin with: " if number == 1 else " " * 12}{number}. '
        more = f', and {len(alike) - 1} more of this kind' if len(alike) > 1 else ''
        lines.extend(_wrap(f'{words.clean(alike[0]["title"], TITLE_CHARACTERS)}{more}', lead, ' ' * len(lead)))
    if len(kinds) > ROOTS_MOST:
        lines.append(f'{" " * (_MARGIN + 12)}and {len(kinds) - ROOTS_MOST} more causes of their own')
    return [*lines, *_path(path)]


def _path(path):
    return [f'{" " * _MARGIN}report: {path}'] if path else []


def _entry(verdict, text, indent, paint):
    """A verdict in its column, and text beside it that wraps under itself."""
    word = _WORD.get(verdict, verdict)
    lines = _wrap(text, f'{" " * indent}{word:<{_COLUMN}}', ' ' * (indent + _COLUMN))
    lines[0] = words.painted(lines[0], word, verdict, paint)
    return lines


def _detail(label, text, indent):
    lead = ' ' * (indent + _COLUMN)
    return words.wrap(words.clean(text), f'{lead}{label:<7}', lead + ' ' * 7, WIDTH, screen=SCREEN if label == 'seen' else None)


def _wrap(text, first, rest):
    return words.wrap(text, first, rest, WIDTH)


def _verdict_of(cluster_class):
    return {'healthy': v.OK, 'warnings': v.WARNING, 'errors': v.ERROR, 'critical': v.CRITICAL}.get(cluster_class, v.UNKNOWN)


def _shown(report, section):
    return report['sections'].get(section.key) or _ABSENT


def _on(nodes):
    unique = list(dict.fromkeys(nodes))
    return f' ({words.names(unique)})' if unique else ''
