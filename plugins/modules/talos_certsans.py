#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_certsans
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Add names to the certificates of control plane nodes
description:
  - Adds names of load balancers and DNS names to C(machine.certSANs), the list of the Talos API, and to C(cluster.apiServer.certSANs), the list of the
    Kubernetes API server, on all control plane nodes, one at a time. Where a machine has the document C(KubeAPIServerConfig), as from Talos 1.14 on, the
    names go to its C(certExtraSANs).
  - Only what is missing is added. A node whose certificate has a name, or whose configuration names it, is left alone.
  - It is refused unless every control plane node answers, none is being upgraded or rebooted, and all members of etcd are healthy. The name must be dialled,
    as an endpoint of the talosconfig or of Kubernetes, or lead to control plane nodes or to a load balancer that is such an endpoint. It must not be the
    virtual IP for the list of the Talos API, nor lead to a worker, nor lie in a network of pods or services. Each node's certificate must name an address
    of its own, because otherwise networks conflict, which a further name would only hide.
  - After each node its certificate is read from its own port, 50000 or 6443. Within 60 seconds, or 180 where an API server is started anew for it,
    the new names must be in it, the old ones still, and it must be issued by the same authority. Only then the next node is touched.
  - The change itself is made as M(talosops.talos.talos_config_patch) makes it.
  - It needs the role C(os:admin).
extends_documentation_fragment:
  - talosops.talos.configuration
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
attributes:
  async:
    support: partial
    details: Not through another host.
options:
  names:
    description:
      - DNS names or IP addresses.
    type: list
    elements: str
    required: true
  lists:
    description:
      - V(machine) is the certificate of the Talos API, V(api_server) that of the Kubernetes API server.
    type: list
    elements: str
    choices: [machine, api_server]
    default: [machine, api_server]
  nodes:
    description:
      - The control plane nodes whose certificates are changed, by name or by address. All of them when not set, which is what clients need.
    type: list
    elements: str
notes:
  - With O(mode=try) and the list C(api_server) let O(try_timeout) be 300 or more, because the API server is started anew.
  - Where the only endpoint of the talosconfig is the load balancer whose name is missing, give the addresses of the control plane nodes in O(endpoints).
seealso:
  - module: talosops.talos.talos_certsans_check
  - module: talosops.talos.talos_config_patch
"""

EXAMPLES = r"""
- name: The load balancer before the Talos API
  talosops.talos.talos_certsans:
    names: [talos.example.com]
    lists: [machine]
    backup_dir: backups
  delegate_to: localhost

- name: The virtual IP in the certificate of the API server
  talosops.talos.talos_certsans:
    names: [10.5.0.100]
    lists: [api_server]
    backup_dir: backups
  delegate_to: localhost
"""

RETURN = r"""
names:
  description: The names that were wanted.
  returned: success
  type: list
  elements: str
  sample: [talos.example.com]
missing:
  description: The names that were missing before, by node and list.
  returned: success
  type: dict
  sample:
    cp-1:
      machine: [talos.example.com]
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
mode:
  description: The mode of the change.
  returned: success
  type: str
  sample: no_reboot
nodes:
  description:
    - The nodes whose configuration lacked a name, in their order.
    - C(state) is C(unchanged), C(planned) (in check mode, or not reached before it stopped), C(changed), C(failed) where it was sent and is not
      proved, or C(rolled_back).
  returned: success, and where it stopped at a machine
  type: list
  elements: dict
  sample:
    - node: cp-1
      address: 10.5.0.11
      state: changed
backup_files:
  description: The files on the control node with the configurations as they were, by name of the machine. Empty in check mode.
  returned: success, and where it stopped at a machine
  type: dict
  sample:
    cp-1: /srv/backups/config-prod-eu-cp-1-20260301T120000.000000Z.yaml
confirm:
  description: The sentence that O(confirm) must hold, or null where none is needed.
  returned: success
  type: str
  sample: null
diff:
  description:
    - The parts of each configuration that differ, shown in diff mode. Keys, tokens, certificates and other secrets in them are replaced by C(redacted:) and
      a number, which is equal for equal secrets of one machine.
  returned: success
  type: list
  elements: dict
  sample:
    - before_header: machine configuration of cp-1
      after_header: machine configuration of cp-1
      before: |
        machine:
          certSANs: []
      after: |
        machine:
          certSANs:
          - talos.example.com
ran_on:
  description: Name of the machine that asked Talos.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.certsans import run


def main():
    serve('talos_certsans', run)


if __name__ == '__main__':
    main()
