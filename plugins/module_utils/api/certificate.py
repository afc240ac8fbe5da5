# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an X.509 certificate says, as plain data."""

from __future__ import annotations

import hashlib
from datetime import timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
except ImportError:
    x509 = None

# What apid calls itself while a machine waits for its configuration (talos-api 3.3).
MAINTENANCE_NAME = 'maintenance-service.talos.dev'


def need_cryptography():
    """Raises L(InputError) when the Python package cryptography is missing."""
    if x509 is None:
        raise InputError('The Python package cryptography is missing on this host.', 'Install it: pip install cryptography')


def facts(der):
    """Facts of one DER certificate:

    {subject, common_name, issuer, issuer_organization, dns: [names], ips: [addresses], not_before, not_after, key_type,
    sha256, serial}. Subject and issuer are RFC 4514 text, times RFC 3339 UTC, sha256 and serial hex, absent parts None.
    Raises ValueError when it is no certificate.
    """
    need_cryptography()
    return facts_of(x509.load_der_x509_certificate(der))


def pem_facts(pem):
    """As L(facts), of the first certificate in PEM bytes."""
    need_cryptography()
    return facts_of(x509.load_pem_x509_certificate(pem))


def facts_of(certificate):
    """As L(facts), of a certificate that is loaded."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = ()
    not_before, not_after = validity(certificate)
    return {
        'subject': certificate.subject.rfc4514_string(),
        'common_name': _first(certificate.subject, x509.NameOID.COMMON_NAME),
        'issuer': certificate.issuer.rfc4514_string(),
        'issuer_organization': _first(certificate.issuer, x509.NameOID.ORGANIZATION_NAME),
        'dns': [name.value for name in names if isinstance(name, x509.DNSName)],
        'ips': [str(name.value) for name in names if isinstance(name, x509.IPAddress)],
        'not_before': time_text(not_before),
        'not_after': time_text(not_after),
        'key_type': key_type(certificate.public_key()),
        'sha256': hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest(),
        'serial': f'{certificate.serial_number:x}',
    }


def is_maintenance(certificate_facts):
    """Whether a served certificate is that of a machine in maintenance mode (talos-api 3.3)."""
    return bool(certificate_facts) and (
        MAINTENANCE_NAME in certificate_facts['dns'] or certificate_facts['common_name'] == MAINTENANCE_NAME
    )


def validity(certificate):
    """(not before, not after) as aware datetimes; older releases of cryptography know naive ones only."""
    if hasattr(certificate, 'not_valid_after_utc'):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate.not_valid_before.replace(tzinfo=timezone.utc), certificate.not_valid_after.replace(tzinfo=timezone.utc)


def time_text(moment):
    """RFC 3339 UTC to the second."""
    return f'{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}'


def key_type(key):
    """Such as Ed25519, ECDSA P-256, RSA 2048."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return 'Ed25519'
    if isinstance(key, ed448.Ed448PublicKey):
        return 'Ed448'
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f'ECDSA P-{key.curve.key_size}'
    if isinstance(key, rsa.RSAPublicKey):
        return f'RSA {key.key_size}'
    return 'DSA' if isinstance(key, dsa.DSAPublicKey) else type(key).__name__


def _first(name, oid):
    values = name.get_attributes_for_oid(oid)
    return values[0].value if values else None
