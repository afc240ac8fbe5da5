# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machined's log says of the pull of one image: failed, under way, or nothing (catalogue 16: RETRY, PULL; edge-cases 44)."""

from __future__ import annotations

import re
from dataclasses import dataclass

RETRY = re.compile(r'\[talos\] retrying(?: error)?: (?P<why>.*)')
PULL_FAILED = re.compile(r'failed to pull image "(?P<image>[^"]+)"(?:: (?P<why>.*))?', re.DOTALL)
_FETCH_FAILED = re.compile(r'fetch failed after status: (?P<why>.+?) host=(?P<host>\S+) image=(?P<image>\S+)')
_PULLING = re.compile(r'pulling image (?P<image>\S+): (?P<step>(?:extracting|downloading).*?)\.\.\.')
# What no waiting repairs; a name that does not resolve or a refused connection may be the network that is not up yet.
_LASTING = re.compile(r'not found|\b40[134]\b|unauthorized|denied|forbidden|x509|toomanyrequests|unexpected media type|'
                      r'no match for platform', re.IGNORECASE)


@dataclass(frozen=True)
class Pull:
    """C(failed): why it failed last, None while it goes on. C(lasting): no waiting repairs that. C(line) is a loglines.Line, None for an event."""

    image: str
    failed: str | None
    host: str | None = None
    lasting: bool = False
    progress: str | None = None
    line: object = None


def last_pull(lines, is_ours, ends=()):
    """The Pull that the last lines tell of, None where they tell of none.

    C(is_ours(image)) says which images are meant. A line that holds one of C(ends) says that the pull is over.
    """
    found = None
    for line in lines:
        retry = RETRY.search(line.text)
        hit = (PULL_FAILED.search(retry.group('why')) if retry else None) or _FETCH_FAILED.search(line.text)
        step = _PULLING.search(line.text)
        if hit and is_ours(hit.group('image')):
            found = Pull(hit.group('image'), _reason(hit), hit.groupdict().get('host'), bool(_LASTING.search(hit.group(0))), line=line)
        if step and is_ours(step.group('image')):
            found = Pull(step.group('image'), None, progress=step.group('step'), line=line)
        over = any(end in line.text for end in ends)
        if found and (over or (retry and not hit and found.progress)):
            found = None
    return found


def given_up(message):
    """The Pull of the event "Failed to run pre stage" of a service, None where it was no pull that failed."""
    hit = PULL_FAILED.search(message)
    return Pull(hit.group('image'), _reason(hit), lasting=True) if hit else None


def _reason(hit):
    return (hit.group('why') or '').strip().rsplit(': ', 1)[-1] or 'no reason given'
