# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario files: read with line numbers, checked against the vocabulary, defaults filled in, addresses mapped."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.simulator import faults, values, vocabulary

DEFAULTS = """
versions: {talos: v1.14.3, kubernetes: v1.36.4}
network: {pod: [10.244.0.0/16], service: [10.96.0.0/12], cni: flannel, endpoint: "https://10.5.0.10:6443", vip: 10.5.0.10, vip_holder: cp-1}
topology: {cp: {cp-1: 10.5.0.11, cp-2: 10.5.0.12, cp-3: 10.5.0.13}, workers: {w-1: 10.5.0.21, w-2: 10.5.0.22}}
services_cp: {apid: [Running, OK], containerd: [Running, OK], cri: [Running, OK], dashboard: [Running, "?"], etcd: [Running, OK],
  kubelet: [Running, OK], machined: [Running, OK], syslogd: [Running, OK], trustd: [Running, OK], udevd: [Running, OK]}
services_worker: {apid: [Running, OK], containerd: [Running, OK], cri: [Running, OK], dashboard: [Running, "?"], kubelet: [Running, OK],
  machined: [Running, OK], syslogd: [Running, OK], udevd: [Running, OK]}
machine_status: {stage: running, ready: true, unmet: []}
uptime: 40d
time: {offset_ms: 12, synced: true}
memory_mib: {cp: 7900, worker: 7900}
ephemeral: {size_gib: 100, used_pct: 30}
foreign: {}
etcd: {learners: [], db_mb: 52, in_use_mb: 31, quota_mb: 2048, raft_term: 7, alarms: []}
discovery: {}
nodes: {}
k8s: {api: up}
diagnostics: []
machine_config: {}
faults: {}
setup: {}
client: {role: "os:admin", cert_expires_days: 300, context_matches_cluster: true}
backup: {last_etcd_snapshot: "-6h", verified: true}
lines: []
"""

_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
# Names of machines: given as a whole or not at all.
_WHOLE = (('topology', 'cp'), ('topology', 'workers'))
_QUAD = r'(?<![\d.]){}\.(\d{{1,3}})(?=\.\d{{1,3}}\.\d{{1,3}}(?!\.?\d))'
_TEN = re.compile(_QUAD.format(10))
_LOOPBACK = re.compile(_QUAD.format(127))


class ScenarioError(Exception):
    """The scenario is no scenario, or asks for something that is not served; one sentence with file and line."""


@dataclass
class Scenario:
    """C(state) has every default filled in; C(expected) is as written, {} without one."""

    state: dict
    expected: dict = field(default_factory=dict)
    source: str = 'state'

    @property
    def name(self):
        return str(self.state.get('id') or Path(self.source).stem).lower()


def read(path):
    """A scenario from a file. Raises ScenarioError."""
    try:
        text = Path(path).read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f'{path}: {getattr(error, "strerror", None) or error}.') from error
    return loads(text, str(path))


def loads(text, source='scenario'):
    """A scenario from the text of a file. Raises ScenarioError."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = f'{source}:{mark.line + 1}' if mark else source
        raise ScenarioError(f'{where}: not YAML: {getattr(error, "problem", error)}.') from error
    lines = {}
    document = _plain(root, (), lines, source) if root else None
    if not isinstance(document, dict) or 'state' not in document:
        raise ScenarioError(f'{source}:1: a scenario is a mapping with the keys state and expected.')
    return _scenario(document, lines, source)


def from_state(state, source='state'):
    """A scenario from a plain C(state) mapping. Raises ScenarioError, without lines."""
    return _scenario({'state': copy.deepcopy(state)}, {}, source)


def _scenario(document, lines, source):
    _check(document, vocabulary.DOCUMENT, (), lines, source)
    given = document['state'] or {}
    _check_lines(given, lines, source)
    state = _merged(yaml.load(DEFAULTS, Loader=_LOADER), given, ())
    _check_names(state, lines, source)
    _check_kubernetes(state, lines, source)
    return Scenario(_with_derived_defaults(state, given), document.get('expected') or {}, source)


def _plain(node, path, lines, source):
    """The value of a YAML node; C(lines) learns the line of every path. Times stay text: a scenario has its own clock."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result = {}
        for key_node, value_node in node.value:
            key = str(_scalar(key_node))
            if key in result:
                raise ScenarioError(f'{source}:{key_node.start_mark.line + 1}: the key {key} stands there twice.')
            result[key] = _plain(value_node, (*path, key), lines, source)
            lines[(*path, key)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, number), lines, source) for number, item in enumerate(node.value)]
    return _scalar(node)


