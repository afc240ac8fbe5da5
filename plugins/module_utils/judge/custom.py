# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the user's own: JMESPath expressions over the snapshot (docs/custom-checks.md has the schema that they are written against).

What an expression names and the snapshot does not have is unknown with the reason, like with every other check.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, CONTROL_PLANES, WORKERS, Check, Evidence, Outcome, ok, unknown,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import CUSTOM
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.objects import OBJECTS
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import LOGS, READS, Resources

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    jmespath = None
    JMESPathError = ()

SCHEMA = 'https://github.com/talosops/talosops.talos/schema/custom-check/1'
CLUSTER = 'cluster'
EACH = {'machine': ALL, 'control_plane': CONTROL_PLANES, 'worker': WORKERS, CLUSTER: None}
SEVERITIES = (v.INFO, v.WARNING, v.ERROR, v.CRITICAL)
VALUE_CHARACTERS = 200

_ID = re.compile(r'[a-z][a-z0-9_]*')
_TEXTS = ('title', 'text', 'remedy')


def _same(value, wanted):
    """Equality in which a number is no truth value."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_MET = {
    'expected': _same,
    'one_of': lambda value, wanted: any(_same(value, each) for each in wanted),
    'matches': lambda value, wanted: isinstance(value, str) and re.search(wanted, value) is not None,
    'at_least': lambda value, wanted: _is_number(value) and value >= wanted,
    'at_most': lambda value, wanted: _is_number(value) and value <= wanted,
}
_KEYS = ('id', 'each', 'expression', 'severity', *_TEXTS, *_MET)
_WORDS = {'expected': 'expected', 'one_of': 'expected one of', 'matches': 'expected to match', 'at_least': 'expected at least', 'at_most': 'expected at most'}
_TALOS = {read.kind for read in READS if not isinstance(read, LOGS)}
_KUBERNETES = {'version', *(objects.kind for objects in OBJECTS)}


def validate(checks, where='talos_checks'):
    """The definitions of a list, complete and plain. Raises InputError that names C(where), the check, and the column of an expression."""
    if not isinstance(checks, (list, tuple)):
        raise InputError(f'{where}: must be a list of checks, not {_shown(checks)}.')
    if checks and jmespath is None:
        raise InputError('The Python package jmespath is missing on this host.', 'Install it: pip install jmespath')
    made = [_validated(check, number, where) for number, check in enumerate(checks, 1)]
    names = [check['id'] for check in made]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f'{where}: there are {names.count(name)} checks with the id "{name}".', 'Give each an id of its own.')
    return made


def build(definitions):
    """The Checks of validated definitions."""
    return tuple(_check(definition) for definition in definitions)


def document(view, machine=None):
    """What an expression sees: that of one machine, or without one that of the cluster."""
    return _machine(view, machine) if machine is not None else _cluster(view)


# -- validation -------------------------------------------------------------------------------------------------

def _validated(check, number, where):
    if not isinstance(check, Mapping):
        raise InputError(f'{where}: check {number} must be a mapping, not {_shown(check)}.')
    called = f'{where}: check {number}'
    name = check.get('id')
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise InputError(f'{called} must have an id of lower-case letters, digits and underscores that begins with a letter, not {_shown(name)}.')
    called = f'{where}: check "{name}"'
    for key in check:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise InputError(f'{called} has an unknown key "{key}".', f'Did you mean "{near[0]}"?' if near else f'Known are: {", ".join(_KEYS)}.')
    made = {'id': name, 'each': _choice(check, 'each', tuple(EACH), 'machine', called), 'severity': _choice(check, 'severity', SEVERITIES, v.WARNING, called),
            'expression': _expression(check.get('expression'), called)}
    for key in _TEXTS:
        if check.get(key) is not None and not isinstance(check[key], str):
            raise InputError(f'{called}: {key} must be a text, not {_shown(check[key])}.')
        made[key] = check.get(key) or ''
    operators = [key for key in _MET if key in check]
    if len(operators) != 1:
        said = f'has {" and ".join(operators)}' if operators else 'says nothing of what is expected'
        raise InputError(f'{called} {said}.', f'Give exactly one of {", ".join(_MET)}.')
    made[operators[0]] = _wanted(operators[0], check[operators[0]], called)
    return made


def _choice(check, key, choices, default, called):
    value = check.get(key, default)
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        raise InputError(f'{called}: {key} must be one of {", ".join(choices)}, not {_shown(value)}.', f'Did you mean "{near[0]}"?' if near else None)
    return value


def _expression(text, called):
    if not isinstance(text, str) or not text.strip():
        raise InputError(f'{called} must have an expression, a text in JMESPath, not {_shown(text)}.')
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        place = getattr(error, 'lex_position', None)
        column = f', column {place + 1}' if isinstance(place, int) and place >= 0 else ''
        shown = ' '.join(text.split())
        raise InputError(f'{called}: the expression is not JMESPath{column}: {_reason(error)}', f'The expression is: {shown}') from None
    return text


def _reason(error):
    """The library's own word, without the picture of the expression that it adds."""
    token = getattr(error, 'token_value', None)
    if token:
        return f'"{token}" is not expected there.'
    said = str(error).strip().splitlines()
    return (said[0] if said else type(error).__name__).rstrip('.:') + '.'


