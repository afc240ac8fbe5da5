# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key that a scenario may have, and which of them are served so far.

A tree: C(ANY) is served whatever it holds; C(LATER) is known and not served yet; a dict is a mapping with these keys, in
which the key C('*') stands for any name. Lists hold mappings of one kind.
"""

from __future__ import annotations

ANY = 'any'
LATER = 'later'

_NODE = {
    'talos': ANY,
    'services': {'*': ANY},
    'last_event': {'*': ANY},
    'machine_status': {'stage': ANY, 'ready': ANY, 'unmet': ANY},
    'uptime': ANY,
    'time': {'offset_ms': ANY, 'synced': ANY},
    'ephemeral': LATER,
    'memory_mib': ANY,
    'disk': LATER,
    'addresses': {'routed': ANY, 'routed-no-k8s': ANY},
    'node_ip': LATER,
    'reachable': ANY,
    'api': ANY,
    'server_cert': {'not_before': ANY, 'not_after': ANY},
    'console_only': ANY,
    'note': ANY,
}

_ETCD = {
    'members': {'*': ANY},
    'member_addresses': {'*': ANY},
    'reachable': ANY,
    'same_list_on': ANY,
    'leader': ANY,
    'learners': ANY,
    'db_mb': ANY,
    'in_use_mb': ANY,
    'quota_mb': ANY,
    'raft_term': ANY,
    'leader_changes_24h': ANY,
    'alarms': [{'member': ANY, 'alarm': ANY}],
    'data_dir_empty': ANY,
    'local_db_present': ANY,
    'member_list_api': ANY,
}

STATE = {
    'id': ANY,
    'now': ANY,
    'note': ANY,
    'topology': {'cp': {'*': ANY}, 'workers': {'*': ANY}},
    'versions': {'talos': ANY, 'kubernetes': ANY},
    'network': {
        'pod': ANY,
        'service': ANY,
        'cni': ANY,
        'endpoint': ANY,
        'vip': ANY,
        'vip_holder': ANY,
        'lb': {'kind': ANY, 'check': ANY, 'backends': ANY},
    },
    'services_cp': {'*': ANY},
    'services_worker': {'*': ANY},
    'machine_status': {'stage': ANY, 'ready': ANY, 'unmet': ANY},
    'uptime': ANY,
    'time': {'offset_ms': ANY, 'synced': ANY},
    'memory_mib': {'cp': ANY, 'worker': ANY},
    'ephemeral': LATER,
    'nodes': {'*': _NODE},
    'addresses': {'routed': ANY, 'routed-no-k8s': ANY},
    'machine_config': LATER,
    'bootstrapped': {'node': ANY, 'at': ANY},
    'etcd': _ETCD,
    'discovery': {'all_nodes_see': ANY, 'addresses': ANY, 'extra': {'*': {'addresses': ANY, 'age': ANY}}, 'duplicates': {'*': ANY}, '*': ANY},
    'foreign': LATER,
    'k8s': {
        'api': ANY,
        'nodes': {'*': ANY},
        'kube_system': LATER,
        'pods': LATER,
        'csrs': LATER,
        'reads': LATER,
        'writes': LATER,
        'object_counts': LATER,
        'approver_installed': LATER,
    },
    'diagnostics': [{'node': ANY, 'id': ANY}],
    'client': {'endpoints': ANY, 'role': ANY, 'cert_expires_days': ANY, 'context_matches_cluster': ANY},
    'backup': {'last_etcd_snapshot': ANY, 'verified': ANY},
    'lines': [{'node': ANY, 'src': ANY, 'at': ANY, 'line': ANY, 'sig': ANY}],
}

EXPECTED = {'class': ANY, 'findings': ANY, 'not_evaluated': ANY, 'must_not': ANY, 'remediation': {'right': ANY, 'dangerous': ANY}}

DOCUMENT = {'state': STATE, 'expected': EXPECTED}

# Where a log line of a scenario stands, by its src; None: the state itself makes the client see it.
SOURCES = {
    'machined dmesg': 'machined',
    'etcd log': 'etcd',
    'kubelet log': 'kubelet',
    'controller-runtime': 'controller-runtime',
    'gRPC error': None,
}
SOURCES_LATER = ('kube-apiserver', 'pod log')
