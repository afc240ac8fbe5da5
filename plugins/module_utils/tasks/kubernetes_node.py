# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_kubernetes_node: a Node whose machine is gone is deleted, by its name and its uid.

The Node is kept as a file on the control node first. Where the task runs elsewhere its object is returned, and the action
writes the file, whatever became of the rest.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from urllib.parse import quote

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api import proxy as proxies
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    DeadlineExceeded, InputError, NodeUnreachable, NotFound, TalosError, TransportError,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import ready_evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import live, stale_node
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import objects
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import KINDS as KUBERNETES_KINDS
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, backups, judged, kube_access, section
from ansible_collections.talosops.talos.plugins.module_utils.tasks import kubeconfig_file as files

_KINDS = section.needs_of(check for check in CHECKS if check.id == 'kubelet.node_stale')[0] \
    | {'AddressStatuses', 'NodeAddresses', 'HostnameStatuses', 'Nodenames', 'Infos', *live.READS, *live.KUBERNETES}
READS = (*sorted(f'Kubernetes {kind}' if kind in KUBERNETES_KINDS else kind for kind in _KINDS), 'Kubernetes persistentvolumes',
         'Kubernetes volumeattachments')
NEEDS_ADMIN = ('Kubeconfig (unless a kubeconfig is given)',)
CHANGES = 'a Kubernetes Node'

BACKUP = 'backup_object'
_PATH = '/api/v1/nodes/'
_PVS = '/api/v1/persistentvolumes'
_ATTACHMENTS = '/apis/storage.k8s.io/v1/volumeattachments'
_CONNECT_SECONDS = 3.0
_WAYS_MOST = 2
_POLL = 2.0
_DIRECTLY = 'from here'
_DEAD = ('refused', 'timeout', 'no_route', 'resolve')


def run(params, check_mode, say):
    """See the module's RETURN; with C(backup_object) where the file belongs on another machine. Raises TalosError."""
    if params['verify_seconds'] < 0:
        raise InputError(f'verify_seconds must be a number of seconds, not {params["verify_seconds"]}.')
    here = access.of(params).directory is not None
    if here:
        backups.prepare(params, check_mode)
    params = kube_access.with_kubeconfig(params)
    snapshot = access.gather(params, say, set(_KINDS), set(section.GATE_LOGS))
    view, name, uid = View(snapshot, judged.settings(params)), params['name'], params['uid']
    if not view.kubernetes.read:
        raise TalosError(f'Whether there is a Node {name} was not read: {view.kubernetes.datum("nodes").why()}.')
    node = stale_node.node_of(view, name)
    result = {'changed': False, 'cluster': access.cluster_of(params), 'name': name, 'uid': uid, 'evidence': [], 'volumes': [], 'backup_file': None,
              'ran_on': access.here()}
    if node is None:
        return {**result, 'diff': _diff(name, None)}
    if node.get('uid') != uid:
        raise Refused(f'Node {name} has the uid {node.get("uid")}, not {uid}: it is another one than the one that was meant.',
                      'Look at it anew; a Node that was registered again is alive.')
    refused = stale_node.objections(view, node, (*access.of(params).context.nodes, *(params.get('nodes') or ())))
    if refused:
        raise _refusal(name, refused)
    answers = _probe(params, view, stale_node.addresses(node))
    lives = stale_node.alive(node, answers)
    if lives:
        raise _refusal(name, [lives])
    with kube_access.api(params, snapshot) as kube:
        volumes = stale_node.volumes(node, kube.listed(_ATTACHMENTS), kube.listed(_PVS))
        _need_consent(params, name, access.cluster_of(params), volumes)
        result.update(changed=True, evidence=_evidence(node, answers), volumes=volumes, diff=_diff(name, node))
        if check_mode:
            return result
        whole = kube.get(_PATH + quote(name, safe=''))
        _need_the_same(whole, node)
        if here:
            result['backup_file'] = _keep(whole, params)
        else:
            result[BACKUP] = whole
        try:
            _delete(kube, name, uid)
            _stays_away(kube, name, uid, params['verify_seconds'])
        except TalosError as error:
            return {**result, 'failed': True, 'msg': error.sentence()}
    return result


def keep_backup(result, params):
    """What C(run) would have returned here, from what it returned elsewhere."""
    return {**{key: value for key, value in result.items() if key != BACKUP}, 'backup_file': _keep(result[BACKUP], params)}


def _keep(whole, params):
    """The file that the Node was written to, 0600."""
    made = re.sub(r'[^A-Za-z0-9.-]', '_', f'node-{params["name"]}-{whole["metadata"]["uid"]}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}')
    path = os.path.join(params['backup_dir'], f'{made}.json')
    files.put(path, json.dumps({'apiVersion': 'v1', 'kind': 'Node', **whole}, indent=2).encode() + b'\n', None)
    return path


def _refusal(name, reasons):
    return Refused(f'Node {name} is not deleted. {" ".join(reasons)}')


def _need_consent(params, name, cluster, volumes):
    if not volumes:
        return
    sentence = f'delete node {name} of {cluster} with {len(volumes)} volumes'
    if sentence not in (params.get('confirm') or ()):
        raise Refused(f'Node {name} is not deleted, because volumes are attached to it or local to it: {", ".join(volumes[:6])}'
                      f'{" and more" if len(volumes) > 6 else ""}.', f'Where their data may be lost, say so: confirm: ["{sentence}"]')


