# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine configuration may be changed so, and what of the change may be shown (users.md 5, talos-api 7.3), pure.

Configurations are texts here. They hold the keys of the cluster: nothing of them leaves this module but L(shown), which
has the parts that change, without their secrets.
"""

from __future__ import annotations

import re
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.api import yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_yaml
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time, parse_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import MARK

SUBNETS = ('podSubnets', 'serviceSubnets')
# What makes a machine the machine of this cluster that it is: with another of these it is none, or a new one.
_FIXED = {
    'v1alpha1': ('machine.type', 'machine.token', 'machine.ca', 'machine.install.disk', 'machine.install.diskSelector', 'machine.install.wipe',
                 'cluster.id', 'cluster.secret', 'cluster.token', 'cluster.ca', 'cluster.aggregatorCA', 'cluster.serviceAccount', 'cluster.etcd.ca',
                 'cluster.aescbcEncryptionSecret', 'cluster.secretboxEncryptionSecret'),
    'DiscoveryIdentityConfig': ('',),
    'KubeAggregatorCAConfig': ('',),
    'UnattendedInstallConfig': ('disk', 'diskSelector', 'wipe'),
}
# From here on a machine tells what it has saved beside what is active (talos-api 8).
PERSISTENT_SINCE = (1, 10)
# A configuration that was changed after the boot and not saved is on trial, or was: for so long nobody can tell.
TRIAL_MOST = timedelta(hours=1)
_BOOT = timedelta(minutes=5)
_CERTIFICATES = ('crt', 'cert', 'certificate', 'certificates', 'ca')
_PEM = ('-----BEGIN ', 'LS0tLS1CRUdJT')
_OCTAL = re.compile(r'0o[0-7]+')
_MARK = re.compile(f'{MARK}[0-9a-f]{{8}}')
_ALWAYS = ('apiVersion', 'kind', 'name')
_NO_CHANGES = re.compile(r'Config diff:\s*No changes\.?\s*$')
_KEY = re.compile(r'(?:- )*"?([^\s":]+)"?:(?:\s|$)')


def sentence(cluster):
    """What must be said where a machine does not tell what is staged, which the change would overwrite."""
    return f'overwrite what may be staged on {cluster}, unseen'


def forbidden(before, after, has_data):
    """Why this change is never made, as the ends of sentences; C(has_data): whether etcd has data, or that is not known."""
    reasons, old, new = [], _by_identity(before), _by_identity(after)
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        kind = (was or now).get('kind') or 'v1alpha1'
        for path in _FIXED.get(kind, ()):
            if _plain(_at(was, path)) != _plain(_at(now, path)):
                reasons.append(f'it changes {path if kind == "v1alpha1" else " ".join((kind, path)).strip()}, which makes another machine of it')
        if has_data:
            section = 'cluster.network.' if kind == 'v1alpha1' else '' if kind == 'KubeNetworkConfig' else None
            for name in SUBNETS if section is not None else ():
                if _plain(_at(was, section + name)) != _plain(_at(now, section + name)):
                    reasons.append(f'it changes {section + name if section else f"{kind} {name}"}, and etcd has the data of a cluster whose pods and services '
                                   'have addresses in the networks of now')
    return reasons


def pending(active, saved, version, talos, now):
    """Why there may be a configuration on trial or staged, None where there is none.

    C(active) and C(saved) are {text, version, created, updated}; C(saved) is None where the machine has none, which is
    normal after a boot (talos-api 6.2): then only the changes of the active one can tell. C(talos) is (1, minor) or None.
    """
    if saved is not None:
        if same(active['text'], saved['text']):
            return None
        return 'what is active is not what is saved: another configuration is on trial or waits for a reboot'
    if talos is None:
        return 'its version is not known, so whether a configuration is on trial or waits for a reboot cannot be told'
    if talos < PERSISTENT_SINCE:
        return f'Talos {version} does not tell whether a configuration is on trial or waits for a reboot'
    created, updated = parse_time(active['created']), parse_time(active['updated'])
    if created and updated and updated - created > _BOOT and now - updated < TRIAL_MOST:
        return f'its configuration was changed at {active["updated"]} and not saved, so it may be on trial: ask again after {format_time(updated + TRIAL_MOST)}'
    return None


def same(one, other, zero=False):
    """Whether two configurations say the same: what is empty is as good as what is not there, and with C(zero) false and 0 as well.

    Talos may leave these out where it writes a configuration anew.
    """
    plain = [[_plain(document, zero) for document in yaml_text.documents(text)] for text in (one, other)]
    return plain[0] == plain[1]


def no_changes(details):
    """Whether a machine says to a dry run that it changes nothing, however differently it is written."""
    return bool(_NO_CHANGES.search(details or ''))


def shown(before, after, redactor):
    """C((before, after)) as texts of the parts that differ. Secrets and certificates are numbered, so that the same change always looks the same."""
    old, new = ({key: _public(document, redactor) for key, document in _by_identity(text).items()} for text in (before, after))
    texts = ([], [])
    for key in {**old, **new}:
        was, now = old.get(key), new.get(key)
        head = {name: value for name, value in zip(_ALWAYS, key) if value}
        for text, part in zip(texts, _differing(was, now) if was and now else (was, now)):
            if part is not None:
                text.append({**head, **part})
    numbers = {}
    return tuple(_MARK.sub(lambda found: f'{MARK}{numbers.setdefault(found[0], len(numbers) + 1)}', config_yaml.shown(text)) for text in texts)


def strangers(details, before, after):
    """Keys that the dry run of a machine changes and this change does not: what the machine did not show would be lost (talos#12787)."""
    expected = set(_ALWAYS)
    old, new = _by_identity(before), _by_identity(after)
    for key in {**old, **new}:
        for part in _differing(old.get(key), new.get(key)) if key in old and key in new else (old.get(key), new.get(key)):
            _words(part, expected)
    counted = {}
    for line in (details or '').splitlines():
        sign, text = line[:1], line[1:].strip()
        if sign in '+-' and sign and not line.startswith(('+++ ', '--- ')) and text:
            counted[text] = counted.get(text, 0) + (1 if sign == '+' else -1)
    found = []
    for text, count in counted.items():
        key = _KEY.match(text)
        if not count or not key or text in expected:
            continue
        if key[1] not in expected:
            found.append(key[1])
        elif count < 0 and key[1] == 'kind' and text.partition(':')[2].strip() not in expected:
            found.append(text.partition(':')[2].strip())
    return sorted(set(found))


def said(message, redactor):
    """An error of Talos without the difference and the values that it may quote from the configuration."""
    text = re.split(r'\n?(?:diff:|---? a\b|Config diff)', message, maxsplit=1)[0]
    head, found, keys = text.partition('unknown keys found during decoding:')
    if found:
        names = sorted({match[1] for line in keys.splitlines() if (match := _KEY.match(line.strip()))})
        text = f'{head}unknown keys {", ".join(names)}'
    return re.sub(r'\s*\n[\s*]*', ' ', redactor.text(text)).strip().rstrip('.:')


# -- documents ------------------------------------------------------------------------------------------------------

def _by_identity(text):
    """{(apiVersion, kind, name): document}; of v1alpha1 the key is three times None."""
    return {tuple(document.get(name) for name in _ALWAYS) if document.get('kind') else (None, None, None): document
            for document in yaml_text.documents(text)}


def _public(document, redactor):
    """A document without what names it, without secrets and certificates; the id of a cluster is one of its secrets."""
    told = {name: value for name, value in document.items() if not document.get('kind') or name not in _ALWAYS}
    if isinstance(told.get('cluster'), dict) and told['cluster'].get('id'):
        told['cluster'] = {**told['cluster'], 'id': redactor.mark(str(told['cluster']['id']))}
    return _without_certificates(redactor.whole(told), redactor)


def _at(document, path):
    for key in path.split('.') if path else ():
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _plain(value, zero=False):
    """Without what is empty, and modes as numbers; with C(zero) without false, 0 and empty texts too."""
    if isinstance(value, dict):
        kept = {str(name): _plain(item, zero) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, {}, []) and not (zero and not item)}
    if isinstance(value, list):
        return [_plain(item, zero) for item in value]
    return int(value, 8) if isinstance(value, str) and _OCTAL.fullmatch(value) else value


