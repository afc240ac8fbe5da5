#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_resource_info
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Read resources of any type from the machines of a Talos cluster
description:
  - Reads the resources of one type as each machine has them, as C(talosctl get) does, from all machines at once.
  - The type is found by the definitions that the machines themselves give, so that it works for every version of Talos.
  - A machine that could not be read is named in RV(unread) with the reason. The task fails when none could be read.
extends_documentation_fragment:
  - talosops.talos.machines
  - talosops.talos.talos_only
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  type:
    description:
      - The type, by its full name (V(Members.cluster.talos.dev)), plural (V(members)), singular (V(member)) or alias (V(mc)), in any case.
      - An alias that several types have is an error which names them. For an unknown type the nearest ones are named.
      - V(resourcedefinitions) lists all types with their aliases.
      - V(Environments.runtime.talos.dev) is refused, because it holds the environment of Talos's first process with all its secrets.
    type: str
    required: true
  namespace:
    description:
      - The namespace; by default the one in the definition of the type.
    type: str
  id:
    description:
      - Only the resource of this id. A machine that has none is no error.
    type: str
  query:
    description:
      - A JMESPath expression that is applied to RV(resources). What it gives is returned as RV(result) instead.
      - It is applied before anything is left out because of O(limit_bytes), and after secrets were replaced.
    type: str
requirements:
  - jmespath >= 1.0 (for O(query))
notes:
  - Types that Talos calls sensitive need the role C(os:admin). A machine configuration is returned as the list of its documents.
seealso:
  - module: talosops.talos.talos_service_info
  - module: talosops.talos.talos_logs
  - name: JMESPath
    description: The language of O(query).
    link: https://jmespath.org/
"""

EXAMPLES = r"""
- name: Read the addresses of all machines
  talosops.talos.talos_resource_info:
    type: nodeaddresses
    id: routed-no-k8s
  delegate_to: localhost
  register: addresses

- name: Show them
  ansible.builtin.debug:
    msg: "{{ item.node }}: {{ item.spec.addresses | join(', ') }}"
  loop: "{{ addresses.resources }}"
  loop_control:
    label: "{{ item.node }}"

- name: Which machines are not ready, and why
  talosops.talos.talos_resource_info:
    type: MachineStatuses.runtime.talos.dev
    query: "[?spec.status.ready == `false`].{node: node, stage: spec.stage, conditions: spec.status.unmetConditions[].reason}"
  delegate_to: localhost
  register: not_ready

- name: No machine may be in another stage than running
  ansible.builtin.assert:
    that: not_ready.result == []

- name: What the discovery service told two of the machines, before it is merged with what they know otherwise
  talosops.talos.talos_resource_info:
    type: affiliates
    namespace: cluster-raw
    nodes: [w-1, 10.5.0.22]
  delegate_to: localhost

- name: Compare the machine configurations of the control plane, whose secrets stay comparable
  talosops.talos.talos_resource_info:
    type: mc
    id: v1alpha1
    nodes: [control_planes]
    query: "[].{node: node, token: spec[0].cluster.token, endpoint: spec[0].cluster.controlPlane.endpoint}"
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster, which is that of the inventory host, else of the context.
  returned: success
  type: str
  sample: prod-eu
type:
  description: Full name of the type.
  returned: success
  type: str
  sample: HostnameStatuses.net.talos.dev
namespace:
  description: Namespace that was read.
  returned: success
  type: str
  sample: network
sensitive:
  description: Whether Talos gives this type to C(os:admin) alone.
  returned: success
  type: bool
  sample: false
nodes:
  description: Names of the machines that were asked.
  returned: success
  type: list
  elements: str
  sample: [cp-1, w-1]
resources:
  description: The resources, machine by machine.
  returned: success, when O(query) is not set
  type: list
  elements: dict
  contains:
    node:
      description: Name of the machine.
      type: str
    metadata:
      description: What Talos keeps about the resource.
      type: dict
    spec:
      description: The resource itself, with the field names that C(talosctl get -o yaml) shows.
      type: raw
  sample:
    - node: cp-1
      metadata:
        type: HostnameStatuses.net.talos.dev
        namespace: network
        id: hostname
        version: "1"
        phase: running
        owner: network.HostnameSpecController
        created: "2026-11-22T10:12:26.482914120Z"
        updated: "2026-11-22T10:12:26.482914120Z"
        labels: {}
      spec:
        hostname: cp-1
        domainname: ""
result:
  description: What O(query) gives. A list is cut to O(limit_bytes).
  returned: success, when O(query) is set
  type: raw
  sample: [cp-1, cp-2, cp-3]
omitted:
  description: How many resources of which machine, or how many entries of RV(result), were left out because of O(limit_bytes).
  returned: success
  type: dict
  sample: {w-1: 20}
unread:
  description: Machines that could not be read, with the reason.
  returned: success
  type: dict
  sample:
    w-2: 'The endpoint cannot reach 10.5.0.22: connection error: desc = "transport: Error while dialing: dial tcp 10.5.0.22:50000: no route to host"'
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.resource_info import run


def main():
    serve('talos_resource_info', run)


if __name__ == '__main__':
    main()
