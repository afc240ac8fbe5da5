#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_etcd_health
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge etcd on all control plane nodes
description:
  - Reads service, members, status and alarms of etcd from every control plane node of a Talos cluster, and judges them.
  - Shows the section etcd of the troubleshooting guide. A control plane node whose etcd does not run is asked nothing that would hang there.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: etcd
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#etcd
"""

EXAMPLES = r"""
- name: Judge etcd
  talosops.talos.talos_etcd_health:
  delegate_to: localhost
  register: etcd

- name: A member may be taken down only while another failure is tolerated
  ansible.builtin.assert:
    that:
      - etcd.verdict in ['ok', 'info']
      - etcd.failure_tolerance >= 1

- name: Judge etcd of an earlier snapshot, with less patience for a filling database
  talosops.talos.talos_etcd_health:
    snapshot: talos-report/prod_eu_3f2a9c11/latest
    thresholds:
      etcd_db_warning: 0.6
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster, which is that of the inventory host, else of the context.
  returned: success
  type: str
  sample: prod-eu
verdict:
  description: Worst verdict of the sections. From best to worst V(not_applicable), V(ok), V(info), V(unknown), V(warning), V(error), V(critical).
  returned: success
  type: str
  sample: critical
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
    etcd.alarm:
      verdict: critical
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {critical: 1, ok: 4}
findings:
  description:
    - What is wrong, worth knowing or could not be seen, causes before consequences and the worst first.
    - The fields are those of C(findings) in report.json.
  returned: success
  type: list
  elements: dict
  sample:
    - id: etcd.alarm_nospace/1111111111111111
      check: etcd.alarm_nospace
      section: etcd.alarm
      verdict: critical
      nodes: [cp-1]
      subject: "1111111111111111"
      title: etcd is out of space
      means: The Kubernetes API cannot write.
      evidence:
        - node: cp-1
          source: EtcdAlarmList
          at: "2026-11-22T10:00:00.000Z"
          text: NOSPACE
      root: true
      because_of: []
      next_step: Defragment the members one at a time and disarm the alarm.
      guide: etcd-reports-and-alarm
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
nodes:
  description: What each control plane node says of etcd.
  returned: success
  type: dict
  contains:
    service:
      description: State, health and last message of the service, or null where it is not listed or was not read.
      type: dict
    member_id:
      description: Id of the member that runs here, 16 hexadecimal digits.
      type: str
    status:
      description: Version, leader, sizes in bytes and raft indices, or null.
      type: dict
    status_unread:
      description: Why there is no status.
      type: str
    members:
      description: Ids of the members that this node lists, or null.
      type: list
      elements: str
    members_unread:
      description: Why there is no list.
      type: str
  sample:
    cp-1:
      service: {state: Running, healthy: true, message: Health check successful}
      member_id: "1111111111111111"
      status:
        version: 3.6.12
        storage_version: 3.6.0
        leader: "1111111111111111"
        learner: false
        db_size: 2064384
        db_size_in_use: 2064384
        raft_term: 2
        raft_index: 1442
        raft_applied_index: 1442
        errors: []
      status_unread: null
      members: ["1111111111111111", "2222222222222222", "3333333333333333"]
      members_unread: null
members:
  description: The members, by the list that is furthest in raft's terms.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "1111111111111111"
      name: cp-1
      peer_urls: ["https://10.5.0.11:2380"]
      client_urls: ["https://10.5.0.11:2379"]
      learner: false
leaders:
  description: The leader, or leaders while members disagree. Empty without one.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "1111111111111111"
      name: cp-1
alarms:
  description: Alarms that are raised, or null when nobody could tell.
  returned: success
  type: list
  elements: dict
  sample:
    - member_id: "1111111111111111"
      member: cp-1
      alarm: NOSPACE
voters:
  description: Number of members that vote, or null when nobody gave a member list.
  returned: success
  type: int
  sample: 3
healthy_voters:
  description: Number of voting members that answered and know a leader, or null.
  returned: success
  type: int
  sample: 3
quorum:
  description: Number of voting members that etcd needs, or null.
  returned: success
  type: int
  sample: 2
failure_tolerance:
  description: How many more members may fail before etcd stops, or null.
  returned: success
  type: int
  sample: 1
unread:
  description: Machines that could not be asked, with the reason.
  returned: success
  type: dict
  sample:
    cp-3: dialling 10.5.0.13:50000 timed out
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.etcd_health import run


def main():
    serve('talos_etcd_health', run)


if __name__ == '__main__':
    main()
