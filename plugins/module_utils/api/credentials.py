# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""CA, client certificate and key of a talosconfig: whether they can be used, and what they say (talos-api 2)."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
except ImportError:
    x509 = serialization = None
    InvalidSignature = UnsupportedAlgorithm = ValueError

_CERTIFICATE = re.compile(rb'-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----', re.DOTALL)
_CLIENT_AUTH = 'clientAuth'
_USAGES = {'1.3.6.1.5.5.7.3.1': 'serverAuth', '1.3.6.1.5.5.7.3.2': _CLIENT_AUTH}


def check(ca, crt, key, where):
    """The key as OpenSSL reads it, when all of CA, certificate and key (PEM bytes or None) load and fit together.

    Raises L(ConfigError) with C(where) in its text.
    """
    certificate.need_cryptography()
    if ca:
        certificates(ca, 'ca', where)
    if bool(crt) != bool(key):
        raise ConfigError(f'In {where}: it has {"crt" if crt else "key"} without {"key" if crt else "crt"}.')
    if not crt:
        return None
    leaf = certificates(crt, 'crt', where)[0]
    key = plain_key(key)
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f'In {where}: key is no private key that can be read.') from None
    if _public_bytes(private.public_key()) != _public_bytes(leaf.public_key()):
        raise ConfigError(f'In {where}: crt and key do not belong together.', 'They are from different files; fetch the talosconfig anew.')
    return key


def plain_key(key):
    """Talos labels PKCS #8 in PEM by a name of its own, which OpenSSL refuses (talos-api 2.1)."""
    return key.replace(b'ED25519 PRIVATE KEY', b'PRIVATE KEY')


def facts(context, now):
    """(certificate facts or None, CA facts or None, problems) of a Context; shapes in talosconfig.facts."""
    problems, where = [], f'the context "{context.name}"'
    authorities = certificates(context.ca, 'ca', where) if context.ca else []
    if not context.crt:
        problems.append({'kind': 'no_client_certificate', 'text': f'{where[0].upper()}{where[1:]} has no client certificate.'})
        return None, _ca_facts(authorities, None), problems
    leaf = certificates(context.crt, 'crt', where)[0]
    usages = _usages(leaf)
    client = {**certificate.facts_of(leaf), 'roles': roles(leaf), 'extended_key_usage': usages, 'matches_key': True}
    begin, end = certificate.validity(leaf)
    period = f'valid from {client["not_before"]} to {client["not_after"]}'
    if now > end:
        problems.append({'kind': 'expired', 'text': f'The client certificate of {where} has expired: {period}.'})
    if now < begin:
        problems.append({'kind': 'not_yet_valid', 'text': f'The client certificate of {where} is not valid yet: {period}.'})
    if usages != [_CLIENT_AUTH]:
        problems.append({'kind': 'extended_key_usage', 'text': 'The client certificate may be used for '
                         f'{", ".join(usages) or "nothing that it says"}; Talos accepts one for clientAuth alone.'})
    ca = _ca_facts(authorities, leaf)
    if ca and not ca['signed_client']:
        problems.append({'kind': 'foreign_ca',
                         'text': f'The client certificate was not issued by the CA of {where} but by "{client["issuer"]}".'})
    return client, ca, problems


def roles(leaf):
    """Talos takes the roles from the organizations of the subject (talos-api 2)."""
    return [attribute.value for attribute in leaf.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)]


def _ca_facts(authorities, leaf):
    if not authorities:
        return None
    first = certificate.facts_of(authorities[0])
    signed = leaf is not None and any(signed_by(leaf, authority) for authority in authorities)
    return {**{key: first[key] for key in ('subject', 'sha256', 'not_after', 'key_type')}, 'signed_client': signed, 'count': len(authorities)}


def signed_by(leaf, authority):
    """Whether a certificate was issued by an authority, both loaded."""
    try:
        leaf.verify_directly_issued_by(authority)
    except AttributeError:  # older releases of cryptography
        return leaf.issuer == authority.subject
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _usages(leaf):
    try:
        value = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    return [_USAGES.get(usage.dotted_string, usage.dotted_string) for usage in value]


def certificates(pem, part, where):
    """All certificates in PEM bytes."""
    try:
        found = [x509.load_pem_x509_certificate(block) for block in _CERTIFICATE.findall(pem)]
    except ValueError:
        raise ConfigError(f'In {where}: {part} is no certificate that can be read.') from None
    if not found:
        raise ConfigError(f'In {where}: {part} holds no certificate.')
    return found


def _public_bytes(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
