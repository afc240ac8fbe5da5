#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_controller_runtime_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge the controllers inside Talos
description:
  - Reads the log of the controller runtime from every machine of a Talos cluster, and judges whether its controllers have settled.
  - Controllers are restarted with growing pauses and may fail while a machine or a cluster comes up. One that failed at least five times and failed
    in the last five minutes, on a machine that has been up for ten, is a finding, unless another section reports what it cannot do.
  - Shows the section Miscellaneous of the troubleshooting guide.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: Miscellaneous
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#investigating-controller-runtime-issues
"""

EXAMPLES = r"""
- name: Judge the controllers inside Talos
  talosops.talos.talos_controller_runtime_check:
  delegate_to: localhost
  register: controllers

- name: Show what failed of late, and why
  ansible.builtin.debug:
    msg: "{{ item.node }}: {{ item.name }} failed {{ item.failures }} times, last: {{ item.last_error }}"
  loop: "{{ controllers.controllers | rejectattr('settled') }}"
  loop_control:
    label: "{{ item.node }} {{ item.name }}"

- name: Wait until a changed configuration has taken effect, which is when the log is quiet
  talosops.talos.talos_controller_runtime_check:
  delegate_to: localhost
  register: controllers
  until: controllers.settled.values() is all
  retries: 10
  delay: 60
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
    misc.controller_runtime:
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
    - id: controller_runtime.controller_failing/k8s.NodeLabelsApplyController
      check: controller_runtime.controller_failing
      section: misc.controller_runtime
      verdict: warning
      nodes: [cp-1]
      subject: k8s.NodeLabelsApplyController
controllers:
  description: Controllers that failed since the log began, on each node, those that failed last first.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Name of the machine.
      type: str
    name:
      description: Name of the controller.
      type: str
    failures:
      description: How often it failed, as far as the log goes back.
      type: int
    first_failure:
      description: When it failed first, by the machine's clock.
      type: str
    last_failure:
      description: When it failed last, by the machine's clock.
      type: str
    last_error:
      description: What it said then.
      type: str
    settled:
      description: Whether it has not failed for five minutes.
      type: bool
  sample:
    - node: cp-1
      name: k8s.NodeApplyController
      failures: 8
      first_failure: "2026-11-22T10:12:41.507Z"
      last_failure: "2026-11-22T10:13:41.971Z"
      last_error: '1 error(s) occurred: error getting node: nodes "cp-1" not found'
      settled: true
settled:
  description: Whether no controller of a node has failed for five minutes, by node.
  returned: success
  type: dict
  sample:
    cp-1: true
    w-1: true
unread:
  description: Machines whose log could not be read, with the reason.
  returned: success
  type: dict
  sample:
    cp-3: dialling 10.5.0.13:50000 timed out
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.controller_runtime_check import run


def main():
    serve('talos_controller_runtime_check', run)


if __name__ == '__main__':
    main()
