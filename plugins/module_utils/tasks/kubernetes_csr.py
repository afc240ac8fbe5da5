# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_kubernetes_csr: approve requests for serving certificates by rule, and see that they are issued."""

from __future__ import annotations

import base64
import binascii
import time
from urllib.parse import quote

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import live, serving_csr
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import objects
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import KINDS as KUBERNETES_KINDS
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged, kube_access, section

_KINDS = section.needs_of(check for check in CHECKS if check.id == 'kubelet.serving_csr_pending')[0] \
    | {'AddressStatuses', 'NodeAddresses', 'HostnameStatuses', 'Nodenames', 'Infos', 'SiderolinkStatuses', 'csrs', *live.READS, *live.KUBERNETES}
READS = tuple(sorted(f'Kubernetes {kind}' if kind in KUBERNETES_KINDS else kind for kind in _KINDS))
NEEDS_ADMIN = ('Kubeconfig (unless a kubeconfig is given)',)
CHANGES = 'certificate signing requests of kubelets'

_PATH = '/apis/certificates.k8s.io/v1/certificatesigningrequests/'
_REASON = 'ApprovedByRule'
_MESSAGE = 'The names, addresses and usages are those of the machine, as the Talos API tells them.'
_POLL = 0.5


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError."""
    if params['wait'] < 0:
        raise InputError(f'wait must be a number of seconds, not {params["wait"]}.')
    names = tuple(params.get('csrs') or ())
    params = kube_access.with_kubeconfig(params)
    snapshot = access.gather(params, say, set(_KINDS), set(section.GATE_LOGS))
    view = View(snapshot, judged.settings(params))
    rows = serving_csr.rows(view, names)
    serving_csr.must_be_approved(rows, names)
    approve = [row for row in rows if row.verdict == csr_rules.APPROVE]
    why = live.not_writing(view) if approve else None
    if why:
        raise Refused(f'No request can be approved: {why}.', 'Repair that first.')
    issued = {}
    if not check_mode and approve:
        with kube_access.api(params, snapshot) as kube:
            for row in approve:
                issued[row.name] = _approved(kube, view, row, params['wait'], list(issued))
    return {
        'changed': bool(approve),
        'cluster': access.cluster_of(params),
        'requests': [_told(row, issued) for row in rows],
        'approved': [row.name for row in approve],
        'diff': {'before_header': 'requests', 'after_header': 'requests', 'before': _shown(rows, ()), 'after': _shown(rows, approve)},
        'ran_on': access.here(),
    }


def _approved(kube, view, row, wait, before):
    """Approve one request and wait for its certificate; the facts of that. Raises TalosError, which says what was done until then."""
    path = _PATH + quote(row.name, safe='')
    try:
        fresh = kube.get(path)
        now = serving_csr.row(view, objects.csr(fresh))
        if fresh['metadata'].get('uid') != row.csr.get('uid') or now.verdict != csr_rules.APPROVE:
            raise TalosError(f'The request {row.name} has changed since it was judged{": " + "; ".join(now.why) if now.why else ""}.', 'Run the task again.')
        condition = {'type': 'Approved', 'status': 'True', 'reason': _REASON, 'message': _MESSAGE}
        status = fresh.get('status') or {}
        kube.send('PUT', f'{path}/approval', {**fresh, 'status': {**status, 'conditions': [*(status.get('conditions') or ()), condition]}})
        return _issued(kube, path, row, wait)
    except TalosError as error:
        done = f' Before that {", ".join(before)} was approved.' if before else ''
        raise TalosError(f'{error.message}{done}', error.hint) from None


def _issued(kube, path, row, wait):
    """The facts of the certificate, once it is there. Raises TalosError."""
    end = time.monotonic() + wait
    while True:
        found = kube.get(path)
        status = found.get('status') or {}
        states = csr_rules.states(objects.csr(found))
        if status.get('certificate'):
            return _checked(status['certificate'], row)
        if 'Approved' not in states:
            raise TalosError(f'The approval of the request {row.name} did not reach the API: it is {", ".join(sorted(states)) or "pending"}.',
                             'Run the task again.')
        if 'Failed' in states:
            said = next((one.get('message') for one in status['conditions'] if one.get('type') == 'Failed'), None)
            raise TalosError(f'The request {row.name} was approved, and its signer refused it: {said}.', 'The kubelet asks again after a quarter of an hour.')
        if time.monotonic() >= end:
            raise TalosError(f'The request {row.name} was approved, and no certificate was issued within {wait:g} s.',
                             'kube-controller-manager signs approved requests: look at its pods and logs.')
        time.sleep(min(_POLL, max(0.0, end - time.monotonic())))


def _checked(encoded, row):
    """The facts of an issued certificate, which must be for what was asked. Raises TalosError."""
    try:
        facts = certificate.pem_facts(base64.b64decode(encoded))
    except (ValueError, binascii.Error):
        raise TalosError(f'What was issued for the request {row.name} is no certificate.') from None
    asked = row.csr['asks_for']
    if {normal(one) for one in (*facts['dns'], *facts['ips'])} != {normal(one) for one in (*asked['dns'], *asked['ips'])}:
        raise TalosError(f'The certificate that was issued for the request {row.name} is for other names than it asks for: '
                         f'{", ".join((*facts["dns"], *facts["ips"]))}.', 'Find out who signs the requests of this cluster.')
    return facts


def _told(row, issued):
    asked, facts = row.csr.get('asks_for') or {}, issued.get(row.name)
    return {
        'name': row.name,
        'node': row.node,
        'verdict': row.verdict,
        'why': list(row.why),
        'created': row.csr.get('created'),
        'dns': asked.get('dns') or [],
        'ips': asked.get('ips') or [],
        'issued': row.verdict == serving_csr.ISSUED or facts is not None,
        'valid_until': facts['not_after'] if facts else None,
    }


def _shown(rows, approve):
    """One line for each request."""
    return ''.join(f'{row.name} ({row.node}): {_state(row, approve)}\n' for row in rows)


def _state(row, approve):
    if row in approve or row.verdict == serving_csr.ISSUED:
        return 'Approved,Issued'
    return ','.join(sorted(csr_rules.states(row.csr))) or 'Pending'
