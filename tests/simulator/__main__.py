# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command against a simulated cluster, or serve one until interrupted.

    python -m tests.simulator FILE|--healthy [--dir DIR] [--namespace|--port] [-- command…]

The command sees TALOSCONFIG (with --port also HTTPS_PROXY); its exit code is that of this program.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading

from tests.bed import netns
from tests.simulator.cluster import LOOPBACK, NAMESPACE, PORT, Cluster
from tests.simulator.scenario import ScenarioError


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    command = []
    if '--' in arguments:
        command = arguments[arguments.index('--') + 1:]
        arguments = arguments[:arguments.index('--')]
    options = _parser().parse_args(arguments)
    if bool(options.file) == options.healthy:
        _parser().error('give a scenario file or --healthy')
    if options.namespace:
        try:
            netns.enter()
        except netns.NotPermitted as error:
            print(error, file=sys.stderr)
            return 125
    signal.signal(signal.SIGTERM, _terminate)
    addresses = NAMESPACE if options.namespace else PORT if options.port else LOOPBACK
    try:
        if options.healthy:
            cluster = Cluster.from_state({}, name=options.name or 'healthy', addresses=addresses, directory=options.dir)
        else:
            cluster = Cluster.from_file(options.file, name=options.name, addresses=addresses, directory=options.dir)
        with cluster:
            return _run(cluster, command)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, _Terminated):
        return 130 if command else 0


def _parser():
    parser = argparse.ArgumentParser(prog='python -m tests.simulator', description='A simulated Talos cluster.')
    parser.add_argument('file', nargs='?', help='a scenario file')
    parser.add_argument('--healthy', action='store_true', help='the cluster of the defaults')
    parser.add_argument('--name', help="the cluster's name and that of its context; default: the scenario's id or file name")
    parser.add_argument('--dir', help='where talosconfig and kubeconfig are written; default: a temporary directory')
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument('--namespace', action='store_true', help="the scenario's own addresses, in a network namespace")
    modes.add_argument('--port', action='store_true', help='free ports of 127.0.0.1 behind a proxy, where loopback aliases are missing')
    return parser


def _run(cluster, command):
    """The command's exit code; without a command, serves until this process is told to end."""
    if not command:
        for key, value in cluster.environment.items():
            print(f'export {key}={value}')
        print(f'# {cluster.model.name}: ' + ', '.join(f'{node.name} {node.address}' for node in cluster.nodes.values()), flush=True)
        threading.Event().wait()
    try:
        process = subprocess.Popen(command, env={**os.environ, **cluster.environment})
    except OSError as error:
        print(f'{command[0]}: {error.strerror}', file=sys.stderr)
        return 127
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            continue  # Ctrl-C reaches the command too, being of the same terminal
        except _Terminated:
            process.terminate()


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _terminate(_signal, _frame):
    raise _Terminated


if __name__ == '__main__':
    sys.exit(main())
