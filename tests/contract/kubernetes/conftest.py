# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real kube-apiserver and kube-controller-manager for all tests here, on an etcd of their own; each test begins with an empty cluster."""

from __future__ import annotations

import contextlib

import pytest

from tests.simulator.control_plane import ControlPlane
from tests.unit.remedies import simulated


@pytest.fixture(scope='session')
def plane(program):
    for name in ('etcd', 'kube-apiserver', 'kube-controller-manager'):
        program(name)
    with ControlPlane() as started:
        yield started


@pytest.fixture
def real(plane):
    """C(with real(state) as one): a L(simulated.Bed) whose Kubernetes is real."""
    @contextlib.contextmanager
    def bed(state=None, **options):
        with simulated.bed(state, kubernetes=plane, **options) as one:
            yield one
    return bed
