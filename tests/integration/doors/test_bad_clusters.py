# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters that are not as one wishes, through the playbook: what a person reads, and that nothing unseen is called ok."""

from __future__ import annotations

import threading

import pytest
from running import Ansible

from tests.simulator import Cluster
from tests.simulator.apid import Apid

BUILT = ('talos_api.', 'discovery.', 'etcd.')


def diagnose(cluster, directory, *arguments):
    """The finished run against a simulated cluster, with the scenario's own addresses, and its report."""
    run = Ansible(directory, **cluster.environment).playbook('-e', 'talos_fail_on=never', *arguments)
    assert run.code == 0, run.text
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text
    run.text = cluster.model.original(run.text)
    [report] = run.reports.values()
    return run, cluster.model.original(report)


def faults(report):
    """Check to nodes, of what is worse than unknown."""
    return {finding['check']: finding['nodes'] for finding in report['findings'] if finding['verdict'] in ('warning', 'error', 'critical')}


def verdicts(report):
    return {key: section['verdict'] for key, section in report['sections'].items() if key.startswith(BUILT)}


def test_dbg(tmp_path, monkeypatch):
    import os
    which = os.environ['WHICH']
    if which == 'k8s':
        c = Cluster.from_state({'k8s': {'api': {'cp-1': 'refused', 'cp-2': 'refused', 'cp-3': 'refused'}}})
    elif which == 'worker':
        c = Cluster.from_state({'client': {'endpoints': ['10.5.0.21'], 'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True}})
    elif which == 'reader':
        c = Cluster.from_state({'client': {'endpoints': ['10.5.0.11','10.5.0.12','10.5.0.13'], 'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}})
    elif which == 'dies':
        c = Cluster.from_state({})
    with c as cluster:
        if which == 'dies':
            served = Apid.__call__
            calls = []
            lock = threading.Lock()
            async def count(self, call):
                import asyncio
                if call.values('node') == [cluster.address('w-1')]:
                    calls.append(call.method)
                    if len(calls) == 6:
                        t = threading.Thread(target=cluster.kill, args=('w-1',)); t.start()
                        while cluster.nodes['w-1'].reachable:
                            await asyncio.sleep(0.01)
                return await served(self, call)
            monkeypatch.setattr(Apid, '__call__', count)
        run, report = diagnose(cluster, tmp_path)
        print(run.text)
        print(verdicts(report)); print(faults(report))
        print([f['id']+': '+f['title'] for f in report['findings'] if f['verdict']=='unknown'])
        print([(n['name'], n['answered']) for n in report['nodes']])
