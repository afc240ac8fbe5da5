# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strategic merge into a machine configuration of many documents, as Talos merges (talos-api 7), pure.

It works on the nodes of YAML and not on values, so that what a patch does not touch is written as it was: modes such as
0o644, quotes and texts of several lines. Only comments are lost. A list is united with what a patch adds; Talos appends,
so that a patch that is applied twice stands there twice.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.api.yaml_text import need_yaml
from ansible_collections.talosops.talos.plugins.module_utils.remedies.config_moved import moved
from ansible_collections.talosops.talos.plugins.module_utils.remedies.config_yaml import (
    NULL, STRING, compose, documents, dump, get, identity, is_mapping, kinds, scalar, written,
)

try:
    import yaml
except ImportError:
    yaml = None

DELETE = '$patch'
# Replaced as a whole, in whichever document (https://docs.siderolabs.com, "Configuration Patches").
_REPLACED = (('cluster', 'network', 'podSubnets'), ('cluster', 'network', 'serviceSubnets'), ('podSubnets',), ('serviceSubnets',),
             ('cluster', 'apiServer', 'auditPolicy'), ('auditPolicy',))
# The items of these lists are one and the same where one of these keys is the same.
_SAME_ITEM = {'interfaces': ('interface', 'deviceSelector'), 'vlans': ('vlanId',), 'configFiles': ('mountPath',), 'admissionControl': ('name',)}


def patches(given):
    """The documents of a patch: a mapping, a text of YAML, or a list of these. Raises InputError."""
    need_yaml()
    if isinstance(given, (list, tuple)):
        found = [document for one in given for document in patches(one)]
    else:
        found = compose(given if isinstance(given, str) else written(given), 'patch', InputError)
    if not found:
        raise InputError('patch has no document.')
    for one in found:
        _need_a_document(one)
    return found


def merged(text, changes, whose='The machine configuration'):
    """The text with the documents C(changes) of a patch in it; the same text where they change nothing. Raises TalosError."""
    found = documents(text, whose)
    if not any(identity(one) == (None, None, None) for one in found):
        raise TalosError(f'{whose} has no document v1alpha1: Talos did not show all of it.')
    changed = False
    for change in moved(changes, kinds(found)):
        same = [one for one in found if identity(one) == identity(change)]
        if _deletes(change):
            found = [one for one in found if one not in same]
            changed = changed or bool(same)
        elif same:
            changed = _into(same[0], change, ()) or changed
        else:
            found.append(_clean(change))
            changed = True
    return dump(found) if changed else text


def _need_a_document(node):
    if scalar(node, 'op') and scalar(node, 'path'):
        raise InputError('patch is a JSON patch (RFC 6902), which Talos does not take for a configuration of several documents.',
                         'Write a strategic merge patch.')
    if scalar(node, 'kind') and not scalar(node, 'apiVersion'):
        raise InputError(f'patch has a document {scalar(node, "kind")} without apiVersion.', 'It is v1alpha1.')
    if not scalar(node, 'kind') and _deletes(node):
        raise InputError('patch deletes the document v1alpha1, without which a machine has no configuration.')
    _need_known_directives(node)


def _need_known_directives(node):
    if is_mapping(node):
        directive = get(node, DELETE)
        if directive is not None and getattr(directive, 'value', None) != 'delete':
            raise InputError(f'patch has a {DELETE} that is not "delete", and Talos knows no other.')
        for _name, item in node.value:
            _need_known_directives(item)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _need_known_directives(item)


def _deletes(node):
    return is_mapping(node) and get(node, DELETE) is not None


# -- merging --------------------------------------------------------------------------------------------------------

