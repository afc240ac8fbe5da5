# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host without SSH: this machine with another HOME, another working directory and another Python path.

``elsewhere_home`` of the host is that home; every command stands in ``commands.log`` there.
"""

from __future__ import annotations

import os

from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: elsewhere
short_description: this machine as another host
description: For tests.
author: The talosops.talos maintainers
version_added: 0.1.0
options:
  elsewhere_home:
    description: Home there.
    vars:
      - name: elsewhere_home
  become_success_timeout:
    description: As local has it.
    type: int
    default: 10
  become_strip_preamble:
    description: As local has it.
    type: bool
    default: true
extends_documentation_fragment:
  - connection_pipelining
"""


class Connection(LocalConnection):
    transport = 'elsewhere'

    def exec_command(self, cmd, in_data=None, sudoable=True):
        home = self.get_option('elsewhere_home')
        if home == 'down':
            from ansible.errors import AnsibleConnectionFailure
            raise AnsibleConnectionFailure('elsewhere is down')
        before = dict(os.environ)
        for name in ('ANSIBLE_COLLECTIONS_PATH', 'PYTHONPATH', 'TALOSCONFIG'):
            os.environ.pop(name, None)
        os.environ['HOME'] = home
        self.cwd = home
        with open(os.path.join(home, 'commands.log'), 'a', encoding='utf-8') as log:
            log.write(f'{cmd}\n')
        try:
            return super().exec_command(cmd, in_data, sudoable)
        finally:
            os.environ.clear()
            os.environ.update(before)
