# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped door: what every module file does. The in-process door is plugins/action/talos_snapshot.py."""

from __future__ import annotations

from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
from ansible_collections.talosops.talos.plugins.module_utils.tasks.outcome import outcome


def serve(name, run):
    """Be the module C(name): AnsibleModule, C(run(params, check_mode, say)), exit_json or fail_json."""
    module = AnsibleModule(supports_check_mode=True, **SPECS[name])

    def inside(params, check_mode, say):
        if 'talosconfig' in params and not params.get('snapshot') and not params.get('reports'):
            params = {**params, 'access': _access(params, module.tmpdir)}
        return run(params, check_mode, say)

    result = outcome(inside, module.params, module.check_mode, None)
    if result.get('failed'):
        module.fail_json(**result)
    module.exit_json(**result)


def _access(params, tmp_dir):
    found = access.unpack(params['talosconfig_content'])
    if found is None:
        raise InputError('The module ran without its action plugin.', 'Call it by its full name, talosops.talos.<module>, from a playbook or by ansible.')
    return replace(found, tmp_dir=tmp_dir)
