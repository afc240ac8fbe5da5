# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kubeconfig on the control node must become: whether its entries still serve for a cluster, and which are not to be touched."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate, credentials
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.document import SECTIONS, Document
from ansible_collections.talosops.talos.plugins.module_utils.tasks import durations
from ansible_collections.talosops.talos.plugins.module_utils.tasks.kubeconfig_file import MODE

try:
    import yaml
except ImportError:
    yaml = None

# A user of a kubeconfig with one of these proves itself otherwise than by a certificate.
_OTHER_PROOFS = ('exec', 'token', 'tokenFile', 'username', 'auth-provider')
_NAMED_MOST = 5


@dataclass(frozen=True)
class Issued:
    """What Talos gave: the names of the entries that it becomes, and C(source), a Source (kube/config.py)."""

    context: str
    cluster: str
    user: str
    namespace: str | None
    source: config.Source

    @property
    def names(self):
        return {'clusters': self.cluster, 'contexts': self.context, 'users': self.user}

    @property
    def fields(self):
        return {
            'clusters': {'server': self.source.server, 'certificate-authority-data': _base64(self.source.ca)},
            'contexts': {'cluster': self.cluster, 'user': self.user},
            'users': {'client-certificate-data': _base64(self.source.cert), 'client-key-data': _base64(self.source.key)},
        }

    def text(self):
        """A kubeconfig of it alone."""
        fields = self.fields
        if self.namespace:
            fields['contexts']['namespace'] = self.namespace
        made = {'apiVersion': 'v1', 'kind': 'Config', 'current-context': self.context,
                **{section: [{'name': name, SECTIONS[section]: fields[section]}] for section, name in self.names.items()}}
        return yaml.safe_dump(made, sort_keys=False, width=1 << 20, allow_unicode=True)


# What would contradict the fields above.
_CONTRARY = {'clusters': ('certificate-authority', 'insecure-skip-tls-verify'), 'contexts': (), 'users': ('client-certificate', 'client-key')}


@dataclass(frozen=True)
class Wanted:
    """The C(text) that the file must have, the C(certificate) in it and the one C(before) (PEM), and why it changes: C(reasons), empty if not."""

    text: str
    certificate: bytes
    before: bytes | None
    reasons: list


def wanted(old, issued, params, now, min_valid):
    """The L(Wanted) for a file (kubeconfig_file.Existing). Raises InputError where something would be lost that is not of this cluster."""
    if old.document is None:
        reason = 'there is no such file' if old.data is None else 'it holds no kubeconfig'
        return Wanted(issued.text(), issued.source.cert, None, [reason])
    existing = old.source(issued.context)
    trouble = trouble_of(existing, issued, now, min_valid)
    reasons = [trouble] if trouble else []
    if old.document.current != issued.context and (params['activate'] or not params['merge']):
        reasons.append(f'its current context is {old.document.current or "not set"}')
    if params['merge']:
        text = _merged(old, issued, params, bool(trouble)) if reasons else old.text
    else:
        others = _others(old.document, issued)
        if others and not params['force']:
            raise InputError(f'{old.path} holds more than this cluster, which would be lost: {others}.',
                             'Set merge to keep it, or force to replace the file.')
        if not params['force']:
            _refuse_foreign(old, issued)
        if others:
            reasons.append(f'it holds more than this cluster: {others}')
        text = issued.text() if reasons else old.text
    renewed = trouble or (reasons and not params['merge'])
    if old.mode != MODE:
        reasons.append(f'its mode is {old.mode:04o}')
    before = existing.cert if existing else None
    return Wanted(text, issued.source.cert if renewed else before, before, reasons)


def trouble_of(existing, issued, now, min_valid):
    """Why a Source does not serve any more for the cluster that issued another one; None where it does."""
    if existing is None:
        return f'it has no usable context "{issued.context}"'
    if existing.server != issued.source.server:
        return f'its server is {existing.server}'
    if not existing.ca or _fingerprints(existing.ca) != _fingerprints(issued.source.ca):
        return 'its CA is not the one of this cluster'
    if not existing.cert or not existing.key:
        return 'it has no client certificate'
    try:
        credentials.check(None, existing.cert, existing.key, issued.context)
        leaf = credentials.certificates(existing.cert, 'client-certificate', issued.context)[0]
    except ConfigError:
        return 'its client certificate and key cannot be used'
    if not any(credentials.signed_by(leaf, authority) for authority in credentials.certificates(issued.source.ca, 'CA', issued.context)):
        return 'its client certificate was not issued by the CA of this cluster'
    begin, end = certificate.validity(leaf)
    if now < begin:
        return f'its client certificate is not valid before {certificate.time_text(begin)}'
    if now >= end:
        return f'its client certificate has expired at {certificate.time_text(end)}'
    if now + min_valid > end:
        return f'its client certificate is valid until {certificate.time_text(end)}, which is less than {durations.words(min_valid)}'
    return None


