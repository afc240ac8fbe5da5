# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for tests, of the shape that Talos makes (talos-api 2 and 4), sound or with a fault.

Keys are Ed25519 by default, because Talos's are and because the TLS stack inside grpcio cannot verify those.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import os
import ssl
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAME_MOST = 64
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which ssl does not name
HOUR = timedelta(hours=1)
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH

_KEYS = {
    'ed25519': ed25519.Ed25519PrivateKey.generate,
    'ecdsa': lambda: ec.generate_private_key(ec.SECP256R1()),
    'rsa': lambda: rsa.generate_private_key(65537, 2048),
}
_KINDS = {'ed25519': ed25519.Ed25519PrivateKey, 'ecdsa': ec.EllipticCurvePrivateKey, 'rsa': rsa.RSAPrivateKey}


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: object

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self):
        """PKCS #8, which OpenSSL loads for every kind of key."""
        return self._private_bytes(serialization.PrivateFormat.PKCS8)

    @property
    def talos_key_pem(self):
        """As a talosconfig holds it: Ed25519 as PKCS #8 under Talos's own label (talos-api 2.1), others in the traditional form."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key_pem.replace(b' PRIVATE KEY', b' ED25519 PRIVATE KEY')
        return self._private_bytes(serialization.PrivateFormat.TraditionalOpenSSL)

    def _private_bytes(self, form):
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


class Authority(Identity):
    """A certificate authority, self-signed. C(key) is ed25519, ecdsa or rsa; leaves get a key of the same kind."""

    def __init__(self, organization='talos', key='ed25519', not_before=None, not_after=None):
        private = _KEYS[key]()
        subject = _name(None, [organization] if organization else [])
        now = datetime.now(timezone.utc)
        public = private.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - HOUR)
            .not_valid_after(not_after or now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([SERVER_AUTH, CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        super().__init__(builder.sign(private, _digest(private)), private)

    @classmethod
    def load(cls, certificate_pem, key_pem):
        """An authority from its PEM bytes; the key also under Talos's label for Ed25519."""
        authority = object.__new__(cls)
        key = serialization.load_pem_private_key(key_pem.replace(b' ED25519 PRIVATE KEY', b' PRIVATE KEY'), None)
        Identity.__init__(authority, x509.load_pem_x509_certificate(certificate_pem), key)
        return authority

    def server(self, common_name=None, dns=(), ips=(), key=None, not_before=None, not_after=None, organizations=()):
        """What apid serves: serverAuth, 24 hours, from an hour ago unless told otherwise."""
        return self.issue(common_name, organizations, dns, ips, [SERVER_AUTH], key, not_before, not_after, hours=24)

    def client(self, roles=('os:admin',), common_name=None, key=None, not_before=None, not_after=None, usages=(CLIENT_AUTH,)):
        """What a talosconfig holds: the roles as organizations, clientAuth, one year."""
        return self.issue(common_name, roles, usages=usages, key=key, not_before=not_before, not_after=not_after, hours=24 * 365)

    def issue(
        self, common_name=None, organizations=(), dns=(), ips=(), usages=(SERVER_AUTH,), key=None, not_before=None, not_after=None, hours=24
    ):
        """Any leaf certificate of this authority. Times are aware datetimes; C(hours) counts from C(not_before)."""
        private = _KEYS[key or self._kind()]()
        not_before = not_before or datetime.now(timezone.utc) - HOUR
        own_id = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name, organizations))
            .issuer_name(self.certificate.subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after or not_before + timedelta(hours=hours))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        names = [x509.DNSName(name) for name in dns] + [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not (common_name or organizations))
        return Identity(builder.sign(self.key, _digest(self.key)), private)

    def _kind(self):
        return next(name for name, kind in _KINDS.items() if isinstance(self.key, kind))


def server_context(identity, client_authority=None, client='required', alpn=('h2',), check_time=True):
    """An SSLContext for a server: TLS 1.3 only; C(client) certificates are required, optional or none.

    C(client_authority) is one Authority or several, which may sign clients. The clients' certificates may be expired
    with C(check_time) False.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    load_identity(context, identity)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client_authority is not None and client != 'none':
        authorities = [client_authority] if isinstance(client_authority, Identity) else client_authority
        context.load_verify_locations(cadata=''.join(authority.pem.decode() for authority in authorities))
        context.verify_mode = ssl.CERT_REQUIRED if client == 'required' else ssl.CERT_OPTIONAL
        if not check_time:
            context.verify_flags |= _NO_CHECK_TIME
    return context


def client_context(authority, identity=None, alpn=('h2',)):
    """An SSLContext for a client that trusts C(authority) and shows C(identity)."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if identity:
        load_identity(context, identity)
    return context


def load_identity(context, identity):
    """Load a certificate and its key into an SSLContext, which only takes files: one of mode 0600, gone at once."""
    descriptor, path = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, 'wb') as file:
            file.write(identity.pem + identity.key_pem)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)


def talosconfig(name, endpoints, authority, client, nodes=(), **extra):
    """The text of a talosconfig with one context; C(extra) are further keys of the context, such as C(cluster)."""
    context = {
        'endpoints': list(endpoints),
        **({'nodes': list(nodes)} if nodes else {}),
        'ca': base64.b64encode(authority.pem).decode(),
        'crt': base64.b64encode(client.pem).decode(),
        'key': base64.b64encode(client.talos_key_pem).decode(),
        **extra,
    }
    return yaml.safe_dump({'context': name, 'contexts': {name: context}}, sort_keys=False)


@functools.lru_cache(maxsize=256)
def roles(der):
    """The organizations of a client certificate's subject, which are its Talos roles (talos-api 2); [] without one."""
    if der is None:
        return []
    subject = x509.load_der_x509_certificate(der).subject
    return [attribute.value for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def _name(common_name, organizations):
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    if common_name:
        # Kubernetes has longer names than X.509: system:node: and up to 63 letters.
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=len(common_name) <= _NAME_MOST))
    return x509.Name(attributes)


def _key_usage(sign_certificates):
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
