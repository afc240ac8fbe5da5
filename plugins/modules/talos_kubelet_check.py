#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_kubelet_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge the kubelet and the Kubernetes Nodes
description:
  - Reads service, log and addresses of the kubelet from every machine, and Nodes and certificate requests from the Kubernetes API, and judges them.
  - Shows the section Kubelet and Kubernetes Node Issues of the troubleshooting guide.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: Kubelet and Kubernetes Node Issues
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#kubelet-and-kubernetes-node-issues
"""

EXAMPLES = r"""
- name: Judge the kubelet and the Kubernetes Nodes
  talosops.talos.talos_kubelet_check:
  delegate_to: localhost
  register: result

- name: Nothing worse than a warning is accepted
  ansible.builtin.assert:
    that: result.verdict in ['ok', 'info', 'warning']

- name: Show the requests that may be approved
  ansible.builtin.debug:
    msg: "{{ result.requests | default([], true) | selectattr('judgement', 'equalto', 'approve') | map(attribute='name') }}"
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
    kubelet.node_not_ready:
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
    - id: kubelet.node_not_ready/cp-1
      check: kubelet.node_not_ready
      section: kubelet.node_not_ready
      verdict: warning
      nodes: [cp-1]
      subject: cp-1
kubelets:
  description:
    - The kubelet of every machine that is known, by the machine's name, and the Node that it registered.
    - C(state), C(healthy) and C(message) are those of the service, C(version) is what the Node reports, else that of the image. C(nodename) and
      C(node_ips) are what Talos gives it, C(node) is what Kubernetes has of it, with the conditions that are true.
    - Fields that could not be read are null; C(node) is null also where there is none.
  returned: success
  type: dict
  sample:
    w-1:
      address: 10.5.0.21
      type: worker
      answered: true
      state: Running
      healthy: true
      message: Health check successful
      version: v1.36.3
      nodename: w-1
      node_ips: [10.5.0.21]
      node:
        name: w-1
        uid: 6d646ba5-f160-4692-bcc6-6f2a9bbe8657
        ready: 'True'
        since: '2026-11-22T10:13:57Z'
        reason: KubeletReady
        schedulable: true
        conditions: []
        internal_ips: [10.5.0.21]
        external_ips: []
nodes_without_machine:
  description: Nodes of which nothing but Kubernetes knows. Null where the Nodes were not read.
  returned: success
  type: list
  elements: str
  sample: [w-9]
requests:
  description:
    - Certificate requests of kubelets that nobody has decided about, the oldest first. Null where they were not read.
    - C(judgement) is V(approve), V(hold) or V(refuse) for a serving certificate, null for a client certificate; C(reasons) say why.
  returned: success
  type: list
  elements: dict
  sample:
    - name: csr-x7k2p
      signer: kubernetes.io/kubelet-serving
      username: system:node:w-2
      created: '2026-11-22T09:42:00Z'
      node: w-2
      machine: w-2
      names: [w-2, 10.5.0.22]
      judgement: approve
      reasons: []
unread:
  description: Machines whose services were not read, with the reason.
  returned: success
  type: dict
  sample:
    w-3: 10.5.0.23 did not answer in time
kubernetes_unread:
  description: Why the Nodes were not read, null where they were.
  returned: success
  type: str
  sample: the role of the client certificate may not read it (needs os:admin or a kubeconfig)
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.kubelet_check import run


def main():
    serve('talos_kubelet_check', run)


if __name__ == '__main__':
    main()
