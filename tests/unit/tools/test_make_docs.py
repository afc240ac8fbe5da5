# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated pages say what the code says."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.tools.make_docs import PAGES


@pytest.mark.parametrize('name', PAGES)
def test_page_is_in_step(name):
    assert (ROOT / name).read_text(encoding='utf-8') == PAGES[name](), f'{name} is out of step: make docs'