def _scalar(node):
    if node.tag == 'tag:yaml.org,2002:timestamp':
        return node.value
    return yaml.SafeLoader('').construct_object(node, deep=True)


def _check(value, allowed, path, lines, source):
    if allowed == vocabulary.LATER:
        raise ScenarioError(f'{_where(path, lines, source)}: {_dotted(path)} is not served yet.')
    if isinstance(allowed, dict) and '' in allowed and not isinstance(value, dict):
        allowed = allowed['']
    if isinstance(allowed, str):
        form = values.problem(value, allowed)
        if form:
            raise ScenarioError(f'{_where(path, lines, source)}: {_dotted(path)} must be {form}, not {value!r}.')
    if isinstance(allowed, dict) and value is not None:
        if not isinstance(value, dict):
            raise ScenarioError(f'{_where(path, lines, source)}: {_dotted(path)} must be a mapping.')
        for key, item in value.items():
            if key not in allowed and '*' not in allowed:
                raise ScenarioError(f'{_where((*path, key), lines, source)}: unknown key {_dotted((*path, key))}.')
            _check(item, allowed.get(key, allowed.get('*')), (*path, key), lines, source)
    if isinstance(allowed, list) and value is not None:
        if not isinstance(value, list):
            raise ScenarioError(f'{_where(path, lines, source)}: {_dotted(path)} must be a list.')
        for number, item in enumerate(value):
            _check(item, allowed[0], (*path, number), lines, source)


def _check_lines(state, lines, source):
    for number, line in enumerate(state.get('lines') or ()):
        src = str(line.get('src'))
        path = ('state', 'lines', number, 'src')
        if src not in vocabulary.SOURCES and not src.startswith('talosctl'):
            raise ScenarioError(f'{_where(path, lines, source)}: unknown {_dotted(path)} {src!r}.')


def _check_names(state, lines, source):
    """Machines that a scenario speaks of must be machines of its topology, where only those make sense."""
    machines = {*(state['topology'].get('cp') or {}), *(state['topology'].get('workers') or {})}
    machines |= {name for name in state['foreign'] if name != 'reachable_from_production'}
    etcd = state['etcd']
    named = [(('state', 'nodes', name), name) for name in state['nodes']]
    named += [(('state', 'diagnostics', number, 'node'), item['node']) for number, item in enumerate(state['diagnostics'])]
    named += [(('state', 'discovery', name), name) for name in state['discovery'] if name not in vocabulary.STATE['discovery']]
    named += [(('state', 'k8s', 'api', name), name) for name in (state['k8s']['api'] if isinstance(state['k8s']['api'], dict) else ())]
    named += [(('state', 'etcd', key), name) for key in ('data_dir_empty', 'local_db_present', 'same_list_on') for name in etcd.get(key) or ()]
    named += [(('state', 'lines', number, 'node'), line['node']) for number, line in enumerate(state['lines'])
              if vocabulary.SOURCES.get(line['src'])]
    named += [(('state', 'setup', key, name), name) for key in ('hostnames', 'second_addresses') for name in state['setup'].get(key) or ()]
    cloud = state['setup'].get('cloud_provider') or {}
    named += [(('state', 'setup', 'cloud_provider', 'external_addresses', name), name) for name in cloud.get('external_addresses') or ()]
    named += [(('state', 'faults', fault), name) for fault, told in state['faults'].items() for name in told]
    for path, call in _named_calls(state['faults']):
        if not faults.is_call(call):
            raise ScenarioError(f'{_where(path, lines, source)}: {_dotted(path)} names {call}, which is no method and no resource type.')
    for path, name in named:
        if name not in machines:
            raise ScenarioError(f'{_where(path, lines, source)}: {_dotted(path)} names {name}, which is no machine of the topology.')


