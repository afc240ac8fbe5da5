# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a scenario's state, as the page of the vocabulary lists them, each with the call whose answer shows its effect.

C(KEYS) maps a dotted path, in which C(*) is any name, to C(probe(world)), which returns what a client reads. A probe that
is None belongs to a key that says what nobody serves: its answer must not change. L(World) is one cluster.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import socket
import ssl
from datetime import datetime, timezone

import urllib3
import yaml
from cryptography import x509

from tests.simulator import Cluster, scenario
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.bench import Bench

SERVICE = '/machine.MachineService/'
# Keys that put a real program into the place of what is simulated: tests/contract shows them.
WITH_REAL_PROGRAMS = ('etcd.real', 'k8s.real')
HANGS = 0.4


class World:
    """A cluster of one state, asked without a network where that is enough. Close it."""

    def __init__(self, state):
        self.state = state
        self._cluster = None

    def close(self):
        if self._cluster is not None:
            self._cluster.__exit__(None, None, None)

    @functools.cached_property
    def bench(self):
        return Bench(self.state, platform='metal')

    @property
    def cluster(self):
        if self._cluster is None:
            self._cluster = Cluster.from_state(self.state).__enter__()
        return self._cluster

    @property
    def model(self):
        return self.bench.model

    def address(self, machine):
        return self.model.nodes[machine].address

    def call(self, machine, method, request=b'', via=None):
        """(messages, code, text) of a call to a machine, or about it through another; code None is silence."""
        metadata = [('node', self.address(machine))] if via else []
        path = method if method.startswith('/') else SERVICE + method
        return self.bench(self.address(via or machine), path, request, metadata, within=HANGS)

    def rpc(self, machine, method, request=None, response=None):
        """The first part of a unary answer, decoded; (code, text) of a failure."""
        messages, code, text = self.call(machine, method, MESSAGES.encode(*request) if request else b'')
        return MESSAGES.decode(response or f'{method}Response', messages[0])['messages'][0] if code == 0 else (code, text)

    def specs(self, machine, resource_type, namespace):
        """{id: spec}; (code, text) of a failure."""
        messages, code, text = self.call(machine, '/cosi.resource.State/List', MESSAGES.encode('cosi.List', {'namespace': namespace, 'type': resource_type}))
        if code != 0:
            return code, text
        found = [MESSAGES.decode('cosi.ListResponse', message)['resource'] for message in messages]
        return {one['metadata']['id']: yaml.safe_load(one['spec']['yaml_spec']) for one in found}

    def log(self, machine, log_id):
        """A whole log as text; '' without one."""
        messages, _code, _text = self.call(machine, 'Logs', MESSAGES.encode('LogsRequest', {'namespace': 'system', 'id': log_id, 'tail_lines': -1}))
        return b''.join(MESSAGES.decode('Data', message)['bytes'] for message in messages).decode()

    def get(self, path, machine=None, body=None):
        """(status, body) of the Kubernetes API, as admin; an error's type where no answer came. C(body) is a merge patch to write."""
        document = yaml.safe_load((self.cluster.directory / 'kubeconfig').read_text())
        user, authority = document['users'][0]['user'], document['clusters'][0]['cluster']
        files = {}
        for name, data in (('ca', authority['certificate-authority-data']), ('crt', user['client-certificate-data']), ('key', user['client-key-data'])):
            files[name] = self.cluster.directory / f'{name}.pem'
            files[name].write_bytes(base64.b64decode(data))
        server = f'https://{self.cluster.address(machine)}:6443' if machine else authority['server']
        with urllib3.PoolManager(ca_certs=str(files['ca']), cert_file=str(files['crt']), key_file=str(files['key']), retries=False) as pool:
            try:
                answer = pool.request('PATCH' if body else 'GET', server + path, timeout=5, body=json.dumps(body) if body else None,
                                      headers={'Content-Type': 'application/merge-patch+json'})
            except urllib3.exceptions.HTTPError as error:
                return type(error).__name__, None
        text = self.cluster.model.original(answer.data.decode())
        return answer.status, json.loads(text) if 'json' in answer.headers.get('content-type', '') else text

    def items(self, path):
        """{name: object} of a Kubernetes list; (status, message) of a failure."""
        status, body = self.get(path)
        return {one['metadata']['name']: one for one in body['items']} if status == 200 else (status, (body or {}).get('message'))

    def certificate(self, machine):
        """What a machine serves on port 50000, as a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((self.cluster.address(machine), 50000)) as plain, context.wrap_socket(plain) as tls:
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))

    def sans(self, machine):
        names = self.certificate(machine).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return self.cluster.model.original([str(address) for address in names.get_values_for_type(x509.IPAddress)])

    def trusted(self, machine):
        """Whether a machine's certificate was signed by the authority of the talosconfig."""
        ca = x509.load_pem_x509_certificate(base64.b64decode(self.context['ca']))
        try:
            self.certificate(machine).verify_directly_issued_by(ca)
        except Exception:
            return False
        return True

    @property
    def context(self):
        document = yaml.safe_load(self.cluster.model.original(self.cluster.talosconfig))
        return document['contexts'][document['context']]

    @property
    def client(self):
        return x509.load_pem_x509_certificate(base64.b64decode(self.context['crt']))

    def mapped(self, address):
        """Where an address of the scenario is."""
        return scenario.mapped(address, int(self.cluster.address('cp-1').split('.')[1]) - 5)

    def dial(self, machine, port=50000):
        with socket.socket() as plain:
            plain.settimeout(HANGS)
            try:
                plain.connect((self.cluster.address(machine) if machine in self.cluster.nodes else self.mapped(machine), port))
            except OSError as error:
                return type(error).__name__
        return 'connected'


