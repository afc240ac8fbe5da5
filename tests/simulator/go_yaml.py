# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as Talos writes it (gopkg.in/yaml.v3: four spaces, lists indented), for C(yaml_spec)."""

from __future__ import annotations

import pickle
import re
from decimal import Decimal
from functools import lru_cache

import yaml

# What yaml.v3 quotes although it is a string: what it, or a YAML 1.1 reader, would take for something else.
_OTHER_TYPE = re.compile(
    r'^(|~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[yYnN]|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF'
    r'|[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[0-9][0-9_]*)|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?'
    r'|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|<<|=|\d{4}-\d\d?-\d\d?([Tt ].*)?)$'
)
_CONTROL = re.compile('[\x00-\x1f]')
_NOT_PLAIN = re.compile(r'^[,\[\]{}#&*!|>\'"%@`]|^[-?:](\s|$)|: | #|:$|^\s|\s$')


class Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """Reads what is written here: times stay texts, and a number with an exponent needs no point."""


Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in resolvers if tag != 'tag:yaml.org,2002:timestamp']
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver('tag:yaml.org,2002:float', re.compile(r'^[-+]?[0-9]+(\.[0-9]+)?[eE][-+]?[0-9]+$'), list('-+0123456789'))


def load(text):
    """The document, each time anew for a caller that changes it, and parsed once."""
    return pickle.loads(_pickled(text))


@lru_cache(maxsize=1024)
def _pickled(text):
    return pickle.dumps(yaml.load(text, Loader=Loader))


def dump(value):
    """The document, with its final newline. Mappings keep their order."""
    if isinstance(value, (dict, list)) and value:
        return '\n'.join(_lines(value)) + '\n'
    if _is_block(value):
        return '\n'.join([_header(value), *('    ' + line if line else '' for line in value.removesuffix('\n').split('\n'))]) + '\n'
    return _scalar(value) + '\n'


def _is_block(value):
    """A text of several lines stands as a block."""
    return isinstance(value, str) and '\n' in value and not _CONTROL.search(value.replace('\n', '').replace('\t', ''))


def _header(value):
    return '|' if value.endswith('\n') and not value.endswith('\n\n') else '|+' if value.endswith('\n') else '|-'


def _lines(value, column=0):
    """Lines with their indentation: what is nested stands at the next multiple of four, an item's own keys behind its dash."""
    pad, below = ' ' * column, (column // 4 + 1) * 4
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                yield f'{pad}{_scalar(key)}:'
                yield from _lines(item, below)
            elif _is_block(item):
                yield f'{pad}{_scalar(key)}: {_header(item)}'
                yield from (' ' * below + line if line else '' for line in item.removesuffix('\n').split('\n'))
            else:
                yield f'{pad}{_scalar(key)}: {_scalar(item)}'
        return
    for item in value:
        if isinstance(item, (dict, list)) and item:
            first, *others = _lines(item, column + 2)
            yield f'{pad}- {first.lstrip()}'
            yield from others
        else:
            yield f'{pad}- {_scalar(item)}'


def _float(value):
    """The shortest form, with an exponent from a million on."""
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted()
    if number and not -4 <= exponent < 6:
        digits = ''.join(map(str, number.as_tuple().digits))
        return f'{"-" if value < 0 else ""}{digits[0]}{"." if digits[1:] else ""}{digits[1:]}e{exponent:+03d}'
    return f'{number:f}'


def _scalar(value):
    if value is None:
        return 'null'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (dict, list)):
        return '{}' if isinstance(value, dict) else '[]'
    return _text(value)


@lru_cache(maxsize=1 << 14)
def _text(value):
    if _OTHER_TYPE.match(value):
        return f'"{value}"'
    if _CONTROL.search(value):
        escaped = value.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n').replace('\t', '\\t')
        return f'"{escaped}"'
    if _NOT_PLAIN.search(value):
        return "'" + value.replace("'", "''") + "'"
    return value
