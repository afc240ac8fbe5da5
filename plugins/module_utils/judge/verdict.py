# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts and their order (design, "Judging")."""

from __future__ import annotations

NOT_APPLICABLE = 'not_applicable'
OK = 'ok'
INFO = 'info'
UNKNOWN = 'unknown'
WARNING = 'warning'
ERROR = 'error'
CRITICAL = 'critical'

ORDER = (NOT_APPLICABLE, OK, INFO, UNKNOWN, WARNING, ERROR, CRITICAL)
_RANK = {verdict: rank for rank, verdict in enumerate(ORDER)}

HEALTHY = 'healthy'
NOT_JUDGED = 'not_judged'
_CLASS = {WARNING: 'warnings', ERROR: 'errors', CRITICAL: 'critical'}
_FAILS_FROM = {'warnings': WARNING, 'errors': ERROR, 'critical': CRITICAL}

FAIL_ON = ('never', WARNING, ERROR, CRITICAL)


def rank(verdict):
    """Position in ORDER, 0 is best."""
    return _RANK[verdict]


def worst(verdicts, default=NOT_APPLICABLE):
    """The worst of some verdicts, C(default) when there are none."""
    return max(verdicts, key=rank, default=default)


def class_of(verdicts):
    """The class of a cluster by its worst finding; nothing above info, and unknown, are healthy."""
    return _CLASS.get(worst((v for v in verdicts if v != UNKNOWN), OK), HEALTHY)


def fails(cluster_class, fail_on):
    """Whether a cluster of this class fails a run with this C(talos_fail_on)."""
    if fail_on == 'never' or cluster_class == HEALTHY:
        return False
    if cluster_class == NOT_JUDGED:
        return True
    return rank(_FAILS_FROM[cluster_class]) >= rank(fail_on)
