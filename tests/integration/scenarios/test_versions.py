# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One incident on Talos 1.9 to 1.14, by every role, and without access to Kubernetes: the same findings wherever the data can be had.

A row of the matrix is gathered and judged in this process, once for all tests.
"""

from __future__ import annotations

import functools

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from tests.conftest import ROOT
from tests.simulator import apid, scenario
from tests.tools.run_scenario import run_here

# Versions of Talos with a Kubernetes that each supports (talos-api 8).
VERSIONS = {'v1.9.6': 'v1.32.9', 'v1.11.6': 'v1.34.2', 'v1.12.11': 'v1.35.4', 'v1.13.9': 'v1.36.3', 'v1.14.3': 'v1.36.4'}
NEWEST = 'v1.14.3'
INCIDENTS = ('healthy', 'nospace', 'stale-etcd-member', 'kubernetes/serving-requests')

# Less than everything: {name: (role, setup, why something was not read)}. Only os:admin is given a kubeconfig by Talos. A firewall that
# drops instead of rejecting is the scenario kubernetes-out-of-reach.
ADMIN = 'os:admin'
LESS = {
    'os:operator': ('os:operator', {}, ('needs os:admin or a kubeconfig', '(os:admin may)')),
    'os:reader': ('os:reader', {}, ('needs os:admin or a kubeconfig', '(os:admin may)')),
    'no Kubernetes': (ADMIN, {'api_server_for_client': 'refused'}, ('could not be reached', 'no API server was reached from this control node')),
    'os:reader, no Kubernetes': ('os:reader', {'api_server_for_client': 'refused'}, (
        'needs os:admin or a kubeconfig', '(os:admin may)', 'no API server was reached from this control node')),
}
ONE_LESS = ('os:operator', 'os:reader', 'no Kubernetes')
UNSEEN = {
    'os:operator': {'kubelet.stale_nodes', 'kubernetes_api.endpoint'},
    'os:reader': {'kubelet.stale_nodes', 'kubernetes_api.endpoint'},
    'no Kubernetes': {'kubelet.node_not_ready', 'kubelet.stale_nodes', 'controlplane.other', 'kubernetes_api.endpoint'},
    'os:reader, no Kubernetes': {'kubelet.stale_nodes', 'kubernetes_api.endpoint'},
}


@pytest.fixture(scope='module', name='judged')
def _judged(tmp_path_factory):
    """C(judged(incident, talos, access)) -> the report. That a dead machine's silence lasts is tested elsewhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr(apid, 'NO_ROUTE_AFTER', 0.1)

    @functools.lru_cache(maxsize=None)
    def report_of(incident, talos=NEWEST, access=ADMIN):
        state = yaml.safe_load((ROOT / 'tests' / 'scenarios' / f'{incident}.yaml').read_text(encoding='utf-8')).get('state') or {}
        role, setup, _reasons = LESS.get(access, (ADMIN, {}, ()))
        state['versions'] = {'talos': talos, 'kubernetes': VERSIONS[talos]}
        state['client'] = {**(state.get('client') or {}), 'role': role}
        state['setup'] = {**(state.get('setup') or {}), **setup}
        return run_here(scenario.from_state(state), tmp_path_factory.mktemp('matrix'))[2]

    yield report_of
    patch.undo()


def above_info(report):
    return [one for one in report['findings'] if v.rank(one['verdict']) > v.rank(v.UNKNOWN)]


def problems(report):
    """{(check, subject): verdict} of what was found above info."""
    return {(one['check'], one['subject']): one['verdict'] for one in above_info(report)}


def places(report):
    """{(section, node)} of the same; the same fault may be seen by another check where Kubernetes does not tell of it."""
    return {(one['section'], node) for one in above_info(report) for node in one['nodes'] or ['cluster']}


def unknowns(report):
    return [one for one in report['findings'] if one['verdict'] == v.UNKNOWN]


def unknown_sections(report):
    return {key for key, section in report['sections'].items() if section['verdict'] == v.UNKNOWN}


def wordless(report, access):
    """What is unknown and neither follows from something that was found nor says what it takes."""
    return [(one['check'], one['title']) for one in unknowns(report) if not one['because_of'] and not any(reason in one['title'] for reason in LESS[access][2])]


# -- versions ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('talos', VERSIONS)
@pytest.mark.parametrize('incident', INCIDENTS)
def test_every_version_has_the_same_findings_and_leaves_nothing_unknown(judged, incident, talos):
    """What a version does not have is not applicable there, and the rest of its check is judged (talos-api 8)."""
    report = judged(incident, talos)
    assert (report['talos'], report['kubernetes']) == (talos, VERSIONS[talos])
    assert problems(report) == problems(judged(incident))
    assert [(one['check'], one['title']) for one in unknowns(report)] == []
    assert report['class'] == {'healthy': 'healthy', 'nospace': 'critical', 'stale-etcd-member': 'errors'}.get(incident, 'warnings')
    assert report['complete'] is (incident != 'stale-etcd-member'), 'only a machine that is gone leaves something unread'


@pytest.mark.parametrize('talos', VERSIONS)
def test_a_reader_meets_no_wall_on_any_version(judged, talos):
    """What only Kubernetes tells is one finding for each question, what only os:admin may read is one for each check, not for each machine."""
    report = judged('healthy', talos, 'os:reader')
    assert report['class'] == 'healthy' and unknown_sections(report) == UNSEEN['os:reader']
    assert [one['subject'] for one in unknowns(report)] == ['cluster'] * len(unknowns(report)) and len(unknowns(report)) <= 16


# -- roles, and no Kubernetes -----------------------------------------------------------------------------------

@pytest.mark.parametrize('access', ONE_LESS)
@pytest.mark.parametrize('incident', INCIDENTS)
def test_with_less_access_nothing_false_is_found_and_what_is_missed_is_unknown(judged, incident, access):
    mine, whole = judged(incident, access=access), judged(incident)
    assert places(mine) <= places(whole)
    unsure = {one['section'] for one in unknowns(mine)}
    assert {section for section, _node in places(whole) - places(mine)} <= unsure
    assert {one['section'] for one in above_info(whole) if one['section'].startswith('etcd.')} <= {section for section, _node in places(mine)}


@pytest.mark.parametrize('access', ONE_LESS)
@pytest.mark.parametrize('incident', INCIDENTS)
def test_what_is_unknown_with_less_access_has_its_reason(judged, incident, access):
    assert wordless(judged(incident, access=access), access) == []


@pytest.mark.parametrize('access', LESS)
def test_a_healthy_cluster_is_healthy_with_less_access(judged, access):
    """Most sections are judged from Talos alone; where Kubernetes must be asked the section says so, and the report is not complete."""
    report = judged('healthy', access=access)
    assert report['class'] == 'healthy' and not report['complete']
    assert unknown_sections(report) == UNSEEN[access] and wordless(report, access) == []


@pytest.mark.parametrize('incident', INCIDENTS)
def test_an_api_that_is_not_reached_from_here_is_no_fault_of_the_cluster(judged, incident):
    """Talos tells that the API is served: KubePrism, the static pods and quiet logs; and which the endpoint is."""
    found = {one['check']: one for one in judged(incident, access='no Kubernetes')['findings'] if one['section'] == 'kubernetes_api.endpoint'}
    assert found['kubernetes_api.api_down']['verdict'] == v.INFO
    assert 'https://10.5.0.10:6443' in found['kubernetes_api.endpoint_down']['title']
    assert set(found) == {'kubernetes_api.api_down', 'kubernetes_api.endpoint_down', 'kubernetes_api.server_down'}
