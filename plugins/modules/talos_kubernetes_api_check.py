#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_kubernetes_api_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge the endpoint of the Kubernetes API
description:
  - Asks the Kubernetes API through its endpoint and on every control plane node by itself, and judges certificates, virtual address and KubePrism.
  - Shows the section Kubernetes API of the troubleshooting guide.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: Kubernetes API
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#kubernetes-api
"""

EXAMPLES = r"""
- name: Judge the endpoint of the Kubernetes API
  talosops.talos.talos_kubernetes_api_check:
  delegate_to: localhost
  register: result

- name: Nothing worse than a warning is accepted
  ansible.builtin.assert:
    that: result.verdict in ['ok', 'info', 'warning']

- name: Someone must hold the virtual IP, and all three API servers serve
  ansible.builtin.assert:
    that:
      - result.vips.values() | map('length') | select('ne', 1) | list == []
      - result.serving | length == 3
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
    kubernetes_api.endpoint:
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
    - id: kubernetes_api.endpoint_down/cp-1
      check: kubernetes_api.endpoint_down
      section: kubernetes_api.endpoint
      verdict: warning
      nodes: [cp-1]
      subject: cp-1
endpoint:
  description:
    - The endpoint of the Kubernetes API, as the machines have it, else as the kubeconfig does. Null where nothing that was read names it.
    - C(connections) new connections were made to it from where the task ran, of which C(answered) met an API server that serves; C(failures) counts the
      others by how they failed. C(addresses) is what its host resolves to there.
  returned: success
  type: dict
  sample:
    url: https://10.5.0.10:6443
    host: 10.5.0.10
    port: 6443
    named_by: APIServerConfigs
    addresses: [10.5.0.10]
    connections: 10
    answered: 7
    failures: {refused: 3}
    error: null
servers:
  description:
    - The API server of each control plane node, asked for itself. C(state) is V(serves), V(answers) (without credentials; whether it is ready was not
      seen), V(not_ready), V(silent), or null where it was not asked.
    - C(certificate) has the names and dates of what it serves, or is null.
  returned: success
  type: dict
  sample:
    cp-1:
      state: serves
      said: "/readyz: 200"
      certificate:
        dns: [cp-1, kubernetes, kubernetes.default, kubernetes.default.svc, kubernetes.default.svc.cluster.local, localhost]
        ips: [10.5.0.11, 10.5.0.10, 10.96.0.1, 127.0.0.1]
        not_before: "2026-11-22T10:12:27Z"
        not_after: "2027-11-22T10:12:27Z"
        issuer: O=kubernetes
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
serving:
  description: Control plane nodes whose API server is known to serve.
  returned: success
  type: list
  elements: str
  sample: [cp-1, cp-2, cp-3]
vips:
  description: Virtual IPs that are configured, each with the machines that have it on a link. Null where the configuration was not read.
  returned: success
  type: dict
  sample:
    10.5.0.10: [cp-1]
kubeprism:
  description: KubePrism of every machine that answers. Fields that were not read are null.
  returned: success
  type: dict
  sample:
    w-1:
      enabled: true
      healthy: true
      endpoints: ["10.5.0.10:6443", "10.5.0.11:6443", "10.5.0.12:6443", "10.5.0.13:6443"]
kubernetes_source:
  description: Where the kubeconfig came from, V(talos) or V(kubeconfig), or null without one.
  returned: success
  type: str
  sample: talos
kubernetes_unread:
  description: Why the endpoint was not asked for its readiness, null where it was.
  returned: success
  type: str
  sample: the role of the client certificate may not read it (needs os:admin or a kubeconfig)
unread:
  description: Control plane nodes whose addresses were not read, with the reason.
  returned: success
  type: dict
  sample:
    cp-3: dialling 10.5.0.13:50000 timed out
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.kubernetes_api_check import run


def main():
    serve('talos_kubernetes_api_check', run)


if __name__ == '__main__':
    main()
