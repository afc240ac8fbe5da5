# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Kubernetes versions a Talos version supports (check catalogue 13; inclusive minors)."""

from __future__ import annotations

import re

# Minor of Talos 1.x: first and last minor of Kubernetes 1.x.
KUBERNETES = {
    2: (23, 25), 3: (24, 26), 4: (25, 27), 5: (26, 28), 6: (24, 29), 7: (25, 30), 8: (26, 31), 9: (27, 32), 10: (28, 33), 11: (29, 34), 12: (30, 35),
    13: (31, 36), 14: (32, 37), 15: (33, 38),
}
# A kubelet may be as old as this many minors before its API server, and never newer (Kubernetes version skew policy).
KUBELET_BEHIND = 3

_VERSION = re.compile(r'^v?(\d+)\.(\d+)')


def minor(version):
    """The minor of a version 1.x ("v1.36.3", "1.14.0-rc.1"), None for anything else."""
    match = _VERSION.match(str(version or ''))
    return int(match[2]) if match and match[1] == '1' else None


def kubernetes_range(talos):
    """("v1.31", "v1.36"): first and last Kubernetes version that this Talos version supports, None where that is not known."""
    span = KUBERNETES.get(minor(talos))
    return (f'v1.{span[0]}', f'v1.{span[1]}') if span else None


def supports(talos, kubernetes):
    """Whether this Talos supports this Kubernetes version; None where one of the versions is not known here."""
    span, wanted = KUBERNETES.get(minor(talos)), minor(kubernetes)
    return None if span is None or wanted is None else span[0] <= wanted <= span[1]


def kubelet_fits(kubelet, api_server):
    """Whether a kubelet may work with this API server; None where one of the versions is not known."""
    own, its = minor(kubelet), minor(api_server)
    return None if own is None or its is None else its - KUBELET_BEHIND <= own <= its
