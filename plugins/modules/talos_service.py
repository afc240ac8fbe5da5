#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_service
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Start, stop or restart a service of one Talos machine
description:
  - Talos lets the kubelet be started and restarted over its API, and extensions (C(ext-*)) be started, stopped and restarted. Everything else is
    refused before anything is asked, etcd among it, which starts anew only with its machine.
  - It waits until the kubelet is healthy, or the extension runs, and fails with the last event of the service where that does not come.
  - It is refused while the machine is being installed, upgraded, rebooted or reset. Stopping or restarting an extension on a control plane node is
    refused while etcd tolerates no failure, because extensions may carry the network or the storage of an etcd member. A restart of the kubelet stops
    neither etcd nor the pods that run.
extends_documentation_fragment:
  - talosops.talos.talos_only
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
options:
  node:
    description:
      - Name or address of the machine. One task changes one machine.
    type: str
    required: true
  service:
    description:
      - The service, V(kubelet) or an extension such as V(ext-tailscale).
    type: str
    required: true
  state:
    description:
      - V(started) does nothing to a service that runs or is on its way to, V(stopped) nothing to one that does not run.
      - V(restarted) restarts it in every run, unless O(only_unhealthy) is set.
    type: str
    choices: [restarted, started, stopped]
    required: true
  only_unhealthy:
    description:
      - With O(state=restarted), whether a service that runs and is not unhealthy is left alone.
    type: bool
    default: false
  wait:
    description:
      - Seconds that the service may take until it is healthy, runs, or has stopped.
    type: float
    default: 120.0
  nodes:
    description:
      - Addresses of further machines to ask while looking around. The machine to change is O(node).
    type: list
    elements: str
notes:
  - It needs the role C(os:operator).
seealso:
  - module: talosops.talos.talos_service_info
  - module: talosops.talos.talos_kubelet_check
"""

EXAMPLES = r"""
- name: Restart the kubelet of a machine where it is not healthy
  talosops.talos.talos_service:
    node: w-1
    service: kubelet
    state: restarted
    only_unhealthy: true
  delegate_to: localhost

- name: Restart the kubelet in any case, for it is to read its certificates anew
  talosops.talos.talos_service:
    node: 10.5.0.22
    service: kubelet
    state: restarted
    wait: 300
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
node:
  description: Name of the machine.
  returned: success
  type: str
  sample: w-1
service:
  description: The service.
  returned: success
  type: str
  sample: kubelet
state:
  description: Its state as Talos spells it, after the change; as it is in check mode.
  returned: success
  type: str
  sample: Running
healthy:
  description: Whether its health check succeeds; null where none was made.
  returned: success
  type: bool
  sample: true
message:
  description: Its last event, or null.
  returned: success
  type: str
  sample: Health check successful
reason:
  description: Why there was something to do, as the end of a sentence; null where there was nothing.
  returned: success
  type: str
  sample: it is Failed
diff:
  description: State before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before_header: kubelet of w-1
    before: |
      Failed
    after_header: kubelet of w-1
    after: |
      restarted
ran_on:
  description: Name of the machine that asked Talos.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.service import run


def main():
    serve('talos_service', run)


if __name__ == '__main__':
    main()
