# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of 127.0.0.0/8 only 127.0.0.1 is this host to the product: a machine may have any other address of it."""

from __future__ import annotations

import re

from tests.conftest import ROOT

from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import parse
from ansible_collections.talosops.talos.plugins.module_utils.api.proxy import choose
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import machines
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Endpoint

# Go's HTTP client, and so talosctl, takes no proxy to any loopback address; the library's own line has the same meaning.
MEANT = {'plugins/module_utils/api/proxy.py': 1}


def test_the_product_asks_nowhere_for_the_whole_loopback_network():
    found = {}
    for path in sorted((ROOT / 'plugins').rglob('*.py')):
        number = len(re.findall(r'is_loopback|is_private|is_global|is_reserved|127\.0\.0\.0|[\'"]127\.[\'"]', re.sub(r'#.*', '', path.read_text())))
        if number:
            found[str(path.relative_to(ROOT))] = number
    assert found == MEANT


def test_a_machine_behind_a_proxy_is_known_by_the_loopback_address_that_it_serves():
    certificate = {'ips': ['127.0.0.1', '127.5.0.11'], 'dns': ['cp-1'], 'sha256': 'x'}
    endpoint = Endpoint('cp-1', 'cp-1', 50000, [], True, None, certificate, None, {})
    known = []
    placed = machines.place_endpoints([endpoint], known, machines.TALOSCONFIG)
    assert placed['cp-1'].address == '127.5.0.11' and known == [placed['cp-1']]


def test_no_proxy_leads_to_this_host():
    assert choose(parse('127.0.0.1'), environ={'HTTPS_PROXY': 'http://p:1'}) is None
    assert choose(parse('10.5.0.11'), environ={'HTTPS_PROXY': 'http://p:1'}) is not None
