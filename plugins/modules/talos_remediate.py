#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_remediate
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Plan the repair of a Talos cluster, and apply what is enabled by name
description:
  - Diagnoses the cluster as M(talosops.talos.talos_diagnose) does, and makes a plan. For each thing that is wrong the plan has a step with its
    evidence, its predicted effect, what is done in which order and how to go back. What no remedy repairs is in it in the guide's words, for a person.
  - Without O(remedies) it stops there, and changes nothing.
  - With O(remedies) it takes the lock of the cluster, applies these steps in the order of the plan, one at a time, each looked at anew immediately
    before it acts, diagnoses again after each, and stops at the first surprise. Each step ends as done and proved, done but not yet proved,
    refused, failed or not attempted.
  - Nothing can be forced. What is missing or could not be seen is a reason to refuse.
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.sampling
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
options:
  remedies:
    description:
      - Names of the remedies to apply, as the plan and C(remedy.name) of findings give them. Without any, it only plans.
      - A name that no remedy has is an error. What is never done, such as V(bootstrap) or V(reset), is refused with the reason in this cluster.
    type: list
    elements: str
    default: []
  targets:
    description:
      - Narrows a remedy to some of its targets, by the name of the remedy.
      - A target that the plan does not hold is refused with the reason, and not ignored.
    type: dict
  plan:
    description:
      - The plan that was approved, as the path of a file on the control node, as JSON or as data. Where the cluster has changed in what a step of it
        rests on, nothing is applied.
    type: raw
  plan_digest:
    description:
      - The digest of the plan that was approved. Where O(plan) is another one, or is not given and the plan of now is another one, nothing is applied.
    type: str
  plan_out:
    description:
      - Where the plan is written, on the control node. In a directory its name is that of the cluster's key with C(.plan.json).
      - The plan is also beside the report, always.
    type: path
  confirm:
    description:
      - The exact sentences that steps ask for which lose something, or after which something does not answer. The plan prints them.
    type: list
    elements: str
  backup_dir:
    description:
      - Directory on the control node for snapshots of etcd, deleted Nodes and machine configurations, each with mode 0600. Without it steps that need
        a backup are refused.
      - The file system of a job container vanishes with the job, so mount a volume there. A snapshot of etcd holds every Secret of Kubernetes.
    type: path
  wait:
    description:
      - Seconds that the findings of a step have to go away after it, with nothing new that is an error. A step of which they are there still is
        done, not yet proved, and stops what follows.
    type: float
    default: 120.0
  pause:
    description:
      - Seconds between two members of etcd, or two control plane nodes, that are changed one after the other.
    type: float
    default: 60.0
  verify_seconds:
    description:
      - Seconds that what was taken away must stay away, such as a Node or an alarm.
    type: float
    default: 120.0
  report_dir:
    description:
      - Directory on the control node for C(snapshot.zip), C(report.json), C(plan.json) and C(audit.jsonl). The diagnosis before the first change is
        kept in C(before) in it.
      - When not set, C(talos-report/<cluster key>/<UTC time>) under the working directory, and C(latest) beside it points to the newest.
    type: path
notes:
  - The lock is the Lease C(talosops-talos-remediate) in the namespace C(kube-system). While Kubernetes takes no writes there is none, and steps need
    the sentence C(change <cluster> without a lock) in O(confirm).
  - It does not fail where a step was refused or failed. C(fails) and C(reason) tell, and the playbook C(talosops.talos.remediate) fails by them.
  - Through another host it plans, and refuses to apply, because backups and the audit record belong on the control node.
seealso:
  - module: talosops.talos.talos_diagnose
  - module: talosops.talos.talos_report
  - name: Plans and remedies
    description: What each remedy does and needs, the fields of a plan, and approval with AWX.
    link: https://github.com/talosops/talosops.talos/blob/main/docs/remedies.md