def _differing(was, now):
    """C((part of one, part of the other)) in which two mappings differ; lists as a whole, None where there is nothing."""
    if not isinstance(was, dict) or not isinstance(now, dict):
        return (None, None) if was == now else (was, now)
    parts = ({}, {})
    for name in {**was, **now}:
        if name in was and name in now and was[name] == now[name]:
            continue
        both = name in was and name in now
        pair = _differing(was[name], now[name]) if both else (was.get(name), now.get(name))
        for part, value, there in zip(parts, pair, (name in was, name in now)):
            if there and (value is not None or not both):
                part[name] = value
    return tuple(part or None for part in parts)


def _words(value, found):
    """Collect the keys and the lines of texts in a value."""
    if isinstance(value, dict):
        for name, item in value.items():
            found.add(str(name))
            _words(item, found)
    elif isinstance(value, list):
        for item in value:
            _words(item, found)
    elif isinstance(value, str):
        found.update(line.strip() for line in value.splitlines())


def _without_certificates(value, redactor):
    if isinstance(value, dict):
        return {name: redactor.mark(item) if name in _CERTIFICATES and isinstance(item, str) and item else _without_certificates(item, redactor)
                for name, item in value.items()}
    if isinstance(value, list):
        return [_without_certificates(item, redactor) for item in value]
    return redactor.mark(value) if isinstance(value, str) and any(sign in value for sign in _PEM) else value