def _wanted(key, value, called):
    if key == 'one_of' and not isinstance(value, (list, tuple)):
        raise InputError(f'{called}: one_of must be a list, not {_shown(value)}.')
    if key in ('at_least', 'at_most'):
        try:
            value = float(value)
        except (TypeError, ValueError):
            value = math.nan
        if math.isnan(value):
            raise InputError(f'{called}: {key} must be a number.')
    if key == 'matches':
        try:
            re.compile(value)
        except re.error as error:
            raise InputError(f'{called}: matches is not a regular expression, column {(error.pos or 0) + 1}: {error.msg}.') from None
        except TypeError:
            raise InputError(f'{called}: matches must be a regular expression, not {_shown(value)}.') from None
    return value


# -- judging ----------------------------------------------------------------------------------------------------

def _check(definition):
    each = EACH[definition['each']]
    fields = _fields(jmespath.compile(definition['expression']).parsed)
    talos, kubernetes = sorted(fields & _TALOS), sorted(fields & _KUBERNETES) if 'kubernetes' in fields or 'node' in fields else []

    def run(view, machine=None):
        return _judged(definition, view, machine, talos, kubernetes)

    return Check(f'custom.{definition["id"]}', CUSTOM, definition['title'] or definition['id'], run, each=each, reads=tuple(talos),
                 cluster_reads=tuple(kubernetes))


def _judged(definition, view, machine, talos, kubernetes):
    title = definition['title'] or definition['id']
    subject = machine.key if machine is not None else 'cluster'
    nodes = [machine.key] if machine is not None else []
    on = f' on {machine.label}' if machine is not None else ''
    unread = _unread(view, machine, talos, kubernetes)
    if unread:
        return unknown(subject, f'{title}: not judged{on}, {unread}', nodes=nodes, explained_by=('role', 'not_judged', *view.kubernetes.troubles))
    try:
        value = jmespath.search(definition['expression'], document(view, machine))
    except JMESPathError as error:
        return unknown(subject, f'{title}: the expression does not fit what there is{on}: {_reason(error)}', nodes=nodes,
                       next_step='Correct the expression; "not_null(…, `0`)" gives a value where there may be none.')
    operator = next(key for key in _MET if key in definition)
    if _MET[operator](value, definition[operator]):
        return ok(subject, nodes=nodes)
    found = f'{title}{on}: {_shown(value)}, {_WORDS[operator]} {_shown(definition[operator])}'
    return Outcome(definition['severity'], subject, found, definition['text'], definition['remedy'], nodes=nodes,
                   evidence=[Evidence(f'{definition["expression"]} gives {_shown(value)}', 'your own check', machine.label if machine is not None else None)])


def _unread(view, machine, talos, kubernetes):
    """Why something that the expression names is not there, as one sentence, or None."""
    asked = [machine] if machine is not None else view.snapshot.answering()
    if machine is None and talos and not asked:
        return 'no machine answered'
    for kind in talos:
        for each in asked:
            if not each.datum(kind).ok and each.datum(kind).state != 'absent':
                return f'{kind}{"" if machine is not None else f" of {each.label}"}: {each.datum(kind).why()}'
    for kind in kubernetes:
        if not view.kubernetes.datum(kind).ok:
            return f'Kubernetes {kind}: {view.kubernetes.datum(kind).why()}'
    return None


def _fields(tree):
    """Every name that stands in a parsed expression."""
    found = {tree['value']} if tree['type'] in ('field', 'literal', 'key_val_pair') and isinstance(tree.get('value'), str) else set()
    return found.union(*(_fields(child) for child in tree.get('children') or [] if isinstance(child, dict)))


def _shown(value):
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= VALUE_CHARACTERS else text[:VALUE_CHARACTERS - 1] + '…'


# -- what an expression sees (docs/custom-checks.md) ------------------------------------------------------------

def _machine(view, machine):
    resources, calls = {}, {}
    for read in READS:
        value = machine.value(read.kind) if not isinstance(read, LOGS) else None
        if value is None:
            continue
        if isinstance(read, Resources):
            resources[read.kind] = {item['id']: item.get('spec') for item in value}
        else:
            calls[read.kind] = value
    return {
        'schema': SCHEMA, 'name': machine.label, 'key': machine.key, 'type': machine.type, 'address': machine.address, 'addresses': list(machine.addresses),
        'known_from': list(machine.known_from), 'age_seconds': view.age_seconds(machine), 'resources': resources, 'calls': calls,
        'services': {service.get('id'): {'state': service.get('state'), **(service.get('health') or {})}
                     for service in (machine.value('ServiceList') or {}).get('services') or []},
        'node': view.kubernetes.node_of(machine) if view.kubernetes.read else None,
    }


def _cluster(view):
    snapshot = view.snapshot
    return {
        'schema': SCHEMA, 'name': snapshot.cluster.get('name'), 'id': snapshot.cluster.get('id'), 'taken_at': snapshot.taken_at,
        'machines': [{'answered': machine.answered, **_machine(view, machine)} for machine in snapshot.machines],
        'kubernetes': {kind: view.kubernetes.datum(kind).value for kind in sorted(_KUBERNETES) if view.kubernetes.datum(kind).ok},
    }
