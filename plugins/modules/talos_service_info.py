#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_service_info
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Read state, health and events of the services of Talos machines
description:
  - Reads the services of each machine as C(talosctl services) does, those that do not run included, from all machines at once.
  - It shows and does not judge. Whether what it shows is wrong is said by the modules that check, for example M(talosops.talos.talos_etcd_health).
  - A machine that could not be read is named in RV(unread) with the reason. The task fails when none could be read.
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
      - Only the services of these ids, for example V(etcd) or V(kubelet).
    type: list
    elements: str
  states:
    description:
      - Only services in one of these states.
      - What the troubleshooting guide calls the state C(Pre) is V(Preparing).
    type: list
    elements: str
    choices: [Initialized, Preparing, Waiting, Starting, Running, Stopping, Finished, Failed, Skipped]
  events:
    description:
      - How many of the last events of each service to return. Talos keeps at most 64.
    type: int
    default: 5
seealso:
  - module: talosops.talos.talos_logs
  - module: talosops.talos.talos_health
"""

EXAMPLES = r"""
- name: Read all services of all machines
  talosops.talos.talos_service_info:
  delegate_to: localhost

- name: Wait until etcd runs on every control plane node
  talosops.talos.talos_service_info:
    services: [etcd]
    nodes: [control_planes]
    events: 0
  delegate_to: localhost
  register: etcd
  until: >-
    etcd is success and etcd.unread == {} and etcd.missing == {}
    and etcd.services | rejectattr('healthy', 'equalto', true) | list == []
  retries: 30
  delay: 10

- name: What is not running, and what was said about it last
  talosops.talos.talos_service_info:
    states: [Preparing, Waiting, Failed]
    events: 1
  delegate_to: localhost
  register: stuck

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.node }} {{ item.id }} {{ item.state }}: {{ item.events | map(attribute='message') | join }}"
  loop: "{{ stuck.services }}"
  loop_control:
    label: "{{ item.node }} {{ item.id }}"
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
services:
  description: The services, machine by machine.
  returned: success
  type: list
  elements: dict
  contains:
    node:
      description: Name of the machine.
      type: str
    id:
      description: Id of the service.
      type: str
    state:
      description: Its state, as in O(states).
      type: str
    healthy:
      description: What its health check says. Null when it has none, or has not been checked yet.
      type: bool
    message:
      description: What the last health check said, or null.
      type: str
    last_change:
      description: When its health changed last, or null.
      type: str
    events:
      description: Its last events, oldest first.
      type: list
      elements: dict
      contains:
        at:
          description: When it happened, by the clock of the machine.
          type: str
        state:
          description: State that the service came into.
          type: str
        message:
          description: What happened.
          type: str
  sample:
    - node: cp-1
      id: etcd
      state: Running
      healthy: true
      message: null
      last_change: "2026-11-22T10:13:05.201478411Z"
      events:
        - at: "2026-11-22T10:12:59.100320117Z"
          state: Running
          message: Started task etcd (PID 2241) for container etcd
        - at: "2026-11-22T10:13:05.201478411Z"
          state: Running
          message: Health check successful
missing:
  description: Of the ids in O(services), those that a machine does not list at all. A worker has no etcd; a control plane node must have one.
  returned: success
  type: dict
  sample: {w-1: [etcd]}
omitted:
  description: How many services were left out because of O(limit_bytes).
  returned: success
  type: int
  sample: 0
unread:
  description: Machines that could not be read, with the reason.
  returned: success
  type: dict
  sample:
    w-2: 10.5.0.22 did not answer Version in time.
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.service_info import run


def main():
    serve('talos_service_info', run)


if __name__ == '__main__':
    main()
