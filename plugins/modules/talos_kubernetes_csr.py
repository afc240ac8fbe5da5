#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_kubernetes_csr
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Approve requests of kubelets for serving certificates by rule
description:
  - Approves the pending certificate signing requests of kubelets for their serving certificates (C(kubernetes.io/kubelet-serving)), each only where
    everything that it asks for agrees with what its machine says of itself over the Talos API. Of each Node the newest request only.
  - A request is refused where anything disagrees, such as a name or an address that is not of the machine, a name or an address of the Kubernetes API,
    other usages, or a user that is not the kubelet of a known machine. It is held where something could not be seen. Nothing is ever denied or deleted.
  - Then it waits for the certificates, and compares the names in them with those that were asked for.
  - Nothing is sent unless the Kubernetes API is ready and etcd is seen to take writes.
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
options:
  csrs:
    description:
      - Names of the requests to approve. When one of them may not be approved the task fails with the reason, before anything is sent.
      - When not set all pending requests for serving certificates are looked at, and those that may not be approved are told in RV(requests).
    type: list
    elements: str
  expected_nodes:
    description:
      - Names or addresses of the nodes of the cluster. When set, the requests of others are held.
    type: list
    elements: str
  wait:
    description:
      - Seconds that each certificate is waited for once its request was approved.
    type: float
    default: 30.0
notes:
  - It needs a kubeconfig whose user may approve C(kubernetes.io/kubelet-serving), or the role C(os:admin), with which Talos issues one.
  - Requests for client certificates (C(kubernetes.io/kube-apiserver-client-kubelet)) are never approved.
seealso:
  - module: talosops.talos.talos_kubelet_check
"""

EXAMPLES = r"""
- name: Show which requests would be approved, and why others would not
  talosops.talos.talos_kubernetes_csr:
  check_mode: true
  diff: true
  delegate_to: localhost

- name: Approve what is right, of the nodes of this cluster
  talosops.talos.talos_kubernetes_csr:
    expected_nodes:
      - cp-1
      - cp-2
      - cp-3
      - w-1
      - w-2
  delegate_to: localhost
  register: approved

- name: Show what was left open
  ansible.builtin.debug:
    msg: "{{ approved.requests | rejectattr('issued') | list }}"
"""

RETURN = r"""
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
requests:
  description: Every pending request for a serving certificate, or the requests in O(csrs), ordered by Node.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the request.
      type: str
    node:
      description: Name of the Node whose kubelet asks; null where no kubelet does.
      type: str
    verdict:
      description: C(approve), C(hold), C(refuse), or C(issued) for one in O(csrs) that has its certificate already.
      type: str
    why:
      description: The reasons, each as the end of a sentence.
      type: list
      elements: str
    created:
      description: When it was made.
      type: str
    dns:
      description: The names that it asks for.
      type: list
      elements: str
    ips:
      description: The addresses that it asks for.
      type: list
      elements: str
    issued:
      description: Whether its certificate was issued.
      type: bool
    valid_until:
      description: When the certificate that was issued now ends to be valid, else null.
      type: str
  sample:
    - name: csr-7xk2p
      node: w-1
      verdict: approve
      why: []
      created: "2026-11-22T09:58:12Z"
      dns: [w-1]
      ips: [10.5.0.21]
      issued: true
      valid_until: "2027-11-22T10:00:03Z"
    - name: csr-q9d4m
      node: w-2
      verdict: refuse
      why: [10.5.0.10 is not of this machine]
      created: "2026-11-22T09:58:40Z"
      dns: [w-2]
      ips: [10.5.0.22, 10.5.0.10]
      issued: false
      valid_until: null
approved:
  description: Names of the requests that were approved, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [csr-7xk2p]
diff:
  description: State of the requests before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before_header: requests
    before: |
      csr-7xk2p (w-1): Pending
    after_header: requests
    after: |
      csr-7xk2p (w-1): Approved,Issued
ran_on:
  description: Name of the machine that asked Talos and Kubernetes.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.kubernetes_csr import run


def main():
    serve('talos_kubernetes_csr', run)


if __name__ == '__main__':
    main()
