#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_kubernetes_node
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Delete a Kubernetes Node whose machine is gone
description:
  - Talos removes no Node. This deletes one, by its name and its uid, where everything agrees that no machine stands behind it.
  - It has not been Ready, and its lease was not renewed, for half an hour. No machine that answers has its name, one of its addresses or its machine
    id. Discovery lists no member with them, and etcd has none. Neither O(expected_nodes) nor the talosconfig names it. Nothing answers at its address,
    port 50000 and 10250, from here or through control plane nodes. No controller such as Cluster API makes the Node.
  - It is refused too where the Kubernetes API is not seen to take writes, where one of these things could not be seen, and where more than one Node,
    and more than 30% of all, have no machine that answers, because that is a fault of the view.
  - The Node is written to a file first. The API deletes it only while it has this uid. Then it is watched that it stays away.
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
attributes:
  async:
    support: partial
    details: Not through another host.
options:
  name:
    description:
      - Name of the Node.
    type: str
    required: true
  uid:
    description:
      - The C(metadata.uid) of the Node, as the finding C(kubelet.node_stale) of M(talosops.talos.talos_kubelet_check) gives it in C(remedy.args).
      - A Node of this name with another uid is another Node, and is left alone.
    type: str
    required: true
  state:
    description:
      - What is to be. One task deletes one Node.
    type: str
    choices: [absent]
    default: absent
  backup_dir:
    description:
      - Directory on the control node for the Node as JSON, with its labels, annotations and taints. The file gets the mode C(0600), a directory that is
        made the mode C(0700).
      - The file system of a job's container vanishes with the job.
    type: path
    required: true
  expected_nodes:
    description:
      - Names or addresses of the nodes that the cluster is to have. One of these is never deleted.
    type: list
    elements: str
  confirm:
    description:
      - Sentences that consent to losing something. Where volumes are attached to the Node, or are local to it, the task fails with the sentence that is
        needed, C(delete node <name> of <cluster> with <number> volumes).
    type: list
    elements: str
  verify_seconds:
    description:
      - Seconds that the Node must stay away once it is deleted.
    type: float
    default: 120.0
notes:
  - It needs a kubeconfig whose user may delete Nodes and list volumes, or the role C(os:admin), with which Talos issues one.
  - An etcd member of the machine must be removed first. The pods of the Node are deleted by Kubernetes afterwards.
  - The kubelet of a machine that is alive after all registers again only after it is restarted.
seealso:
  - module: talosops.talos.talos_kubelet_check
"""

EXAMPLES = r"""
- name: Show whether the Node may be deleted, and by what that is known
  talosops.talos.talos_kubernetes_node:
    name: w-9
    uid: 5f0c2d1e-7a3b-4c8e-9d21-0b6f4f3a9c77
    backup_dir: backups
  check_mode: true
  diff: true
  delegate_to: localhost

- name: Delete it
  talosops.talos.talos_kubernetes_node:
    name: w-9
    uid: 5f0c2d1e-7a3b-4c8e-9d21-0b6f4f3a9c77
    state: absent
    backup_dir: backups
    expected_nodes: [cp-1, cp-2, cp-3, w-1, w-2]
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
name:
  description: Name of the Node.
  returned: success
  type: str
  sample: w-9
uid:
  description: Its uid.
  returned: success
  type: str
  sample: 5f0c2d1e-7a3b-4c8e-9d21-0b6f4f3a9c77
evidence:
  description: By what it is known that no machine stands behind it. Empty where there is no such Node.
  returned: success
  type: list
  elements: str
  sample:
    - "Ready is Unknown, NodeStatusUnknown: Kubelet stopped posting node status. (since 2026-11-22T07:00:00Z)"
    - nothing answers on 10.5.0.29, port 50000, asked from here
    - nothing answers on 10.5.0.29, port 10250, asked from here
    - nothing answers on 10.5.0.29, port 50000, asked through cp-1
volumes:
  description: Names of volumes that are attached to the Node or local to it.
  returned: success
  type: list
  elements: str
  sample: []
backup_file:
  description: The Node as JSON, or null where nothing was deleted.
  returned: success
  type: str
  sample: /home/me/backups/node-w-9-5f0c2d1e-7a3b-4c8e-9d21-0b6f4f3a9c77-20261122T100312Z.json
diff:
  description: The Node before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before_header: Node w-9
    before: |
      name: w-9
      uid: 5f0c2d1e-7a3b-4c8e-9d21-0b6f4f3a9c77
      labels: kubernetes.io/arch, kubernetes.io/hostname, kubernetes.io/os
      taints: node.kubernetes.io/unreachable
    after_header: Node w-9
    after: ""
ran_on:
  description: Name of the machine that asked Talos and Kubernetes.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.kubernetes_node import run


def main():
    serve('talos_kubernetes_node', run)


if __name__ == '__main__':
    main()
