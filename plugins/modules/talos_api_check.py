#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_api_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge how the Talos API of a cluster is reached
description:
  - Dials every endpoint of a talosconfig and every machine behind them, and judges how that goes.
  - Shows the section Talos API of the troubleshooting guide with firewall, client configuration, conflicting subnets, wrong endpoints and load balancer.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_certsans_check
  - name: Talos API
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#talos-api
"""

EXAMPLES = r"""
- name: Can the cluster be reached, and as whom?
  talosops.talos.talos_api_check:
    context: prod-eu
  delegate_to: localhost

- name: Try other endpoints than those of the talosconfig
  talosops.talos.talos_api_check:
    endpoints: [10.5.0.11, 10.5.0.12, 10.5.0.13]
    timeout: 3
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
    talos_api.wrong_endpoints:
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
    - id: talos_api.endpoint_is_worker/10.5.0.21
      check: talos_api.endpoint_is_worker
      section: talos_api.wrong_endpoints
      verdict: error
      nodes: [w-1]
      subject: "10.5.0.21"
      title: the endpoint 10.5.0.21 is a worker
      means: A worker forwards requests to no other machine.
      evidence:
        - node: w-1
          source: MachineTypes
          at: "2026-11-22T10:00:00.000Z"
          text: worker
      root: true
      because_of: []
      next_step: Name control plane nodes as endpoints.
      guide: wrong-endpoints
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
client:
  description: The talosconfig in use.
  returned: success
  type: dict
  sample:
    context: prod-eu
    source: /home/me/.talos/config
    roles: [os:admin]
    not_before: "2026-11-22T10:00:00Z"
    not_after: "2027-11-22T10:00:00Z"
endpoints:
  description: How dialling each endpoint went.
  returned: success
  type: list
  elements: dict
  sample:
    - endpoint: 10.5.0.11
      connected: true
      node: cp-1
      error: null
      error_kind: null
not_answering:
  description: Machines that did not answer, with how.
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.api_check import run


def main():
    serve('talos_api_check', run)


if __name__ == '__main__':
    main()
