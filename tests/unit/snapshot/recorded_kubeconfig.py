# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubeconfig that a recorded control plane node issued."""

from __future__ import annotations

import io
import tarfile
import zlib

from ansible_collections.talosops.talos.plugins.module_utils.api import wire
from tests.replay import load


def text(set_name):
    call = next(call for call in load(set_name).calls if call.case == 'Kubeconfig' and not call.code)
    data = b''.join(wire.decode('common.Data', response)['bytes'] for response in call.responses)
    archive = tarfile.open(fileobj=io.BytesIO(zlib.decompressobj(31).decompress(data)))
    return archive.extractfile(archive.next()).read().decode()
