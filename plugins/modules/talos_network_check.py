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
    network_configuration:
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
    - id: network_configuration.not_ready/cp-1
      check: network_configuration.not_ready
      section: network_configuration
      verdict: warning
      nodes: [cp-1]
      subject: cp-1
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.network_check import run


def main():
    serve('talos_network_check', run)


if __name__ == '__main__':
    main()
