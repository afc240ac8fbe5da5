# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of the simulated Kubernetes API: selectors, pages, and objects that are only counted (k8s.object_counts)."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta

from tests.simulator.kubernetes_objects import Refusal, metadata, time
from tests.simulator.kubernetes_store import RESOURCES, Resource

_MOST = 100_000
# The revision of a token with which a list goes on in what there is now.
_NOW = -1
_LABEL = re.compile(r'^(?P<key>[^!=\s]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>\S*)|\s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?$')
_EXPIRED = ('The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue '
            'parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token '
            'results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned '
            'and now may show up in the list.')
# The types that can be counted without their group.
_GROUPS = {
    **dict.fromkeys(('configmaps', 'endpoints', 'persistentvolumeclaims', 'persistentvolumes', 'secrets', 'serviceaccounts', 'services'), ''),
    **dict.fromkeys(('controllerrevisions', 'replicasets', 'statefulsets'), 'apps'), **dict.fromkeys(('jobs', 'cronjobs'), 'batch'),
    'endpointslices': 'discovery.k8s.io', 'customresourcedefinitions': 'apiextensions.k8s.io', 'volumeattachments': 'storage.k8s.io',
    **{name: group for group, name in RESOURCES},
}
_KINDS = {'endpoints': 'Endpoints', 'configmaps': 'ConfigMap', 'serviceaccounts': 'ServiceAccount', 'endpointslices': 'EndpointSlice'}


def resources(model):
    """Every served type of a cluster by group and name: those with objects of their own, and those that are counted."""
    found = dict(RESOURCES)
    for told in model.state['k8s'].get('object_counts') or {}:
        name, _dot, group = told.partition('.')
        group = group or _GROUPS.get(name, '')
        kind = _KINDS.get(name, name.removesuffix('s').capitalize())
        cluster_wide = name in ('customresourcedefinitions', 'persistentvolumes', 'volumeattachments')
        found.setdefault((group, name), Resource(group, name, kind, lambda _model: [], not cluster_wide))
    return found


def count(model, resource, real):
    """How many objects of this type there are; C(real) of them are more than a number."""
    counts = model.state['k8s'].get('object_counts') or {}
    return max(real, int(counts.get(resource.full_name, counts.get(resource.name, 0))))


def listed(model, resource, namespace, query):
    """The List object that answers a query. Raises Refusal."""
    store = model.kubernetes
    items = store.objects(resource, namespace)
    fields, labels = _one(query, 'fieldSelector'), _one(query, 'labelSelector')
    chosen = [item for item in items if _fields_match(resource, item, fields) and _labels_match(item, labels)]
    counted = 0 if fields or labels or namespace not in (None, 'default') else count(model, resource, len(chosen)) - len(chosen)
    total = len(chosen) + counted
    limit = _number(query, 'limit')
    start, revision = _started(store, _one(query, 'continue'))
    end = min(start + limit, total) if limit else total
    if end - start > _MOST:
        raise Refusal(504, 'Timeout', 'Timeout: request did not complete within the requested timeout - context deadline exceeded', {})
    page = chosen[start:end] + [_counted(model, resource, number) for number in range(max(start - len(chosen), 0), end - len(chosen))]
    answer = {'resourceVersion': str(revision)}
    if end < total:
        answer['continue'] = _token(revision, end)
        if not fields and not labels:
            answer['remainingItemCount'] = total - end
    return {'kind': f'{resource.kind}List', 'apiVersion': resource.api_version, 'metadata': answer, 'items': page}


def _counted(model, resource, number):
    """An object of which nothing matters but that it is there."""
    name = f'{resource.kind.lower()}-{number:08d}'
    born = model.clock.wall - timedelta(days=1)
    item = {'metadata': metadata(model, name, born, 'default' if resource.namespaced else None, seed=f'{resource.full_name}/{name}')}
    item['metadata']['resourceVersion'] = '1000'
    if resource.kind == 'Pod':
        item |= {'spec': {'containers': []}, 'status': {'phase': 'Succeeded', 'conditions': [], 'containerStatuses': []}}
    if resource.kind == 'Event':
        about = {'kind': 'Pod', 'namespace': 'default', 'name': f'pod-{number:08d}', 'apiVersion': 'v1'}
        item |= {'involvedObject': about, 'reason': 'Created', 'message': 'Container created', 'source': {'component': 'kubelet'},
                 'firstTimestamp': time(born), 'lastTimestamp': time(born), 'count': 1, 'type': 'Normal', 'eventTime': None,
                 'reportingComponent': 'kubelet', 'reportingInstance': ''}
    return item


def _one(query, key):
    return (query.get(key) or [''])[0]


def _number(query, key):
    try:
        return max(int(_one(query, key) or 0), 0)
    except ValueError:
        raise Refusal(400, 'BadRequest', f'strconv.ParseInt: parsing "{_one(query, key)}": invalid syntax') from None


def _token(revision, start):
    return base64.urlsafe_b64encode(json.dumps({'v': 'meta.k8s.io/v1', 'rv': revision, 'start': start}).encode()).decode().rstrip('=')


def _started(store, token):
    """(first item, revision) of a page."""
    if not token:
        return 0, store.revision
    try:
        said = json.loads(base64.urlsafe_b64decode(token + '=' * (-len(token) % 4)))
        start, revision = int(said['start']), int(said['rv'])
    except (ValueError, KeyError, TypeError):
        raise Refusal(400, 'BadRequest', 'invalid continue token: continue key is not valid: illegal base64 data at input byte 0') from None
    if revision == _NOW:
        return start, store.revision
    if revision < store.compacted:
        refusal = Refusal(410, 'Expired', _EXPIRED)
        refusal.body['metadata'] = {'continue': _token(_NOW, start)}
        raise refusal
    return start, revision


def _fields_match(resource, item, selector):
    for term in filter(None, selector.split(',')):
        key, negated, wanted = _equality(term)
        if key not in ('metadata.name', *(('metadata.namespace',) if resource.namespaced else ()), *resource.fields):
            raise Refusal(400, 'BadRequest', f'field label not supported: {key}')
        value = item
        for part in key.split('.'):
            value = value.get(part, '') if isinstance(value, dict) else ''
        text = str(value).lower() if isinstance(value, bool) else str(value or ('false' if key == 'spec.unschedulable' else ''))
        if (text == wanted) == negated:
            return False
    return True


def _equality(term):
    """(key, whether negated, value) of a = b, a == b, a != b."""
    key, equals, value = term.partition('=')
    if not equals:
        raise Refusal(400, 'BadRequest', f"invalid selector: '{term}'; can't understand '{term}'")
    return key.rstrip('!').strip(), key.endswith('!'), value.lstrip('=').strip()


def _labels_match(item, selector):
    labels = item['metadata'].get('labels') or {}
    for term in filter(None, re.split(r',\s*(?![^(]*\))', selector)):
        match = _LABEL.match(term.strip().lstrip('!').strip())
        if not match:
            raise Refusal(400, 'BadRequest', f"unable to parse requirement: found '{term.split()[-1]}', expected: in, notin, =, ==, !=, gt, lt")
        value = labels.get(match['key'])
        if match['set']:
            named = value in [part.strip() for part in match['values'].split(',')]
            holds = named if match['set'] == 'in' else not named
        elif match['op']:
            holds = (value == match['value']) != (match['op'] == '!=')
        else:
            holds = (value is not None) != term.strip().startswith('!')
        if not holds:
            return False
    return True
