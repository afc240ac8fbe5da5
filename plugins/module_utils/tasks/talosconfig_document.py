# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of one context changed in the text of a talosconfig: every other byte stays, comments and keys included."""

from __future__ import annotations

import copy
import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.api.yaml_text import need_yaml

try:
    import yaml
except ImportError:
    yaml = None

_PLAIN = re.compile(r'[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+|(?=.*[a-z])[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)+', re.IGNORECASE)


def with_endpoints(text, context, endpoints, called):
    """C(text) with these endpoints in the context. Raises InputError where that would change anything else."""
    need_yaml()
    try:
        root, before = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
        found = _entry(_entry(root, 'contexts'), context)
        new = _spliced(text, found, endpoints)
        wanted = copy.deepcopy(before)
        _of(wanted, context)['endpoints'] = list(endpoints)
        after = yaml.safe_load(new)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError):  # their texts quote lines of the file
        new, after, wanted = text, None, False
    if after != wanted:
        raise InputError(f'The endpoints of the context "{context}" in {called} cannot be changed without changing something else.',
                         f'Write them yourself: {", ".join(endpoints)}.')
    return new


def listed(text, context, called):
    """C((endpoints, target)) of a context as the file has them. Raises ConfigError where there is none."""
    try:
        data = _of(yaml.safe_load(text), context)
        return [str(one) for one in data.get('endpoints') or []], data.get('target')
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        raise ConfigError(f'{called} has no context "{context}" any more.', 'Run the task again.') from None


def _of(document, context):
    """The data of a context; a name that YAML takes for a number is one."""
    contexts = document['contexts']
    return contexts[{str(key): key for key in contexts}[context]]


def _entry(node, name):
    return next((value for key, value in node.value if key.value == name), None)


def _spliced(text, context, endpoints):
    present = next((value for key, value in context.value if key.value == 'endpoints'), None)
    if present is None:
        return _inserted(text, context, endpoints)
    begin = present.start_mark.index
    if isinstance(present, yaml.SequenceNode) and not present.flow_style and endpoints:
        return _lines(text, present, endpoints)
    made = _flow(endpoints, context.flow_style)
    space = '' if text[begin - 1:begin].isspace() else ' '
    return f'{text[:begin]}{space}{made}{text[present.end_mark.index:]}'


def _lines(text, sequence, endpoints):
    """A block sequence with other entries; what stays keeps its line, and the comments before and behind it."""
    indent = ' ' * sequence.start_mark.column
    begin = text.rfind('\n', 0, sequence.start_mark.index) + 1
    lead, kept, end = text[begin:sequence.start_mark.index], {}, begin
    for item in sequence.value:
        stop = text.find('\n', item.end_mark.index)
        stop = len(text) if stop < 0 else stop + 1
        kept.setdefault(item.value, text[end:stop])
        end = stop
    if lead.strip():
        raise ValueError('the sequence does not begin a line')
    made = ''.join(_ended(kept[one]) if one in kept else f'{indent}- {_scalar(one)}\n' for one in endpoints)
    return text[:begin] + (made if text[:end].endswith('\n') else made.removesuffix('\n')) + text[end:]


def _ended(line):
    return line if line.endswith('\n') else f'{line}\n'


def _inserted(text, context, endpoints):
    """The key as the first one of the context."""
    begin = context.value[0][0].start_mark.index
    if context.flow_style:
        return f'{text[:begin]}"endpoints": {_flow(endpoints, True)}, {text[begin:]}'
    return f'{text[:begin]}endpoints: {_flow(endpoints, False)}\n{" " * context.value[0][0].start_mark.column}{text[begin:]}'


def _flow(endpoints, quoted):
    return f'[{", ".join(_quoted(one) if quoted else _scalar(one) for one in endpoints)}]'


def _scalar(text):
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'