def ago(text):
    """Minutes since a time of an answer (RFC 3339 text, a Timestamp mapping or a number of seconds)."""
    when = datetime.fromtimestamp(text.get('seconds', 0) if isinstance(text, dict) else text, timezone.utc) \
        if not isinstance(text, (str, datetime)) else text if isinstance(text, datetime) else datetime.fromisoformat(text.replace('Z', '+00:00'))
    return round((datetime.now(timezone.utc) - when).total_seconds() / 60)


def _all(read):
    """A probe that reads every machine."""
    return lambda world: {name: read(world, name) for name in world.model.nodes}


def _control_planes(read):
    return lambda world: {node.name: read(world, node.name) for node in world.model.control_planes}


def _services(world, machine):
    return {one['id']: (one['state'], sorted(one['health'].items(), key=str)[:2]) for one in world.rpc(machine, 'ServiceList')['services']
            if one['health'].pop('last_change') and one['health'].pop('last_message', 1)}


def _last_events(world, machine):
    return {one['id']: one['events']['events'][-1]['msg'] for one in world.rpc(machine, 'ServiceList')['services']}


def _status(key):
    def read(world, machine):
        answer = world.rpc(machine, 'EtcdStatus')
        return answer['member_status'].get(key) if isinstance(answer, dict) else answer
    return _control_planes(read)


def _member_list(world, machine):
    answer = world.rpc(machine, 'EtcdMemberList', ('EtcdMemberListRequest', {'query_local': True}))
    return sorted(map(str, answer['members'])) if isinstance(answer, dict) else answer


def _directory(world, machine):
    request = MESSAGES.encode('ListRequest', {'root': '/var/lib/etcd', 'recurse': True, 'recursion_depth': 2})
    return [MESSAGES.decode('FileInfo', message)['name'] for message in world.call(machine, 'List', request)[0]]


def _members(key=None):
    def read(world, machine):
        found = world.specs(machine, 'Members.cluster.talos.dev', 'cluster')
        return {name: spec[key] for name, spec in found.items()} if key else sorted(found)
    return _all(read)


def _affiliates(world, machine):
    return sorted((spec['nodename'], *spec['addresses']) for spec in world.specs(machine, 'Affiliates.cluster.talos.dev', 'cluster').values())


def _addresses(kind):
    return _all(lambda world, machine: world.specs(machine, 'NodeAddresses.net.talos.dev', 'network')[kind]['addresses'])