def _into(base, patch, path):
    """Merge a mapping into another; whether that changed it."""
    changed = False
    for name, value in patch.value:
        here, old = (*path, name.value), get(base, name.value)
        if _deletes(value):
            base.value = [(key, item) for key, item in base.value if key.value != name.value]
            changed = changed or old is not None
        elif isinstance(value, yaml.ScalarNode) and value.tag == NULL:
            continue  # as Talos has it: what is not set is not taken away
        elif old is None:
            base.value.append((name, _clean(value)))
            changed = True
        elif _empty(value):
            continue
        elif _empty(old) or here in _REPLACED and not _same(old, value):
            _set(base, name.value, _clean(value))
            changed = True
        elif here not in _REPLACED:
            changed = _one(base, name.value, old, value, here) or changed
    return changed


def _one(base, name, old, value, path):
    if isinstance(old, yaml.MappingNode) and isinstance(value, yaml.MappingNode):
        return _into(old, value, path)
    if isinstance(old, yaml.SequenceNode) and isinstance(value, yaml.SequenceNode):
        return _unite(old, value, path)
    if isinstance(old, yaml.MappingNode) != isinstance(value, yaml.MappingNode):
        one, other = ('a mapping', 'none') if isinstance(value, yaml.MappingNode) else ('no mapping', 'one')
        raise InputError(f'patch has {one} at {".".join(path)}, and the machine configuration has {other} there.')
    if _same(old, value) or isinstance(value, yaml.ScalarNode) and value.value == '0':
        return False  # Talos takes a zero for something that is not set, as it does what is empty
    _set(base, name, _clean(value))
    return True


def _unite(base, patch, path):
    """Append the items that are not there yet; whether that changed the list."""
    changed, keys = False, _SAME_ITEM.get(path[-1], ())
    for item in patch.value:
        if _deletes(item):
            kept = [one for one in base.value if not _meant(item, one)]
            changed, base.value = changed or len(kept) < len(base.value), kept
            continue
        twin = next((one for one in base.value if isinstance(item, yaml.MappingNode) and isinstance(one, yaml.MappingNode) and
                     any(get(item, key) is not None and get(one, key) is not None and _same(get(item, key), get(one, key)) for key in keys)), None)
        if twin is not None:
            changed = _into(twin, item, path) or changed
        elif not any(_same(one, item) for one in base.value):
            base.value.append(_clean(item))
            base.flow_style = False
            changed = True
    return changed


def _meant(item, one):
    """Whether an item of a list is that which another with C($patch: delete) describes: all that it says holds."""
    said = [(name.value, value) for name, value in item.value if name.value != DELETE]
    return bool(said) and isinstance(one, yaml.MappingNode) and all(get(one, name) is not None and _same(get(one, name), value) for name, value in said)


def _set(mapping, name, value):
    mapping.value = [(key, value if key.value == name else item) for key, item in mapping.value]


def _clean(node):
    """A copy of a part of a patch, without its directives and with each item of a list once."""
    if isinstance(node, yaml.ScalarNode):
        return node
    if is_mapping(node):
        return yaml.MappingNode(node.tag, [(name, _clean(item)) for name, item in node.value if not _deletes(item) and name.value != DELETE],
                                flow_style=node.flow_style and None)
    kept = []
    for item in node.value:
        if not _deletes(item) and not any(_same(item, one) for one in kept):
            kept.append(_clean(item))
    return yaml.SequenceNode(node.tag, kept, flow_style=None if not kept else False)


def _empty(node):
    return not node.value or isinstance(node, yaml.ScalarNode) and node.tag == NULL


def _same(one, other):
    """Whether two nodes say the same, in whatever style."""
    if type(one) is not type(other):
        return False
    if isinstance(one, yaml.ScalarNode):
        return one.value == other.value and (one.tag == other.tag or STRING in (one.tag, other.tag))
    if isinstance(one, yaml.SequenceNode):
        return len(one.value) == len(other.value) and all(_same(*pair) for pair in zip(one.value, other.value))
    return len(one.value) == len(other.value) and all(get(other, name.value) is not None and _same(item, get(other, name.value)) for name, item in one.value)
