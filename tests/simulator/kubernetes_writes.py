# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes on the simulated Kubernetes API: create, update, patch, delete, and the approval of certificate signing requests."""

from __future__ import annotations

import copy
import json

from tests.simulator import kubernetes_csrs, kubernetes_leases, kubernetes_protobuf
from tests.simulator.kubernetes_nodes import UNKNOWN, readiness
from tests.simulator.kubernetes_objects import Refusal, metadata, suffix, time
from tests.simulator.kubernetes_store import RESOURCES, about, invalid, merged

_MERGES = ('application/merge-patch+json', 'application/strategic-merge-patch+json')
_JSON_PATCH = 'application/json-patch+json'
_CHANGED = 'the object has been modified; please apply your changes to the latest version and try again'
_FIXED = ('name', 'namespace', 'uid', 'creationTimestamp', 'generateName', 'generation', 'resourceVersion')


def typed(resource, item):
    """An object as it is answered alone: with its kind, which lists leave out."""
    return {'kind': resource.kind, 'apiVersion': resource.api_version, **item}


def write(model, verb, target, request, query):
    """(status, body) of a write. Raises Refusal. C(dryRun=All) does everything but the writing."""
    body = body_of(request, target.resource.kind)
    options = body if verb == 'delete' and request.body else query  # DeleteOptions, where they are sent, are all of them
    dry = isinstance(options, dict) and options.get('dryRun') == ['All']
    named = (body.get('metadata') or {}).get('name') if verb == 'update' and isinstance(body, dict) else None
    if named not in (None, target.name):
        raise Refusal(400, 'BadRequest', f'the name of the object ({named}) does not match the name on the URL ({target.name})')
    if verb == 'create' and target.subresource is None:
        return _create(model, target, body, dry)
    if verb == 'create':
        return _evict(model, target, body, dry)
    if verb == 'update' and kubernetes_leases.made_by_update(model, target, body):
        return _create(model, target, {**body, 'metadata': {**(body.get('metadata') or {}), 'name': target.name}}, dry)
    old = model.kubernetes.get(target.resource, target.namespace, target.name)
    if verb == 'delete':
        return _delete(model, target, old, body if isinstance(body, dict) else {}, dry)
    new = _patched(old, body, request.headers) if verb == 'patch' else body
    return 200, typed(target.resource, _change(model, target, old, new, dry))


def body_of(request, kind='object'):
    """What was sent, {} for nothing. Raises Refusal for what is no JSON, nor protobuf of a kind that is read."""
    if not request.body:
        return {}
    if request.headers.get('content-type') == kubernetes_protobuf.TYPE:
        found = kubernetes_protobuf.loads(request.body)
        if found is not None:
            return found
    if 'json' not in request.headers.get('content-type', 'json'):
        raise Refusal(415, 'UnsupportedMediaType', 'the body of the request was in an unknown format - accepted media types include: '
                      'application/json', {})
    try:
        return json.loads(request.body)
    except ValueError:
        raise Refusal(400, 'BadRequest', f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: "
                      f'unexpected end of JSON input ({request.body.decode("utf-8", "replace")})') from None


def _need_writes(model, dry):
    refused = None if dry else model.kubernetes.writes_refused
    if refused:
        raise Refusal(500, None, refused)


def _create(model, target, body, dry):
    resource, given = target.resource, body.get('metadata') or {}
    name = given.get('name') or (given['generateName'] + suffix(f'{model.kubernetes.revision}') if given.get('generateName') else None)
    if not name:
        raise invalid(resource, None, 'metadata.name', 'Required value: name or generateName is required')
    spaces = [item['metadata']['name'] for item in RESOURCES['', 'namespaces'].build(model)]
    if target.namespace and target.namespace not in spaces:
        raise Refusal(404, 'NotFound', f'namespaces "{target.namespace}" not found', about(RESOURCES['', 'namespaces'], target.namespace))
    seed = f'{resource.name}/{name}/{model.kubernetes.revision}'
    made = metadata(model, name, model.clock.now(), target.namespace, given.get('generateName'), seed=seed)
    kept = {key: value for key, value in given.items() if key not in _FIXED}
    item = {key: value for key, value in body.items() if key not in ('kind', 'apiVersion')} | {'metadata': {**made, **kept}}
    kubernetes_leases.check(target, name, item)
    if dry:
        return 201, typed(resource, item)
    _need_writes(model, dry)
    model.kubernetes.create(resource, item)
    return 201, typed(resource, model.kubernetes.get(resource, target.namespace, name))


