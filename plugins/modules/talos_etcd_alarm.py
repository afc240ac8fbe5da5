#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_etcd_alarm
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Disarm the etcd alarm NOSPACE when its cause is gone
description:
  - Disarms the alarm NOSPACE of etcd, once for the whole cluster, as C(talosctl etcd alarm disarm) does, and sees that no alarm comes back.
  - It is refused unless every alarm that stands is NOSPACE, every control plane node and every member answers and is healthy, all have one list of
    members and one leader, none is being upgraded or rebooted, their quotas are equal, and the database of each is below 80 percent of its quota.
  - The alarm CORRUPT is never disarmed, because disarming it only hides that the data of members differ.
  - It needs the role C(os:operator).
extends_documentation_fragment:
  - talosops.talos.talos_only
  - talosops.talos.connection
  - talosops.talos.attributes
  - talosops.talos.attributes.changes
  - talosops.talos.attributes.actiongroup
options:
  alarm:
    description:
      - The alarm. V(CORRUPT) is refused while it stands.
    type: str
    choices:
      - NOSPACE
      - CORRUPT
    default: NOSPACE
  state:
    description:
      - The alarm is not raised.
    type: str
    choices:
      - absent
    default: absent
  settle:
    description:
      - For how many seconds after it was disarmed no alarm may stand. etcd raises it again with the next write where its cause is not gone.
    type: float
    default: 15.0
notes:
  - Make room first, with M(talosops.talos.talos_etcd_defragment) where much of the database is not in use. Defragmentation alone clears no alarm.
  - O(timeout) and O(deadline) bound each look at the cluster.
seealso:
  - module: talosops.talos.talos_etcd_defragment
  - module: talosops.talos.talos_etcd_snapshot
  - module: talosops.talos.talos_etcd_health
"""

EXAMPLES = r"""
- name: Disarm NOSPACE, once there is room again
  talosops.talos.talos_etcd_alarm:
    alarm: NOSPACE
    state: absent
  delegate_to: localhost
  register: alarm

- name: Say how much room there is
  ansible.builtin.debug:
    msg: "{{ item.node }} uses {{ item.db_bytes }} of {{ item.quota_bytes }} bytes"
  loop: "{{ alarm.members }}"
  loop_control:
    label: "{{ item.node }}"
"""

RETURN = r"""
cluster:
  description: Name of the cluster in reports, which is that of the inventory host, else of the context of the talosconfig.
  returned: success
  type: str
  sample: prod-eu
alarms_before:
  description: The alarms that stood.
  returned: success
  type: list
  elements: dict
  sample:
    - member_id: "1111111111111111"
      member: 1111111111111111 ("cp-1", 10.5.0.11)
      alarm: NOSPACE
alarms:
  description: The alarms that stand now, or would stand in check mode.
  returned: success
  type: list
  elements: dict
  sample: []
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
diff:
  description: The alarms before and after, shown in diff mode.
  returned: success
  type: dict
  sample:
    before: |
      NOSPACE of member 1111111111111111 ("cp-1", 10.5.0.11)
    after: ""
ran_on:
  description: Name of the machine that asked Talos.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.etcd_alarm import run


def main():
    serve('talos_etcd_alarm', run)


if __name__ == '__main__':
    main()
