# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a machine configuration, as nodes of YAML that are written again as they were, and as plain values."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError

try:
    import yaml
except ImportError:
    yaml = None

V1ALPHA1 = 'v1alpha1'
NULL, STRING = 'tag:yaml.org,2002:null', 'tag:yaml.org,2002:str'
_WIDTH = 10 ** 6


def documents(text, whose):
    """The documents of a configuration as nodes. Raises TalosError where it cannot be written again as it was."""
    found = compose(text, whose)
    try:
        kept = yaml_text.documents(dump(found)) == yaml_text.documents(text)
    except ValueError:
        kept = False
    if not kept:
        raise TalosError(f'{whose} cannot be read and written again without a change.')
    return found


def dump(found):
    """The text of documents that are nodes."""
    return yaml.serialize_all(found, Dumper=yaml.SafeDumper, allow_unicode=True, width=_WIDTH)


def shown(found):
    """The text of documents that are plain values."""
    return yaml.safe_dump_all(found, allow_unicode=True, sort_keys=False, width=_WIDTH) if found else ''


def written(value):
    """A plain value as text. Raises InputError."""
    try:
        return yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=_WIDTH)
    except yaml.YAMLError:
        raise InputError('patch holds something that is no plain data.') from None


def compose(text, whose, error=TalosError):
    """The documents of a text as nodes; an item of a document that is a list counts as one where it is a patch. Raises C(error)."""
    try:
        found = [one for one in yaml.compose_all(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader)) if one is not None]
    except yaml.YAMLError as problem:
        mark = getattr(problem, 'problem_mark', None)
        raise error(f'{whose} is no YAML{f" (line {mark.line + 1})" if mark else ""}.') from None
    listed = []
    for one in found:
        if isinstance(one, yaml.SequenceNode) and error is InputError:
            listed += one.value
        elif not (isinstance(one, yaml.ScalarNode) and one.tag == NULL):
            listed.append(one)
    if not all(isinstance(one, yaml.MappingNode) for one in listed):
        raise error(f'{whose} has a document that is no mapping.')
    return [_plain(one) for one in listed]


def _plain(node):
    """A copy, in which no node stands in two places, and texts are literal blocks where they were folded: PyYAML would fold them otherwise."""
    if isinstance(node, yaml.ScalarNode):
        return yaml.ScalarNode(node.tag, node.value, style='|' if node.style == '>' else node.style)
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [_plain(item) for item in node.value], flow_style=node.flow_style)
    return yaml.MappingNode(node.tag, [(_plain(name), _plain(item)) for name, item in node.value], flow_style=node.flow_style)


# -- nodes ----------------------------------------------------------------------------------------------------------

def is_mapping(node):
    return yaml is not None and isinstance(node, yaml.MappingNode)


def mapping(pairs):
    return yaml.MappingNode('tag:yaml.org,2002:map', pairs)


def text_node(value):
    return yaml.ScalarNode(STRING, value)


def get(node, key):
    """The node of a field of a mapping, None without one."""
    return next((value for name, value in node.value if name.value == key), None) if is_mapping(node) else None


def scalar(node, key):
    """The text of a field of a mapping, None without one."""
    value = get(node, key)
    return value.value if isinstance(value, yaml.ScalarNode) and value.tag != NULL else None


def identity(node):
    """C((apiVersion, kind, name)) of a document; of v1alpha1, which has no kind, three times None."""
    kind = scalar(node, 'kind')
    return (scalar(node, 'apiVersion'), kind, scalar(node, 'name')) if kind else (None, None, None)


def kinds(found):
    return [scalar(node, 'kind') or V1ALPHA1 for node in found]
