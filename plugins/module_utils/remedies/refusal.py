# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why something is not done: a precondition that does not hold, or that could not be seen."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError

_NAMED_MOST = 4


class Refused(TalosError):
    """Nothing was changed, and nothing that changes something was sent."""


def refuse(what, reasons, hint=None):
    """Raise L(Refused) where there are reasons; C(what) is the beginning of the sentence: "The alarm … is not disarmed"."""
    reasons = list(dict.fromkeys(reasons))
    if reasons:
        said = '; '.join(reason.rstrip('.') for reason in reasons[:_NAMED_MOST])
        left = len(reasons) - _NAMED_MOST
        more = f'; and {left} more {"reason" if left == 1 else "reasons"}' if left > 0 else ''
        raise Refused(f'{what}: {said}{more}.', hint)
