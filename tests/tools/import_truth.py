# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the data of the talosctl contract from what the real talosctl said of a real cluster.

    python tests/tools/import_truth.py SOURCE…

A SOURCE is a folder, whose name becomes the state's, with C(index.jsonl) (one command a line: name, cmd, rc) and its outputs
C(<name>.out), C(<name>.err). Written is C(tests/contract/talosctl/data/<state>.json): a list of {name, arguments, code, out,
err}, of the commands in NAMES; arguments are those after C(talosctl).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / 'contract' / 'talosctl' / 'data'
# Not logs and events, which tell a cluster's history.
NAMES = ('version_all', 'services_all', 'service_etcd_cp1', 'service_etcd_w1', 'service_kubelet_cp1', 'service_kubelet_w1', 'etcd_members_cp1',
         'etcd_members_all', 'etcd_status_all', 'etcd_status_w1', 'etcd_alarm_all', 'etcd_alarm_cp1', 'members_cp1', 'affiliates_cp1',
         'nodestatus_cp1', 'staticpodstatus_all', 'containers_k_all', 'machinestatus_all', 'diagnostics_all', 'addresses_cp1', 'time_all',
         'kubeprism_cp1', 'services_res_all', 'etcdmember_res_all', 'logs_etcd_w1', 'health_cp1', 'health_clientside', 'image_list_system')


def commands(source):
    for line in (source / 'index.jsonl').read_text(encoding='utf-8').splitlines():
        told = json.loads(line)
        if told['name'] in NAMES:
            out, err = (_text(source / f'{told["name"]}.{stream}') for stream in ('out', 'err'))
            yield {'name': told['name'], 'arguments': told['cmd'][1:], 'code': told['rc'], 'out': out, 'err': err}


def _text(path):
    return path.read_text(encoding='utf-8') if path.exists() else ''


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('sources', nargs='+', type=Path, metavar='SOURCE')
    DATA.mkdir(parents=True, exist_ok=True)
    for source in parser.parse_args().sources:
        text = json.dumps(list(commands(source)), indent=1, ensure_ascii=False)
        (DATA / f'{source.name}.json').write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
