#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_control_plane_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge the Kubernetes control plane
description:
  - Reads static pods, their status, containers and logs, and bootstrap manifests from every control plane node, and judges them.
  - Shows the section Kubernetes Control Plane of the troubleshooting guide.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: Kubernetes Control Plane
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#kubernetes-control-plane
"""

EXAMPLES = r"""
- name: Judge the Kubernetes control plane
  talosops.talos.talos_control_plane_check:
  delegate_to: localhost
  register: result

- name: Nothing worse than a warning is accepted
  ansible.builtin.assert:
    that: result.verdict in ['ok', 'info', 'warning']

- name: Every API server must be ready
  ansible.builtin.assert:
    that: result.nodes.values() | map(attribute='components') | map(attribute='kube-apiserver') | rejectattr('state', 'eq', 'ready') | list | length == 0
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
    controlplane.pod_status:
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
    - id: controlplane.component_down/2VfOtOSx2emxA6x9VTL5imfD5t25n1GyE0BgFWmRpKAB:kube-scheduler
      check: controlplane.component_down
      section: controlplane.pod_status
      verdict: error
      nodes: [cp-1]
      subject: 2VfOtOSx2emxA6x9VTL5imfD5t25n1GyE0BgFWmRpKAB:kube-scheduler
      title: "kube-scheduler on cp-1 crashes again and again (CrashLoopBackOff, 12 restarts): it does not know the argument --foo"
nodes:
  description:
    - What each control plane node that answers runs of Kubernetes.
    - C(components) has kube-apiserver, kube-controller-manager and kube-scheduler. C(state) is V(ready), V(running) (whether it is ready was not seen),
      V(not_ready), V(waiting), V(exited), V(no_container), V(absent), or null where nothing was seen. C(last_end) tells of the instance before.
    - C(static_pods) are the ids of what Talos defines for the kubelet, C(manifests) what it has rendered and not yet applied. Null was not read.
  returned: success
  type: dict
  sample:
    cp-1:
      static_pods: [kube-apiserver, kube-controller-manager, kube-scheduler]
      components:
        kube-scheduler:
          state: waiting
          reason: CrashLoopBackOff
          restarts: 12
          not_ready_since: "2026-11-22T09:20:11.000Z"
          last_end: {reason: Error, exit_code: 1, at: "2026-11-22T09:58:02Z"}
          image: registry.k8s.io/kube-scheduler:v1.36.3
          enabled: true
      manifests:
        rendered: [00-kubelet-bootstrapping-token, 01-csr-approver-role-binding, 05-flannel, 10-kube-proxy, 11-core-dns]
        not_applied: []
pods_not_ready:
  description: Pods of kube-system that are not ready, at most 50. Null where the Pods were not read.
  returned: success
  type: list
  elements: dict
  sample:
    - name: coredns-66b7c65bb-tmwfv
      node: w-1
      phase: Running
      reason: CrashLoopBackOff
      restarts: 41
kubernetes_unread:
  description: Why the Pods were not read, null where they were.
  returned: success
  type: str
  sample: the role of the client certificate may not read it (needs os:admin or a kubeconfig)
unread:
  description: Control plane nodes whose containers were not read, with the reason.
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
from ansible_collections.talosops.talos.plugins.module_utils.tasks.control_plane_check import run


def main():
    serve('talos_control_plane_check', run)


if __name__ == '__main__':
    main()
