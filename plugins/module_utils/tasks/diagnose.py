# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_diagnose: gather, judge everything, keep both, and return the findings."""

from __future__ import annotations

import os

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report import console, files
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts, judged, snapshot


def run(params, check_mode, say):
    """The report in short and its findings; see the module's RETURN. Raises TalosError.

    As C(talos_snapshot), it returns the archive where the files belong on another machine.
    """
    if params.get('snapshot'):
        return _of_file(params)
    result = snapshot.run(params, check_mode, say)
    return result if snapshot.ARCHIVE in result else finish(result, params)


def finish(kept, params):
    """The module's result, from what C(snapshot.keep) returned and wrote."""
    return _result(kept, files.read_report(kept['report']), params)


def _of_file(params):
    path = judged.snapshot_path(params['snapshot'])
    taken, report = judged.from_file(path, judged.settings(params))
    beside = os.path.join(os.path.dirname(path), files.REPORT)
    kept = {**snapshot.summary(taken, report, access.here()), 'snapshot': path, 'report': beside if os.path.exists(beside) else None,
            'report_dir': os.path.dirname(path)}
    return _result(kept, report, params)


def _result(kept, report, params):
    fails = v.fails(report['class'], params['fail_on'])
    result = facts.bounded({
        **kept,
        'verdict': v.worst((section['verdict'] for section in report['sections'].values()), v.OK),
        'sections': report['sections'],
        'findings': report['findings'],
        'roots': [finding['id'] for finding in report['findings'] if finding['root'] and v.rank(finding['verdict']) >= v.rank(v.WARNING)],
        'nodes_source': report['nodes_source'],
        'message': console.headline(report),
    })
    return {**result, 'failed': True, 'msg': f'{result["message"]} (fail_on is {params["fail_on"]})'} if fails else result
