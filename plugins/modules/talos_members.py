#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_members
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Compare whom each machine knows as a member of the cluster
description:
  - Reads the members that discovery gives to every machine of a Talos cluster, and judges them.
  - Shows the section Discovery and Cluster Membership of the troubleshooting guide with members that are missing, duplicate or removed and still present.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: Discovery and Cluster Membership
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#discovery-and-cluster-membership
"""

EXAMPLES = r"""
- name: Compare the members on all machines
  talosops.talos.talos_members:
  delegate_to: localhost
  register: discovery

- name: Every machine must see the same members
  ansible.builtin.assert:
    that: discovery.consistent

- name: Judge the members of an earlier snapshot
  talosops.talos.talos_members:
    snapshot: talos-report/prod_eu_3f2a9c11/latest
    expected_nodes: [cp-1, cp-2, cp-3, w-1, w-2]
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
    discovery.missing:
      verdict: warning
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {warning: 1, ok: 4}
findings:
  description:
    - What is wrong, worth knowing or could not be seen, causes before consequences and the worst first.
    - The fields are those of C(findings) in report.json.
  returned: success
  type: list
  elements: dict
  sample:
    - id: discovery.members_differ/cluster
      check: discovery.members_differ
      section: discovery.missing
      verdict: warning
      nodes: [cp-2]
      subject: "cluster"
      title: cp-2 does not list w-1
      means: Machines that do not see each other cannot form a cluster.
      evidence:
        - node: cp-2
          source: Members
          at: "2026-11-22T10:00:00.000Z"
          text: lists cp-1, cp-2, cp-3
      root: true
      because_of: []
      next_step: Compare the discovery settings of both machines.
      guide: some-members-are-missing
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
members:
  description: Everyone who is a member in the eyes of any machine.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the node.
      type: str
    node_id:
      description: Identity that Talos made for the node.
      type: str
    hostname:
      description: Host name with its domain.
      type: str
    addresses:
      description: Addresses that it told discovery.
      type: list
      elements: str
    type:
      description: V(controlplane), V(worker) or V(init).
      type: str
    operating_system:
      description: Name and version of its operating system.
      type: str
    not_seen_by:
      description: Machines that do not list it.
      type: list
      elements: str
  sample:
    - name: w-1
      node_id: T6qaiWt2B4fp1pgQPwyamRfO86x50aBOKN32igGvbmJ
      hostname: w-1
      addresses: [10.5.0.21]
      type: worker
      operating_system: Talos (v1.13.9)
      not_seen_by: [cp-2]
members_per_node:
  description:
    - Names of the members that each machine lists.
    - In a cluster of more than 50 machines only lists that differ from RV(members).
  returned: success
  type: dict
  sample:
    cp-1: [cp-1, cp-2, cp-3, w-1]
    cp-2: [cp-1, cp-2, cp-3]
consistent:
  description: Whether all machines that were read list the same members. Null when none was read.
  returned: success
  type: bool
  sample: false
unread:
  description: Machines that could not be asked, with the reason.
  returned: success
  type: dict
  sample:
    w-2: dialling 10.5.0.22:50000 timed out
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.members import run


def main():
    serve('talos_members', run)


if __name__ == '__main__':
    main()
