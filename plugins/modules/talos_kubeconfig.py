#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_kubeconfig
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Keep a kubeconfig that Talos issues in a file
description:
  - Asks a control plane node for a kubeconfig, as C(talosctl kubeconfig) does, and writes it to a file on the control node, or merges it into one.
  - Nothing changes while the file still serves for this cluster, with the same server and CA, a client certificate that the CA issued and that is
    valid for O(min_valid), and the mode C(0600).
  - It needs the role C(os:admin).
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.writes
  - talosops.talos.attributes.actiongroup
options:
  path:
    description:
      - The file, on the control node also when the task runs elsewhere. A relative path starts at the working directory, a symbolic link is followed.
      - It gets the mode C(0600). Its directory must exist.
    type: path
    required: true
  merge:
    description:
      - Whether to keep what else the file holds. The other entries keep their values and their order, their comments are lost.
      - Without it a file that holds more than this cluster is an error.
    type: bool
    default: false
  activate:
    description:
      - With O(merge), whether to make this cluster's context the current one of the file. In a file of this cluster alone it always is.
    type: bool
    default: false
  context_name:
    description:
      - The name that context, cluster and user have in the file.
      - When not set those that Talos gives, C(admin@<cluster>) and C(<cluster>).
    type: str
  server:
    description:
      - URL of the Kubernetes API to write, beginning with C(https://), where it is reached by another than the endpoint of the cluster.
      - The certificate of the API server must name it (C(cluster.apiServer.certSANs)).
    type: str
  min_valid:
    description:
      - How long the client certificate in the file must be valid still, for example V(12h) or V(30d). Less is a reason to renew it.
    type: str
    default: 30d
  backup:
    description:
      - Whether to keep the file as it was before a change, beside it.
    type: bool
    default: false
  force:
    description:
      - Whether to replace what is not of this cluster. Without O(merge) that is the whole file, with it the entries that have the names of this
        cluster's and lead elsewhere.
    type: bool
    default: false
  nodes:
    description:
      - Has no effect here. It is accepted so that defaults of the action group fit.
    type: list
    elements: str
  kubeconfig:
    description:
      - Has no effect here, see O(path). It is accepted so that defaults of the action group fit.
    type: str
  kubeconfig_content:
    description:
      - Has no effect here. It is accepted so that defaults of the action group fit.
    type: raw
  kube_context:
    description:
      - Has no effect here, see O(context_name). It is accepted so that defaults of the action group fit.
    type: str
notes:
  - Talos mints a certificate for every run, also in check mode. It is kept in memory unless the file needs it.
  - The certificate makes its holder C(system:masters) and cannot be revoked. Treat the file as the key to the cluster.
  - Through another host the kubeconfig travels encrypted under the key of the talosconfig. C(async) is refused there, because the file could not be
    written.
  - No result, diff or log holds the key.
seealso:
  - module: talosops.talos.talos_resource_info
"""

EXAMPLES = r"""
- name: Keep a kubeconfig for each cluster
  talosops.talos.talos_kubeconfig:
    path: "~/.kube/{{ inventory_hostname }}.yaml"
  delegate_to: localhost

- name: Merge the cluster into the usual file under the name of the inventory host, and use it from now on
  talosops.talos.talos_kubeconfig:
    path: ~/.kube/config
    merge: true
    context_name: "{{ inventory_hostname }}"
    activate: true
    backup: true
  delegate_to: localhost

- name: Renew a kubeconfig for jobs in time, by the address of the load balancer
  talosops.talos.talos_kubeconfig:
    path: /etc/deploy/kubeconfig
    server: https://k8s.example.net:6443
    min_valid: 60d
  delegate_to: localhost
  register: kubeconfig

- name: Say until when it is valid
  ansible.builtin.debug:
    msg: "{{ kubeconfig.path }} leads to {{ kubeconfig.server }} until {{ kubeconfig.valid_until }}"
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /home/me/.kube/config
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
context:
  description: Name of the context in the file.
  returned: success
  type: str
  sample: admin@prod-eu
server:
  description: URL of the Kubernetes API in the file.
  returned: success
  type: str
  sample: https://10.5.0.100:6443
valid_from:
  description: When the client certificate in the file begins to be valid.
  returned: success
  type: str
  sample: "2026-11-22T10:17:00Z"
valid_until:
  description: When the client certificate in the file ends to be valid.
  returned: success
  type: str
  sample: "2027-11-22T10:17:10Z"
current:
  description: Whether the context is the current one of the file.
  returned: success
  type: bool
  sample: true
reasons:
  description: Why the file changed, or would change in check mode. Empty when it did not.
  returned: success
  type: list
  elements: str
  sample:
    - its client certificate is valid until 2026-12-01T10:17:10Z, which is less than 30d
backup_file:
  description: The file as it was before, or null.
  returned: success
  type: str
  sample: /home/me/.kube/config.4711.2026-11-22@10:17:12~
diff:
  description: Names and dates before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before_header: /home/me/.kube/config
    before: ""
    after_header: /home/me/.kube/config
    after: |
      mode: 0600
      current-context: admin@prod-eu
      contexts: admin@prod-eu
      admin@prod-eu:
        cluster: prod-eu
        server: https://10.5.0.100:6443
        user: admin@prod-eu
        valid until: 2027-11-22T10:17:10Z
ran_on:
  description: Name of the machine that asked Talos. The file is written on the control node.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.kubeconfig import run


def main():
    serve('talos_kubeconfig', run)


if __name__ == '__main__':
    main()
