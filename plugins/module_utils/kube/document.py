# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig as a document that is changed in places: every other entry keeps its value, its order and its spelling.

It is changed as a tree of YAML nodes and never built anew from loaded values, so that what YAML would take for a number or
a date stays what somebody wrote. Comments are lost, as kubectl loses them.
"""

from __future__ import annotations

import sys

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError
from ansible_collections.talosops.talos.plugins.module_utils.api.yaml_text import need_yaml

try:
    import yaml
except ImportError:
    yaml = None

SECTIONS = {'clusters': 'cluster', 'contexts': 'context', 'users': 'user'}
_STRING, _MAP, _SEQUENCE = 'tag:yaml.org,2002:str', 'tag:yaml.org,2002:map', 'tag:yaml.org,2002:seq'


class Document:
    """C(called) is what errors call it. Raises ConfigError for text that is no kubeconfig."""

    def __init__(self, text, called):
        need_yaml()
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.plain = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):  # their texts quote lines of the file, keys included
            raise ConfigError(f'{called} is no YAML.') from None
        if not isinstance(self.plain, dict):
            raise ConfigError(f'{called} is no mapping, as a kubeconfig is.')
        for section in SECTIONS:
            items = self.plain.get(section)
            if items is not None and not (isinstance(items, list) and all(isinstance(item, dict) and 'name' in item for item in items)):
                raise ConfigError(f'{called} is no kubeconfig: {section} is no list of named entries.')

    @property
    def current(self):
        """The name of the current context, or None."""
        return self.plain.get('current-context') or None

    def names(self, section):
        return [str(item['name']) for item in self.plain.get(section) or []]

    def entry(self, section, name):
        """What an entry holds as a mapping, None when there is none of that name."""
        for item in self.plain.get(section) or []:
            if str(item['name']) == name:
                found = item.get(SECTIONS[section])
                return found if isinstance(found, dict) else {}
        return None

    def put(self, section, name, fields, drop=()):
        """Set fields of an entry and take out others, or add the entry as the last one."""
        entries = self._section(section)
        singular = SECTIONS[section]
        for place, node in enumerate(entries.value):
            if _value(node, 'name') == name:
                inner = next((value for key, value in node.value if key.value == singular and isinstance(value, yaml.MappingNode)), None)
                made = self._mapping(fields) if inner is None else _changed(inner, {key: self._text(value) for key, value in fields.items()}, drop)
                # new nodes, because others may be the same node by an alias
                entries.value[place] = _changed(node, {singular: made})
                break
        else:
            entries.value.append(self._map([('name', self._text(name)), (singular, self._mapping(fields))]))
        self._reload()

    def activate(self, name):
        """Make a context the current one."""
        self._root = _changed(self._root, {'current-context': self._text(name)})
        self._reload()

    def text(self):
        return yaml.serialize(self._root, Dumper=yaml.SafeDumper, width=sys.maxsize, allow_unicode=True)

    def _reload(self):
        self.plain = yaml.safe_load(self.text())

    def _section(self, section):
        for key, value in self._root.value:
            if key.value == section and isinstance(value, yaml.SequenceNode):
                return value
        made = yaml.SequenceNode(_SEQUENCE, [], flow_style=self._root.flow_style)
        self._root = _changed(self._root, {section: made})
        return made

    def _text(self, value):
        """A text, in quotes where the whole is written as JSON, and where YAML would take it for something else."""
        return yaml.ScalarNode(_STRING, value, style='"' if self._root.flow_style else None)

    def _mapping(self, fields):
        return self._map([(key, self._text(value)) for key, value in fields.items()])

    def _map(self, pairs):
        return yaml.MappingNode(_MAP, [(self._text(key), value) for key, value in pairs], flow_style=self._root.flow_style)


def _value(node, name):
    return next((value.value for key, value in node.value if key.value == name), None)


def _changed(node, values, drop=()):
    """A copy of a mapping node in which keys have other values (nodes), new ones last, and C(drop) is gone."""
    left = dict(values)
    pairs = [(key, left.pop(key.value)) if key.value in left else (key, value) for key, value in node.value if key.value not in drop]
    style = '"' if node.flow_style else None
    pairs += [(yaml.ScalarNode(_STRING, key, style=style), value) for key, value in left.items()]
    return yaml.MappingNode(node.tag, pairs, flow_style=node.flow_style)
