# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy kubelet_serving_csr: a kubelet's request for its serving certificate is approved by rule (users.md 5, CSR approval)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import serving_csr
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import Action, Remedy, Step, unasked
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps.common import writing

NAME = 'kubelet_serving_csr'


def step(view, target, args, coming):
    """The Step that approves this request."""
    try:
        row = serving_csr.rows(view, (target,))[0]
    except InputError:
        raise
    except TalosError as error:
        return Step(f'Approve the request {target}', refused=(error.message,))
    csr, asked = row.csr, row.csr.get('asks_for') or {}
    writes, after = writing(view, coming)
    return Step(
        title=f'Approve the request {target} of {csr.get("username")} for its serving certificate',
        evidence=(f'{target} is for {listed([*(asked.get("dns") or ()), *(asked.get("ips") or ())], 12) or "no name"}, '
                  f'with the usages {listed(sorted(csr.get("usages") or ())) or "none"}',
                  f'made {csr.get("created")}',
                  *(('all of that is of this machine, as the Talos API tells it',) if row.verdict == csr_rules.APPROVE else ())),
        preconditions=('the request is pending, the newest of its Node, of the signer of serving certificates, and its user is the kubelet of a machine that '
                       'Talos knows', 'every name and address in it is of that machine, and none is of the API', 'etcd and the API take writes'),
        predicted={'request': ['Pending', 'Approved,Issued'], 'node': row.node},
        actions=(Action(f'Approve the request {target}', 'talos_kubernetes_csr', {'csrs': [target]}),),
        verify=('a certificate is issued, for the same names and addresses as were asked for',),
        way_back='An approval cannot be taken back. The certificate is valid until it runs out; its kubelet alone has the key.',
        refused=unasked(args, [*_against(row), *writes]),
        after=after,
        rests_on={'uid': csr.get('uid'), 'username': csr.get('username'), 'common_name': asked.get('common_name'), 'signer': csr.get('signer'),
                  'dns': sorted(asked.get('dns') or ()), 'ips': sorted(asked.get('ips') or ()), 'other': sorted(map(str, asked.get('other') or ())),
                  'usages': sorted(csr.get('usages') or ())},
    )


def _against(row):
    if row.verdict == serving_csr.ISSUED:
        return ['its certificate was issued already']
    if row.verdict == csr_rules.APPROVE:
        return []
    what = 'it must not be approved' if row.verdict == csr_rules.REFUSE else 'it is held'
    return [f'{what}: {"; ".join(row.why)}']


REMEDY = Remedy(NAME, 'approves a kubelet\'s request for its serving certificate', 'the name of the request', lambda _view, args: (args['csr'],), step,
                most=lambda view: len(view.kubernetes.nodes or ()))