def _check_kubernetes(state, lines, source):
    """Requests have names, and pods stand on Nodes that there are, or are said to be gone."""
    for number, request in enumerate(state['k8s'].get('csrs') or ()):
        if not request.get('name'):
            raise ScenarioError(f'{_where(("state", "k8s", "csrs", number), lines, source)}: state.k8s.csrs[{number}] has no name.')
    nodes = {*(state['topology'].get('cp') or {}), *(state['topology'].get('workers') or {}), *(state['k8s'].get('nodes') or {})}
    for key in ('pods', 'kube_system'):
        told = state['k8s'].get(key)
        for pod, said in (told.items() if isinstance(told, dict) else ()):
            name, _space, node = pod.partition(' (')
            gone = isinstance(said, dict) and said.get('node_gone')
            if node and not gone and node.removesuffix(')') not in nodes or ' ' in name:
                path = ('state', 'k8s', key, pod)
                raise ScenarioError(f'{_where(path, lines, source)}: state.k8s.{key} {pod!r} is not "name" or "name (Node)" with a Node that there is.')


def _named_calls(told):
    for fault in ('hanging_calls', 'big_message', 'reset_mid_stream'):
        listed = told.get(fault)
        for name, calls in (listed.items() if isinstance(listed, dict) else ()):
            yield from ((('state', 'faults', fault, name), call) for call in calls)


def _where(path, lines, source):
    while path and path not in lines:
        path = path[:-1]
    return f'{source}:{lines[path]}' if path in lines else source


def _dotted(path):
    return ''.join(f'[{part}]' if isinstance(part, int) else f'.{part}' for part in path).lstrip('.')


def _merged(default, given, path):
    if path in _WHOLE or not (isinstance(default, dict) and isinstance(given, dict)):
        return default if given is None and isinstance(default, dict) and path not in _WHOLE else given
    return {key: _merged(default.get(key), given[key], (*path, key)) if key in given else default[key] for key in {**default, **given}}


def _with_derived_defaults(state, given):
    """The defaults that follow the topology: members, leader, endpoints, VIP holder (those of the page for its topology)."""
    topology = state['topology']
    topology['cp'] = topology.get('cp') or {}
    topology['workers'] = topology.get('workers') or {}
    control_planes = list(topology['cp'])
    etcd = state['etcd']
    if state['k8s'].get('real'):
        etcd['real'] = True
    if 'members' not in etcd:
        etcd['members'] = {name: f'{number:x}' * 16 for number, name in enumerate(control_planes, 1)}
    if 'leader' not in etcd:
        answering = etcd.get('reachable') or etcd['members']
        voters = [name for name in etcd['members'] if name not in (etcd.get('learners') or ()) and name in answering]
        etcd['leader'] = voters[0] if voters else 'none'
    state['client'].setdefault('endpoints', list(topology['cp'].values()))
    if 'vip_holder' not in ((given or {}).get('network') or {}):
        state['network']['vip_holder'] = control_planes[0] if control_planes else 'none'
    return state


def mapped(value, shift=0, networks=()):
    """Every C(10.) address in a value, in keys and texts too, as the same under C(127.).

    C(shift) is added to the second number, so that several clusters fit on one machine, except inside C(networks), a
    list of (first, last) second numbers that belong to pods and services.
    """

    def replace(match):
        second = int(match[1])
        return f'127.{second if _within(second, networks) else second + shift}'

    return _changed(value, lambda text: _TEN.sub(replace, text))


def unmapped(value, shift=0, networks=()):
    """What C(mapped) did, undone. 127.0. is the loopback itself: no cluster is mapped there."""

    def replace(match):
        second = int(match[1])
        if second == 0 or second < shift and not _within(second, networks):
            return match[0]
        return f'10.{second if _within(second, networks) else second - shift}'

    return _changed(value, lambda text: _LOOPBACK.sub(replace, text))


def _within(second, networks):
    return any(first <= second <= last for first, last in networks)


def _changed(value, change):
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_changed(key, change): _changed(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return value
