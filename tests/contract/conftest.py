# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs. One that is not built fails the test that wants it: nothing here is skipped."""

from __future__ import annotations

import pytest

from tests.tools import programs


@pytest.fixture(scope='session')
def program():
    """C(program('etcd')): the path of a built program."""
    def found(name):
        try:
            return programs.path(name)
        except programs.NotBuilt as error:
            pytest.fail(str(error))
    return found
