# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The in-process door of all modules (meta/runtime.yml routes every one here; sanity wants an action to bear a module's name).

On a local connection the task's function is called right here, in the worker that Ansible forked for this task.
Otherwise, and for async, the module is shipped, with the credentials that were found here.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.color import stringc
from ansible.utils.display import Display

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.tasks import (
    access, api_check, backups, certsans, certsans_check, client_config, config_patch, control_plane_check, controller_runtime_check, diagnose,
    etcd_alarm, etcd_defragment, etcd_files, etcd_health, etcd_member, etcd_snapshot, health, kubeconfig, kubelet_check, kubernetes_api_check,
    kubernetes_csr, kubernetes_node, logs, members, network_check, own_checks, remediate, report, requirements_check, resource_info, service,
    service_info, snapshot, wishes,
)
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
from ansible_collections.talosops.talos.plugins.module_utils.tasks.outcome import outcome
from ansible_collections.talosops.talos.plugins.plugin_utils.control_node import plain, reader

COLLECTION = 'talosops.talos'
RUN = {
    'talos_api_check': api_check.run,
    'talos_certsans': certsans.run,
    'talos_certsans_check': certsans_check.run,
    'talos_client_config': client_config.run,
    'talos_config_patch': config_patch.run,
    'talos_control_plane_check': control_plane_check.run,
    'talos_controller_runtime_check': controller_runtime_check.run,
    'talos_diagnose': diagnose.run,
    'talos_etcd_alarm': etcd_alarm.run,
    'talos_etcd_defragment': etcd_defragment.run,
    'talos_etcd_health': etcd_health.run,
    'talos_etcd_member': etcd_member.run,
    'talos_etcd_snapshot': etcd_snapshot.run,
    'talos_health': health.run,
    'talos_kubeconfig': kubeconfig.run,
    'talos_kubelet_check': kubelet_check.run,
    'talos_kubernetes_api_check': kubernetes_api_check.run,
    'talos_kubernetes_csr': kubernetes_csr.run,
    'talos_kubernetes_node': kubernetes_node.run,
    'talos_logs': logs.run,
    'talos_members': members.run,
    'talos_network_check': network_check.run,
    'talos_remediate': remediate.run,
    'talos_report': report.run,
    'talos_requirements_check': requirements_check.run,
    'talos_resource_info': resource_info.run,
    'talos_service': service.run,
    'talos_service_info': service_info.run,
    'talos_snapshot': snapshot.run,
}
# Of Kubernetes these ask nothing: a kubeconfig among the defaults of the action group may be the very file that is to be made.
WITHOUT_KUBERNETES = ('talos_config_patch', 'talos_etcd_alarm', 'talos_etcd_defragment', 'talos_etcd_snapshot', 'talos_kubeconfig', 'talos_logs',
                      'talos_resource_info', 'talos_service', 'talos_service_info')
# What is made of their result on the control node, by what it is called in an error.
BROUGHT_BACK = {'talos_snapshot': 'a snapshot', 'talos_diagnose': 'a snapshot', 'talos_remediate': 'a plan', 'talos_kubeconfig': 'a kubeconfig',
                'talos_client_config': 'endpoints', 'talos_kubernetes_node': 'a Node', 'talos_certsans': 'machine configurations',
                'talos_config_patch': 'machine configurations', 'talos_etcd_snapshot': 'a snapshot of etcd'}
# They keep machine configurations in backup_dir.
CONFIGURES = ('talos_certsans', 'talos_config_patch')
# What comes after a snapshot is kept.
FINISH = {'talos_diagnose': lambda kept, params, _check_mode, _say: diagnose.finish(kept, params), 'talos_remediate': remediate.finish}
# What is seen on the control node of a file there, for a task that runs elsewhere: an etcd_backup.File.
SEEN_HERE = {'talos_etcd_snapshot': lambda params: etcd_snapshot.at(params['dest']), 'talos_etcd_member': etcd_member.seen}
COLORS = {v.CRITICAL: 'bright red', v.ERROR: 'red', v.WARNING: 'yellow', v.UNKNOWN: 'cyan', v.INFO: 'blue', v.OK: 'green'}
LOCALHOST = ('localhost', '127.0.0.1', '::1')

display = Display()


