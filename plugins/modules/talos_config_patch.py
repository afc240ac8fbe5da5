#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_config_patch
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Change the machine configuration of machines, one after the other
description:
  - Merges a strategic merge patch into the machine configuration of each machine that is named, as C(talosctl patch machineconfig) does, workers first
    and then one control plane node at a time, the leader of etcd last.
  - Mappings are merged. An item of a list is appended where it is not there yet, so that the same patch changes nothing when it is applied again. What
    the patch gives as null or empty stays as it is. A C($patch) with the value C(delete) in a document, a mapping or an item of a
    list takes that away.
  - Documents are found by apiVersion, kind and name. A field of v1alpha1 that a machine has in a document of its own, as from Talos 1.14 on, is changed
    there.
  - Each machine checks the change in a dry run before any is changed. It is refused where a machine would reboot for it, where a configuration is on
    trial or staged, and where the dry run shows a change that the patch does not name.
  - Never changed are the type of a machine, the identity, tokens and authorities of the cluster, and the disk to install to. Networks of pods and
    services are not changed once etcd has data.
  - After each machine its configuration must be the one that was sent, and the machine, its services and the members of etcd must be as well as before,
    before the next one is touched. The first one that is not stops it.
  - It needs the role C(os:admin).
extends_documentation_fragment:
  - talosops.talos.talos_only
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
  nodes:
    description:
      - The machines whose configuration is changed, by name or by address. V(control_planes) and V(workers) stand for all machines of that type.
    type: list
    elements: str
    required: true
  patch:
    description:
      - The strategic merge patch, as a mapping, as text of one or more YAML documents, or as a list of these. A document without C(kind) is v1alpha1.
      - Text keeps what YAML in a playbook does not, such as whether a number is quoted.
      - It is not written to logs.
    type: raw
    required: true
seealso:
  - module: talosops.talos.talos_certsans
"""

EXAMPLES = r"""
- name: What would change, without a change
  talosops.talos.talos_config_patch:
    nodes: [workers]
    patch:
      machine:
        sysctls:
          vm.max_map_count: "262144"
  delegate_to: localhost
  check_mode: true
  diff: true

- name: A time server on all machines, taken back by itself where something goes wrong
  talosops.talos.talos_config_patch:
    nodes: [control_planes, workers]
    mode: try
    backup_dir: backups
    patch: |
      apiVersion: v1alpha1
      kind: TimeSyncConfig
      ntp:
        servers:
          - time.example.com
  delegate_to: localhost
"""

RETURN = r"""
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
    - The machines that are meant, in their order.
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.config_patch import run


def main():
    serve('talos_config_patch', run)


if __name__ == '__main__':
    main()
