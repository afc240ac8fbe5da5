# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every module, written once for both doors (the documentation lies in plugins/doc_fragments/).

C(SPECS) maps a module's name to the keyword arguments of AnsibleModule and ArgumentSpecValidator.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.verdict import CRITICAL, FAIL_ON
from ansible_collections.talosops.talos.plugins.module_utils.tasks.facts import RESULT_BYTES

TIMEOUT = 10.0
DEADLINE = 60.0
# Of a service (talos-api 5.2).
STATES = ('Initialized', 'Preparing', 'Waiting', 'Starting', 'Running', 'Stopping', 'Finished', 'Failed', 'Skipped')

CONNECTION = {
    'talosconfig': {'type': 'path'},
    'talosconfig_content': {'type': 'raw', 'no_log': True},
    'context': {'type': 'str'},
    'endpoints': {'type': 'list', 'elements': 'str'},
    'nodes': {'type': 'list', 'elements': 'str'},
    'kubeconfig': {'type': 'str'},
    'kubeconfig_content': {'type': 'raw', 'no_log': True},
    'kube_context': {'type': 'str'},
    'proxy': {'type': 'str'},
    'timeout': {'type': 'float', 'default': TIMEOUT},
    'deadline': {'type': 'float', 'default': DEADLINE},
}
JUDGEMENT = {
    'thresholds': {'type': 'dict'},
    'expected_nodes': {'type': 'list', 'elements': 'str'},
    'checks': {'type': 'raw'},
}
SNAPSHOT = {
    'snapshot': {'type': 'path'},
}
SAMPLING = {
    'sample_seconds': {'type': 'float', 'default': 0.0},
}
# The keys of guide/health_conditions.py, which is not shipped with modules that judge nothing.
CONDITIONS = ('etcd', 'etcd_members_consistent', 'etcd_members_control_plane', 'apid', 'memory', 'disk', 'diagnostics', 'kubelet', 'boot',
              'nodes_registered', 'static_pods', 'control_plane', 'nodes_ready', 'kube_proxy', 'coredns', 'schedulable', 'etcd_alarms')
EXCLUSIVE = [('talosconfig', 'talosconfig_content'), ('kubeconfig', 'kubeconfig_content')]
LIMIT = {
    'limit_bytes': {'type': 'int', 'default': RESULT_BYTES},
}
# What changes a machine configuration.
CONFIG = {
    'mode': {'type': 'str', 'choices': ['no_reboot', 'try', 'staged'], 'default': 'no_reboot'},
    'try_timeout': {'type': 'float', 'default': 60.0},
    'backup_dir': {'type': 'path'},
    'confirm': {'type': 'list', 'elements': 'str'},
}

_SECTION = {
    'argument_spec': {**SNAPSHOT, **CONNECTION, **JUDGEMENT},
    'mutually_exclusive': EXCLUSIVE,
}

