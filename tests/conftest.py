# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the checkout importable as ansible_collections.talosops.talos, wherever it lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / '.build' / 'collections'
# Files that take minutes begin first, so that no worker is left alone with one of them at the end.
_LONG = ('integration/scenarios/', 'integration/doors/', 'unit/remedies/', 'unit/tasks/', 'contract/etcd/test_etcd_other', 'contract/etcd/test_etcd_scenarios',
         'contract/kubernetes/test_suite')


def _link():
    home = COLLECTIONS / 'ansible_collections' / 'talosops'
    home.mkdir(parents=True, exist_ok=True)
    link = home / 'talos'
    try:
        link.symlink_to(ROOT, target_is_directory=True)
    except FileExistsError:
        if link.resolve() != ROOT:
            link.unlink()
            link.symlink_to(ROOT, target_is_directory=True)


_link()
for path in (str(ROOT), str(COLLECTIONS)):
    if path not in sys.path:
        sys.path.insert(0, path)
os.environ.setdefault('ANSIBLE_COLLECTIONS_PATH', str(COLLECTIONS))


def pytest_collection_modifyitems(items):
    def place(item):
        path = str(item.path)
        return next((number for number, begin in enumerate(_LONG) if path.startswith(f'{ROOT}/tests/{begin}')), len(_LONG))

    items.sort(key=place)
