#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_health
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge the health of the cluster as a whole, or wait for it
description:
  - Judges the conditions of C(talosctl health) on every machine of a Talos cluster, all of them and not only up to the first that is not
    met, and names the nodes and the reason of each.
  - Unlike C(talosctl health) it looks at kubelet on workers too, at the member list of each etcd member, at the readiness of static pods, and
    at alarms of etcd. A node that is cordoned does not count as a fault. V(os:reader) suffices for all but what only Kubernetes itself can tell.
  - It is made to be a gate in a playbook. It fails where a condition is not met or could not be seen, or it waits until all are met
    (O(wait_timeout)), or it only tells (O(fail=false)).
  - Beside the conditions it shows the section Running Health Checks of the troubleshooting guide, with versions and upgrades. These findings
    do not decide about RV(healthy).
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  control_plane_nodes:
    description:
      - Names or addresses of the control plane nodes that must be healthy, instead of those that discovery, etcd and Kubernetes know.
      - With this or O(worker_nodes) only the nodes that are named count; where those are workers alone, what concerns control plane nodes is
        skipped. One that is no machine of the cluster, or is of the other kind, is
        a condition that is not met.
    type: list
    elements: str
  worker_nodes:
    description:
      - Names or addresses of the workers that must be healthy, see O(control_plane_nodes).
    type: list
    elements: str
  conditions:
    description:
      - The conditions that are judged and waited for, by default all.
      - V(etcd), etcd to be healthy; V(etcd_members_consistent), etcd members to be consistent across nodes; V(etcd_members_control_plane), etcd
        members to be control plane nodes; V(apid), apid to be ready; V(memory), all nodes memory sizes; V(disk), all nodes disk sizes;
        V(diagnostics), no diagnostics; V(kubelet), kubelet to be healthy; V(boot), all nodes to finish boot sequence; V(nodes_registered), all
        k8s nodes to report; V(static_pods), all control plane static pods to be running; V(control_plane), all control plane components to be
        ready; V(nodes_ready), all k8s nodes to report ready; V(kube_proxy), kube-proxy to report ready; V(coredns), coredns to report ready;
        V(schedulable), all k8s nodes to report schedulable; V(etcd_alarms), etcd to have no alarms.
    type: list
    elements: str
    choices:
      - etcd
      - etcd_members_consistent
      - etcd_members_control_plane
      - apid
      - memory
      - disk
      - diagnostics
      - kubelet
      - boot
      - nodes_registered
      - static_pods
      - control_plane
      - nodes_ready
      - kube_proxy
      - coredns
      - schedulable
      - etcd_alarms
  checks_skipped:
    description:
      - Conditions that are left out. They stand in RV(conditions) as V(skipped).
    type: list
    elements: str
    choices:
      - etcd
      - etcd_members_consistent
      - etcd_members_control_plane
      - apid
      - memory
      - disk
      - diagnostics
      - kubelet
      - boot
      - nodes_registered
      - static_pods
      - control_plane
      - nodes_ready
      - kube_proxy
      - coredns
      - schedulable
      - etcd_alarms
  wait_timeout:
    description:
      - Seconds to wait until all conditions are met. With V(0) they are judged once.
      - The cluster is asked anew for every look at it. A look that has begun is finished, so the task may take up to O(deadline) seconds longer.
      - While it waits it says what it is waiting for, where it runs on the control node.
      - Without effect where O(snapshot) is given, which does not change.
    type: float
    default: 0
  poll_interval:
    description:
      - Seconds between two looks at the cluster at first. The pause grows with every look, to 15 seconds at most, or to this where it is longer.
    type: float
    default: 2
  fail:
    description:
      - Whether the task fails where a condition is not met or unknown when the time is over. The message names the conditions and the nodes.
      - With V(false) an unhealthy cluster never fails the task, so that RV(healthy) can be used by C(until) or by what follows. A talosconfig
        that cannot be used fails it all the same.
    type: bool
    default: true
seealso:
  - module: talosops.talos.talos_diagnose
  - module: talosops.talos.talos_snapshot
  - name: Running Health Checks
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#running-health-checks
"""

EXAMPLES = r"""
- name: Upgrade nothing that is not healthy before
  hosts: talos_clusters
  connection: local
  gather_facts: false
  tasks:
    - name: The gate before an upgrade
      talosops.talos.talos_health:

- name: Bring up a new cluster
  hosts: talos_clusters
  connection: local
  gather_facts: false
  tasks:
    - name: Wait for the cluster after its bootstrap
      talosops.talos.talos_health:
        control_plane_nodes: [10.5.0.11, 10.5.0.12, 10.5.0.13]
        worker_nodes: [10.5.0.21, 10.5.0.22]
        wait_timeout: 600

    - name: Wait for the API only, because the CNI is installed next (cni none)
      talosops.talos.talos_health:
        conditions: [etcd, apid, kubelet, static_pods, control_plane]
        wait_timeout: 600

    - name: Wait for all the rest, without kube-proxy, which Cilium replaces
      talosops.talos.talos_health:
        checks_skipped: [kube_proxy]
        wait_timeout: 300

