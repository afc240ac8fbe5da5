# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the replay's data from recordings of a real cluster.

    python tests/tools/import_recordings.py SOURCE… [--certificates DIR]

A SOURCE is a folder, whose name becomes the set's, of one of two kinds:

- a gather: C(<node>.jsonl.gz) with one call a line, C(k8s/*.json), C(certs/index.json), C(meta.json);
- single calls: C(<case>.json), each a list of calls, and no certificates of their own: C(--certificates) names the
  gather whose machines they were recorded on. Cases C(tls-*) are left out, they are about no answer at all.

Each call is {case, method, endpoint ("host:port"), request_metadata, requests[] and responses[] with base64, status
{code, message}, duration_ms, at}. Written are, under tests/replay/data/<set>/: C(calls.jsonl.xz) and C(kubernetes.jsonl.xz)
(one object a line; the bytes of messages as text, a character for each byte, which compresses far better than base64),
C(certificates.json) and C(meta.json) as they came. Decoded forms are dropped.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import lzma
import shutil
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / 'replay' / 'data'


def compact(call, case, node):
    """One call in the form of C(calls.jsonl.xz). C(node) is the name of the machine that it is about, if known."""
    return {
        'case': case,
        **({'node': node} if node else {}),
        'method': call['method'],
        'endpoint': call['endpoint'],
        'metadata': call['request_metadata'] or {},
        'requests': [text(message) for message in call['requests']],
        'responses': [text(message) for message in call['responses']],
        'code': call['status']['code'],
        'message': call['status']['message'],
        'duration_ms': call['duration_ms'],
        **({'at': call['at']} if 'at' in call else {}),
    }


def text(message):
    return base64.b64decode(message['base64']).decode('latin-1')


def gathered(source):
    for file in sorted(source.glob('*.jsonl.gz')):
        with gzip.open(file, 'rt') as lines:
            for call in map(json.loads, lines):
                yield compact(call, call['case'], file.name.removesuffix('.jsonl.gz'))


def single(source):
    for file in sorted(source.glob('*.json')):
        if not file.name.startswith('tls-'):
            for call in json.loads(file.read_text()):
                yield compact(call, file.stem, None)


def kubernetes(source):
    for file in sorted(source.glob('k8s/*.json')):
        yield {'case': file.stem, **json.loads(file.read_text())}


def write(path, rows):
    lines = ''.join(json.dumps(row, ensure_ascii=False, sort_keys=True) + '\n' for row in rows)
    path.write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('sources', nargs='+', type=Path, metavar='SOURCE')
    parser.add_argument('--certificates', type=Path, metavar='DIR', help='the gather whose machines single calls were recorded on')
    arguments = parser.parse_args()
    for source in arguments.sources:
        is_gather = (source / 'meta.json').exists()
        if not is_gather and not arguments.certificates:
            parser.error(f'{source} has no meta.json: single calls need --certificates')
        target = DATA / source.name
        target.mkdir(parents=True, exist_ok=True)
        write(target / 'calls.jsonl.xz', gathered(source) if is_gather else single(source))
        write(target / 'kubernetes.jsonl.xz', kubernetes(source))
        machines = source if is_gather else arguments.certificates
        shutil.copyfile(machines / 'certs' / 'index.json', target / 'certificates.json')
        if is_gather:
            shutil.copyfile(source / 'meta.json', target / 'meta.json')
        else:
            meta = json.loads((machines / 'meta.json').read_text())
            kept = {'set': source.name, 'role': meta['role'], 'talos': meta['talos'], 'state': 'single calls, one case each'}
            (target / 'meta.json').write_text(json.dumps(kept, indent=1) + '\n')


if __name__ == '__main__':
    main()
