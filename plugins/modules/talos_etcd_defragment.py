#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_etcd_defragment
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Defragment the members of etcd that gain by it
description:
  - Defragments members of etcd, as C(talosctl etcd defrag) does, one at a time, followers first and the leader last, with a pause in between.
  - Only members that gain by it are touched, which are those of which less than O(threshold) of a file of at least O(min_bytes) is in use. Under the
    alarm NOSPACE those of which less than 90 percent is in use are touched too.
  - A member does not answer while it is defragmented. So it is refused unless every control plane node and every member answers and is healthy, all
    have one list of members and one leader, no alarm CORRUPT stands, none is being upgraded or rebooted, the disk has room for a second file, and
    etcd tolerates the failure of a member. All of this is looked at anew before each member.
  - After each member its file must be smaller, and the member must have caught up. The first thing that goes wrong stops it.
  - It needs the role C(os:operator).
extends_documentation_fragment:
  - talosops.talos.talos_only
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
options:
  members:
    description:
      - Ids of the members that may be defragmented, each of 16 hexadecimal digits. Those among them that gain nothing are left alone.
      - All that gain by it when not set.
    type: list
    elements: str
  threshold:
    description:
      - The share in use, from 0 to 1, below which a file is fragmented.
    type: float
    default: 0.5
  min_bytes:
    description:
      - The size from which a file is looked at.
    type: int
    default: 104857600
  pause:
    description:
      - Seconds between two members.
    type: float
    default: 60.0
  member_timeout:
    description:
      - Seconds that the defragmentation of one member may take.
    type: float
    default: 300.0
  confirm:
    description:
      - In a cluster of one or two voting members, the sentence C(block etcd of <cluster> while it is defragmented), with the name of the cluster.
        There nothing that writes is answered meanwhile.
      - Check mode says the sentence. Others in the list are of no account.
    type: list
    elements: str
notes:
  - Take a snapshot first, with M(talosops.talos.talos_etcd_snapshot).
  - The alarm NOSPACE stays until it is disarmed, see M(talosops.talos.talos_etcd_alarm).
  - O(timeout) and O(deadline) bound each look at the cluster.
seealso:
  - module: talosops.talos.talos_etcd_alarm
  - module: talosops.talos.talos_etcd_snapshot
  - module: talosops.talos.talos_etcd_health
"""

EXAMPLES = r"""
- name: Give back what etcd does not use
  talosops.talos.talos_etcd_defragment:
  delegate_to: localhost
  register: defragmented

- name: Say what was gained
  ansible.builtin.debug:
    msg: "{{ item.node }}: {{ item.before_bytes }} bytes before, {{ item.after_bytes }} after"
  loop: "{{ defragmented.defragmented }}"
  loop_control:
    label: "{{ item.node }}"

- name: The only member of a small cluster, in a maintenance window
  talosops.talos.talos_etcd_defragment:
    confirm:
      - "block etcd of {{ inventory_hostname }} while it is defragmented"
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
defragmented:
  description:
    - The members that were defragmented, or would be in check mode, in their order. The size afterwards is null in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - member_id: "2222222222222222"
      node: cp-2
      leader: false
      reason: 236 MiB of 2061 MiB (11%) are in use
      before_bytes: 2161115136
      in_use_bytes: 247463936
      after_bytes: 247463936
members:
  description: The members that answer, with the sizes of their database in bytes. A quota is null where it could not be read.
  returned: success
  type: list
  elements: dict
  sample:
    - member_id: "1111111111111111"
      node: cp-1
      db_bytes: 247463936
      in_use_bytes: 247463936
      quota_bytes: 2147483648
confirm:
  description: The sentence that O(confirm) must hold, or null where none is needed.
  returned: success
  type: str
  sample: block etcd of edge-1 while it is defragmented
diff:
  description: Sizes before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before: |
      cp-2: 2061 MiB
    after: |
      cp-2: 236 MiB
ran_on:
  description: Name of the machine that asked Talos.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.etcd_defragment import run


def main():
    serve('talos_etcd_defragment', run)


if __name__ == '__main__':
    main()
