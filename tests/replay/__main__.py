# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command against a recorded cluster, with TALOSCONFIG set; its exit code is the command's.

    python -m tests.replay SET [--talosconfig-out FILE] [--proxy] [-- command…]

The machines are served under their recorded addresses in a network namespace of their own (Linux). With --proxy they are
on the loopback instead, and HTTPS_PROXY leads to them. Without a command, a shell is run.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.bed import netns
from tests.replay import load, serve, sets

_PROXY_VARIABLES = ('HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY')


def main(arguments=None):
    options, command = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        load(options.set)
        if not options.proxy:
            netns.enter()
    except (ValueError, netns.NotPermitted) as error:
        hint = ' Or use --proxy.' if isinstance(error, netns.NotPermitted) else ''
        print(f'{error}{hint}', file=sys.stderr)
        return 125
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with serve(options.set, local=options.proxy) as replay:
            if options.talosconfig_out:
                _write(options.talosconfig_out, replay.talosconfig)
            return _run(command or [os.environ.get('SHELL', 'sh')], _environment(replay))
    except KeyboardInterrupt:
        return 130
    except _Terminated:
        return 143
    except OSError as error:
        print(error, file=sys.stderr)
        return 125


def _parse(arguments):
    """The options, and the command after C(--)."""
    at = arguments.index('--') if '--' in arguments else len(arguments)
    own, command = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(
        prog='python -m tests.replay',
        usage='%(prog)s SET [--talosconfig-out FILE] [--proxy] [-- command…]',
        description=__doc__.partition('\n')[0],
        epilog=f'Sets: {", ".join(sets())}.',
    )
    parser.add_argument('set', metavar='SET')
    parser.add_argument('--talosconfig-out', type=Path, metavar='FILE', help='write the talosconfig to FILE too')
    parser.add_argument('--proxy', action='store_true', help='serve on the loopback behind a proxy, without a network namespace')
    options = parser.parse_args(own)
    if own != arguments and not command:
        parser.error('no command after --')
    return options, command


def _environment(replay):
    environment = {name: value for name, value in os.environ.items() if name.upper() not in _PROXY_VARIABLES}
    environment['TALOSCONFIG'] = replay.path
    if replay.proxy:
        environment['HTTPS_PROXY'] = replay.proxy
    return environment


def _run(command, environment):
    """Run to the end, also when interrupted: the command decides, what is served goes after it.

    Ctrl-C reaches the command by itself, being of the same terminal; SIGTERM is passed on.
    """
    running, stopped = [], []

    def stop(_signal, _frame):
        stopped.append(True)
        for process in running:
            process.terminate()

    signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    signal.signal(signal.SIGTERM, stop)
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        print(f'{command[0]}: {error.strerror}', file=sys.stderr)
        return 127
    running.append(process)
    if stopped:
        process.terminate()
    code = process.wait()
    return code if code >= 0 else 128 - code


class _Terminated(BaseException):
    """SIGTERM arrived before the command ran."""


def _interrupt(_signal, _frame):
    raise _Terminated


def _write(path, text):
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


if __name__ == '__main__':
    sys.exit(main())