def _merged(old, issued, params, renew):
    """The text of the file with the entries of this cluster in it."""
    foreign = _refuse_foreign(old, issued, params['force']) if renew else ()
    document = Document(old.text, old.path)
    for section, fields in issued.fields.items() if renew else ():
        name = issued.names[section]
        present = document.entry(section, name)
        if section == 'contexts' and issued.namespace and (present is None or section in foreign):
            fields['namespace'] = issued.namespace
        document.put(section, name, fields, [key for key in present if key not in fields] if section in foreign else _CONTRARY[section])
    if params['activate']:
        document.activate(issued.context)
    if _rest(document, issued) != _rest(old.document, issued):
        raise TalosError(f'{old.path} could not be merged without changing other entries, so it is left as it is.', 'Name a path of its own.')
    return document.text()


def _rest(document, issued):
    """Everything that is not of this cluster, as plain data."""
    mine = issued.names
    return ({key: value for key, value in document.plain.items() if key not in mine and key != 'current-context'},
            {section: [item for item in document.plain.get(section) or [] if str(item['name']) != name] for section, name in mine.items()})


# -- whose entries they are -----------------------------------------------------------------------------------------


def _others(document, issued):
    """The names of entries that a file of this cluster alone does not have, in words; empty where there are none."""
    names = [f'{SECTIONS[section]} "{name}"' for section in ('contexts', 'clusters', 'users') for name in document.names(section)
             if name != issued.names[section]]
    more = f' and {len(names) - _NAMED_MOST} more' if len(names) > _NAMED_MOST else ''
    return ', '.join(names[:_NAMED_MOST]) + more


def _refuse_foreign(old, issued, force=False):
    """The sections in which an entry that is to be replaced is not of this cluster. Raises InputError, without force, where there is one."""
    found = {section: said for section, name in issued.names.items() if (said := _foreign(old, issued, section, name))}
    if found and not force:
        section, said = next(iter(found.items()))
        raise InputError(f'{old.path} has a {SECTIONS[section]} "{issued.names[section]}" already, which {said}.',
                         'Set context_name to keep both, or force to replace it.')
    return found


def _foreign(old, issued, section, name):
    """Why an entry of this name is not of this cluster, None where it is or where there is none."""
    entry = old.document.entry(section, name)
    if entry is None:
        return None
    if section == 'clusters':
        return None if _is_ours(old, issued, name) else f'is another one ({entry.get("server")})'
    if section == 'contexts':
        cluster = str(entry.get('cluster'))
        return None if _is_ours(old, issued, cluster) else f'leads to another cluster ({old.document.entry("clusters", cluster).get("server")})'
    if any(proof in entry for proof in _OTHER_PROOFS):
        return 'proves itself otherwise than by a client certificate'
    for context in old.document.names('contexts'):
        fields = old.document.entry('contexts', context)
        if str(fields.get('user')) == name and not _is_ours(old, issued, str(fields.get('cluster'))):
            return f'the context "{context}" of another cluster uses'
    return None


def _is_ours(old, issued, cluster):
    """Whether an entry in clusters is this cluster: its server or one of its CAs is. One that there is not is nobody's."""
    entry = old.document.entry('clusters', cluster)
    if entry is None or str(entry.get('server') or '').rstrip('/') == issued.source.server:
        return True
    alone = {'current-context': 'c', 'contexts': [{'name': 'c', 'context': {'cluster': 'c'}}], 'clusters': [{'name': 'c', 'cluster': entry}]}
    try:
        source = config.load(path=old.path, read=lambda path: yaml.safe_dump(alone).encode() if path == old.path else _bytes(path))
    except ConfigError:
        return False
    return bool(source.ca and _fingerprints(source.ca) & _fingerprints(issued.source.ca))


# -- what is in them ------------------------------------------------------------------------------------------------


def shown(document, mode, context, cert):
    """What a diff shows of a file: names and dates, never a key."""
    if mode is None:
        return ''
    lines = [f'mode: {mode:04o}']
    if document is not None:
        lines += [f'current-context: {document.current or ""}', f'contexts: {", ".join(document.names("contexts"))}']
        entry = document.entry('contexts', context)
        if entry is not None:
            cluster = document.entry('clusters', str(entry.get('cluster'))) or {}
            lines += [f'{context}:', f'  cluster: {entry.get("cluster")}', f'  server: {cluster.get("server")}', f'  user: {entry.get("user")}']
            with contextlib.suppress(ConfigError):
                lines += [f'  valid until: {certificate.time_text(validity(cert)[1])}'] if cert else []
    return '\n'.join(lines) + '\n'


def validity(pem):
    """(not before, not after) of the certificate in PEM bytes."""
    return certificate.validity(credentials.certificates(pem, 'client-certificate', 'the kubeconfig')[0])


def _fingerprints(pem):
    try:
        return {certificate.facts_of(one)['sha256'] for one in credentials.certificates(pem, 'CA', 'the kubeconfig')}
    except ConfigError:
        return set()


def _base64(data):
    return base64.b64encode(data).decode()


def _bytes(path):
    with open(path, 'rb') as file:
        return file.read()
