# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bullet of the troubleshooting guide has checks: the coverage index of the check catalogue, row by row."""

from __future__ import annotations

import re

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import BY_KEY
from tests.conftest import ROOT

# Bullet of the guide: rows of the catalogue. "11" are the conditions of talosctl health, "12" what is collected, G6 a gate.
INDEX = {
    'Introduction: discovery and KubePrism are on': 'G6 KAPI-6',
    'Network Configuration': 'NET-1 NET-2 NET-3 NET-4 EXT-TIME',
    'Talos API: port 50000, control planes always serve, workers need one for their certificates': 'API-1 API-2 API-10',
    'Firewall Issues': 'API-1 API-2',
    'Client Configuration Issues': 'API-3 API-11',
    'Conflict on Kubernetes and Host Subnets': 'API-4 EXT-DIAG',
    'Wrong Endpoints': 'API-5 API-6 API-7',
    'TCP Loadbalancer': 'API-8',
    'System Requirements': 'SYS-1 SYS-2 SYS-3 SYS-4 SYS-5 SYS-6',
    'Running Health Checks': '11',
    'Gathering Logs': '12',
    'Discovery: members are consistent': 'DSC-1',
    'Some Members are Missing': 'DSC-2',
    'Duplicate Members': 'DSC-3 DSC-5',
    'Removed Members Still Present': 'DSC-4',
    'etcd: odd number of members': 'ETC-2',
    'etcd: service state, membership, logs, alarms': 'ETC-1 ETC-3 ETC-4 ETC-7 ETC-13 ETC-17 ETC-6',
    'All Services Stuck in Pre': 'ETC-9',
    'Some Services Stuck in Pre': 'ETC-10',
    'etcd Reports an Alarm': 'ETC-6 ETC-11',
    'etcd Quorum is Lost': 'ETC-5 ETC-14',
    'etcd: Other Issues': 'ETC-15 ETC-16 ETC-13',
    'kubelet on all nodes': 'KUB-1 KUB-4',
    'kubelet is not running': 'KUB-2 KUB-3 EXT-VER',
    'Node Not Found': 'KUB-4 KUB-5',
    'Wrong Internal IP': 'KUB-6',
    'Wrong External IP': 'KUB-7',
    'Wrong Node Name': 'KUB-8',
    'Node Is Not Ready': 'KUB-9 KUB-13',
    'Duplicate/Stale Nodes': 'KUB-10',
    'Certificate Errors on the kubelet API': 'KUB-11 KUB-5 EXT-DIAG',
    'Kubernetes Control Plane': 'CP-1 CP-2 CP-3 CP-4 CP-5 CP-6',
    'Control Plane Static Pods': 'CP-1 CP-2 CTL-1',
    'Control Plane Pod Status': 'CP-3 CP-4',
    'Kubernetes Bootstrap Manifests': 'CP-5',
    'Other Control Plane Components': 'CP-6 KUB-13',
    'Kubernetes API': 'KAPI-1 KAPI-7',
    'Control Plane Endpoint': 'KAPI-2 KAPI-3 KAPI-4 KAPI-5 CP-7',
    'Miscellaneous: controller runtime': 'CTL-1',
}
# Every row of the catalogue beside those of the index; lines of logs that are all there is to see are of its section 16.
REST = ('ETC-8 ETC-12 ETC-18 KUB-12 CP-8 EXT-DISK EXT-VOL EXT-CERT EXT-CFG EXT-SEC EXT-CGROUP EXT-CONNTRACK EXT-KERN EXT-OOMK EXT-IMG EXT-SVC EXT-HA EXT-UPG')
# Judged where no Check stands for them, and by what; a test each.
ELSEWHERE = {
    'G6': 'a gate, and discovery.missing',
    'NET-4': 'is EXT-TIME',
    'API-9': 'the client does TLS by itself, so that the fault cannot happen (tests/unit/api)',
    '11': 'guide/health_conditions.py, each condition by the checks named there (test_health_conditions.py)',
    '12': 'the snapshot; what could not be collected is judged by gathering_logs',
    'ETC-19': 'no API of Talos tells when a snapshot was taken',
}

CATALOGUE = {row for check in CHECKS for row in re.findall(r'[A-Z]+-[A-Z0-9]+', check.catalogue)}


@pytest.mark.parametrize('bullet', INDEX)
def test_every_bullet_of_the_guide_has_its_checks(bullet):
    missing = [row for row in INDEX[bullet].split() if row not in CATALOGUE and row not in ELSEWHERE]
    assert missing == [], f'no check says that it implements {", ".join(missing)}'


@pytest.mark.parametrize('row', REST.split())
def test_every_other_row_of_the_catalogue_has_a_check(row):
    assert row in CATALOGUE or row in ELSEWHERE


def test_no_check_names_a_row_that_does_not_exist():
    rows = {row for said in (*INDEX.values(), REST, *ELSEWHERE) for row in said.split()} | {'API-9', 'ETC-19', '11', '12'}
    assert CATALOGUE - rows == set()


def test_each_check_states_what_it_is():
    wrong = []
    for check in CHECKS:
        stated = check.id and check.title and check.section in BY_KEY and check.role and (check.catalogue or check.id.endswith('.log_sign'))
        if not stated or not re.fullmatch(r'[a-z_]+\.([a-z_]+\.)?[a-z0-9_]+', check.id) or any(not (t.unit and t.what) for t in check.thresholds.values()):
            wrong.append(check.id)
    assert wrong == []
    assert len({check.id for check in CHECKS}) == len(CHECKS)


def test_a_threshold_is_stated_once_or_the_same_everywhere():
    stated = {}
    for check in CHECKS:
        for name, threshold in check.thresholds.items():
            assert stated.setdefault(name, threshold) == threshold, name


def test_each_section_of_the_guide_has_a_file_or_files_of_its_own():
    for name in ('network_configuration', 'talos_api', 'system_requirements', 'health_checks', 'gathering_logs', 'discovery', 'etcd', 'kubelet',
                 'control_plane',
                 'kubernetes_api', 'controller_runtime'):
        assert (ROOT / 'plugins' / 'module_utils' / 'guide' / f'{name}.py').exists()
    assert {check.section for check in CHECKS} == set(BY_KEY) - {'x.custom'}


def test_log_signs_and_checks_that_read_logs_say_which():
    for check in CHECKS:
        assert not {'machined', 'etcd', 'kubelet', 'controller-runtime'} & {*check.reads, *check.needs}, f'{check.id} names a log among its reads'