class ActionModule(ActionBase):
    """One task of any module of this collection."""

    _supports_async = True
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if result.get('skipped') or result.get('failed'):
            return result
        self.module = self._task.action.rpartition('.')[2]
        self.secrets = set()
        with self._environment():
            done = outcome(self._do, task_vars or {}, self._task.check_mode, display.display, passing=AnsibleError)
        if 'exception' in done:
            trace = done.pop('exception')
            if isinstance(trace, str):  # what was shipped and failed has a summary here that cannot be displayed
                display.vvv(remove_values(trace, self.secrets))
        result.update(remove_values(done, self.secrets))
        return result

    def _do(self, task_vars, check_mode, say):
        params = self._validated()
        is_local = self._connection.transport == 'local'
        connects = not (params.get('snapshot') or params.get('reports'))
        if connects:
            wanted = {name: value for name, value in params.items() if self.module not in WITHOUT_KUBERNETES or not name.startswith('kube')}
            found = replace(access.find(wanted, self._cluster(task_vars), reader(self._loader)), tmp_dir=C.DEFAULT_LOCAL_TMP)
            self.secrets |= access.secrets(found)
            params['access'] = found
        if not is_local and self.module in SEEN_HERE:
            params['access'] = replace(found, backup=etcd_files.to_plain(SEEN_HERE[self.module](params)))
        if self._task.async_val:
            return self._ship(params, task_vars, is_local)
        if is_local or not connects:  # a snapshot lies on the control node, whatever the host is
            return self._here(params, task_vars, check_mode, say)
        if self.module == 'talos_kubernetes_node':
            backups.prepare(params, check_mode)
        if self.module in CONFIGURES:
            config_patch.check_options(params, check_mode)
        if self.module == 'talos_etcd_snapshot':
            return self._fetch(params, task_vars, check_mode)
        result = self._ship(params, task_vars, is_local)
        if kubernetes_node.BACKUP in result:
            return kubernetes_node.keep_backup(result, params)
        if backups.SEALED in result:
            return backups.unsealed(result, params)
        if snapshot.ARCHIVE in result:
            kept = snapshot.keep_archive(result, params, os.getcwd())
            return FINISH[self.module](kept, params, check_mode, say) if self.module in FINISH else kept
        if kubeconfig.SEALED in result:
            return kubeconfig.keep_sealed(result, params, check_mode)
        if client_config.FOUND in result:
            return client_config.keep(result[client_config.FOUND], params, check_mode, result['ran_on'])
        return result

    def _here(self, params, task_vars, check_mode, say):
        result = RUN[self.module](params, check_mode, say)
        if self.module == 'talos_report':
            display.display('\n' + report.text_of(report.load(params), _paint) + '\n')
        elif self._led_nowhere(task_vars):
            said = (f'delegate_to {self._task.delegate_to} had no effect, the task ran on the control node: the connection is local '
                    'by "connection: local" or by ansible_connection in the vars of a play. Set it for hosts in the inventory instead.')
            result['warnings'] = [*result.get('warnings', ()), said]
        return result

    def _fetch(self, params, task_vars, check_mode):
        """A snapshot of etcd, made elsewhere: its file comes over the connection, because it is too large for a result."""
        shell = self._connection._shell  # pylint: disable=protected-access
        if shell.tmpdir is None:
            self._make_tmp_path()
        path = shell.join_path(shell.tmpdir, 'etcd-snapshot')
        result = self._ship({**params, 'dest': path}, task_vars, False)
        if result.get('failed'):
            return result
        return etcd_snapshot.fetched(result, params, lambda to: self._connection.fetch_file(path, to), check_mode)

    def _ship(self, params, task_vars, is_local):
        """Run the module file where the connection leads, with what was found here."""
        if self._task.async_val and not is_local and self.module in BROUGHT_BACK:
            raise InputError(f'async cannot bring {BROUGHT_BACK[self.module]} back from another host.',
                             'Leave out async: the option deadline bounds the task.')
        arguments = {name: value for name, value in params.items() if value is not None and name not in access.CREDENTIALS + ('access',)}
        if 'patch' in arguments:
            arguments['patch'] = config_patch.carried(arguments['patch'])
        if 'access' in params:
            arguments['talosconfig_content'] = access.pack(replace(params['access'], tmp_dir=None, directory=os.getcwd() if is_local else None))
        if is_local:
            task_vars = {**task_vars, 'ansible_python_interpreter': task_vars.get('ansible_playbook_python')}
        return self._execute_module(module_name=f'{COLLECTION}.{self.module}', module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val)

    def _validated(self):
        """The options as the module itself would see them; raises InputError with the module's own message."""
        spec = SPECS[self.module]
        given = plain(self._task.args)
        checked = ArgumentSpecValidator(spec['argument_spec'], mutually_exclusive=spec.get('mutually_exclusive')).validate(given)
        if checked.error_messages:
            error = checked.errors[0]
            prefix = f'Unsupported parameters for ({COLLECTION}.{self.module}) module: ' if isinstance(error, UnsupportedError) else ''
            raise InputError(prefix + error.msg)
        params = checked.validated_parameters
        for name in ('snapshot', 'report_dir', 'reports', 'path', 'backup_dir', 'dest'):
            if params.get(name):
                params[name] = [os.path.abspath(path) for path in params[name]] if name == 'reports' else os.path.abspath(params[name])
        if isinstance(params.get('backup'), str):  # elsewhere it is a switch
            params['backup'] = os.path.abspath(params['backup'])
        if params.get('plan_out'):
            params['plan_out'] = wishes.absolute(params['plan_out'])
        if params.get('plan'):
            params['plan'] = wishes.plan_of(params['plan'])
        if params.get('checks') is not None:
            params['checks'] = own_checks.load(params['checks'], reader(self._loader))
        return params

    def _cluster(self, task_vars):
        """The inventory host that stands for the cluster; None where the task's host is the control node itself."""
        host = plain(task_vars.get('inventory_hostname'))
        return None if host in LOCALHOST else host

    def _led_nowhere(self, task_vars):
        """Whether delegate_to was meant to lead elsewhere and could not: a play's connection settings outrank it without a word."""
        to = self._task.delegate_to
        return bool(to) and to not in LOCALHOST and task_vars['hostvars'].get(to, {}).get('ansible_connection') != 'local'

    @contextlib.contextmanager
    def _environment(self):
        """The task's environment keyword, for this worker while it runs the task."""
        before, wanted = dict(os.environ), {}
        self._compute_environment_string(wanted)
        os.environ.update({plain(name): str(plain(value)) for name, value in wanted.items()})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _paint(text, verdict):
    return stringc(text, COLORS[verdict]) if verdict in COLORS else text
