# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report on two screens: each cause with what to do, under it what follows from it, a line each; then what else there is, in few words.

Used where the long form (console.py) is longer than that. What is left out here stands in report.json.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report import words

WIDTH = 118

_MARGIN = '  '
_TEXT = ' ' * 16
_LABEL = 8
_SECTIONS_MOST = 9
# So many faults of one check may each have a next step of their own before they are told as one.
_APART_MOST = 3


@dataclass(frozen=True)
class Detail:
    """How many lines there are at most of each cause's title, evidence, meaning, next step, others of its kind, and what follows from it."""

    title: int
    seen: int
    means: int
    next: int
    alike: int
    follows: int
    others: int = 4  # infos, and what was not seen


# The first of which the whole fits is taken, and what room is then left goes to the first causes. A next step goes last, and whole before
# anything else is told: half a step can be a wrong one.
DETAILS = (Detail(3, 4, 4, 9, 20, 9, 10), Detail(3, 4, 3, 9, 12, 6, 10), Detail(3, 2, 2, 7, 8, 5, 8), Detail(3, 2, 0, 7, 4, 4, 6),
           Detail(2, 1, 0, 7, 2, 3), Detail(2, 1, 0, 5, 1, 2), Detail(2, 0, 0, 4, 1, 2), Detail(1, 0, 0, 3, 1, 1, 2), Detail(1, 0, 0, 2, 1, 1, 2),
           Detail(1, 0, 0, 1, 1, 0, 1), Detail(1, 0, 0, 1, 0, 0, 1))
BARE = Detail(1, 0, 0, 0, 0, 0, 1)


@dataclass
class Cause:
    """Problems of one check that nothing explains, and those that follow from them, however far."""

    alike: list
    following: list = field(default_factory=list)


def causes(report, apart=_APART_MOST):
    """The Causes of a report; what has several stands under the first of them.

    The order is that of the worst problem of each, consequences included, then of how many these are, then the report's.

    Problems of one check are one Cause where their next step is the same, or where there are more than C(apart) different ones.
    """
    roots = [finding for finding in report['findings'] if finding['root'] and _is_problem(finding)]
    steps = {}
    for finding in roots:
        steps.setdefault((finding['check'], finding['verdict']), set()).add(finding['next_step'])
    found, place = {}, {}
    for finding in roots:
        kind = (finding['check'], finding['verdict'])
        key = (*kind, finding['next_step']) if len(steps[kind]) <= apart else kind
        place[finding['id']] = found.setdefault(key, Cause([]))
        place[finding['id']].alike.append(finding)
    for finding in report['findings']:  # causes stand before their consequences
        if not finding['root']:
            cause = next((place[known] for known in finding['because_of'] if known in place), None)
            if _is_problem(finding):
                if cause is None:
                    cause = found[finding['id']] = Cause([finding])
                else:
                    cause.following.append(finding)
            if cause is not None:
                place[finding['id']] = cause
    return sorted(found.values(), key=lambda cause: (-max(v.rank(one['verdict']) for one in (*cause.alike, *cause.following)), -len(cause.following)))


def lines(report, sections, room, paint):
    """The part between head and foot, in at most C(room) lines; C(sections) are (title, verdict) in the guide's order."""
    by_verdict = ['', *_by_verdict(sections, paint)]
    for found, detail in _levels(report, room):
        told = [_cause(report, number, cause, detail, paint) for number, cause in enumerate(found, 1)]
        lead = [f'{_MARGIN}begin with: (the worst first; what "follows" ends with its cause)'] if found else []
        others = _others(report, detail.others, 0, paint)
        left = room - len(lead) - sum(map(len, told)) - len(others) - len(by_verdict)
        if left >= 0:
            told, left = _richer(report, found, told, detail, left, paint)
            others = _others(report, detail.others, left, paint)
            break
    else:
        told = _first(found, told, left)
    return [*lead, *(line for entry in told for line in entry), *others, *by_verdict]


def _levels(report, room):
    """(causes, detail) in the order in which they are tried; a cause has at least a title and a next step, but in the last."""
    apart, together = causes(report), causes(report, apart=0)
    tried = [(apart, detail) for detail in DETAILS] + [(together, detail) for detail in DETAILS if len(together) < len(apart)]
    return [*((found, detail) for found, detail in tried if 2 * len(found) < room), (together, BARE)]


def _richer(report, found, told, detail, left, paint):
    """The same with more detail, and the lines that are then left: each level for all causes before the next, the first causes first."""
    for better in reversed(DETAILS[:DETAILS.index(detail)] if detail in DETAILS else DETAILS):
        for place, cause in enumerate(found):
            entry = _cause(report, place + 1, cause, better, paint)
            if len(entry) - len(told[place]) <= left:
                left -= len(entry) - len(told[place])
                told[place] = entry
    return told, left


def _first(found, told, left):
    """As many as there is room for (C(left) lines, which is less than none), and the checks of all others."""
    room = sum(map(len, told)) + left
    for shown in reversed(range(len(told))):
        checks = dict.fromkeys(cause.alike[0]['check'] for cause in found[shown:])
        others = words.cut(f'and {len(found) - shown} more causes: {", ".join(checks)}', _TEXT, _TEXT, WIDTH, max(1, room))
        if sum(map(len, told[:shown])) + len(others) <= room:
            break
    return [*told[:shown], others]


def _is_problem(finding):
    return v.rank(finding['verdict']) >= v.rank(v.WARNING)


