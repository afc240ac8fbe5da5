#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_logs
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Read logs of services, of containers and of the kernel of Talos machines
description:
  - Reads logs from all machines at once, as C(talosctl logs) and C(talosctl dmesg) do, and returns the lines that are wanted.
  - Logs of containers are read through Talos, so that they are there also when the Kubernetes API is not.
  - A log that could not be read is named in RV(unread) with the reason. The task fails when none could be read.
extends_documentation_fragment:
  - talosops.talos.machines
  - talosops.talos.talos_only
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  services:
    description:
      - Ids of services, for example V(etcd), V(kubelet), V(apid). Talos itself logs to V(machined) and V(controller-runtime).
      - One of O(services), O(containers) and O(dmesg) is needed.
    type: list
    elements: str
  containers:
    description:
      - Containers of Kubernetes, each as C([namespace/]pod[:container]) or by the name of a container alone, with C(*) and C(?) as in a shell.
      - Of a container the instance that runs is read; where none does, one that ended.
      - At most 50 containers of each machine are read.
    type: list
    elements: str
  dmesg:
    description:
      - Whether to read the kernel log. A machine that is a container itself has none of its own, and is named in RV(unread).
    type: bool
    default: false
  tail:
    description:
      - How many lines of each log to return, V(-1) for all. These are the last ones of those that O(regexp) and O(since) leave.
    type: int
    default: 100
  regexp:
    description:
      - Only lines in which this regular expression of Python is found.
    type: str
  since:
    description:
      - Only lines that are not older than this, as a time (V(2026-11-22T10:00:00Z)) or as a span back from now (V(10m), V(1h30m)).
      - Lines are compared by the time that they bear themselves, and now is by the clock of the machine. A line without a time goes with the one
        before it. A log in which no line bears one is returned whole.
    type: str
notes:
  - Talos keeps logs in memory. They begin with the last boot, and old lines give way to new ones.
  - With O(regexp) or O(since) at most the last 4 MiB of each log are searched.
seealso:
  - module: talosops.talos.talos_service_info
"""

EXAMPLES = r"""
- name: What etcd complained about in the last hour
  talosops.talos.talos_logs:
    services: [etcd]
    nodes: [control_planes]
    since: 1h
    regexp: '"level":"(warn|error|fatal)"'
  delegate_to: localhost
  register: etcd

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.lines }}"
  loop: "{{ etcd.logs }}"
  loop_control:
    label: "{{ item.node }}"

- name: Read the API servers, whether or not the Kubernetes API answers
  talosops.talos.talos_logs:
    containers: [kube-apiserver]
  delegate_to: localhost

- name: Read everything of one pod, wherever it runs
  talosops.talos.talos_logs:
    containers: ["kube-system/coredns-*"]
    tail: -1
    limit_bytes: 500000
  delegate_to: localhost

- name: Read failing controllers and the kernel of one machine
  talosops.talos.talos_logs:
    services: [controller-runtime]
    dmesg: true
    regexp: (?i)error|fail
    nodes: [w-1]
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster, which is that of the inventory host, else of the context.
  returned: success
  type: str
  sample: prod-eu
nodes:
  description: Names of the machines that were asked.
  returned: success
  type: list
  elements: str
  sample: [cp-1, w-1]
logs:
  description: The logs, machine by machine.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Name of the machine.
      type: str
    log:
      description: Id of the service, C(<namespace>/<pod>:<container>), or V(dmesg).
      type: str
    source:
      description: One of V(service), V(container), V(dmesg).
      type: str
    lines:
      description:
        - The lines as they were written, oldest first, without the colours of a terminal.
        - One of more than 4096 characters is cut and says so.
      type: list
      elements: str
    truncated:
      description:
        - Whether lines are missing that were wanted, because of O(limit_bytes), or because the log broke off while it was read.
        - Lines that O(tail) leaves out are not meant.
      type: bool
    reason:
      description: Why lines are missing, or null.
      type: str
  sample:
    - node: cp-1
      log: etcd
      source: service
      lines:
        - '{"level":"warn","ts":"2026-11-22T10:20:41.118342Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"138.08ms"}'
      truncated: false
      reason: null
truncated:
  description: Whether any log is.
  returned: success
  type: bool
  sample: false
unmatched:
  description: Entries of O(containers) that mean no container of any machine.
  returned: success
  type: list
  elements: str
  sample: []
unread:
  description: Logs that could not be read, by machine, with the reason.
  returned: success
  type: dict
  sample:
    w-1:
      etcd: '10.5.0.21 has no log etcd: log "etcd" was not registered'
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.logs import run


def main():
    serve('talos_logs', run)


if __name__ == '__main__':
    main()