def _nodes(read):
    def probe(world):
        found = world.items('/api/v1/nodes')
        return {name: read(one) for name, one in found.items()} if isinstance(found, dict) else found
    return probe


def _ready(node):
    return next(one for one in node['status']['conditions'] if one['type'] == 'Ready')


def _pods(read):
    def probe(world):
        found = world.items('/api/v1/namespaces/kube-system/pods')
        return {name: read(one) for name, one in found.items()} if isinstance(found, dict) else found
    return probe


def _csrs(read):
    def probe(world):
        found = world.items('/apis/certificates.k8s.io/v1/certificatesigningrequests')
        return {name: read(one) for name, one in found.items()} if isinstance(found, dict) else found
    return probe


def _lines(source):
    """The lines of a log that the scenario told."""
    def probe(world):
        told = [line for line in world.model.state['lines'] if line['src'] == source]
        names = {'machined dmesg': 'machined', 'etcd log': 'etcd', 'kubelet log': 'kubelet', 'controller-runtime': 'controller-runtime'}
        marks = [re.escape(str(json.loads(line['line'])['msg'] if line['line'].startswith('{') else line['line'][-20:])) for line in told] or ['(?!)']
        return {name: len(re.findall('|'.join(marks), world.log(name, names[source]))) for name in world.model.nodes}
    return probe


def _version(world, machine):
    return world.rpc(machine, 'Version')['version']['tag']


def _machine_status(world, machine):
    return world.specs(machine, 'MachineStatuses.runtime.talos.dev', 'runtime')['machine']


def _boot(world, machine):
    return ago(world.rpc(machine, 'SystemStat')['boot_time'])


def _offset(world, machine):
    answer = world.rpc(machine, '/time.TimeService/Time', response='TimeResponse')
    local, remote = ((part.get('seconds', 0) + part.get('nanos', 0) / 1e9) for part in (answer['localtime'], answer['remotetime']))
    return round((local - remote) * 1000)


def _synced(world, machine):
    return world.specs(machine, 'TimeStatuses.v1alpha1.talos.dev', 'runtime')['node']['synced']


def _memory(world, machine):
    return world.rpc(machine, 'Memory')['meminfo']['memtotal']


def _through(machine, via='cp-1'):
    """How a call about a machine ends, through an endpoint."""
    return lambda world: world.call(machine, 'Version', via=via)[1:]


def _dials(world):
    return {name: world.dial(name) for name in world.model.nodes}


def _lengths(method, request=b''):
    return lambda world: {name: [len(message) for message in world.call(name, method, request)[0]] for name in world.model.nodes}


def _health(world):
    return {node.name: world.get('/readyz', node.name)[0] for node in world.model.control_planes}


def _resolves(name):
    try:
        return len(socket.getaddrinfo(name, 6443))
    except OSError as error:
        return type(error).__name__


def _config(word):
    """Whether the machine configuration of each machine has a word, and what follows it."""
    def read(world, machine):
        text = str(world.specs(machine, 'MachineConfigs.config.talos.dev', 'config'))
        return [text[match.start():match.start() + 60] for match in re.finditer(word, text)]
    return _all(read)


