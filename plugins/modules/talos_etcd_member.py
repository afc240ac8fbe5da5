#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_etcd_member
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Remove a member of etcd whose machine is gone
description:
  - Removes one member of etcd by its id, as C(talosctl etcd remove-member) does, and sees that the lists of all members agree.
  - A member that is alive is never removed. It is refused unless no machine that answers says that it is this member or might be it, no machine is
    joining as it, it does not lead, and two other members say in their logs that they cannot reach it, for ten minutes at least as long as discovery
    still lists its machine.
  - It is refused unless the lists of members of all control plane nodes that answer are equal, they name one leader, the healthy voters that are left
    are a quorum of those that are left, no alarm CORRUPT stands, no control plane node is being upgraded or rebooted, and their clocks are in sync.
  - It needs O(backup) and O(confirm). There is no way around any of this.
  - A member that is absent already is no error, and nothing changes.
  - It needs the role C(os:admin).
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
options:
  id:
    description:
      - The id of the member, 16 hexadecimal digits, as M(talosops.talos.talos_etcd_health) and C(talosctl etcd members) show it.
      - Members are never named by their machine, because a machine that was installed anew has the old name and another id.
    type: str
    required: true
  state:
    description:
      - The member is not in the list of members.
    type: str
    choices:
      - absent
    default: absent
  confirm:
    description:
      - The sentence C(remove etcd member <id> of <cluster>), with the id and the name of the cluster. Check mode says it.
      - Other sentences in the list are of no account.
    type: list
    elements: str
  backup:
    description:
      - A file with a verified snapshot of etcd on the control node, as M(talosops.talos.talos_etcd_snapshot) makes it. It must hold this member.
    type: path
  backup_max_age:
    description:
      - How old the snapshot may be, by the time of change of its file, for example V(30m).
    type: str
    default: 1h
notes:
  - Remove the member first and its Kubernetes Node after that.
  - A machine that still runs Talos leaves etcd by C(talosctl etcd leave) or a graceful reset. It is not removed by this.
  - The Nodes of Kubernetes are read where that is possible, because a Node that is ready speaks against the removal.
  - O(timeout) and O(deadline) bound each look at the cluster.
seealso:
  - module: talosops.talos.talos_etcd_snapshot
  - module: talosops.talos.talos_etcd_health
"""

EXAMPLES = r"""
- name: Take a snapshot of etcd
  talosops.talos.talos_etcd_snapshot:
    dest: "/etc/deploy/{{ inventory_hostname }}.etcd"
    max_age: "0"
  delegate_to: localhost
  register: backup

- name: Remove the member of a machine that will not come back
  talosops.talos.talos_etcd_member:
    id: "4444444444444444"
    state: absent
    backup: "{{ backup.dest }}"
    confirm:
      - "remove etcd member 4444444444444444 of {{ inventory_hostname }}"
  delegate_to: localhost
"""

RETURN = r"""
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
id:
  description: The id of the member.
  returned: success
  type: str
  sample: "4444444444444444"
member:
  description: The member as it was listed, or null where it was absent already.
  returned: success
  type: dict
  sample:
    id: "4444444444444444"
    name: cp-4
    peer_urls:
      - https://10.5.0.14:2380
    learner: false
members:
  description: The members that are listed now, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - id: "1111111111111111"
      name: cp-1
      peer_urls:
        - https://10.5.0.11:2380
      learner: false
before:
  description: Voters, healthy voters, quorum, and how many more may fail, before.
  returned: success
  type: dict
  sample:
    voters: 4
    healthy: 3
    quorum: 3
    tolerance: 0
after:
  description: The same afterwards, or as it would be in check mode.
  returned: success
  type: dict
  sample:
    voters: 3
    healthy: 3
    quorum: 2
    tolerance: 1
confirm:
  description: The sentence that O(confirm) must hold, or null where nothing is to be done.
  returned: success
  type: str
  sample: remove etcd member 4444444444444444 of prod-eu
diff:
  description: The members before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before: |
      1111111111111111 "cp-1" https://10.5.0.11:2380
      4444444444444444 "cp-4" https://10.5.0.14:2380
    after: |
      1111111111111111 "cp-1" https://10.5.0.11:2380
ran_on:
  description: Name of the machine that asked Talos.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.etcd_member import run


def main():
    serve('talos_etcd_member', run)


if __name__ == '__main__':
    main()
