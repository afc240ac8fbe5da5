#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_diagnose
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Walk a Talos cluster through the troubleshooting guide in one task
description:
  - Asks all machines of a cluster at once, over the Talos API and the Kubernetes API, judges every section of the troubleshooting guide,
    and returns what is wrong with its causes first.
  - Writes C(snapshot.zip) and C(report.json) beside each other, as M(talosops.talos.talos_snapshot) does. The playbook
    C(talosops.talos.diagnose) does the same in roles that can be chosen and skipped, and shows the report to a person.
  - Given a snapshot, it judges that and connects to nothing.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.sampling
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  report_dir:
    description:
      - Directory on the control node for C(snapshot.zip) and C(report.json). A relative path starts at the working directory.
      - When not set, C(talos-report/<cluster key>/<UTC time>) under the working directory, and C(latest) beside it points to the newest.
      - A directory that holds the report of another cluster is refused.
    type: path
  fail_on:
    description:
      - From which severity on the task fails. A cluster that could not be judged fails for all but V(never).
      - The result is the same whether it fails or not.
    type: str
    choices: [never, warning, error, critical]
    default: never
notes:
  - Snapshot and report are written in check mode too. They are the result, and nothing else is changed anywhere.
  - Through another host, C(async) is refused, because the snapshot could not be brought back.
seealso:
  - module: talosops.talos.talos_snapshot
  - module: talosops.talos.talos_report
  - module: talosops.talos.talos_health
  - name: Troubleshooting
    description: The guide that the sections of the report follow.
    link: https://www.talos.dev/latest/introduction/troubleshooting/
"""

EXAMPLES = r"""
- name: Diagnose the cluster
  talosops.talos.talos_diagnose:
    context: prod-eu
  delegate_to: localhost
  register: diagnosis

- name: Say what to begin with
  ansible.builtin.debug:
    msg: "{{ diagnosis.findings | selectattr('root') | map(attribute='title') | list }}"

- name: Stop a rollout while anything is wrong, and look only at etcd for that
  ansible.builtin.assert:
    that:
      - diagnosis.class in ['healthy', 'warnings']
      - diagnosis.sections['etcd.quorum_lost'].verdict == 'ok'

- name: Fail by the severity, with less patience for full disks and a check of your own
  talosops.talos.talos_diagnose:
    fail_on: error
    thresholds:
      talos_api_client_certificate_days: 60
    checks:
      - id: guest_agent
        title: the guest agent is installed
        expression: contains(values(resources.ExtensionStatuses)[].metadata.name, 'qemu-guest-agent')
        expected: true
        severity: warning
        remedy: Upgrade with the installer image of our factory schematic.
  delegate_to: localhost

- name: Judge a snapshot of last week again
  talosops.talos.talos_diagnose:
    snapshot: talos-report/prod_eu_3f2a9c11/20261115T020000Z
  delegate_to: localhost
"""

RETURN = r"""
snapshot:
  description: Path of the snapshot on the control node.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/snapshot.zip
report:
  description: Path of report.json on the control node.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/report.json
report_dir:
  description: Directory that both lie in.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z
cluster:
  description: Name of the cluster, which is that of the inventory host, else of the context.
  returned: success
  type: str
  sample: prod-eu
cluster_id:
  description: Hash of the cluster id that Talos itself keeps, or null where no machine told it.
  returned: success
  type: str
  sample: 9b1c7f3e2a604d18
cluster_key:
  description: Name and id as one word that is fit for file names and variables.
  returned: when O(snapshot) is not set
  type: str
  sample: prod_eu_3f2a9c11
class:
  description: Class of the cluster by its worst finding, one of V(healthy), V(warnings), V(errors), V(critical), V(not_judged).
  returned: success
  type: str
  sample: healthy
complete:
  description: Whether everything could be seen.
  returned: success
  type: bool
  sample: false
counts:
  description: Number of judgements by verdict.
  returned: success
  type: dict
  sample: {ok: 61, info: 1, unknown: 0, warning: 0, error: 0, critical: 0, not_applicable: 7}
digest:
  description: Hash of the snapshot, the thresholds and the version of the collection. The same digest gives the same report.
  returned: success
  type: str
  sample: 0f4c1d5b8e6a7c93b2d1e0f4c1d5b8e6a7c93b2d1e0f4c1d5b8e6a7c93b2d1e0
talos:
  description: Talos versions of the machines, or null.
  returned: success
  type: str
  sample: v1.13.9
kubernetes:
  description: Kubernetes version, or null where the Kubernetes API was not read.
  returned: success
  type: str
  sample: v1.36.3
role:
  description: Talos roles of the client certificate.
  returned: success
  type: str
  sample: os:admin
machines:
  description: The machines that are known from anywhere, at most 200.
  returned: success
  type: list
  elements: dict
  sample:
    - name: cp-1
      address: 10.5.0.11
      type: controlplane
      answered: true
machines_answered:
  description: How many machines answered.
  returned: success
  type: int
  sample: 5
machines_known:
  description: How many machines are known.
  returned: success
  type: int
  sample: 5
seconds:
  description: How long gathering took.
  returned: success
  type: float
  sample: 0.21
verdict:
  description: Worst verdict of all sections. From best to worst V(not_applicable), V(ok), V(info), V(unknown), V(warning), V(error), V(critical).
  returned: success
  type: str
  sample: warning
sections:
  description: Verdict of every section of the troubleshooting guide, by its key.
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
      root: true
      because_of: []
roots:
  description: Ids of the findings to begin with, those of at least V(warning) that no other finding explains.
  returned: success
  type: list
  elements: str
  sample: ["etcd.alarm_nospace/1111111111111111"]
nodes_source:
  description: From where it is known which machines there are, and on which machines the sources differ.
  returned: success
  type: dict
  sample:
    expected_from: discovery
    sources:
      discovery: [cp-1, cp-2, cp-3, w-1]
      etcd: [cp-1, cp-2, cp-3]
      kubernetes: [cp-1, cp-2, cp-3, w-1]
    disagreements: []
message:
  description: The cluster, its class, and whether all could be seen, in one sentence.
  returned: success
  type: str
  sample: "prod-eu: warnings, complete"
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.diagnose import run


def main():
    serve('talos_diagnose', run)


if __name__ == '__main__':
    main()
