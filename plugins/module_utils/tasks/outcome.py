# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both doors make of a task's function: a result, never an exception."""

from __future__ import annotations

import traceback

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access


def outcome(run, params, check_mode, say, passing=()):
    """What C(run) returns, or a failed result with one sentence: no exception leaves a door but those of C(passing)."""
    try:
        return run(params, check_mode, say)
    except passing:
        raise
    except TalosError as error:
        return {'failed': True, 'msg': error.sentence(), 'ran_on': access.here()}
    except Exception as error:  # pylint: disable=broad-except
        return {'failed': True, 'ran_on': access.here(), 'exception': traceback.format_exc(),
                'msg': f'This is a fault of the collection talosops.talos, please report it with the output of -vvv: {type(error).__name__}: {error}'}
