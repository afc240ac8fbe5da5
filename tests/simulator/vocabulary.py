# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key that a scenario may have, and which of them are served so far.

A tree: C(LATER) is known and not served yet; another text is a kind of value (values.py has their forms; C(ANY) takes all);
a dict is a mapping with these keys, in which the key C('*') stands for any name, and C('') is the kind of a value that may
stand in its place. Lists hold mappings of one kind.
"""

from __future__ import annotations

ANY = 'any'
LATER = 'later'
TEXT = 'text'
NUMBER = 'number'
BOOL = 'bool'
NAMES = 'names'
TIME = 'time'
DURATION = 'duration'
ADDRESS = 'address'
ADDRESSES = 'addresses'
PREFIXES = 'prefixes'
VERSION = 'version'
SERVICE = 'service'
STAGE = 'stage'
URL = 'url'
NUMBERS = 'numbers'
TLS_FAULT = 'tls fault'
READY = 'ready'
SIZE = 'size'
API_SERVERS = 'api servers'
API_SERVER = 'api server'
FLAPPING = 'flapping'
LB_KIND = 'lb kind'
LB_CHECK = 'lb check'
PHASE = 'phase'
POD = 'pod'
KUBE_SYSTEM = 'kube-system'
CSR_STATE = 'csr state'
ANSWERED = 'answered'
WHERE = 'where'
CNI = 'cni'
MANAGER = 'manager'
UNREACHED = 'unreached'

TLS_FAILS = 'TLS fails both ways'

_EPHEMERAL = {'size_gib': NUMBER, 'used_pct': NUMBER, 'top': {'*': SIZE}}

_NODE = {
    'talos': VERSION,
    'services': {'*': SERVICE},
    'last_event': {'*': TEXT},
    'machine_status': {'stage': STAGE, 'ready': BOOL, 'unmet': NAMES},
    'uptime': DURATION,
    'time': {'offset_ms': NUMBER, 'synced': BOOL},
    'ephemeral': _EPHEMERAL,
    'memory_mib': NUMBER,
    'disk': {'etcd_fsync_p99_ms': NUMBER},
    'addresses': {'routed': PREFIXES, 'routed-no-k8s': PREFIXES},
    'node_ip': ADDRESS,
    'reachable': BOOL,
    'api': TLS_FAULT,
    'server_cert': {'not_before': TIME, 'not_after': TIME},
    'console_only': ANY,
    'note': ANY,
}

_EXTRA_ARGUMENTS = {'kubelet_extra_args': {'*': ANY}, 'apiserver_extra_args': {'*': ANY}, 'etcd_extra_args': {'*': ANY}}
_MACHINE_CONFIG = {**_EXTRA_ARGUMENTS, '*': _EXTRA_ARGUMENTS}

_ETCD = {
    'real': BOOL,
    'members': {'*': ANY},
    'member_addresses': {'*': ADDRESS},
    'reachable': NAMES,
    'same_list_on': NAMES,
    'leader': TEXT,
    'learners': NAMES,
    'db_mb': NUMBERS,
    'in_use_mb': NUMBERS,
    'quota_mb': NUMBER,
    'raft_term': NUMBER,
    'leader_changes_24h': NUMBER,
    'alarms': [{'member': ANY, 'alarm': TEXT}],
    'data_dir_empty': NAMES,
    'local_db_present': NAMES,
    'member_list_api': TEXT,
}

_KUBERNETES_NODE = {
    '': READY,
    'ready': READY,
    'reason': TEXT,
    'since': TIME,
    'internal_ip': ADDRESS,
    'schedulable': BOOL,
    'conditions': ANY,
    'flapping': FLAPPING,
}

_KUBERNETES_POD = {
    '': POD,
    'phase': PHASE,
    'waiting': TEXT,
    'restarts': NUMBER,
    'reason': TEXT,
    'age': DURATION,
    'node_gone': BOOL,
}

STATE = {
    'id': ANY,
    'now': TIME,
    'note': ANY,
    'topology': {'cp': {'*': ADDRESS}, 'workers': {'*': ADDRESS}},
    'versions': {'talos': VERSION, 'kubernetes': VERSION},
    'network': {
        'pod': PREFIXES,
        'service': PREFIXES,
        'cni': TEXT,
        'endpoint': URL,
        'vip': ANY,
        'vip_holder': ANY,
        'lb': {'kind': LB_KIND, 'check': LB_CHECK, 'backends': NAMES},
    },
    'services_cp': {'*': SERVICE},
    'services_worker': {'*': SERVICE},
    'machine_status': {'stage': STAGE, 'ready': BOOL, 'unmet': NAMES},
    'uptime': DURATION,
    'time': {'offset_ms': NUMBER, 'synced': BOOL},
    'memory_mib': {'cp': NUMBER, 'worker': NUMBER},
    'ephemeral': _EPHEMERAL,
    'nodes': {'*': _NODE},
    'addresses': {'routed': PREFIXES, 'routed-no-k8s': PREFIXES},
    'machine_config': _MACHINE_CONFIG,
    'bootstrapped': {'node': TEXT, 'at': TIME},
    'etcd': _ETCD,
    'discovery': {
        'all_nodes_see': NAMES,
        'addresses': ADDRESSES,
        'extra': {'*': {'addresses': ADDRESSES, 'age': DURATION}},
        'duplicates': {'*': ADDRESSES},
        '*': NAMES,
    },
    'foreign': {'reachable_from_production': BOOL, '*': ADDRESS},
    'k8s': {
        'real': BOOL,
        'api': {'': API_SERVERS, '*': API_SERVER},
        'nodes': {'*': _KUBERNETES_NODE},
        'kube_system': {'': KUBE_SYSTEM, '*': _KUBERNETES_POD},
        'pods': {'*': _KUBERNETES_POD},
        'csrs': [{'name': TEXT, 'signer': TEXT, 'username': TEXT, 'ips': ADDRESSES, 'dns': NAMES, 'usages': NAMES, 'age': DURATION,
                  'state': CSR_STATE}],
        'reads': ANSWERED,
        'writes': ANSWERED,
        'object_counts': {'*': NUMBER},
        'approver_installed': BOOL,
    },
    'diagnostics': [{'node': TEXT, 'id': TEXT}],
    'client': {'endpoints': NAMES, 'role': ANY, 'cert_expires_days': NUMBER, 'context_matches_cluster': BOOL},
    'backup': {'last_etcd_snapshot': ANY, 'verified': ANY},
    'lines': [{'node': TEXT, 'src': TEXT, 'at': TIME, 'line': TEXT, 'sig': ANY}],
}

# C(assert_not) is ours: what must_not says to a person, told so that a program can judge it (docs/scenarios.md).
EXPECTED = {'class': ANY, 'findings': ANY, 'not_evaluated': ANY, 'must_not': ANY, 'remediation': {'right': ANY, 'dangerous': ANY}, 'assert_not': ANY}

# Ours, beside the vocabulary of the page: what the machines do on the wire (docs/scenarios.md).
FAULTS = {
    'closed_port': WHERE,
    'black_hole': WHERE,
    'reset_mid_stream': {'': NAMES, '*': NAMES},
    'slow': {'*': DURATION},
    'big_message': {'*': NAMES},
    'split_characters': NAMES,
    'wrong_ca': NAMES,
    'expired_certificate': NAMES,
    'sans_without_address': NAMES,
    'hanging_calls': {'*': NAMES},
}
STATE['faults'] = FAULTS

# Ours as well: how a cluster is set up that is not set up as the defaults are, and how this control node sees it (docs/scenarios.md).
SETUP = {
    'cluster_name': TEXT,
    'hostnames': {'*': TEXT},
    'register_with_fqdn': BOOL,
    'second_addresses': {'*': ADDRESS},
    'allow_scheduling_on_control_planes': BOOL,
    'discovery': {'enabled': BOOL, 'endpoint': URL},
    'kubespan': BOOL,
    'default_route': BOOL,
    'time_servers': NAMES,
    'mirrors': {'*': NAMES},
    'image_cache': BOOL,
    'cert_sans': NAMES,
    'api_server_cert_sans': NAMES,
    'talos_balancer': ADDRESS,
    'names': {'*': ADDRESSES},
    'kubeprism': BOOL,
    'kube_proxy': BOOL,
    'cni': CNI,
    'cloud_provider': {'name': TEXT, 'external_addresses': {'*': ADDRESS}},
    'managed_by': MANAGER,
    'secure_boot': BOOL,
    'encrypted': BOOL,
    'control_node_clock': TIME,
    'api_server_for_client': UNREACHED,
}
STATE['setup'] = SETUP

DOCUMENT = {'state': STATE, 'expected': EXPECTED}

# Where a log line of a scenario stands, by its src: the log of a service or of a container (k8s.io); None: the state itself makes the client see it.
SOURCES = {
    'machined dmesg': 'machined',
    'etcd log': 'etcd',
    'kubelet log': 'kubelet',
    'controller-runtime': 'controller-runtime',
    'kube-apiserver': 'k8s.io',
    'pod log': 'k8s.io',
    'gRPC error': None,
}
