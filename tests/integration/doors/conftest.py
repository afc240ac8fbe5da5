# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from running import Ansible

from tests.replay import serve


@pytest.fixture(scope='session')
def replayed():
    """A function that gives a served recording by its name, each started once."""
    running = {}

    def get(name):
        if name not in running:
            context = serve(name)
            running[name] = context, context.__enter__()
        return running[name][1]

    yield get
    for context, _replay in running.values():
        context.__exit__(None, None, None)


@pytest.fixture
def ansible(replayed, tmp_path):
    """A function that gives an Ansible whose talosconfig leads to a recorded cluster."""
    def make(name='one-cp-down', directory=tmp_path):
        replay = replayed(name)
        return Ansible(directory, TALOSCONFIG=replay.path, HTTPS_PROXY=replay.proxy)
    return make
