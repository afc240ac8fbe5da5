# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_snapshot: gather, judge once, keep both beside each other."""

from __future__ import annotations

import base64
import os

from ansible_collections.talosops.talos.plugins.module_utils.report import files
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts, judged

ARCHIVE = 'archive'


def run(params, check_mode, say):
    """Gather; then write snapshot and report, or return C({archive: base64}) where the files belong on another machine.

    Check mode makes no difference: the report is the result, and nothing else is written. Raises TalosError.
    """
    judged.settings(params)
    snapshot = access.gather(params, say)
    directory = access.of(params).directory
    if directory is None:
        return {ARCHIVE: base64.b64encode(store.dumps(snapshot)).decode(), 'ran_on': access.here()}
    return keep(snapshot, params, directory, access.here())


def keep_archive(result, params, directory):
    """What C(run) would have returned here, from what it returned elsewhere."""
    return keep(store.loads(base64.b64decode(result[ARCHIVE])), params, directory, result['ran_on'])


def keep(snapshot, params, working_directory, ran_on):
    """Judge, write snapshot.zip and report.json, and return the module's result."""
    report = judged.anew(snapshot, judged.settings(params))
    key = files.key_of(working_directory, report['cluster'], report['cluster_id'])
    if params.get('report_dir'):
        directory = files.use_directory(os.path.join(working_directory, params['report_dir']), report['cluster'], report['cluster_id'])
    else:
        directory = files.make_directory(working_directory, key, snapshot.now)
    path = store.write(snapshot, os.path.join(directory, files.SNAPSHOT))
    return {**summary(snapshot, report, ran_on), 'snapshot': path, 'report': files.write_report(directory, report), 'report_dir': directory,
            'cluster_key': key}


def summary(snapshot, report, ran_on):
    """What of a report and its snapshot every caller wants to know."""
    return {
        'changed': False,
        'cluster': report['cluster'],
        'cluster_id': report['cluster_id'],
        'class': report['class'],
        'complete': report['complete'],
        'counts': report['counts'],
        'digest': report['digest'],
        'talos': report['talos'],
        'kubernetes': report['kubernetes'],
        'role': report['role'],
        'machines': facts.machines(snapshot),
        'machines_answered': len(snapshot.answering()),
        'machines_known': len(snapshot.machines),
        'seconds': snapshot.control_node.get('seconds'),
        'ran_on': ran_on,
    }
