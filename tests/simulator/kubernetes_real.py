# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario's objects in a real Kubernetes API: what the simulated one would serve is created there, and made as old as it is.

Requests are made by whom they are from, and approved and denied as people do it; the API itself refuses what cannot be. How
old an object is no API takes: that is told to etcd, where the API server keeps it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

from tests.simulator import kubernetes_csrs, kubernetes_nodes
from tests.simulator.kubernetes_client import MERGE, Refused
from tests.simulator.kubernetes_store import RESOURCES
from tests.simulator.resources import kubernetes_names
from tests.simulator.scenario import ScenarioError
from tests.tools import programs

CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
_OLDER_THAN = timedelta(seconds=2)
_KINDS = (('apps', 'daemonsets'), ('apps', 'deployments'), ('', 'pods'), ('', 'events'))
_REGISTRY = {'nodes': 'minions'}
_AGED = (*_KINDS, ('', 'nodes'), ('certificates.k8s.io', 'certificatesigningrequests'))
_TRIES = 5
_SIGNED_WITHIN = 60.0
_POLL = 0.05
_AT_ONCE = 6
_NODES_MOST = 30


def version():
    """The version of the programs, as Kubernetes writes it."""
    return 'v' + '.'.join(map(str, programs.version('kube-apiserver')))


def of_the_programs(scenario):
    """A scenario with the version of the programs, where it names another patch of the same release."""
    state = copy.deepcopy(scenario.state)
    if state['versions']['kubernetes'].split('.')[:2] == version().split('.')[:2]:
        state['versions']['kubernetes'] = version()
    return dataclasses.replace(scenario, state=state)


def served_names(model):
    """(DNS names, addresses) of the one certificate that stands for those of all control plane nodes."""
    listed = [kubernetes_names(node) for node in model.control_planes]
    return {name for dns, _ips in listed for name in dns}, {address for _dns, ips in listed for address in ips}


def why_not(model, shared):
    """Why no real Kubernetes can be brought into this state, as one sentence, or None. C(shared): its etcd is not the scenario's."""
    told, setup = model.state['k8s'], model.setup
    listed = {name: kubernetes_nodes.details(said) for name, said in (told.get('nodes') or {}).items()}
    asked = model.state['versions']['kubernetes']
    for key in ('reads', 'writes'):
        if told.get(key) not in (None, 'ok'):
            return f'state.k8s.{key}: a real API says itself what it refuses.'
    if told.get('object_counts'):
        return 'state.k8s.object_counts: nobody makes so many objects.'
    if len(model.kubernetes_nodes) > _NODES_MOST:
        return f'state.topology: a real Kubernetes is given {_NODES_MOST} Nodes at most.'
    flapping = next((name for name, said in listed.items() if said.get('flapping')), None)
    if flapping:
        return f'state.k8s.nodes.{flapping}.flapping: no real Node changes as often as one looks.'
    if setup.get('control_node_clock'):
        return 'state.setup.control_node_clock: a real API server has the clock of this machine.'
    if asked != version():
        return f'state.versions.kubernetes: {asked} is another release than that of the programs, {version()}.'
    planes = [node for node in model.control_planes if model.kubernetes_api(node) == 'up']
    if len({_names_of_all(node) for node in planes}) > 1:
        return 'The certificates of these API servers differ by more than their machines; the real one has one certificate for all.'
    if shared and planes:
        silent = next((node.name for node in planes if not model.is_kubernetes_ready(node)), None)
        if silent:
            return f'state.etcd: the API server of {silent} has no etcd that answers; the real one has.'
        if model.kubernetes.writes_refused:
            return 'state.etcd.alarms: this etcd takes no writes; the real one does.'
    return None


def _names_of_all(node):
    """What the certificate of an API server names beside its own machine."""
    dns, ips = kubernetes_names(node)
    own = {node.hostname, node.short_name, *(prefix.split('/')[0] for prefix in node.routed_no_k8s)}
    return tuple(sorted({*dns, *ips} - own | ({node.model.vip} & {*ips})))


