# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_report: show reports to a person, and say whether the run should fail."""

from __future__ import annotations

import os

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report import console, files, remediation, select
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged

TEXT_CHARACTERS = 40 * 1024
_CLASSES = (v.HEALTHY, 'warnings', v.NOT_JUDGED, 'errors', 'critical')


def run(params, check_mode, say):
    """The text of all reports and the decision of C(fail_on); see the module's RETURN. Raises TalosError."""
    reports = load(params)
    if not reports:
        raise InputError('The option reports names none.')
    clusters = [_cluster(path, report, params) for path, report in reports]
    failing = [cluster for cluster in clusters if cluster['fails']]
    text = text_of(reports)
    return {
        'changed': False,
        'class': max((cluster['class'] for cluster in clusters), key=_CLASSES.index),
        'complete': all(cluster['complete'] for cluster in clusters),
        'clusters': clusters,
        'judged': sum(cluster['class'] != v.NOT_JUDGED for cluster in clusters),
        'fails': bool(failing),
        'message': '; '.join(cluster['message'] for cluster in failing or clusters),
        'text': text if len(text) <= TEXT_CHARACTERS else text[:TEXT_CHARACTERS] + '\n… the rest stands in report.json',
        'ran_on': access.here(),
    }


def load(params):
    """C([(path of report.json or None, report)]) of the paths in C(reports): a report, a snapshot, or the directory of both.

    Of each report the sections that C(only) and C(skip) leave.
    """
    keys = select.keys_of(params.get('only'), params.get('skip'))
    return [(found, select.select(report, keys)) for found, report in (_load(path, params) for path in params['reports'])]


def text_of(reports, paint=None):
    """All reports as text (report/console.py), each with the plan of a run of remediate where it is the report of one."""
    return '\n\n'.join('\n'.join([console.render(report, path, paint), *(['', *remediation.lines(report, paint)] if 'remediation' in report else ())])
                       for path, report in reports)


def _load(path, params):
    if os.path.isdir(path):
        path = os.path.join(path, files.REPORT if os.path.exists(os.path.join(path, files.REPORT)) else files.SNAPSHOT)
    if path.endswith('.zip'):
        _snapshot, report = judged.from_file(path, judged.settings(params))
        return None, report
    return path, files.read_report(path)


def _cluster(path, report, params):
    by_class = v.fails(report['class'], params['fail_on'])
    by_gap = params['fail_on_incomplete'] and not report['complete']
    message = console.headline(report)
    if by_class:
        message += f' (talos_fail_on is {params["fail_on"]})'
    elif by_gap:
        message += ' (talos_fail_on_incomplete is true)'
    return {'cluster': report['cluster'], 'class': report['class'], 'complete': report['complete'], 'counts': report['counts'],
            'report': path, 'fails': by_class or by_gap, 'message': message}
