# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of this collection, as galaxy.yml has it (a test holds the two together: only Python files are shipped)."""

from __future__ import annotations

VERSION = '0.1.0'
