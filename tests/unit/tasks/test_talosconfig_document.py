# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of one context are changed, and no other byte of a talosconfig."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import talosconfig_document as document

TEXT = '''# mine
context: prod   # the one
contexts:
    prod:
        endpoints:   # of the site
            # the first
            - 10.5.0.11   # cp-1
            # the VIP
            - 10.5.0.10
            - cp-2.example.net
        ca: AAAA
        key: "BBBB"
    other:
        # none yet
        endpoints: []
        ca: CCCC
'''


def changed(text, endpoints, context='prod'):
    new = document.with_endpoints(text, context, endpoints, 'file')
    assert yaml.safe_load(new)['contexts'][context]['endpoints'] == endpoints
    return new


def test_what_stays_keeps_its_line_and_its_comments():
    assert changed(TEXT, ['10.5.0.11', 'cp-2.example.net', '10.5.0.13']) == TEXT.replace('            # the VIP\n            - 10.5.0.10\n', '').replace(
        'cp-2.example.net\n', 'cp-2.example.net\n            - 10.5.0.13\n')


def test_all_are_new_and_one_that_yaml_would_take_for_something_else_is_quoted():
    new = changed(TEXT, ['fd00::5', '[fd00::6]:50001', 'https://lb.example.net:443', '10.5.0.12'])
    assert new.startswith(TEXT[:TEXT.index('            # the first')]) and new.endswith(TEXT[TEXT.index('        ca: AAAA'):])
    assert '- "fd00::5"' in new and '- 10.5.0.12\n' in new


@pytest.mark.parametrize('before', ['endpoints: []', 'endpoints: [10.5.0.1, 10.5.0.2]', 'endpoints:', 'endpoints: null', 'endpoints:\n        - 10.5.0.9'])
def test_however_the_list_was_written(before):
    text = TEXT.replace('endpoints: []', before)
    new = changed(text, ['10.5.0.11', '10.5.0.12'], 'other')
    assert new.splitlines()[:13] == TEXT.splitlines()[:13] and new.endswith('        ca: CCCC\n') and '# none yet' in new


def test_a_context_without_the_key_and_one_without_a_last_line_end():
    new = changed(TEXT.replace('        endpoints: []\n', ''), ['10.5.0.11'], 'other')
    assert new.endswith('        # none yet\n        endpoints: [10.5.0.11]\n        ca: CCCC\n')
    text = 'contexts:\n  prod:\n    ca: A\n    endpoints:\n    - 10.5.0.1'
    assert changed(text, ['10.5.0.1', '10.5.0.2']) == f'{text}\n    - 10.5.0.2'
    assert changed(text, ['10.5.0.3']) == text.replace('0.1', '0.3')


def test_json_stays_json():
    text = '{"context": "prod", "contexts": {"prod": {"ca": "A", "endpoints": ["10.5.0.1"]}, "7": {"ca": "B"}}}'
    assert changed(text, ['10.5.0.11']) == text.replace('0.1"]', '0.11"]')
    assert '"7": {"endpoints": ["10.5.0.11"], "ca": "B"}' in changed(text, ['10.5.0.11'], '7')


def test_a_list_that_another_context_shares_is_left_alone():
    text = 'contexts:\n  prod:\n    endpoints: &all [10.5.0.1]\n  other:\n    endpoints: *all\n'
    with pytest.raises(InputError, match='cannot be changed without changing something else'):
        document.with_endpoints(text, 'prod', ['10.5.0.2'], 'file')
    with pytest.raises(InputError):
        document.with_endpoints(text, 'other', ['10.5.0.2'], 'file')
    with pytest.raises(ConfigError, match='file has no context "gone" any more'):
        document.listed(text, 'gone', 'file')
