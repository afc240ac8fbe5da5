#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_network_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge the network of every machine
description:
  - Reads addresses, links, routes, resolvers and counters of network devices from every machine of a Talos cluster, and judges them.
  - Shows the section Network Configuration of the troubleshooting guide.
  - A machine without a default route is told apart by its neighbours. Where none has one it is an air gap, and nothing is wrong.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.sampling
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: Network Configuration
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#network-configuration
"""

EXAMPLES = r"""
- name: Judge the network of every machine
  talosops.talos.talos_network_check:
  delegate_to: localhost
  register: result

- name: Nothing worse than a warning is accepted
  ansible.builtin.assert:
    that: result.verdict in ['ok', 'info', 'warning']

- name: Judge whether links lose packets now, by two samples of their counters
  talosops.talos.talos_network_check:
    sample_seconds: 15
  delegate_to: localhost
  register: result

- name: Show through which gateway each machine goes
  ansible.builtin.debug:
    msg: "{{ item.key }}: {{ item.value.default_routes | map(attribute='gateway') | list }}"
  loop: "{{ result.nodes | dict2items }}"
  when: item.value.default_routes is not none
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
  sample: error
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
    network_configuration:
      verdict: error
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {error: 1, ok: 34}
findings:
  description:
    - What is wrong, worth knowing or could not be seen, causes before consequences and the worst first.
    - The fields are those of C(findings) in report.json.
  returned: success
  type: list
  elements: dict
  sample:
    - id: network_configuration.not_ready/2VfOtOSx2emxA6x9VTL5imfD5t25n1GyE0BgFWmRpKAB
      check: network_configuration.not_ready
      section: network_configuration
      verdict: error
      nodes: [w-1]
      subject: 2VfOtOSx2emxA6x9VTL5imfD5t25n1GyE0BgFWmRpKAB
      title: w-1 has no default route, and its neighbours have one through 10.5.0.1
      root: true
      because_of: []
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
  description: How each machine that answered stands on its network, by name. What was not read is null.
  returned: success
  type: dict
  contains:
    hostname:
      description: Its host name.
      type: str
    ready:
      description: Which of the four things that Talos waits for are there.
      type: dict
    addresses:
      description: Addresses on links of the host itself, those of a CNI left out.
      type: list
      elements: dict
    node_addresses:
      description: Addresses that Talos uses for the machine, without those of pods and services.
      type: list
      elements: str
    links:
      description: Links of the host itself, with state and carrier.
      type: list
      elements: dict
    default_routes:
      description: Gateways and links of its default routes.
      type: list
      elements: dict
    resolvers:
      description: Addresses of its resolvers.
      type: list
      elements: str
    host_dns:
      description: Whether Talos answers the machine's own DNS requests.
      type: bool
  sample:
    cp-1:
      hostname: cp-1
      ready: {address: true, connectivity: true, hostname: true, etc_files: true}
      addresses:
        - address: 10.5.0.11/24
          link: eth0
      node_addresses: [10.5.0.11/24]
      links:
        - {name: eth0, state: up, carrier: true, kind: null, mtu: 1500}
      default_routes:
        - gateway: 10.5.0.1
          link: eth0
      resolvers: [1.1.1.1, 8.8.8.8]
      host_dns: true
unread:
  description: Machines whose network could not be read, with the reason.
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.network_check import run


def main():
    serve('talos_network_check', run)


if __name__ == '__main__':
    main()
