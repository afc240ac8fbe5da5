#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_etcd_snapshot
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Keep a verified snapshot of etcd in a file
description:
  - Asks a healthy member of etcd, a follower where there is one, for a snapshot, as C(talosctl etcd snapshot) does, and writes it to a file on the
    control node.
  - The snapshot is verified as it comes in, by its size and by the SHA-256 that etcd puts at its end. Only a whole one takes the place of the file.
    Whatever goes wrong, the file is as it was before.
  - Nothing changes while the file holds a verified snapshot of this cluster that is younger than O(max_age) and has the mode C(0600).
  - No snapshot is taken while an alarm CORRUPT stands, because one of damaged data is no backup.
  - It needs the role C(os:operator), or C(os:reader) together with C(os:etcd:backup).
extends_documentation_fragment:
  - talosops.talos.talos_only
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.writes
  - talosops.talos.attributes.actiongroup
options:
  dest:
    description:
      - The file, on the control node also when the task runs elsewhere. A relative path starts at the working directory. Its directory must exist.
      - It gets the mode C(0600). A file that is no etcd snapshot is an error and is left as it is.
      - A job container's file system vanishes with the job. Name a volume that outlasts it.
    type: path
    required: true
  max_age:
    description:
      - How old a snapshot in the file may be to be kept, for example V(1h) or V(1d). With V(0) a new one is taken every time.
    type: str
    default: 1h
  transfer_timeout:
    description:
      - Seconds that the transfer of the snapshot may take. O(timeout) and O(deadline) are for what is looked at before.
    type: float
    default: 600.0
notes:
  - A snapshot holds every Secret of Kubernetes. Treat the file as the key to the cluster, and keep it off the cluster.
  - Through another host the file travels over the connection of that host, and lies there for that time in the temporary directory of the task.
seealso:
  - module: talosops.talos.talos_etcd_health
"""

EXAMPLES = r"""
- name: Keep a snapshot of etcd that is no older than six hours
  talosops.talos.talos_etcd_snapshot:
    dest: "/etc/deploy/{{ inventory_hostname }}.etcd"
    max_age: 6h
  delegate_to: localhost

- name: Take a snapshot before a change, whatever there is already
  talosops.talos.talos_etcd_snapshot:
    dest: /etc/deploy/before-the-change.etcd
    max_age: "0"
  delegate_to: localhost
  register: backup

- name: Say what was taken
  ansible.builtin.debug:
    msg: "{{ backup.dest }} has {{ backup.bytes }} bytes, SHA-256 {{ backup.sha256 }}, from {{ backup.node }}"
"""

RETURN = r"""
dest:
  description: The file.
  returned: success
  type: str
  sample: /etc/deploy/prod-eu.etcd
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
reasons:
  description: Why a snapshot was taken, or would be taken in check mode. Empty when the one that was there serves.
  returned: success
  type: list
  elements: str
  sample:
    - it was taken at 2026-11-22T03:17:12Z, which is longer ago than max_age
node:
  description: Name of the machine whose member gave the snapshot, or would give it. Null when none was due.
  returned: success
  type: str
  sample: cp-2
member_id:
  description: Id of that member, or null.
  returned: success
  type: str
  sample: "2222222222222222"
members:
  description: Ids of the members of etcd.
  returned: success
  type: list
  elements: str
  sample:
    - "1111111111111111"
    - "2222222222222222"
    - "3333333333333333"
bytes:
  description: Size of the file. Null in check mode when a snapshot would be taken.
  returned: success
  type: int
  sample: 54525984
sha256:
  description: SHA-256 of the database in the file, as it stands at the file's end. Null in check mode when a snapshot would be taken.
  returned: success
  type: str
  sample: 5a8f0f2f6e9b4b1f8c1e6f0c7d9a3e2b1c4d5e6f708192a3b4c5d6e7f8091a2b
taken_at:
  description: When the snapshot in the file was taken. Null in check mode when one would be taken.
  returned: success
  type: str
  sample: "2026-11-22T10:17:12Z"
diff:
  description: Mode, size, digest and time before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before_header: /etc/deploy/prod-eu.etcd
    before: ""
    after_header: /etc/deploy/prod-eu.etcd
    after: |
      mode: 0600
      bytes: 54525984
      sha256: 5a8f0f2f6e9b4b1f8c1e6f0c7d9a3e2b1c4d5e6f708192a3b4c5d6e7f8091a2b
      taken at: 2026-11-22T10:17:12Z
ran_on:
  description: Name of the machine that asked Talos. The file is written on the control node.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.etcd_snapshot import run


def main():
    serve('talos_etcd_snapshot', run)


if __name__ == '__main__':
    main()
