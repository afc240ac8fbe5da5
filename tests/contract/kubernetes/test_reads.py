# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same requests to the simulated API and to the real one: lists, pages, refusals and health are answered alike, and our client reads them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NotFound, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.kube import api as kube_api
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.objects import OBJECTS, kept
from tests.contract.kubernetes.sides import both, plain
from tests.contract.kubernetes.waiting import until
from tests.simulator import kubernetes_csrs
from tests.simulator.control_plane import READERS
from tests.simulator.kubernetes_client import MERGE

NODES, LEASES = '/api/v1/nodes', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
STATE = {'k8s': {'nodes': {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': 'Ready', 'w-1': 'Ready',
                           'w-2': {'ready': 'NotReady', 'since': '-9m', 'schedulable': False},
                           'w-9': {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.29'}},
                 'pods': {'coredns (w-1)': {'waiting': 'CrashLoopBackOff', 'restarts': 7, 'reason': 'OOMKilled'},
                          'kube-proxy (w-2)': {'waiting': 'ImagePullBackOff'}},
                 'csrs': [{'name': 'csr-w1', 'signer': kubernetes_csrs.SERVING, 'username': 'system:node:w-1', 'dns': ['w-1'], 'ips': ['10.5.0.21'],
                           'age': '20m', 'state': 'Pending'},
                          {'name': 'csr-w2', 'signer': kubernetes_csrs.SERVING, 'username': 'system:node:w-2', 'dns': ['w-2'], 'ips': ['10.5.0.22'],
                           'age': '9m', 'state': 'Approved,Issued'}]}}


@pytest.fixture(scope='module')
def sides(plane):
    with both(plane, STATE) as made:
        yield made


def lease(**spec):
    return {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'one', 'namespace': 'kube-system'}, 'spec': spec}


# -- our reads ------------------------------------------------------------------------------------------------------


def _comparable(kind, found):
    """What a list is read as, without what no two clusters have in common."""
    drop = {'nodes': ('annotations',), 'pods': (), 'events': ('at',)}.get(kind, ())
    rows = [plain({key: value for key, value in each.items() if key not in ('created', 'uid', *drop)}) for each in found]
    for row in rows:
        row.get('taints', []).sort(key=str)  # the controller manager takes them off and puts them on in its own order
    return sorted(rows, key=lambda row: (str(row.get('namespace')), str(row.get('name')), str(row.get('reason'))))


@pytest.mark.parametrize('objects', OBJECTS, ids=lambda one: one.kind)
def test_what_we_read_of_a_list_is_the_same(sides, objects, monkeypatch):
    monkeypatch.setattr(kube_api, 'PAGE', 2)
    for _second in range(30):  # the controller manager finishes a new Node a moment after it is there
        ours, theirs = (_comparable(objects.kind, kept(objects, side.user().pages(objects.path, lambda: 30.0))) for side in sides)
        if theirs == ours:
            break
        time.sleep(1)
    assert theirs == ours and (ours or objects.kind == 'events')


def test_ages_are_those_of_the_scenario(sides):
    for objects in OBJECTS:
        if objects.kind in ('events', 'leases'):
            continue
        ours, theirs = ({(each.get('namespace'), each['name']): each['created'] for each in kept(objects, side.user().pages(objects.path, lambda: 30.0))}
                        for side in sides)
        assert set(ours) == set(theirs)
        for key, at in ours.items():
            apart = datetime.fromisoformat(at.replace('Z', '+00:00')) - datetime.fromisoformat(theirs[key].replace('Z', '+00:00'))
            assert abs(apart) < timedelta(seconds=60), (objects.kind, key, at, theirs[key])


def test_health_and_version(sides):
    ours, theirs = sides
    for path in ('/readyz', '/livez', '/healthz', '/readyz?verbose', '/livez?verbose', '/readyz?verbose&exclude=etcd'):
        assert ours.ask('GET', path) == theirs.ask('GET', path), path
    assert theirs.user().readyz(30)['status'] == 200 and theirs.user().readyz(30)['body'] == ours.user().readyz(30)['body']
    (_status, said), (_status, told) = (side.ask('GET', '/version') for side in sides)
    assert set(said) == set(told) and said['gitVersion'] == told['gitVersion'] == theirs.user().version(30)['gitVersion'] and said['minor'] == told['minor']


def test_pages(sides):
    pages = []
    for side in sides:
        status, first = side.ask('GET', f'{NODES}?limit=2')
        assert status == 200
        status, second = side.ask('GET', f'{NODES}?limit=2&continue={first["metadata"]["continue"]}')
        assert status == 200
        pages.append([[item['metadata']['name'] for item in page['items']] + [page['kind'], page['apiVersion'], page['metadata'].get('remainingItemCount')]
                      for page in (first, second)])
    assert pages[0] == pages[1] and pages[0][0][-1] == 4


# -- refusals -------------------------------------------------------------------------------------------------------

ASKED = [
    ('GET', f'{NODES}/none', None),
    ('GET', f'{CSRS}/none', None),
    ('GET', f'{LEASES}/none', None),
    ('GET', '/api/v1/namespaces/kube-system/pods/none', None),
    ('GET', f'{NODES}?limit=2&continue=!!', None),
    ('GET', f'{NODES}?limit=two', None),
    ('GET', f'{NODES}?fieldSelector=spec.nodeName%3Dw-1', None),
    ('GET', f'{NODES}?fieldSelector=metadata.name', None),
    ('GET', f'{NODES}?labelSelector=a%20b', None),
    ('POST', LEASES, b'{'),
    ('POST', LEASES, lease(renewTime='2026-11-22T10:00:00Z')),
    ('POST', LEASES, lease(leaseDurationSeconds=0)),
    ('POST', LEASES, {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {}, 'spec': {}}),
    ('POST', '/apis/coordination.k8s.io/v1/namespaces/none/leases', {**lease(), 'metadata': {'name': 'one'}}),
    ('PUT', f'{LEASES}/other', lease()),
    ('POST', NODES, {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': 'w-1'}}),
    ('DELETE', f'{NODES}/none', {}),
    ('DELETE', f'{NODES}/w-9', {'preconditions': {'uid': '00000000-0000-0000-0000-000000000000'}}),
    ('DELETE', f'{NODES}/w-9', {'apiVersion': 'v1', 'kind': 'DeleteOptions', 'preconditions': {'resourceVersion': '1'}}),
    ('DELETE', f'{NODES}/w-9?dryRun=All', None),
    ('DELETE', f'{NODES}/w-9?dryRun=All', {'dryRun': ['All']}),
    ('POST', f'{NODES}/w-9', {}),
    ('PUT', NODES, {}),
    ('PUT', f'{CSRS}/csr-w1/approve', {}),
]


@pytest.mark.parametrize('method, path, body', ASKED, ids=lambda value: value if isinstance(value, str) else '')
def test_refusals_have_the_same_words(sides, method, path, body):
    ours, theirs = (side.ask(method, path, body) for side in sides)
    assert plain(ours) == plain(theirs)


@pytest.mark.parametrize('method, path', [
    ('GET', '/api/v1/secrets'), ('GET', '/api/v1/namespaces/kube-system/secrets/one'), ('DELETE', f'{NODES}/w-9'), ('PUT', f'{CSRS}/csr-w1/approval'),
    ('POST', LEASES), ('PATCH', f'{NODES}/w-1'), ('GET', '/metrics'), ('DELETE', '/api/v1/namespaces/kube-system/pods/one'),
])
def test_what_a_reader_may_not(sides, method, path):
    body = None if method == 'GET' else {} if method == 'DELETE' else lease()
    ours, theirs = (side.ask(method, path, body, side.user('somebody', [READERS])) for side in sides)
    assert ours[0] == 403 and plain(ours) == plain(theirs)


def test_a_reader_reads_what_a_diagnosis_reads(sides):
    for side in sides:
        who = side.user('somebody', [READERS])
        for objects in OBJECTS:
            assert side.ask('GET', objects.path, who=who)[0] == 200, objects.kind
        for path in ('/readyz?verbose', '/version', '/livez'):
            assert side.ask('GET', path, who=who)[0] == 200, path


def test_who_is_not_known_is_told_nothing(sides):
    long_ago = datetime.now(timezone.utc) - timedelta(days=3)
    for who in ('expired', 'nobody'):
        ours, theirs = (side.ask('GET', NODES, who=side.nobody() if who == 'nobody' else side.user(
            'admin', ['system:masters'], not_before=long_ago, not_after=long_ago + timedelta(days=1))) for side in sides)
        assert ours[0] == 401 and ours == theirs, who
    with pytest.raises(RoleRefused) as caught:
        next(sides[1].nobody().pages(NODES, lambda: 30.0))
    assert caught.value.code == '401'
    with pytest.raises(NotFound):
        sides[1].user().get(f'{NODES}/none', 30)
    with pytest.raises(RoleRefused) as caught:
        sides[1].user('nobody-in-particular', []).get(f'{NODES}/w-1', 30)
    assert caught.value.code == '403'


@pytest.mark.parametrize('verb, group, resource', [
    ('delete', '', 'nodes'), ('list', '', 'nodes'), ('update', 'certificates.k8s.io', 'certificatesigningrequests')])
def test_who_may_is_reviewed_alike(sides, verb, group, resource):
    asked = {'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SelfSubjectAccessReview',
             'spec': {'resourceAttributes': {'verb': verb, 'group': group, 'resource': resource}}}
    for who in (('admin', None), ('somebody', [READERS]), ('another', [])):
        ours, theirs = (side.ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', asked, side.user(*who)) for side in sides)
        assert ours[0] == theirs[0] == 201 and ours[1]['status']['allowed'] == theirs[1]['status']['allowed'] and ours[1]['spec'] == theirs[1]['spec']
        assert set(ours[1]) <= set(theirs[1])


# -- what is too old ------------------------------------------------------------------------------------------------


def test_a_page_of_what_etcd_has_forgotten_is_refused(sides, plane):
    """410 Expired, as it meets who takes longer for a list than etcd remembers; our client takes no part for the whole."""
    tokens = [side.ask('GET', f'{NODES}?limit=2')[1]['metadata']['continue'] for side in sides]
    paths = [f'{NODES}?limit=2&continue={token}' for token in tokens]
    plane.admin.ask('PATCH', f'{NODES}/w-9', {'metadata': {'labels': {'probe': 'written'}}}, MERGE)
    plane.compact()
    sides[0].bed.model.kubernetes.compact()
    until(lambda: sides[1].ask('GET', paths[1])[0] == 410)
    said, told = (side.ask('GET', path) for side, path in zip(sides, paths))
    assert said[0] == 410 and plain(said) == plain(told)
    with pytest.raises(TalosError, match='answered 410: The provided continue parameter is too old'):
        sides[1].user().get(paths[1], 30)
    rest = [side.ask('GET', f'{NODES}?limit=2&continue={answer[1]["metadata"]["continue"]}') for side, answer in zip(sides, (said, told))]
    assert [[item['metadata']['name'] for item in answer[1]['items']] for answer in rest] == [['cp-3', 'w-1']] * 2