class Bringer:
    """Brings the objects of a model into a L(ControlPlane). C(kubelets) {user name: L(kubelets.Kubelet)}."""

    def __init__(self, model, plane, kubelets):
        self.model = model
        self.plane = plane
        self.admin = plane.admin
        self.kubelets = kubelets
        self._same = {}
        self._known = set()

    def bring(self):
        """Raises ScenarioError, with what the API says to it."""
        try:
            self._namespaces()
            self._nodes()
            self._accounts()
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for key in _KINDS:
                    list(pool.map(lambda item, resource=RESOURCES[key]: self._create(resource, item), RESOURCES[key].build(self.model)))
                list(pool.map(lambda _number: self.admin.close(), range(_AT_ONCE)))
            requests = [item for _told, item in self._requests()]
            for item in requests:
                self._request(item)
            for item in requests:
                if item['status'].get('certificate'):
                    self._signed(item['metadata']['name'])
        except Refused as error:
            raise ScenarioError(f'The state cannot be brought into a real Kubernetes: {error}') from error
        self._age()

    def _namespaces(self):
        for item in RESOURCES['', 'namespaces'].build(self.model):
            self._once(f'/api/v1/namespaces/{item["metadata"]["name"]}', {'metadata': {'name': item['metadata']['name']}})

    def _accounts(self):
        """Those as whom pods run."""
        for space, account in {(item['metadata']['namespace'], item['spec'].get('serviceAccountName') or 'default')
                               for item in RESOURCES['', 'pods'].build(self.model)}:
            self._once(f'/api/v1/namespaces/{space}/serviceaccounts/{account}', {'metadata': {'name': account}})

    def _once(self, path, body):
        """An object that stays from one scenario to the next."""
        if path not in self._known and not self.admin.has(path):
            self.admin.ask('POST', path.rpartition('/')[0], body)
        self._known.add(path)

    def _nodes(self):
        for name, listed in self.model.kubernetes_nodes.items():
            self.register(name, listed)

    def register(self, name, listed, by=None):
        """A Node with its status and its Lease; C(by): the kubelet's own way to the API, where one runs."""
        item = kubernetes_nodes.node(self.model, name, listed)
        plain = {'metadata': {'name': name, 'labels': {key: value for key, value in item['metadata']['labels'].items() if 'node-role' not in key
                                                       and 'exclude-from' not in key}}}
        made = (by or self.admin).ask('POST', '/api/v1/nodes', plain)
        self._same[item['metadata']['uid']] = made['metadata']['uid']
        given = {key: value for key, value in item['metadata'].items() if key in ('labels', 'annotations')}
        made = self.admin.ask('PATCH', f'/api/v1/nodes/{name}', {'metadata': given, 'spec': {'taints': None, **item['spec']}}, MERGE)
        (by or self.admin).ask('PUT', f'/api/v1/nodes/{name}/status', {**unversioned(made), 'status': item['status']})
        lease = kubernetes_nodes.lease(self.model, name, listed)
        lease['metadata'] = {'name': name, 'ownerReferences': self._true(lease['metadata']['ownerReferences'])}
        (by or self.admin).ask('POST', LEASES, lease)

    def _true(self, value):
        """The uids that the objects have in the real API instead of the simulated ones'."""
        text = json.dumps(value)
        for simulated, real in list(self._same.items()):
            text = text.replace(simulated, real)
        return json.loads(text)

    def _create(self, resource, item):
        meta, space = item['metadata'], item['metadata'].get('namespace')
        base = f'/apis/{resource.group}/v1' if resource.group else '/api/v1'
        path = f'{base}/namespaces/{space}/{resource.name}' if space else f'{base}/{resource.name}'
        kept = {key: value for key, value in meta.items() if key in ('name', 'namespace', 'labels', 'annotations', 'ownerReferences', 'generateName')}
        body = self._true({**item, 'metadata': kept})
        made = self.admin.ask('POST', path, body)
        self._same[meta['uid']] = made['metadata']['uid']
        if resource.has_status:
            self.admin.ask('PUT', f'{path}/{meta["name"]}/status', {**unversioned(made), 'status': body['status']})

    def _requests(self):
        """[(what is said of it, the object)]: a kubelet's have keys of its own."""
        told = self.model.state['k8s'].get('csrs') or ()
        for one in told:
            if one.get('username') in self.kubelets and one.get('signer', kubernetes_csrs.SERVING) == kubernetes_csrs.SERVING:
                self.kubelets[one['username']].asks(one)
        return kubernetes_csrs.told_csrs(self.model)

    def _request(self, item):
        """A certificate signing request, made by its user, and what became of it."""
        spec, name = item['spec'], item['metadata']['name']
        user, groups = spec['username'], [group for group in spec['groups'] if group != 'system:authenticated']
        if not groups:
            self._may_request(user)
        way = self.kubelets[user].api if user in self.kubelets else self.plane.api(user, groups)
        made = way.ask('POST', CSRS, {'metadata': {'name': name}, 'spec': {key: spec[key] for key in ('request', 'signerName', 'usages')}})
        if user not in self.kubelets:
            way.close()
        self._same[item['metadata']['uid']] = made['metadata']['uid']
        conditions = [one for one in item['status'].get('conditions') or () if one['type'] in ('Approved', 'Denied')]
        if conditions:
            made = self.admin.ask('PUT', f'{CSRS}/{name}/approval', {**unversioned(made), 'status': {'conditions': conditions}})
        failed = [one for one in item['status'].get('conditions') or () if one['type'] == 'Failed']
        if failed:
            self.admin.ask('PUT', f'{CSRS}/{name}/status', {**unversioned(made), 'status': {'conditions': [*conditions, *failed]}})

    def _signed(self, name):
        """Wait until the controller manager has signed a request. Raises ScenarioError where it says why it does not."""
        end = time.monotonic() + _SIGNED_WITHIN
        while time.monotonic() < end:
            status = self.admin.get(f'{CSRS}/{name}')['status']
            failed = next((one for one in status.get('conditions') or () if one['type'] == 'Failed'), None)
            if failed:
                raise ScenarioError(f'state.k8s.csrs: the controller manager does not sign {name}: {failed["message"]}.')
            if status.get('certificate'):
                return
            time.sleep(_POLL)
        raise ScenarioError(f'state.k8s.csrs: nobody signed {name} within {_SIGNED_WITHIN:.0f} s.')

    def _may_request(self, user):
        """Somebody who is neither a kubelet nor about to be one was given the right to make requests."""
        name = f'requests-of-{"".join(each if each.isalnum() else "-" for each in user.lower())}'
        self._once(f'/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}', {
            'metadata': {'name': name}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'system:node-bootstrapper'},
            'subjects': [{'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'User', 'name': user}]})

    def _age(self):
        """Every object is as old as the scenario has it."""
        wanted = {}
        for key in _AGED:
            for item in RESOURCES[key].build(self.model):
                space = item['metadata'].get('namespace')
                where = _REGISTRY.get(key[1], key[1])
                wanted['/'.join(filter(None, ('/registry', where, space, item['metadata']['name'])))] = item['metadata']['creationTimestamp']
        keys = self.plane.keys()
        try:
            for _try in range(_TRIES):
                changes = []
                for where in {key.split('/')[2] for key in wanted}:
                    for key, value, revision in keys.below(f'/registry/{where}/'):
                        document = json.loads(value)
                        if key in wanted and _is_older(wanted[key], document['metadata']['creationTimestamp']):
                            document['metadata']['creationTimestamp'] = wanted[key]
                            changes.append((key, json.dumps(document).encode(), revision))
                if keys.replace(changes):
                    return
        finally:
            keys.close()
        raise ScenarioError('The objects of the real Kubernetes could not be made as old as they are: others write them all the time.')


def unversioned(item):
    """An object as it is written over whatever a controller has made of it meanwhile."""
    return {**item, 'metadata': {key: value for key, value in item['metadata'].items() if key != 'resourceVersion'}}


def _is_older(wanted, made):
    return _time(made) - _time(wanted) > _OLDER_THAN


def _time(text):
    return datetime.fromisoformat(text.replace('Z', '+00:00')).astimezone(timezone.utc)
