# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for a terminal: lines that wrap, and what is said the same way in every form.

What stands in a report came from the cluster, log lines included: control characters never reach the terminal.
"""

from __future__ import annotations

import re
import textwrap
from functools import lru_cache
from itertools import groupby

EVIDENCE_CHARACTERS = 300
NODES_MOST = 6


def clean(text, most=None):
    """One line of printable text, of at most so many characters."""
    line = ''.join(c if c.isprintable() else '?' for c in ' '.join(str(text).split()))
    return line if most is None or len(line) <= most else line[:most - 1] + '…'


def wrap(text, first, rest, width, screen=None):
    """Lines of at most so many columns; a word that is longer than a line (a path, an id) stays whole, where C(screen) columns hold it."""
    longest = max(map(len, text.split()), default=0)
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_long_words=screen is not None and longest > screen - len(rest),
                         break_on_hyphens=False) or [first.rstrip()]


def cut(text, first, rest, width, most, end=''):
    """The same with at most so many lines, none of which is wider. C(end) is kept where the text before it is cut, which is at a word."""
    return list(_cut(clean(text), first, rest, width, most, clean(end)))


@lru_cache(maxsize=2048)
def _cut(whole, first, rest, width, most, end):
    kept, lines = whole, _filled(f'{whole} {end}', first, rest, width)
    while len(lines) > most and kept:
        over = sum(len(line.strip()) for line in lines[most:])
        kept = kept[:max(0, len(kept) - max(1, over - len(end)))]
        at_word = kept.rpartition(' ')[0]
        kept = at_word if len(at_word) > len(kept) // 2 else kept
        lines = _filled(f'{kept.rstrip(" ,;:")} … {end}', first, rest, width)
    return lines[:most]


def _filled(text, first, rest, width):
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False) or [first.rstrip()]


def painted(line, word, verdict, paint):
    """The line with its first C(word) in the colour of a verdict."""
    before, found, after = line.partition(word)
    return f'{before}{paint(found, verdict)}{after}' if found else line


def names(listed):
    shown = ', '.join(clean(name) for name in listed[:NODES_MOST])
    return f'{shown} and {len(listed) - NODES_MOST} more' if len(listed) > NODES_MOST else shown


def plural(noun, number):
    return noun if number == 1 else noun + 's'


def together(titles):
    """Titles of sections, those of one part of the guide together: "Talos API (firewall, wrong endpoints), Time"."""
    found = []
    for head, group in groupby(titles, key=lambda title: title.partition(': ')[0]):
        tails = [title.partition(': ')[2] for title in group]
        found.append(f'{head} ({", ".join(tails)})' if any(tails) else head)
    return ', '.join(found)


def evidence(report, one):
    """What was seen: where, when (its date where that is another one than the report's), and what."""
    at = str(one.get('at') or '')
    day, _t, clock = at.partition('T')
    if clock and day == str(report.get('started_at'))[:len(day)]:
        at = clock
    at = re.sub(r'\.\d+', '', at)
    where = ' '.join(clean(part) for part in (one.get('node'), one.get('source'), at) if part)
    return f'{where}: {clean(one["text"], EVIDENCE_CHARACTERS)}' if where else clean(one['text'], EVIDENCE_CHARACTERS)
