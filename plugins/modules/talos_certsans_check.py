#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_certsans_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Compare the names in the certificates of the Talos API with those that are dialled
description:
  - Looks at the certificate that every control plane node serves on port 50000, and says which names are missing in it.
  - Shows the sections Conflict on Kubernetes and Host Subnets (which leaves certificates without addresses)
    and TCP Loadbalancer of the troubleshooting guide.
  - A name is wanted where clients dial it. An endpoint that is a machine's own is wanted there,
    any other endpoint and O(names) on every control plane node.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  names:
    description:
      - Names or addresses that every control plane node's certificate must carry, for example of a load balancer that is to come.
      - RV(verdict) is at least V(error) when one of them is missing, and at least V(unknown) when a certificate could not be seen.
    type: list
    elements: str
seealso:
  - module: talosops.talos.talos_api_check
  - name: TCP Loadbalancer
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#tcp-loadbalancer
"""

EXAMPLES = r"""
- name: Is every endpoint of the talosconfig named by the certificates behind it?
  talosops.talos.talos_certsans_check:
  delegate_to: localhost

- name: Before the load balancer is put in front
  talosops.talos.talos_certsans_check:
    names: [talos.example.net]
  delegate_to: localhost
  register: certsans
  failed_when: certsans.missing | length > 0
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
    talos_api.tcp_loadbalancer:
      verdict: error
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {error: 1, ok: 4}
findings:
  description:
    - What is wrong, worth knowing or could not be seen, causes before consequences and the worst first.
    - The fields are those of C(findings) in report.json.
  returned: success
  type: list
  elements: dict
  sample:
    - id: talos_api.balancer_name_missing/talos.example.net
      check: talos_api.balancer_name_missing
      section: talos_api.tcp_loadbalancer
      verdict: error
      nodes: [cp-2]
      subject: "talos.example.net"
      title: talos.example.net is not in the API certificate of cp-2
      means: The handshake fails each time the balancer chooses cp-2.
      evidence:
        - node: cp-2
          source: certificate
          at: "2026-11-22T10:00:00.000Z"
          text: names cp-2 and 10.5.0.12
      root: true
      because_of: []
      next_step: Append talos.example.net to machine.certSANs of every control plane node.
      guide: tcp-loadbalancer
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
  description: The certificate that each control plane node serves.
  returned: success
  type: dict
  sample:
    cp-1:
      dns: [cp-1, talos.example.net]
      ips: [10.5.0.11, 127.0.0.1]
      not_before: "2026-11-22T10:00:00Z"
      not_after: "2026-11-23T10:00:00Z"
      issuer: O=talos
      sha256: 5f0c7ad1c0e1f6b7a8d9c2b3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6071
missing:
  description: Names that are wanted and missing, with the nodes that lack them.
  returned: success
  type: dict
  sample:
    talos.example.net: [cp-2, cp-3]
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.certsans_check import run


def main():
    serve('talos_certsans_check', run)


if __name__ == '__main__':
    main()