KEYS = {
    'now': _nodes(lambda node: ago(_ready(node)['lastTransitionTime'])),
    'topology.cp': lambda world: sorted(world.rpc(node.name, 'Hostname')['hostname'] for node in world.model.control_planes),
    'topology.workers': lambda world: sorted(world.rpc(node.name, 'Hostname')['hostname'] for node in world.model.nodes.values() if not node.control_plane),
    'versions.talos': _all(_version),
    'versions.kubernetes': lambda world: world.get('/version')[1]['gitVersion'],
    'nodes.*.talos': _all(_version),
    'network.pod': _all(lambda world, name: world.specs(name, 'NodeIPConfigs.kubernetes.talos.dev', 'k8s')['kubelet']['excludeSubnets']),
    'network.service': _all(lambda world, name: world.specs(name, 'NodeIPConfigs.kubernetes.talos.dev', 'k8s')['kubelet']['excludeSubnets']),
    'network.cni': _all(lambda world, name: sorted(world.specs(name, 'LinkStatuses.net.talos.dev', 'network'))),
    'network.endpoint': lambda world: re.search('server: (.*)', world.cluster.model.original((world.cluster.directory / 'kubeconfig').read_text()))[1],
    'network.vip': _all(lambda world, name: world.specs(name, 'NodeIPConfigs.kubernetes.talos.dev', 'k8s')['kubelet']['excludeSubnets']),
    'network.vip_holder': _all(lambda world, name: [text for text in world.specs(name, 'AddressStatuses.net.talos.dev', 'network') if text.endswith('/32')]),
    'network.lb': lambda world: world.get('/readyz'),
    'services_cp': _all(_services),
    'services_worker': _all(_services),
    'nodes.*.services': _all(_services),
    'nodes.*.last_event': _all(_last_events),
    'machine_status': _all(_machine_status),
    'nodes.*.machine_status': _all(_machine_status),
    'uptime': _all(_boot),
    'nodes.*.uptime': _all(_boot),
    'time.offset_ms': _all(_offset),
    'time.synced': _all(_synced),
    'nodes.*.time.offset_ms': _all(_offset),
    'nodes.*.time.synced': _all(_synced),
    'memory_mib': _all(_memory),
    'nodes.*.memory_mib': _all(_memory),
    'ephemeral': _all(lambda world, name: world.rpc(name, 'Mounts')),
    'nodes.*.ephemeral': _all(lambda world, name: world.rpc(name, 'Mounts')),
    'nodes.*.ephemeral.top': _lengths('DiskUsage', MESSAGES.encode('DiskUsageRequest', {'paths': ['/var'], 'recursion_depth': 9})),
    'nodes.*.disk': _control_planes(lambda world, name: len(re.findall('slow fdatasync|took too long', world.log(name, 'etcd')))),
    'addresses.routed': _addresses('routed'),
    'addresses.routed-no-k8s': _addresses('routed-no-k8s'),
    'nodes.*.addresses.routed': _addresses('routed'),
    'nodes.*.addresses.routed-no-k8s': _addresses('routed-no-k8s'),
    'nodes.*.node_ip': _nodes(lambda node: node['status']['addresses'][0]['address']),
    'nodes.*.reachable': _dials,
    'nodes.*.api': lambda world: {name: world.certificate(name).not_valid_after_utc < datetime.now(timezone.utc) for name in world.model.nodes},
    'nodes.*.server_cert': lambda world: {name: ago(world.certificate(name).not_valid_after_utc) for name in world.model.nodes},
    'nodes.*.console_only': None,
    'nodes.*.note': None,
    'machine_config': _all(lambda world, name: world.specs(name, 'KubeletSpecs.kubernetes.talos.dev', 'k8s')),
    'machine_config.*.apiserver_extra_args': _control_planes(
        lambda world, name: str(world.specs(name, 'APIServerConfigs.kubernetes.talos.dev', 'controlplane'))),
    'bootstrapped': _control_planes(lambda world, name: [
        ago(event['ts']) for one in world.rpc(name, 'ServiceList')['services'] if one['id'] == 'etcd' for event in one['events']['events'][:1]]),
    'etcd.members': _control_planes(_member_list),
    'etcd.member_addresses': _control_planes(_member_list),
    'etcd.reachable': _control_planes(lambda world, name: isinstance(world.rpc(name, 'EtcdStatus'), dict)),
    'etcd.same_list_on': _control_planes(_member_list),
    'etcd.leader': _status('leader'),
    'etcd.learners': _status('is_learner'),
    'etcd.db_mb': _status('db_size'),
    'etcd.in_use_mb': _status('db_size_in_use'),
    'etcd.quota_mb': _control_planes(lambda world, name: world.specs(name, 'EtcdSpecs.etcd.talos.dev', 'etcd')['etcd']['extraArgs']),
    'etcd.raft_term': _status('raft_term'),
    'etcd.leader_changes_24h': _control_planes(lambda world, name: len(re.findall('elected leader|lost leader', world.log(name, 'etcd')))),
    'etcd.alarms': _control_planes(lambda world, name: world.rpc(name, 'EtcdAlarmList')),
    'etcd.data_dir_empty': _control_planes(_directory),
    'etcd.local_db_present': _control_planes(_directory),
    'etcd.member_list_api': _control_planes(_member_list),
    'discovery.all_nodes_see': _members(),
    'discovery.*': _members(),
    'discovery.addresses': _members('addresses'),
    'discovery.extra': _members(),
    'discovery.duplicates': _all(_affiliates),
    'foreign': lambda world: world.dial('10.5.9.11'),
    'k8s.api': _health,
    'k8s.nodes': _nodes(lambda node: _ready(node)['status']),
    'k8s.nodes.*.ready': _nodes(lambda node: _ready(node)['status']),
    'k8s.nodes.*.reason': _nodes(lambda node: (_ready(node)['reason'], _ready(node)['message'])),
    'k8s.nodes.*.since': _nodes(lambda node: ago(_ready(node)['lastTransitionTime'])),
    'k8s.nodes.*.internal_ip': _nodes(lambda node: node['status']['addresses'][0]['address']),
    'k8s.nodes.*.schedulable': _nodes(lambda node: node['spec'].get('unschedulable')),
    'k8s.nodes.*.conditions': _nodes(lambda node: [(one['type'], one['status']) for one in node['status']['conditions']]),
    'k8s.nodes.*.flapping': lambda world: sorted(one['reason'] for one in world.items('/api/v1/events').values() if one['involvedObject']['kind'] == 'Node'),
    'k8s.pods': _pods(lambda pod: pod['status']['phase']),
    'k8s.pods.*.phase': _pods(lambda pod: pod['status']['phase']),
    'k8s.pods.*.waiting': _pods(lambda pod: [one['state'].get('waiting', {}).get('reason') for one in pod['status'].get('containerStatuses', [])]),
    'k8s.pods.*.restarts': _pods(lambda pod: [one['restartCount'] for one in pod['status'].get('containerStatuses', [])]),
    'k8s.pods.*.reason': _pods(lambda pod: (pod['status'].get('reason'), [one['lastState'].get('terminated', {}).get('reason')
                                                                          for one in pod['status'].get('containerStatuses', [])])),
    'k8s.pods.*.age': _pods(lambda pod: ago(pod['metadata']['creationTimestamp'])),
    'k8s.pods.*.node_gone': _pods(lambda pod: [(one['type'], one['status']) for one in pod['status'].get('conditions', [])]),
    'k8s.csrs': _csrs(lambda csr: (csr['spec']['signerName'], csr['spec']['username'], csr['spec']['usages'], str(csr['status'])[:30])),
    'k8s.reads': lambda world: world.get('/api/v1/nodes')[0],
    'k8s.writes': lambda world: world.get('/api/v1/nodes/cp-1', body={'metadata': {'labels': {'probe': 'written'}}})[0],
    'k8s.kube_system': _pods(lambda pod: pod['status']['phase']),
    'k8s.object_counts': lambda world: [line for line in str(world.get('/metrics')[1]).splitlines() if line.startswith('apiserver_storage_objects')],
    'k8s.approver_installed': lambda world: sorted(world.items('/api/v1/namespaces')),
    'diagnostics': _all(lambda world, name: sorted(world.specs(name, 'Diagnostics.runtime.talos.dev', 'runtime'))),
    'client.endpoints': lambda world: world.context['endpoints'],
    'client.role': lambda world: world.client.subject.rfc4514_string(),
    'client.cert_expires_days': lambda world: round(ago(world.client.not_valid_after_utc) / 60 / 24),
    'client.context_matches_cluster': lambda world: world.trusted('cp-1'),
    'backup.last_etcd_snapshot': lambda world: world.cluster.variables['talos_etcd_last_snapshot'][:13],
    'backup.verified': None,  # the page passes the time of the snapshot alone
    'lines': lambda world: {source: _lines(source)(world) for source in ('machined dmesg', 'etcd log', 'kubelet log', 'controller-runtime')},
    'faults.closed_port': _dials,
    'faults.black_hole': _dials,
    'faults.reset_mid_stream': lambda world: {name: world.call(name, '/cosi.resource.State/List', MESSAGES.encode(
        'cosi.List', {'namespace': 'cluster', 'type': 'Members.cluster.talos.dev'}), via='cp-1')[1:] for name in world.model.nodes},
    'faults.slow': lambda world: {name: world.call(name, 'Hostname')[1] for name in world.model.nodes},
    # Times in it are a few bytes longer or shorter.
    'faults.big_message': lambda world: {name: [length >> 16 for length in lengths] for name, lengths in _lengths('ServiceList')(world).items()},
    'faults.split_characters': _lengths('Logs', MESSAGES.encode('LogsRequest', {'namespace': 'system', 'id': 'machined', 'tail_lines': 5})),
    'faults.wrong_ca': lambda world: {name: world.trusted(name) for name in world.model.nodes},
    'faults.expired_certificate': lambda world: {name: ago(world.certificate(name).not_valid_after_utc) > 0 for name in world.model.nodes},
    'faults.sans_without_address': lambda world: {name: world.sans(name) for name in world.model.nodes},
    'faults.hanging_calls': _control_planes(lambda world, name: world.call(name, 'EtcdStatus')[1]),
    'setup.cluster_name': lambda world: world.specs('cp-1', 'Infos.cluster.talos.dev', 'cluster')['current']['clusterName'],
    'setup.hostnames': _all(lambda world, name: world.rpc(name, 'Hostname')['hostname']),
    'setup.register_with_fqdn': _all(lambda world, name: world.specs(name, 'Nodenames.kubernetes.talos.dev', 'k8s')['nodename']['nodename']),
    'setup.second_addresses': _addresses('routed'),
    'setup.allow_scheduling_on_control_planes': _nodes(lambda node: node['spec'].get('taints')),
    'setup.discovery.enabled': _members(),
    'setup.discovery.endpoint': _all(lambda world, name: world.specs(name, 'DiscoveryConfigs.cluster.talos.dev', 'config')['cluster']['serviceEndpoint']),
    'setup.kubespan': _addresses('routed'),
    'setup.default_route': _all(lambda world, name: [spec['gateway'] for spec in world.specs(name, 'RouteStatuses.net.talos.dev', 'network').values()
                                                     if not spec['dst']]),
    'setup.time_servers': _all(lambda world, name: world.rpc(name, '/time.TimeService/Time', response='TimeResponse')['server']),
    'setup.mirrors': _config('mirrors'),
    'setup.image_cache': _config('imageCache'),
    'setup.cert_sans': _config('certSANs'),
    'setup.api_server_cert_sans': _config('certSANs'),
    'setup.talos_balancer': lambda world: world.dial('10.5.0.60'),
    'setup.names': lambda world: _resolves('k8s.example.com') if not world.state.get('network', {}).get('lb') and world.cluster else None,
    'setup.kubeprism': _all(lambda world, name: world.specs(name, 'KubePrismStatuses.kubernetes.talos.dev', 'k8s')),
    'setup.kube_proxy': lambda world: sorted(world.items('/apis/apps/v1/daemonsets')),
    'setup.cni': _all(lambda world, name: sorted(world.specs(name, 'LinkStatuses.net.talos.dev', 'network'))),
    'setup.cloud_provider': _nodes(lambda node: (node['spec'].get('providerID'), [one['type'] for one in node['status']['addresses']])),
    'setup.managed_by': _all(lambda world, name: (sorted(world.specs(name, 'LinkStatuses.net.talos.dev', 'network')), sorted(
        world.items('/api/v1/nodes')[name]['metadata']['annotations']))),
    'setup.secure_boot': _all(lambda world, name: world.specs(name, 'SecurityStates.talos.dev', 'runtime')),
    'setup.encrypted': _all(lambda world, name: sorted(one.get('encryptionProvider', '') for one in world.specs(
        name, 'VolumeStatuses.block.talos.dev', 'runtime').values())),
    'setup.control_node_clock': _all(lambda world, name: ago(world.rpc(name, '/time.TimeService/Time', response='TimeResponse')['localtime'])),
    'setup.api_server_for_client': lambda world: world.dial('cp-1', 6443),
}
