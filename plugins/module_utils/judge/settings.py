# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may set about the judgement: thresholds, and nodes that are expected."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge import custom


@dataclass(frozen=True)
class Settings:
    """C(thresholds): name to number, complete. C(expected_nodes): names or addresses that must be members.

    C(checks): definitions of the user's own checks, validated (custom.py).
    """

    thresholds: dict = field(default_factory=dict)
    expected_nodes: tuple = ()
    checks: tuple = ()

    def to_plain(self):
        return {'thresholds': dict(self.thresholds), 'expected_nodes': list(self.expected_nodes), 'checks': list(self.checks)}


def build(checks, thresholds=None, expected_nodes=None, own_checks=None):
    """Settings with the user's thresholds over the checks' defaults; C(own_checks) is a list as the user wrote it.

    Raises InputError for a name that no check has (naming the nearest one), for a value that is no number, and for a
    check of the user's that cannot be understood.
    """
    if thresholds is not None and not isinstance(thresholds, Mapping):
        raise InputError(f'talos_thresholds: must be a mapping of names to numbers, not {thresholds!r}.')
    merged = {name: threshold.default for check in checks for name, threshold in check.thresholds.items()}
    for name, value in (thresholds or {}).items():
        if name not in merged:
            near = difflib.get_close_matches(name, merged, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f'Known are: {", ".join(sorted(merged))}.'
            raise InputError(f'talos_thresholds: there is no threshold "{name}".', hint)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise InputError(f'talos_thresholds: "{name}" must be a number, not {value!r}.') from None
        if math.isnan(number) or number < 0:
            raise InputError(f'talos_thresholds: "{name}" must be a number of zero or more, not {value!r}.')
        merged[name] = number
    return Settings(merged, tuple(expected_nodes or ()), tuple(custom.validate(own_checks or ())))
