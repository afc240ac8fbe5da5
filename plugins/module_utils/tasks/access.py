# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task needs to reach a cluster: found on the control node, carried to where the task runs.

Credentials are read on the control node, also when the module runs elsewhere. They travel as one text in the option
talosconfig_content, which is no_log: a mapping there would make Ansible mask every endpoint and name in the result.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from dataclasses import asdict, dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config as kubeconfig
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import gather as gathering
from ansible_collections.talosops.talos.plugins.module_utils.version import VERSION

CREDENTIALS = ('talosconfig', 'talosconfig_content', 'context', 'kubeconfig', 'kubeconfig_content', 'kube_context')
ENVIRONMENT = 'env'
CARRIED = '{"talosops.talos": '
_PEM = ('ca', 'crt', 'cert', 'key')


@dataclass(frozen=True)
class Access:
    """C(context) of the talosconfig, C(kube) a Source or None, C(cluster) its name in reports.

    C(directory) is the working directory of the run, below which reports are written; None where this is not the
    control node. C(local_file) is a talosconfig that lies in it (talosconfig.facts). C(backup) is what the control node saw of a
    file there, for a task that runs elsewhere (etcd_files.to_plain).
    """

    context: talosconfig.Context
    kube: kubeconfig.Source | None = None
    cluster: str | None = None
    directory: str | None = None
    local_file: str | None = None
    tmp_dir: str | None = None
    backup: dict | None = None


def find(params, host=None, read=None):
    """The Access that the options mean, on the control node. Raises ConfigError.

    C(host) is the inventory host that stands for the cluster, or None; C(read(path)) reads a file as bytes.
    """
    context = talosconfig.load(path=params.get('talosconfig'), content=params.get('talosconfig_content'), context=params.get('context'),
                               default_context=host, read=read)
    return Access(context=context, kube=_kube(params, read), cluster=host or context.name, directory=os.getcwd(),
                  local_file=talosconfig.local_file(context.source))


def _kube(params, read):
    """The Source of the kubeconfig that was given, None without one; the environment's is taken on request only."""
    path, content = params.get('kubeconfig'), params.get('kubeconfig_content')
    if path == ENVIRONMENT:
        path = next((part for part in os.environ.get('KUBECONFIG', '').split(os.pathsep) if part), None)
        if not path:
            raise ConfigError('kubeconfig is "env", but KUBECONFIG is not set.', 'Name a kubeconfig, or leave the option out.')
    if not path and not content:
        return None
    return kubeconfig.load(path=path and os.path.abspath(os.path.expanduser(path)), content=content, context=params.get('kube_context'), read=read)


def pack(access):
    """An Access as text for the option talosconfig_content of a module that is shipped."""
    plain = asdict(access)
    for part in (plain['context'], plain['kube'] or {}):
        part.update({name: part[name].decode() for name in _PEM if part.get(name)})
    return CARRIED + json.dumps(plain) + '}'


def unpack(text):
    """The Access in such a text, or None when it is none."""
    if not isinstance(text, str) or not text.startswith(CARRIED):
        return None
    plain = json.loads(text)['talosops.talos']
    for part in (plain['context'], plain['kube'] or {}):
        part.update({name: part[name].encode() for name in _PEM if part.get(name)})
    kube = plain['kube'] and kubeconfig.Source(**{**plain['kube'], 'basic': plain['kube']['basic'] and tuple(plain['kube']['basic'])})
    return Access(**{**plain, 'context': talosconfig.Context(**plain['context']), 'kube': kube})


def secrets(access):
    """The texts that must never stand in a result: keys, tokens and passwords, each line of a key by itself."""
    found = set()
    for pem in (access.context.key, access.kube and access.kube.key):
        text = (pem or b'').decode()
        found.update(line for line in text.splitlines() if len(line) >= 16 and '-----' not in line)
        found.add(base64.b64encode(text.encode()).decode())
    if access.kube:
        found.update((access.kube.token, *(access.kube.basic or ())[1:]))
    return {text for text in found if text}


def of(params):
    """The Access of a task's parameters, which its door put there."""
    return params['access']


def cluster_of(params):
    """The cluster's name in reports."""
    return of(params).cluster or of(params).context.name


def seconds(params):
    """C((timeout, deadline)). Raises InputError."""
    for option in ('timeout', 'deadline'):
        if not params[option] > 0:
            raise InputError(f'{option} must be a number of seconds above zero, not {params[option]}.')
    return params['timeout'], params['deadline']


def saying(params, say):
    """C(say) with the cluster's name before every text, None where there is none."""
    return say and (lambda text: say(f'{cluster_of(params)}: {text}'))


def gather(params, say, kinds=None, logs=None):
    """The Snapshot of the cluster that the parameters name."""
    access = of(params)
    timeout, deadline = seconds(params)
    sample = params.get('sample_seconds') or 0
    if not 0 <= sample < deadline:
        raise InputError(f'sample_seconds must be a number of seconds from zero to less than the deadline ({deadline:g}), not {sample:g}.')
    snapshot = gathering.gather(
        access.context, name=access.cluster, nodes=params.get('nodes') or (), endpoints=params.get('endpoints') or None, proxy=params.get('proxy'),
        kube=access.kube, kinds=kinds, logs=logs, timeout=timeout, deadline=deadline, tmp_dir=access.tmp_dir, say=saying(params, say),
        collection=VERSION, sample_seconds=sample)
    snapshot.client['local_file'] = access.local_file
    return snapshot


def here():
    """The name of the machine that this runs on."""
    return socket.gethostname()