SPECS = {
    'talos_snapshot': {
        'argument_spec': {**CONNECTION, **JUDGEMENT, **SAMPLING, 'report_dir': {'type': 'path'}},
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_diagnose': {
        'argument_spec': {**SNAPSHOT, **CONNECTION, **JUDGEMENT, **SAMPLING, 'report_dir': {'type': 'path'},
                          'fail_on': {'type': 'str', 'choices': list(FAIL_ON), 'default': 'never'}},
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_members': _SECTION,
    'talos_etcd_health': _SECTION,
    'talos_controller_runtime_check': _SECTION,
    'talos_kubernetes_api_check': _SECTION,
    'talos_control_plane_check': _SECTION,
    'talos_kubelet_check': _SECTION,
    'talos_health': {
        'argument_spec': {
            **_SECTION['argument_spec'],
            'control_plane_nodes': {'type': 'list', 'elements': 'str'},
            'worker_nodes': {'type': 'list', 'elements': 'str'},
            'conditions': {'type': 'list', 'elements': 'str', 'choices': list(CONDITIONS)},
            'checks_skipped': {'type': 'list', 'elements': 'str', 'choices': list(CONDITIONS)},
            'wait_timeout': {'type': 'float', 'default': 0.0},
            'poll_interval': {'type': 'float', 'default': 2.0},
            'fail': {'type': 'bool', 'default': True},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_requirements_check': _SECTION,
    'talos_network_check': {
        'argument_spec': {**_SECTION['argument_spec'], **SAMPLING},
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_certsans_check': {
        'argument_spec': {**_SECTION['argument_spec'], 'names': {'type': 'list', 'elements': 'str'}},
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_api_check': _SECTION,
    'talos_resource_info': {
        'argument_spec': {
            **CONNECTION,
            'type': {'type': 'str', 'required': True},
            'namespace': {'type': 'str'},
            'id': {'type': 'str'},
            'query': {'type': 'str'},
            **LIMIT,
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_service_info': {
        'argument_spec': {
            **CONNECTION,
            'services': {'type': 'list', 'elements': 'str'},
            'states': {'type': 'list', 'elements': 'str', 'choices': list(STATES)},
            'events': {'type': 'int', 'default': 5},
            **LIMIT,
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_logs': {
        'argument_spec': {
            **CONNECTION,
            'services': {'type': 'list', 'elements': 'str'},
            'containers': {'type': 'list', 'elements': 'str'},
            'dmesg': {'type': 'bool', 'default': False},
            'tail': {'type': 'int', 'default': 100},
            'regexp': {'type': 'str'},
            'since': {'type': 'str'},
            **LIMIT,
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_kubeconfig': {
        'argument_spec': {
            **CONNECTION,
            'path': {'type': 'path', 'required': True},
            'merge': {'type': 'bool', 'default': False},
            'activate': {'type': 'bool', 'default': False},
            'context_name': {'type': 'str'},
            'server': {'type': 'str'},
            'min_valid': {'type': 'str', 'default': '30d'},
            'backup': {'type': 'bool', 'default': False},
            'force': {'type': 'bool', 'default': False},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_client_config': {
        'argument_spec': {
            **CONNECTION,
            'control_plane_endpoints': {'type': 'list', 'elements': 'str'},
            'keep_balancers': {'type': 'bool', 'default': True},
            'expected_nodes': {'type': 'list', 'elements': 'str'},
            'backup': {'type': 'bool', 'default': False},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_config_patch': {
        'argument_spec': {
            **CONNECTION,
            **CONFIG,
            'nodes': {'type': 'list', 'elements': 'str', 'required': True},
            'patch': {'type': 'raw', 'required': True, 'no_log': True},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_certsans': {
        'argument_spec': {
            **CONNECTION,
            **CONFIG,
            'names': {'type': 'list', 'elements': 'str', 'required': True},
            'lists': {'type': 'list', 'elements': 'str', 'choices': ['machine', 'api_server'], 'default': ['machine', 'api_server']},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_kubernetes_csr': {
        'argument_spec': {
            **CONNECTION,
            'csrs': {'type': 'list', 'elements': 'str'},
            'expected_nodes': {'type': 'list', 'elements': 'str'},
            'wait': {'type': 'float', 'default': 30.0},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_kubernetes_node': {
        'argument_spec': {
            **CONNECTION,
            'name': {'type': 'str', 'required': True},
            'uid': {'type': 'str', 'required': True},
            'state': {'type': 'str', 'choices': ['absent'], 'default': 'absent'},
            'backup_dir': {'type': 'path', 'required': True},
            'expected_nodes': {'type': 'list', 'elements': 'str'},
            'confirm': {'type': 'list', 'elements': 'str'},
            'verify_seconds': {'type': 'float', 'default': 120.0},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_etcd_alarm': {
        'argument_spec': {
            **CONNECTION,
            'alarm': {'type': 'str', 'choices': ['NOSPACE', 'CORRUPT'], 'default': 'NOSPACE'},
            'state': {'type': 'str', 'choices': ['absent'], 'default': 'absent'},
            'settle': {'type': 'float', 'default': 15.0},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_etcd_defragment': {
        'argument_spec': {
            **CONNECTION,
            'members': {'type': 'list', 'elements': 'str'},
            'threshold': {'type': 'float', 'default': 0.5},
            'min_bytes': {'type': 'int', 'default': 100 * 1024 * 1024},
            'pause': {'type': 'float', 'default': 60.0},
            'member_timeout': {'type': 'float', 'default': 300.0},
            'confirm': {'type': 'list', 'elements': 'str'},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_etcd_member': {
        'argument_spec': {
            **CONNECTION,
            'id': {'type': 'str', 'required': True},
            'state': {'type': 'str', 'choices': ['absent'], 'default': 'absent'},
            'confirm': {'type': 'list', 'elements': 'str'},
            'backup': {'type': 'path'},
            'backup_max_age': {'type': 'str', 'default': '1h'},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_etcd_snapshot': {
        'argument_spec': {
            **CONNECTION,
            'dest': {'type': 'path', 'required': True},
            'max_age': {'type': 'str', 'default': '1h'},
            'transfer_timeout': {'type': 'float', 'default': 600.0},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_service': {
        'argument_spec': {
            **CONNECTION,
            'node': {'type': 'str', 'required': True},
            'service': {'type': 'str', 'required': True},
            'state': {'type': 'str', 'choices': ['restarted', 'started', 'stopped'], 'required': True},
            'only_unhealthy': {'type': 'bool', 'default': False},
            'wait': {'type': 'float', 'default': 120.0},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    'talos_remediate': {
        'argument_spec': {
            **CONNECTION,
            **JUDGEMENT,
            **SAMPLING,
            'report_dir': {'type': 'path'},
            'remedies': {'type': 'list', 'elements': 'str', 'default': []},
            'targets': {'type': 'dict'},
            'plan': {'type': 'raw'},
            'plan_digest': {'type': 'str'},
            'plan_out': {'type': 'path'},
            'confirm': {'type': 'list', 'elements': 'str'},
            'backup_dir': {'type': 'path'},
            'wait': {'type': 'float', 'default': 120.0},
            'pause': {'type': 'float', 'default': 60.0},
            'verify_seconds': {'type': 'float', 'default': 120.0},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
    # It never connects, and takes the connection options so that module_defaults for the action group fit every module.
    'talos_report': {
        'argument_spec': {
            **CONNECTION,
            **JUDGEMENT,
            'reports': {'type': 'list', 'elements': 'path', 'required': True},
            'fail_on': {'type': 'str', 'choices': list(FAIL_ON), 'default': CRITICAL},
            'fail_on_incomplete': {'type': 'bool', 'default': False},
            'only': {'type': 'list', 'elements': 'str'},
            'skip': {'type': 'list', 'elements': 'str'},
        },
        'mutually_exclusive': EXCLUSIVE,
    },
}