def _cause(report, number, cause, detail, paint):
    first = cause.alike[0]
    lead = f'{_MARGIN}{number:>2}. {first["verdict"]:<{len(_TEXT) - len(_MARGIN) - 4}}'
    found = words.cut(first['title'], lead, _TEXT, WIDTH, detail.title, _where(first))
    found[0] = words.painted(found[0], first['verdict'], first['verdict'], paint)
    found += _alike(cause.alike[1:], detail)
    if not first['root']:
        found += _labelled('because', ', '.join(dict.fromkeys(known.partition('/')[0] for known in first['because_of'])), 1)
    for evidence in first['evidence'][:(detail.seen + 1) // 2]:
        found += _labelled('seen', words.evidence(report, evidence), min(2, detail.seen))
    for label, text, most in (('means', first['means'], detail.means), ('next', first['next_step'], detail.next)):
        if text and most:
            found += _labelled(label, text, most)
    return found + _following(cause, detail, paint)


def _where(finding):
    """The machines that its title does not name, and the check."""
    return f'{_untold(finding)} [{finding["check"]}]'.lstrip()


def _untold(finding):
    untold = [node for node in finding['nodes'] if str(node) not in finding['title']]
    return f'(on {words.names(untold)})' if untold else ''


def _alike(findings, detail):
    """The others of a kind: an entry each, or the machines that they are about."""
    if len(findings) <= detail.alike:
        return [line for finding in findings for line in _labelled('also', finding['title'], 2 if detail.means else 1, _untold(finding))]
    nodes = [str(node) for node in dict.fromkeys(node for finding in findings for node in finding['nodes'])]
    about = ', '.join(nodes) if nodes else '; '.join(finding['title'] for finding in findings)
    return words.cut(f'and {len(findings)} more of this kind: {about}', _TEXT, _TEXT, WIDTH, max(1, detail.alike // 4))


def _following(cause, detail, paint):
    """An entry for each check that tells a consequence."""
    ordered = sorted(cause.following, key=lambda finding: (-v.rank(finding['verdict']), finding['check']))
    groups = [list(group) for _kind, group in groupby(ordered, key=lambda finding: (finding['verdict'], finding['check']))]
    found = []
    for group in groups[:detail.follows]:
        first, more = group[0], f'and {len(group) - 1} more of this kind ' if len(group) > 1 else ''
        entry = _labelled('follows', f'{first["verdict"]}: {first["title"]}', 2 if detail.means else 1, f'{more}[{first["check"]}]')
        found += [words.painted(entry[0], first['verdict'], first['verdict'], paint), *entry[1:]]
    left = groups[detail.follows:]
    if left:
        checks = dict.fromkeys(group[0]['check'] for group in left)
        found += _labelled('follows', f'{sum(map(len, left))}{" more" if found else ""}: {", ".join(checks)}', 1)
    return found


def _labelled(label, text, most, end=''):
    return words.cut(text, f'{_TEXT}{label:<{_LABEL}}', _TEXT + ' ' * _LABEL, WIDTH, most, end)


def _others(report, most, left, paint):
    """What is no problem: so many of infos, and of what was not seen, a line each; more and in full as far as C(left) further lines allow."""
    unseen = [finding for finding in report['findings'] if finding['verdict'] == v.UNKNOWN]
    untold = [finding for finding in unseen if not finding['because_of']]
    found = []
    for verdict, findings in ((v.INFO, [finding for finding in report['findings'] if finding['verdict'] == v.INFO]), (v.UNKNOWN, untold)):
        shown_most = most + left
        left -= max(0, min(len(findings), shown_most) - most)
        for finding in _few(findings, shown_most):
            entry, more = _other(finding, 1, paint), _in_full(report, finding, paint)
            if len(more) - len(entry) <= left:
                left -= len(more) - len(entry)
                entry = more
            found += entry
        found += _rest(verdict, len(findings), shown_most, paint)
    known = len(unseen) - len(untold)
    if known:
        found += _line(v.UNKNOWN, f'{known} {words.plural("check", known)} could not be judged because of what is said above', 1, paint)
    return found


def _few(findings, most):
    """All of them, or one fewer than C(most), as the line that counts the others is one more."""
    return findings if len(findings) <= most else findings[:most - 1]


def _rest(verdict, number, most, paint):
    left = number - most + 1
    return _line(verdict, f'{"and " if most > 1 else ""}{left}{" more" if most > 1 else ""}, in report.json', 1, paint) if number > most else []


def _other(finding, most, paint):
    return _line(finding['verdict'], finding['title'], most, paint, f'[{finding["check"]}]')


def _in_full(report, finding, paint):
    found = _other(finding, 4, paint)
    if finding['verdict'] == v.INFO:
        for evidence in finding['evidence'][:1]:
            found += _labelled('seen', words.evidence(report, evidence), 3)
        for label, text in (('means', finding['means']), ('next', finding['next_step'])):
            found += _labelled(label, text, 4) if text else []
    return found


def _line(verdict, text, most, paint, end=''):
    entry = words.cut(text, f'{_MARGIN}    {verdict:<{len(_TEXT) - len(_MARGIN) - 4}}', _TEXT, WIDTH, most, end)
    return [words.painted(entry[0], verdict, verdict, paint), *entry[1:]]


def _by_verdict(sections, paint):
    """The sections of the guide in one entry for each verdict, the worst first."""
    found = []
    for verdict in reversed(v.ORDER):
        titles = [title for title, one in sections if one == verdict]
        if titles:
            word = 'n/a' if verdict == v.NOT_APPLICABLE else verdict
            entry = words.cut(words.together(titles), f'{_MARGIN}{word:<10}', f'{_MARGIN}{"":<10}', WIDTH, _SECTIONS_MOST)
            entry[0] = words.painted(entry[0], word, verdict, paint)
            found += entry
    return found
