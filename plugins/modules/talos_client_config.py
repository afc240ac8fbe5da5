#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_client_config
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Correct the endpoints of a context in the talosconfig
description:
  - Makes the endpoints of a context what the guide wants them to be, all control plane nodes and nothing else. The virtual IP, workers, addresses that
    no machine has, and names that lead nowhere are taken out, control plane nodes that are missing are added. An entry that is right stays as it is.
  - What stands behind each endpoint is found out as by M(talosops.talos.talos_api_check). Nothing is changed unless all control plane nodes are known
    for sure, by discovery and by the member list of etcd.
  - Only the endpoints of this one context change. Keys, certificates, other contexts and comments stay as they are.
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.writes
  - talosops.talos.attributes.actiongroup
options:
  control_plane_endpoints:
    description:
      - The endpoints that the context is to have, instead of those that are found. Each must lead to a control plane node of this cluster, directly or
        through a load balancer. The virtual IP and workers are refused.
    type: list
    elements: str
  keep_balancers:
    description:
      - Whether an endpoint stays that is the address of no machine and through which a control plane node answers, which is a load balancer.
    type: bool
    default: true
  expected_nodes:
    description:
      - Names or addresses of nodes that must be members of the cluster. One of these is never taken for gone.
    type: list
    elements: str
  backup:
    description:
      - Whether to keep the file as it was before a change, beside it, with the mode C(0600).
    type: bool
    default: false
notes:
  - The talosconfig must be a file. It is written as a whole or not at all, and gets the mode C(0600).
  - When no endpoint of the file leads anywhere, say by O(endpoints) how the cluster is reached.
seealso:
  - module: talosops.talos.talos_api_check
"""

EXAMPLES = r"""
- name: Show what would be corrected
  talosops.talos.talos_client_config:
  check_mode: true
  diff: true
  delegate_to: localhost

- name: Correct the endpoints, and keep the file as it was
  talosops.talos.talos_client_config:
    backup: true
  delegate_to: localhost

- name: Reach the cluster by one node, and write the list that the file is to have
  talosops.talos.talos_client_config:
    endpoints:
      - 10.5.0.11
    control_plane_endpoints:
      - 10.5.0.11
      - 10.5.0.12
      - 10.5.0.13
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /home/me/.talos/config
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
context:
  description: The context whose endpoints these are.
  returned: success
  type: str
  sample: prod-eu
endpoints:
  description: The endpoints that the context has now, or would have in check mode.
  returned: success
  type: list
  elements: str
  sample: [10.5.0.11, 10.5.0.12, 10.5.0.13]
removed:
  description: The endpoints that were taken out.
  returned: success
  type: list
  elements: dict
  contains:
    endpoint:
      description: As it stood in the file.
      type: str
    why:
      description: Why it does not belong there.
      type: str
  sample:
    - endpoint: 10.5.0.10
      why: it is the virtual IP of the Kubernetes API
added:
  description: The endpoints that were added.
  returned: success
  type: list
  elements: dict
  contains:
    endpoint:
      description: As it stands in the file.
      type: str
    node:
      description: The control plane node that it is; null for a load balancer.
      type: str
  sample:
    - endpoint: 10.5.0.13
      node: cp-3
reasons:
  description: Why the file changed, or would change in check mode. Empty when it did not.
  returned: success
  type: list
  elements: str
  sample:
    - "10.5.0.10 is taken out: it is the virtual IP of the Kubernetes API"
backup_file:
  description: The file as it was before, or null.
  returned: success
  type: str
  sample: /home/me/.talos/config.4711.2026-11-22@10:17:12~
diff:
  description: The endpoints before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before_header: /home/me/.talos/config
    before: |
      mode: 0600
      prod-eu:
        endpoints:
        - 10.5.0.10
    after_header: /home/me/.talos/config
    after: |
      mode: 0600
      prod-eu:
        endpoints:
        - 10.5.0.11
        - 10.5.0.12
        - 10.5.0.13
ran_on:
  description: Name of the machine that asked Talos. The file is written on the control node.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.client_config import run
from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve


def main():
    serve('talos_client_config', run)


if __name__ == '__main__':
    main()
