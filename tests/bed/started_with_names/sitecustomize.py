# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the names of names.environment() known to a program that is started with them."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location('tests_bed_names', Path(__file__).parents[1] / 'names.py')
_NAMES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_NAMES)
_KNOWN = _NAMES.known(json.loads(os.environ.get(_NAMES.VARIABLE, '{}')))
_KNOWN.__enter__()
