# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace of one's own, in which every address of 10.0.0.0/8 is local (Linux only).

    python -m tests.bed.netns [--] command…

runs the command in it and ends with the command's exit code. So recorded machines can be served under their real
addresses, 10.5.0.2:50000 and the like, without touching the host; a port on which nobody listens refuses, and every
other address has no route. fd00::1 to fd00::20 are local too. Works as root and, in a user namespace, as anybody.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDRESS, NETMASK = '10.255.255.254', '255.0.0.0'
IPV6 = tuple(f'fd00::{number:x}' for number in range(1, 0x21))

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFINDEX = 0x8933
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_IFF_UP = 1


class NotPermitted(Exception):
    """No namespace here; the text is one sentence."""


def command(arguments):
    """The command line that runs C(arguments) in a namespace; its working directory must be the collection's root."""
    return [sys.executable, '-m', 'tests.bed.netns', '--', *arguments]


def problem():
    """Why no namespace can be had here, as one sentence, or None."""
    if sys.platform != 'linux':
        return 'Network namespaces exist on Linux only.'
    done = subprocess.run(command(['true']), cwd=ROOT, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or 'The namespace could not be made.')


def available():
    """Whether this user may make a namespace on this machine."""
    return problem() is None


def enter():
    """Move this process, which must have one thread only, into a new namespace. Raises NotPermitted."""
    if sys.platform != 'linux':
        raise NotPermitted('Network namespaces exist on Linux only.')
    uid, gid = os.geteuid(), os.getegid()
    try:
        _unshare(_CLONE_NEWNET)
    except OSError:
        try:
            _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
            Path('/proc/self/setgroups').write_text('deny')
            Path('/proc/self/uid_map').write_text(f'{uid} {uid} 1')
            Path('/proc/self/gid_map').write_text(f'{gid} {gid} 1')
        except OSError as error:
            raise NotPermitted(
                f'This user may not make a network namespace here ({error.strerror}); run as root, or allow unprivileged user namespaces.'
            ) from error
    try:
        _configure()
    except OSError as error:
        raise NotPermitted(
            f'The network namespace could not be set up ({error.strerror}); a security module may restrict user namespaces: run as root.'
        ) from error


def _unshare(flags):
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _configure():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack('16sH14x', b'lo', _IFF_UP))
        fcntl.ioctl(control, _SIOCSIFADDR, _address_request(b'lo:1', ADDRESS))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _address_request(b'lo:1', NETMASK))
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            for address in IPV6:
                _add_ipv6(control, address)
        _wait_until_usable(IPV6)
    except OSError:
        pass  # a kernel without IPv6
    try:
        Path('/proc/sys/net/ipv4/ip_unprivileged_port_start').write_text('0')
    except OSError:
        pass  # /proc/sys is read-only in many containers; only ports below 1024 are then out of reach


def add(addresses):
    """Make further addresses local, in the namespace that this process has entered. Raises OSError."""
    version6 = [address for address in addresses if ':' in address and address not in IPV6]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        for address in version6:
            _add_ipv6(control, address)
    _wait_until_usable(version6)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for number, address in enumerate((one for one in addresses if ':' not in one), 2):
            name = f'lo:{number}'.encode()
            fcntl.ioctl(control, _SIOCSIFADDR, _address_request(name, address))
            fcntl.ioctl(control, _SIOCSIFNETMASK, _address_request(name, '255.255.255.255'))


def _add_ipv6(control, address):
    index = struct.unpack('16si', fcntl.ioctl(control, _SIOCGIFINDEX, struct.pack('16si', b'lo', 0)))[1]
    try:
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack('16sIi', socket.inet_pton(socket.AF_INET6, address), 128, index))
    except FileExistsError:
        pass


def _wait_until_usable(addresses):
    """The kernel readies IPv6 addresses a moment after it took them, and a program may bind one before that."""
    for address in addresses:
        for _attempt in range(200):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((address, 0))
                    break
                except OSError:
                    time.sleep(0.005)


def _address_request(name, address):
    return struct.pack('16sHH4s8x', name, socket.AF_INET, 0, socket.inet_aton(address))


def main():
    parser = argparse.ArgumentParser(prog='python -m tests.bed.netns', description='Run a command where 10.0.0.0/8 is local.')
    parser.add_argument('command', nargs=argparse.REMAINDER)
    arguments = parser.parse_args().command
    arguments = arguments[1:] if arguments[:1] == ['--'] else arguments
    if not arguments:
        parser.error('no command')
    try:
        enter()
        os.execvp(arguments[0], arguments)
    except NotPermitted as error:
        print(error, file=sys.stderr)
        return 125
    except OSError as error:
        print(f'{arguments[0]}: {error.strerror}', file=sys.stderr)
        return 127


if __name__ == '__main__':
    sys.exit(main())