def _need_the_same(whole, judged_):
    """Right before it is deleted: it is the Node that was judged, and nothing has been heard of it since."""
    now = objects.node(whole)
    ready = [[(c.get('status'), c.get('lastTransitionTime')) for c in each.get('conditions') or [] if c.get('type') == 'Ready'] for each in (now, judged_)]
    if now['uid'] != judged_['uid'] or ready[0] != ready[1]:
        raise Refused(f'Node {now["name"]} has changed since it was judged.', 'Run the task again.')


def _delete(kube, name, uid):
    """Sent once. Raises TalosError."""
    body = {'apiVersion': 'v1', 'kind': 'DeleteOptions', 'preconditions': {'uid': uid}}
    try:
        kube.send('DELETE', _PATH + quote(name, safe=''), body)
    except NotFound:
        pass


def _stays_away(kube, name, uid, seconds):
    """Raises TalosError where the Node is there still, or again, within these seconds."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = kube.get(_PATH + quote(name, safe=''))
        except NotFound:
            found = None
        if found and found['metadata'].get('uid') == uid and not found['metadata'].get('deletionTimestamp'):
            raise TalosError(f'Node {name} is there still: its deletion did not reach the API.', 'Run the task again.')
        if found and found['metadata'].get('uid') != uid:
            raise TalosError(f'Node {name} was deleted, and has registered again: its machine is alive.', 'Find that machine before anything else is deleted.')
        if time.monotonic() >= end:
            if found:
                raise TalosError(f'Node {name} is being deleted still, held by {", ".join(found["metadata"].get("finalizers") or ["nobody"])}.')
            return
        time.sleep(min(_POLL, max(0.0, end - time.monotonic())))


# -- does anything answer there? ------------------------------------------------------------------------------------


def _probe(params, view, addresses):
    """[(address, port, how it was asked, what came or None)]: from here, and through control plane nodes."""
    found = access.of(params)
    seconds = min(access.seconds(params)[0], _CONNECT_SECONDS)
    with Client(found.context, endpoints=params.get('endpoints') or None, proxy=params.get('proxy'), timeout=seconds, tmp_dir=found.tmp_dir) as client:
        planes = {machine.key: machine.label for machine in view.answering_control_planes if machine.key not in view.elsewhere}
        through = {one.text: planes[one.machine] for one in view.snapshot.endpoints if one.connected and one.machine in planes}
        ways = [(one, through[one.text]) for one in client.endpoints if one.text in through][:_WAYS_MOST]
        asked = [(address, port, _DIRECTLY, lambda address=address, port=port: _direct(client, found.context, params, address, port, seconds))
                 for address in addresses for port in stale_node.PORTS]
        asked += [(address, stale_node.PORTS[0], f'through {label}', lambda address=address, way=way: _through(client, way, address))
                  for address in addresses for way, label in ways]
        with ThreadPoolExecutor(max(1, len(asked)), 'talos-probe') as pool:
            futures = [(address, port, how, pool.submit(call)) for address, port, how, call in asked]
            told = [(address, port, how, *future.result()) for address, port, how, future in futures]
    return [(address, port, how, what) for address, port, how, tried, what in told if tried]


def _direct(client, context, params, address, port, seconds):
    """(whether it could be tried, what came or None); a machine that takes a connection is there, whatever it says then."""
    place = endpoints_.parse(endpoints_.join(address, port))
    if proxies.choose(place, params.get('proxy'), context.proxy_url) is None:
        try:
            socket.create_connection((address, port), seconds).close()
        except OSError:
            return True, None
        return True, 'the connection was taken'
    if port != stale_node.PORTS[0]:
        return False, None
    try:
        client.look(place, seconds)
    except TransportError as error:
        return error.kind != 'proxy', None if error.kind in (*_DEAD, 'proxy') else error.message.rstrip('.')
    return True, 'it served a certificate'


def _through(client, way, address):
    """The same, as a control plane node sees it."""
    try:
        client.node(address, via=way).unary('/machine.MachineService/Version')
    except (NodeUnreachable, DeadlineExceeded):
        return True, None
    except TransportError:
        return False, None
    except TalosError as error:
        return True, error.message.rstrip('.')
    return True, 'Version was answered'


# -- words ----------------------------------------------------------------------------------------------------------


def _evidence(node, answers):
    ready = ready_evidence(node)
    told = [f'{ready.text} (since {ready.at})'] if ready.at else [ready.text]
    return told + [f'nothing answers on {address}, port {port}, asked {how}' for address, port, how, _what in answers]


def _diff(name, node):
    before = '' if node is None else ''.join(f'{line}\n' for line in (
        f'name: {name}', f'uid: {node.get("uid")}', f'labels: {", ".join(sorted(node.get("labels") or {}))}',
        f'taints: {", ".join(str(taint.get("key")) for taint in node.get("taints") or [])}'))
    return {'before_header': f'Node {name}', 'after_header': f'Node {name}', 'before': before, 'after': ''}