- name: Go on with what is healthy
  hosts: talos_clusters
  connection: local
  gather_facts: false
  tasks:
    - name: Look every half a minute, and let Ansible count
      talosops.talos.talos_health:
        fail: false
      register: health
      until: health.healthy
      retries: 10
      delay: 30

    - name: Show what is not met
      ansible.builtin.debug:
        msg: "{{ health.conditions | rejectattr('state', 'in', ['ok', 'skipped']) | list }}"
      when: not health.healthy

    - name: Wait for the cluster while other tasks run
      talosops.talos.talos_health:
        wait_timeout: 900
      async: 1000
      poll: 0
      register: waiting

    - name: Take the result
      ansible.builtin.async_status:
        jid: "{{ waiting.ansible_job_id }}"
      register: health
      until: health.finished
      retries: 100
      delay: 10
"""

RETURN = r"""
cluster:
  description: Name of the cluster, which is that of the inventory host, else of the context.
  returned: success
  type: str
  sample: prod-eu
healthy:
  description:
    - Whether all conditions are met or do not apply. One that could not be seen is not met.
  returned: success
  type: bool
  sample: false
conditions:
  description: The conditions in the order of C(talosctl health), one of our own last.
  returned: success
  type: list
  elements: dict
  contains:
    condition:
      description: Its key, as in O(conditions).
      type: str
    name:
      description: Its name in the words of C(talosctl health).
      type: str
    state:
      description:
        - V(ok), V(not_met), V(unknown) where it could not be seen, or V(skipped) where it does not apply or was left out.
      type: str
    nodes:
      description: Names of the machines that are the reason, at most 50.
      type: list
      elements: str
    nodes_omitted:
      description: How many further ones there are.
      type: int
    reason:
      description: Why, or what is worth knowing of one that is V(ok). V(none) where there is nothing to say.
      type: str
    findings:
      description: Ids of the findings that say so in the report of M(talosops.talos.talos_diagnose), of whatever section they are.
      type: list
      elements: str
  sample:
    - condition: etcd
      name: etcd to be healthy
      state: not_met
      nodes: [cp-3]
      nodes_omitted: 0
      reason: cp-3 is not reached on port 50000 from anywhere
      findings: [talos_api.machine_unreachable/qZsUJUTYCgxQUBTwuIm5GqGYYu3YSmQbzYkHn8qRkWZ]
    - condition: etcd_members_consistent
      name: etcd members to be consistent across nodes
      state: ok
      nodes: []
      nodes_omitted: 0
      reason: null
      findings: []
waited:
  description: Seconds that the task looked at the cluster or waited.
  returned: success
  type: float
  sample: 74.2
polls:
  description: How often it looked at the cluster, V(0) for a snapshot.
  returned: success
  type: int
  sample: 9
verdict:
  description: Worst verdict of the sections. From best to worst V(not_applicable), V(ok), V(info), V(unknown), V(warning), V(error), V(critical).
  returned: success
  type: str
  sample: warning
complete:
  description: Whether everything that these sections look at could be seen.
  returned: success
  type: bool
  sample: true
sections:
  description: Verdict of each section of the troubleshooting guide that this module shows, by its key.
  returned: success
  type: dict
  sample:
    health_checks:
      verdict: warning
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {warning: 1, ok: 27}
    x.upgrade:
      verdict: ok
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {ok: 25}
findings:
  description:
    - What is wrong, worth knowing or could not be seen, causes before consequences and the worst first.
    - The fields are those of C(findings) in report.json.
  returned: success
  type: list
  elements: dict
  sample:
    - id: health_checks.config_pending/qZsUJUTYCgxQUBTwuIm5GqGYYu3YSmQbzYkHn8qRkWZ
      check: health_checks.config_pending
      section: health_checks
      verdict: warning
      nodes: [cp-1]
      subject: qZsUJUTYCgxQUBTwuIm5GqGYYu3YSmQbzYkHn8qRkWZ
findings_omitted:
  description: How many of the least severe findings did not fit into the result. report.json has all of them.
  returned: success
  type: int
  sample: 0
facts_omitted:
  description:
    - How many entries of the other return values did not fit into the result, by the name of the value.
    - Empty but for clusters of very many machines.
  returned: success
  type: dict
  sample: {}
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.health import run


def main():
    serve('talos_health', run)


if __name__ == '__main__':
    main()
