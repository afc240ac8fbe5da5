#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_snapshot
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Gather everything about a Talos cluster, judge it and keep both
description:
  - Asks all machines of a cluster at once, over the Talos API and the Kubernetes API, for everything that the troubleshooting guide looks at.
  - Judges the whole and writes C(snapshot.zip) and C(report.json) beside each other. Secrets are replaced when they are read and never written.
  - The other modules of this collection take the snapshot instead of connecting again.
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.sampling
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  report_dir:
    description:
      - Directory on the control node for C(snapshot.zip) and C(report.json). A relative path starts at the working directory.
      - When not set, C(talos-report/<cluster key>/<UTC time>) under the working directory, and C(latest) beside it points to the newest.
      - A directory that holds the report of another cluster is refused.
    type: path
notes:
  - Snapshot and report are written in check mode too. They are the result, and nothing else is changed anywhere.
  - Through another host, C(async) is refused, because the snapshot could not be brought back.
seealso:
  - module: talosops.talos.talos_report
  - name: Troubleshooting
    description: The guide that the sections of the report follow.
    link: https://www.talos.dev/latest/introduction/troubleshooting/
"""

EXAMPLES = r"""
- name: Gather and judge a context of ~/.talos/config, whatever the inventory host is called
  talosops.talos.talos_snapshot:
    context: prod-eu
  delegate_to: localhost
  register: gathered

- name: Gather a cluster that only a bastion host can reach
  talosops.talos.talos_snapshot:
    talosconfig_content: "{{ vaulted_talosconfig }}"
    context: prod-eu
    deadline: 120
    report_dir: "/var/lib/reports/{{ inventory_hostname }}"
  delegate_to: bastion.example.net
  connection: ssh

- name: Judge etcd by what was gathered
  talosops.talos.talos_etcd_health:
    snapshot: "{{ gathered.snapshot }}"
  delegate_to: localhost
"""

RETURN = r"""
snapshot:
  description: Path of the snapshot on the control node.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/snapshot.zip
report:
  description: Path of report.json on the control node.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/report.json
report_dir:
  description: Directory that both lie in.
  returned: success
  type: str
  sample: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z
cluster:
  description: Name of the cluster, which is that of the inventory host, else of the context.
  returned: success
  type: str
  sample: prod-eu
cluster_id:
  description: Hash of the cluster id that Talos itself keeps, or null where no machine told it.
  returned: success
  type: str
  sample: 9b1c7f3e2a604d18
cluster_key:
  description: Name and id as one word that is fit for file names and variables.
  returned: success
  type: str
  sample: prod_eu_3f2a9c11
class:
  description: Class of the cluster by its worst finding, one of V(healthy), V(warnings), V(errors), V(critical), V(not_judged).
  returned: success
  type: str
  sample: healthy
complete:
  description: Whether everything could be seen.
  returned: success
  type: bool
  sample: false
counts:
  description: Number of judgements by verdict.
  returned: success
  type: dict
  sample: {ok: 61, info: 1, unknown: 0, warning: 0, error: 0, critical: 0, not_applicable: 7}
digest:
  description: Hash of the snapshot, the thresholds and the version of the collection. The same digest gives the same report.
  returned: success
  type: str
  sample: 0f4c1d5b8e6a7c93b2d1e0f4c1d5b8e6a7c93b2d1e0f4c1d5b8e6a7c93b2d1e0
talos:
  description: Talos versions of the machines, or null.
  returned: success
  type: str
  sample: v1.13.9
kubernetes:
  description: Kubernetes version, or null where the Kubernetes API was not read.
  returned: success
  type: str
  sample: v1.36.3
role:
  description: Talos roles of the client certificate.
  returned: success
  type: str
  sample: os:admin
machines:
  description: The machines that are known from anywhere, at most 200.
  returned: success
  type: list
  elements: dict
  sample:
    - name: cp-1
      address: 10.5.0.11
      type: controlplane
      answered: true
machines_answered:
  description: How many machines answered.
  returned: success
  type: int
  sample: 5
machines_known:
  description: How many machines are known.
  returned: success
  type: int
  sample: 5
seconds:
  description: How long gathering took.
  returned: success
  type: float
  sample: 0.21
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.snapshot import run


def main():
    serve('talos_snapshot', run)


if __name__ == '__main__':
    main()