def _evict(model, target, body, dry):
    """The eviction subresource of a pod, with which Nodes are drained."""
    if target.subresource != 'eviction' or target.resource.kind != 'Pod':
        raise Refusal(404, 'NotFound', 'the server could not find the requested resource', {})
    pod = model.kubernetes.get(target.resource, target.namespace, target.name)
    _delete(model, target, pod, body.get('deleteOptions') or {}, dry)
    return 201, {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Success', 'code': 201}


def _delete(model, target, old, options, dry):
    conditions = options.get('preconditions') or {}
    for key, word in (('uid', 'UID'), ('resourceVersion', 'ResourceVersion')):
        wanted, is_now = conditions.get(key), old['metadata'][key]
        if wanted not in (None, is_now):
            end = 'deleted and then recreated' if key == 'uid' else 'modified'
            text = f'the {word} in the precondition ({wanted}) does not match the {word} in record ({is_now}). The object might have been {end}'
            raise _precondition(target, text)
    _need_writes(model, dry)
    if target.resource.kind == 'Pod' and options.get('gracePeriodSeconds') != 0 and _nobody_ends_it(model, old):
        new = copy.deepcopy(old)
        new['metadata'] |= {'deletionTimestamp': time(model.clock.now()), 'deletionGracePeriodSeconds': 30}
        if not dry:
            model.kubernetes.change(target.resource, old, new)
        return 200, typed(target.resource, new)
    if not dry:
        model.kubernetes.delete(target.resource, old)
    if target.resource.kind == 'Pod':
        return 200, typed(target.resource, old)
    return 200, {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Success',
                 'details': {**about(target.resource, target.name), 'uid': old['metadata']['uid']}}


def _nobody_ends_it(model, pod):
    """Whether the pod's kubelet is silent: then a pod stays, marked as to be deleted."""
    listed = model.kubernetes_nodes.get(pod['spec'].get('nodeName'))
    return listed is not None and readiness(model, listed)[0] == UNKNOWN


def _patched(old, patch, headers):
    """C(old) with a patch applied; strategic merge patches as merge patches, so their lists replace."""
    kind = headers.get('content-type', '').partition(';')[0]
    if kind in _MERGES and isinstance(patch, dict):
        return merged(old, patch)
    if kind == _JSON_PATCH and isinstance(patch, list):
        new = copy.deepcopy(old)
        for step in patch:
            _step(new, step)
        return new
    raise Refusal(415, 'UnsupportedMediaType', 'the body of the request was in an unknown format - accepted media types include: '
                  f'{_JSON_PATCH}, {", ".join(_MERGES)}', {})


def _step(document, step):
    """One operation of a JSON patch: add, replace, remove, test."""
    *parents, last = [part.replace('~1', '/').replace('~0', '~') for part in step['path'].split('/')[1:]]
    try:
        for part in parents:
            document = document[int(part)] if isinstance(document, list) else document[part]
        key = int(last) if isinstance(document, list) and last != '-' else last
        if step['op'] == 'add' and isinstance(document, list):
            document.insert(len(document) if last == '-' else key, step['value'])
        elif step['op'] == 'add':
            document[key] = step['value']
        elif step['op'] == 'remove':
            del document[key]
        elif step['op'] == 'replace':
            _old, document[key] = document[key], step['value']
        elif document[key] != step['value']:
            raise ValueError
    except (KeyError, IndexError, ValueError, TypeError):
        raise Refusal(422, 'Invalid', f'the server rejected our request due to an error in our request: {step["op"]} {step["path"]}', {}) from None


def _change(model, target, old, new, dry):
    """The object after an update; each subresource writes its own part of it, and no other."""
    resource, given = target.resource, new.get('metadata') or {}
    if given.get('uid') not in (None, old['metadata']['uid']):
        raise _conflict(target, f'Precondition failed: UID in precondition: {given["uid"]}, UID in object meta: {old["metadata"]["uid"]}')
    if given.get('resourceVersion') not in (None, '', old['metadata']['resourceVersion']):
        raise _conflict(target, _CHANGED)
    fixed = {key: old['metadata'][key] for key in _FIXED if key in old['metadata']}
    if target.subresource in ('status', 'approval'):
        result = {**old, 'status': copy.deepcopy(new.get('status') or {})}
    elif target.subresource is None:
        kept = {'status': old['status']} if resource.has_status and 'status' in old else {}
        result = {**{key: value for key, value in new.items() if key not in ('kind', 'apiVersion')}, 'metadata': {**given, **fixed}, **kept}
    else:
        raise Refusal(404, 'NotFound', 'the server could not find the requested resource', {})
    kubernetes_leases.check(target, target.name, result, given.get('resourceVersion'))
    if target.subresource == 'approval':
        _approve(model, target, old, result)
    _need_writes(model, dry)
    if dry:
        return result
    model.kubernetes.change(resource, old, result)
    if target.subresource == 'approval' and result['status'].get('certificate') and not old['status'].get('certificate'):
        model.kubernetes.certified(result['spec']['username'])
    return model.kubernetes.get(resource, target.namespace, target.name)


def _approve(model, target, old, new):
    """What the approval subresource takes, and the certificate that follows."""
    if target.resource.kind != 'CertificateSigningRequest':
        raise Refusal(404, 'NotFound', 'the server could not find the requested resource', {})
    now = time(model.clock.now())
    new['status'] = {**old['status'], 'conditions': [
        {'status': 'True', 'lastUpdateTime': now, 'lastTransitionTime': now, **one} for one in new['status'].get('conditions') or ()]}
    kinds = {one.get('type') for one in new['status']['conditions']}
    before = {one.get('type') for one in old['status'].get('conditions') or ()}
    if {'Approved', 'Denied'} <= kinds or before - kinds:
        text = (f'CertificateSigningRequest.certificates.k8s.io "{target.name}" is invalid: status.conditions: Invalid value: conditions of type '
                '"Approved" and "Denied" exclude each other and cannot be removed')
        raise Refusal(422, 'Invalid', text, about(target.resource, target.name))
    kubernetes_csrs.settle(model, new)
    if not new['status']['conditions']:
        del new['status']['conditions']


def _precondition(target, text):
    """A conflict with what a deletion asks for, which names the kind where others name the resource."""
    kind, group = target.resource.kind, target.resource.group
    return Refusal(409, 'Conflict', f'Operation cannot be fulfilled on {kind}{f".{group}" if group else ""} "{target.name}": {text}',
                   {**about(target.resource, target.name), 'kind': kind})


def _conflict(target, text):
    return Refusal(409, 'Conflict', f'Operation cannot be fulfilled on {target.resource.full_name} "{target.name}": {text}',
                   about(target.resource, target.name))
