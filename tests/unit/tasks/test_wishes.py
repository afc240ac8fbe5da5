# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of talos_remediate is asked for, in all the forms in which options arrive."""

from __future__ import annotations

import json

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import plan
from ansible_collections.talosops.talos.plugins.module_utils.tasks import wishes

NONE = {'wait': 0, 'pause': 0, 'verify_seconds': 0}


def read(**options):
    return wishes.read({**NONE, **options})


@pytest.mark.parametrize('given', [
    ['etcd_stale_member', 'stale_node'],
    ['["etcd_stale_member"', ' "stale_node"]'],  # -e 'talos_remedies=["etcd_stale_member", "stale_node"]', cut at its comma
    ['etcd_stale_member\nstale_node\n'],  # a survey of AWX
    [' etcd_stale_member ', '', 'stale_node', 'stale_node'],
])
def test_a_list_in_every_form(given):
    assert read(remedies=given).remedies == ('etcd_stale_member', 'stale_node')
    assert read(confirm=given).confirm == {'etcd_stale_member', 'stale_node'}


def test_targets_may_be_one_or_many():
    asked = read(remedies=['stale_node', 'etcd_stale_member'], targets={'stale_node': 'w-9', 'etcd_stale_member': [3333333333333333]})
    assert asked.targets == {'stale_node': ['w-9'], 'etcd_stale_member': ['3333333333333333']}


def test_a_plan_as_data_as_text_and_as_a_file(tmp_path):
    document = plan.document('prod', 'id', [])
    path = tmp_path / 'plan.json'
    path.write_text(json.dumps(document))
    assert [read(plan=given).approved for given in (document, json.dumps(document), str(path))] == [document] * 3


@pytest.mark.parametrize('options, said', [
    ({'remedies': ['[stale_node']}, 'is neither a list nor names with commas between them'),
    ({'remedies': ['stale_nodes']}, 'There is no remedy "stale_nodes". Did you mean "stale_node"?'),
    ({'plan': '{"schema"'}, 'The plan that was given is no JSON.'),
    ({'plan': ['x']}, 'plan is neither a plan nor the path of one'),
    ({'plan': {**plan.document('prod', 'id', []), 'steps': [{}]}}, 'a step in it lacks what every step has'),
    ({'plan': {**plan.document('prod', 'id', []), 'cluster_id': 'another'}}, 'was changed after it was made'),
])
def test_bad_input_is_one_sentence(options, said):
    with pytest.raises(InputError) as error:
        read(**options)
    assert said in error.value.sentence() and '\n' not in error.value.sentence()


def test_a_plan_is_written_where_it_was_wanted(tmp_path):
    one, other = plan.document('one', 'a', []), plan.document('other', 'b', [])
    path = wishes.place_of_plan(wishes.absolute(f'{tmp_path}/plans/'), 'one_1')
    wishes.write_plan(path, one)
    assert path == str(tmp_path / 'plans' / 'one_1.plan.json') and json.loads((tmp_path / 'plans' / 'one_1.plan.json').read_text()) == one
    wishes.write_plan(path, {**one, 'confirm': ['x']})
    with pytest.raises(InputError, match='holds the plan of another cluster'):
        wishes.write_plan(path, other)
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be made: Not a directory|cannot be made: File exists'):
        wishes.write_plan(str(tmp_path / 'file' / 'plan.json'), one)