"""

EXAMPLES = r"""
- name: Plan, and keep the plan for approval
  talosops.talos.talos_remediate:
    plan_out: plans/
  delegate_to: localhost
  register: planned

- name: Show what would be done, with differences
  talosops.talos.talos_remediate:
    remedies: [etcd_stale_member, stale_node]
  check_mode: true
  diff: true
  delegate_to: localhost

- name: Remove one member of etcd that was approved, and nothing else
  talosops.talos.talos_remediate:
    remedies: [etcd_stale_member]
    targets:
      etcd_stale_member: ["3333333333333333"]
    plan: "{{ planned.plan }}"
    plan_digest: "{{ planned.plan_digest }}"
    backup_dir: backups
    confirm:
      - "remove etcd member 3333333333333333 of {{ inventory_hostname }}"
  delegate_to: localhost
  register: repaired

- name: Fail where not everything was done and proved
  ansible.builtin.assert:
    that: not repaired.fails
    fail_msg: "{{ repaired.reason }}"
"""

RETURN = r"""
plan:
  description:
    - The plan, at most 64 KiB as JSON, without any secret. The fields of a step stand in the documentation about remedies.
  returned: success
  type: dict
  sample:
    schema: https://talosops.github.io/schema/plan/1
    cluster: prod-eu
    cluster_id: 9b1c7f3e2a604d18
    digest: 84b5663c00909628
    confirm: []
    steps:
      - step: 1
        remedy: etcd_stale_member
        target: "3333333333333333"
        by_hand: false
        title: Remove the etcd member 3333333333333333 ("cp-3", 10.5.0.13) of prod-eu
        confirm: ["remove etcd member 3333333333333333 of prod-eu"]
        needs_backup: true
        refused: null
plan_digest:
  description: Digest of the plan, which covers remedies, targets, arguments and the facts that they rest on.
  returned: success
  type: str
  sample: 84b5663c00909628
plan_file:
  description: Path of the plan beside the report, on the control node.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/plan.json
outcomes:
  description:
    - What came of each step that was asked for. C(outcome) is one of V(done and proved), V(done, not yet proved), V(refused), V(failed),
      V(not attempted), and in check mode V(would be done). C(why) is the reason, or null. C(kept) are the paths of what was kept before.
  returned: success
  type: list
  elements: dict
  sample:
    - step: 1
      remedy: etcd_stale_member
      target: "3333333333333333"
      title: Remove the etcd member 3333333333333333 ("cp-3", 10.5.0.13) of prod-eu
      outcome: done and proved
      why: null
      kept: [/srv/backups/prod_eu_3f2a9c11-20261122T100004Z-0a1b2c3d.etcd]
fails:
  description: Whether something that was asked for was not done and proved.
  returned: success
  type: bool
  sample: false
reason:
  description: What that was and why, in one sentence, or null.
  returned: success
  type: str
  sample: null
applied:
  description: Whether remedies were enabled, outside check mode.
  returned: success
  type: bool
  sample: true
unlocked:
  description: Why the cluster was changed without the lock, null where it was not.
  returned: success
  type: str
  sample: null
audit:
  description: Path of the audit record on the control node, one JSON object a line, or null where nothing was applied.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/audit.jsonl
report:
  description: Path of report.json on the control node. It is the diagnosis at the end, with C(remediation) in it.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/report.json
report_dir:
  description: Directory that all of it lies in.
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
  returned: success
  type: str
  sample: prod_eu_3f2a9c11
class:
  description: Class of the cluster at the end by its worst finding, one of V(healthy), V(warnings), V(errors), V(critical), V(not_judged).
  returned: success
  type: str
  sample: healthy
complete:
  description: Whether everything could be seen.
  returned: success
  type: bool
  sample: true
message:
  description: The cluster, its class at the end, and whether all could be seen, in one sentence.
  returned: success
  type: str
  sample: "prod-eu: healthy, complete"
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remediate import run


def main():
    serve('talos_remediate', run)


if __name__ == '__main__':
    main()
