# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy client_endpoints: the endpoints of the talosconfig are the control plane nodes (guide, "Wrong Endpoints"; check catalogue API-5 to API-7)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import dial_address, listed
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.remedies import client_endpoints
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import Action, Remedy, Step, unasked
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import talos_certsans

NAME = 'client_endpoints'


def step(view, target, args, coming):
    """The Step that corrects the endpoints of the context in use."""
    client = view.snapshot.client
    if target != client.get('context'):
        raise InputError(f'The context "{target}" is not the one in use.', f'That is "{client.get("context")}".')
    title, now = f'Correct the endpoints of the context "{target}" in the talosconfig', list(client.get('endpoints') or ())
    if client.get('source') == talosconfig.CONTENT:
        return Step(title, refused=('the talosconfig was given as content, so there is no file to change',))
    named = {normal(name) for remedy, name in coming if remedy == talos_certsans.NAME}
    unseen = [text for text in now if normal(endpoints_.parse(text).host) in named]
    if unseen:
        return Step(title, refused=(f'what answers under {listed(unseen)} is seen only once its certificates name that: run it again when that is done',))
    try:
        made = client_endpoints.wanted(view, _dialled(view, now))
        planes = sorted(filter(None, (dial_address(view, machine) for machine in client_endpoints.for_sure(view))))
    except TalosError as error:
        return Step(title, refused=(error.message,))
    right = [] if made.endpoints != now else [f'they are right as they are: {listed(now, 12)}']
    return Step(
        title=title,
        evidence=(*(f'{one["endpoint"]} goes out: {one["why"]}' for one in made.removed),
                  *(f'{one["endpoint"]} comes in: it is {one["node"]}' for one in made.added), *made.notes),
        preconditions=('the talosconfig is a file that can be written, and not encrypted by ansible-vault',
                       'all control plane nodes are known for sure, by discovery and by the member list of etcd',
                       'the endpoints in the file are still those of the plan'),
        predicted={'endpoints': [now, made.endpoints]},
        actions=(Action(f'Write the endpoints {listed(made.endpoints, 12)}, and keep the file as it was', 'talos_client_config', {'backup': True}),),
        verify=('every endpoint leads to a control plane node',),
        way_back='The file as it was lies beside it.',
        refused=unasked(args, right),
        rests_on={'context': target, 'endpoints': now, 'wanted': made.endpoints, 'control_planes': planes},
    )


def _dialled(view, texts):
    """C({endpoint as the file has it: Endpoint of the snapshot}). Raises TalosError where one of them was not dialled."""
    by_place = {(one.host, one.port): one for one in view.snapshot.endpoints}
    found = {}
    for text in texts:
        parsed = endpoints_.parse(text)
        if (parsed.host, parsed.port) not in by_place:
            raise TalosError(f'The endpoint {text} of the file was not dialled, because others were given.')
        found[text] = by_place[(parsed.host, parsed.port)]
    return found


REMEDY = Remedy(NAME, 'makes the endpoints of the talosconfig the control plane nodes', 'the name of the context in use',
                lambda _view, args: (args['context'],), step)
