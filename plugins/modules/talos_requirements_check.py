#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_requirements_check
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Judge memory, processors, disks and clocks of every machine
description:
  - Reads memory, processors, load, disks, volumes and time from every machine of a Talos cluster, and judges them.
  - Shows the section System Requirements of the troubleshooting guide, and the time, which the guide has no section for.
  - In container mode memory, processors, load, disk and kernel are those of the host and are not judged.
  - A clock of the control node that is wrong is told, and no machine is blamed for it.
extends_documentation_fragment:
  - talosops.talos.snapshot
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
seealso:
  - module: talosops.talos.talos_snapshot
  - name: System Requirements
    description: The section of the guide.
    link: https://www.talos.dev/latest/introduction/troubleshooting/#system-requirements
"""

EXAMPLES = r"""
- name: Judge memory, processors, disks and clocks of every machine
  talosops.talos.talos_requirements_check:
  delegate_to: localhost
  register: result

- name: Nothing worse than a warning is accepted
  ansible.builtin.assert:
    that: result.verdict in ['ok', 'info', 'warning']

- name: Ask for more than Talos does
  talosops.talos.talos_requirements_check:
    thresholds:
      system_requirements_memory_minimum_mib_worker: 7500
      system_requirements_disk_used_warning: 0.7
  delegate_to: localhost
  register: result

- name: Show how far each clock is off
  ansible.builtin.debug:
    msg: "{{ item.key }}: {{ item.value.clock.off_seconds }} s ahead of {{ item.value.clock.asked }}"
  loop: "{{ result.nodes | dict2items }}"
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
    system_requirements:
      verdict: warning
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {warning: 1, ok: 64}
    x.time:
      verdict: ok
      reason: null
      nodes_missing: []
      unseen: 0
      counts: {ok: 23}
findings:
  description:
    - What is wrong, worth knowing or could not be seen, causes before consequences and the worst first.
    - The fields are those of C(findings) in report.json.
  returned: success
  type: list
  elements: dict
  sample:
    - id: system_requirements.disk_full/2VfOtOSx2emxA6x9VTL5imfD5t25n1GyE0BgFWmRpKAB
      check: system_requirements.disk_full
      section: system_requirements
      verdict: warning
      nodes: [w-1]
      subject: 2VfOtOSx2emxA6x9VTL5imfD5t25n1GyE0BgFWmRpKAB
      title: /var of w-1 is 87% full, 13.0 of 100.0 GiB are left
      root: true
      because_of: []
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
nodes:
  description: What each machine that answered has, by name. What was not read, or is the host's in container mode, is null.
  returned: success
  type: dict
  contains:
    type:
      description: What the machine is for.
      type: str
    container:
      description: Whether it runs in container mode, or null.
      type: bool
    memory_mib:
      description: Its memory in MiB, as the kernel reports it.
      type: int
    processors:
      description: Number of its processors.
      type: int
    load5:
      description: Its load over five minutes.
      type: float
    disk:
      description: Name and size in bytes of the disk that Talos is installed on.
      type: dict
    filesystems:
      description: Size and use in bytes of C(/var), and of what below it stands on a disk of its own.
      type: dict
    volumes_not_ready:
      description: Phase and error of the volumes that are not ready.
      type: dict
    clock:
      description:
        - Whether Talos takes the clock for synchronised, its time servers, and by how many seconds it is ahead of the one that was asked
          and of this control node.
      type: dict
    security:
      description: Secure boot and its kin, as the machine tells them.
      type: dict
  sample:
    cp-1:
      type: controlplane
      container: false
      memory_mib: 7900
      processors: 4
      load5: 0.38
      disk: {name: vda, size: 109680099328}
      filesystems:
        /var: {size: 107374182400, used: 32212254720}
      volumes_not_ready: {}
      clock:
        synced: true
        sync_disabled: false
        time_servers: [time.cloudflare.com]
        asked: time.cloudflare.com
        off_seconds: 0.011
        ahead_seconds: 0.012
      security: {secureBoot: false}
control_node:
  description: By how many milliseconds the machines' clocks are ahead of that of this control node, or null.
  returned: success
  type: dict
  sample: {clock_offset_ms: 12}
unread:
  description: Machines that could not be read, with the reason.
  returned: success
  type: dict
  sample:
    w-2: dialling 10.5.0.22:50000 timed out
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.requirements_check import run


def main():
    serve('talos_requirements_check', run)


if __name__ == '__main__':
    main()
