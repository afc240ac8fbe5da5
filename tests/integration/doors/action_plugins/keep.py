# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a task registered into a file of the control node, in the worker itself: ansible.builtin.copy starts two Pythons for it."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Options: C(dest), C(content) (text)."""

    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        Path(self._task.args['dest']).write_text(self._task.args['content'], encoding='utf-8')
        return result
