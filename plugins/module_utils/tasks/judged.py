# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshot to report: judged once, and read again from beside the snapshot while nothing has changed."""

from __future__ import annotations

import os

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, diagnose
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings as judge_settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import plan
from ansible_collections.talosops.talos.plugins.module_utils.report import files
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.version import VERSION


def settings(params):
    """The user's Settings; raises InputError for a threshold that no check has, or a check of the user's that cannot be understood."""
    return judge_settings.build(CHECKS, params.get('thresholds'), params.get('expected_nodes'), params.get('checks'))


def anew(snapshot, chosen):
    """The report of a snapshot with its plan, and with the digest under which it may be read again."""
    report = diagnose(snapshot, chosen)
    return {**report, 'plan': plan.build(View(snapshot, chosen), report['findings']), 'digest': store.digest(snapshot, chosen, VERSION)}


def from_file(path, chosen):
    """C((snapshot, report)) of a snapshot file: the report beside it when it was judged from just this, else judged anew."""
    path = snapshot_path(path)
    snapshot = store.read(path)
    beside = os.path.join(os.path.dirname(path), files.REPORT)
    if os.path.exists(beside):
        try:
            report = files.read_report(beside)
        except InputError:
            report = {}
        if report.get('digest') == store.digest(snapshot, chosen, VERSION):
            return snapshot, report
    return snapshot, anew(snapshot, chosen)


def snapshot_path(path):
    """The snapshot that a path means: a directory stands for the one in it."""
    return os.path.join(path, files.SNAPSHOT) if os.path.isdir(path) else path
