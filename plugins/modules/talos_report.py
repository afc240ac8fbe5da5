#!/usr/bin/python
# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: talos_report
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Show reports, and decide whether a run fails
description:
  - Shows one or more reports to a person, with a line for each section of the troubleshooting guide and, under it, what was found.
  - Where the text of a cluster is longer than two screens (100 lines), it is the short form, which leads with the causes, each with its next step.
    report.json has everything.
  - Decides by the class of the clusters whether the run should fail. It does not fail by itself.
  - Reads files of the control node and connects to nothing. The options of the connection have no effect,
    and are there so that defaults of the action group fit every module.
extends_documentation_fragment:
  - talosops.talos.connection
  - talosops.talos.judgement
  - talosops.talos.attributes
  - talosops.talos.attributes.reads
  - talosops.talos.attributes.actiongroup
options:
  reports:
    description:
      - Paths of report.json files or of snapshots, or of directories that hold them.
    type: list
    elements: path
    required: true
  fail_on:
    description:
      - From which severity on RV(fails) is true. A cluster that could not be judged fails for all but V(never).
    type: str
    choices: [never, warning, error, critical]
    default: critical
  fail_on_incomplete:
    description:
      - Whether RV(fails) is true also where not everything could be seen.
    type: bool
    default: false
  only:
    description:
      - Roles whose sections of the guide are shown and decide, for example V(etcd). Words that are no such role have no effect.
      - When it names none, all sections.
    type: list
    elements: str
  skip:
    description:
      - Roles whose sections are neither shown nor decide.
    type: list
    elements: str
seealso:
  - module: talosops.talos.talos_snapshot
"""

EXAMPLES = r"""
- name: Show the newest report
  talosops.talos.talos_report:
    reports: [talos-report/prod_eu_3f2a9c11/latest]
  delegate_to: localhost
  register: shown

- name: Show what it says of etcd and the kubelet alone
  talosops.talos.talos_report:
    reports: [talos-report/prod_eu_3f2a9c11/latest]
    only: [etcd, kubelet]
  delegate_to: localhost

- name: Fail by it
  ansible.builtin.fail:
    msg: "{{ shown.message }}"
  when: shown.fails
"""

RETURN = r"""
class:
  description: The worst class of the clusters.
  returned: success
  type: str
  sample: warnings
complete:
  description: Whether everything could be seen on every cluster.
  returned: success
  type: bool
  sample: true
clusters:
  description: Each report in short.
  returned: success
  type: list
  elements: dict
  sample:
    - cluster: prod-eu
      class: warnings
      complete: true
      counts: {ok: 60, info: 1, unknown: 0, warning: 1, error: 0, critical: 0, not_applicable: 7}
      report: /home/me/talos-report/prod_eu_3f2a9c11/20261122T100000Z/report.json
      fails: false
      message: "prod-eu: warnings, complete"
judged:
  description: How many of the clusters could be judged.
  returned: success
  type: int
  sample: 1
fails:
  description: Whether the run should fail, by O(fail_on) and O(fail_on_incomplete).
  returned: success
  type: bool
  sample: false
message:
  description: Why it should, else how the clusters are, in one sentence for each.
  returned: success
  type: str
  sample: "prod-eu: warnings, complete"
text:
  description: The reports as they are shown. Cut where it is longer than 40 KiB.
  returned: success
  type: str
  sample: "prod-eu: warnings, complete"
ran_on:
  description: Name of the machine that the task ran on.
  returned: always
  type: str
  sample: control.example.net
"""

from ansible_collections.talosops.talos.plugins.module_utils.tasks.door import serve
from ansible_collections.talosops.talos.plugins.module_utils.tasks.report import run


def main():
    serve('talos_report', run)


if __name__ == '__main__':
    main()
