# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS as Talos wants it (talos-api 2), and what its failures mean.

Python's ssl and not that of grpcio, which cannot verify the Ed25519 certificates that Talos makes.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, TransportError

# OpenSSL's verification results, X509_V_ERR_*.
_NOT_YET_VALID = 9
_EXPIRED = 10
_WRONG_NAMES = (62, 64)

_WHAT = 'Endpoints are the Talos API of control plane nodes, by default on port 50000.'

_REFUSALS = {
    'UNKNOWN_CA': 'it does not know the CA that issued the certificate',
    'CERTIFICATE_REQUIRED': 'it wants a certificate, and the talosconfig has none',
    'CERTIFICATE_EXPIRED': 'it takes the certificate for expired',
    'BAD_CERTIFICATE': 'it takes the certificate for invalid',
    'UNSUPPORTED_CERTIFICATE': 'it does not accept this kind of certificate',
    'CERTIFICATE_UNKNOWN': 'it does not accept the certificate',
}


def context(talosconfig, directory):
    """The SSLContext of a talosconfig's Context; C(directory) is a private one, for systems without memfd.

    Raises L(ConfigError) when OpenSSL refuses the credentials.
    """
    made = unverified_context()
    made.check_hostname = True
    made.verify_mode = ssl.CERT_REQUIRED
    made.hostname_checks_common_name = False
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        if talosconfig.ca:
            made.load_verify_locations(cadata=talosconfig.ca.decode('ascii', 'replace'))
        else:
            made.load_default_certs()
        if talosconfig.crt:
            load_credentials(made, talosconfig.crt.rstrip() + b'\n' + talosconfig.key, directory)
    except ssl.SSLError as error:
        raise ConfigError(f'OpenSSL refuses the credentials of the context "{talosconfig.name}": {error.reason or error}.') from None
    return made


def unverified_context():
    """An SSLContext for looking at a certificate: it verifies nothing and shows no certificate of its own."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.set_alpn_protocols(['h2'])
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def load_credentials(made, pem, directory):
    """Give an SSLContext a certificate and its key, both PEM in C(pem).

    OpenSSL takes the key from a file only: one in memory where there is such a thing, else one that is gone at once.
    """
    if hasattr(os, 'memfd_create') and os.path.isdir('/proc/self/fd'):
        descriptor = os.memfd_create('credentials', os.MFD_CLOEXEC)
        path = f'/proc/self/fd/{descriptor}'
    else:
        descriptor, path = tempfile.mkstemp(dir=directory)
    try:
        with os.fdopen(descriptor, 'wb') as file:
            file.write(pem)
            file.flush()
            made.load_cert_chain(path)
    finally:
        if not path.startswith('/proc/'):
            os.unlink(path)


def server_name(host):
    """What the certificate must name: the host without an IPv6 zone or a final dot."""
    return host.partition('%')[0].rstrip('.')


def in_handshake(error, endpoint):
    """The L(TransportError) of an SSLError during the handshake that is not about the served certificate."""
    reason = (error.reason or '').upper()
    if isinstance(error, ssl.SSLEOFError):
        return broken_off(error, endpoint)
    if 'PROTOCOL_VERSION' in reason or 'UNSUPPORTED_PROTOCOL' in reason:
        return not_grpc(endpoint, None, 'it does not speak TLS 1.3')
    if 'NO_APPLICATION_PROTOCOL' in reason:
        return not_grpc(endpoint, None, 'it does not speak HTTP/2')
    if 'ALERT' in reason or 'UNRECOGNIZED_NAME' in reason:
        return not_grpc(endpoint, None, f'it ends the handshake with "{_readable(reason)}"')
    text = f'{endpoint.text} does not speak TLS on port {endpoint.port} ({_readable(reason) or error}).'
    return TransportError(text, 'not_tls', endpoint.text, hint=_WHAT)


def broken_off(error, endpoint):
    """The L(TransportError) of an OSError during the handshake."""
    accepts = f'{endpoint.text} accepts connections on port {endpoint.port}'
    if isinstance(error, TimeoutError):
        return TransportError(f'{accepts}, but does not answer.', 'timeout', endpoint.text,
                              hint='It is frozen, or not the Talos API, or a load balancer whose backends do not answer.')
    return TransportError(f'{accepts} and breaks them off before the TLS handshake is done.', 'reset', endpoint.text,
                          hint='It is not the Talos API, or a load balancer without a healthy backend.')


def after_handshake(error, endpoint, served, talosconfig):
    """The L(TransportError) of an SSLError by which the server ended the connection after the handshake: in TLS 1.3
    it judges the client certificate only then (talos-api 3.3).
    """
    return _refused(endpoint, served, talosconfig, (error.reason or str(error)).upper())


def cut_off(endpoint, served, talosconfig):
    """Cut off without a word after every handshake: an unfit client certificate is the likely reason."""
    mine = certificate.pem_facts(talosconfig.crt) if talosconfig.crt else None
    if mine is None or not _is_valid_now(mine):
        return _refused(endpoint, served, talosconfig, 'CERTIFICATE_EXPIRED' if mine else 'CERTIFICATE_REQUIRED')
    return TransportError(f'{endpoint.text} breaks the connection off right after the TLS handshake.', 'reset', endpoint.text, served)


def not_grpc(endpoint, served, why):
    """The L(TransportError) of a TLS server that is something else."""
    text = f'{endpoint.text} speaks TLS on port {endpoint.port}, but it is not the Talos API: {why}.'
    return TransportError(text, 'not_grpc', endpoint.text, served, _WHAT)


def _refused(endpoint, served, talosconfig, reason):
    """The client certificate was refused; the alert's name is in C(reason) (talos-api 3.3)."""
    why = next((text for name, text in _REFUSALS.items() if name in reason), _readable(reason))
    shown = ''
    if talosconfig.crt:
        mine = certificate.pem_facts(talosconfig.crt)
        shown = f' The certificate was issued by "{mine["issuer"]}" and is valid from {mine["not_before"]} to {mine["not_after"]}.'
    text = f'{endpoint.text} refuses the client certificate of the context "{talosconfig.name}": {why}.{shown}'
    return TransportError(text, 'client_refused', endpoint.text, served,
                          'Fetch a current talosconfig of this cluster, or compare the clocks of both sides.')


def unverified(error, endpoint, served):
    """The L(TransportError) of a certificate that cannot be verified; C(served) are its facts or None."""
    code, name = error.verify_code, endpoint.text
    if served and certificate.is_maintenance(served):
        return TransportError(f'{name} is in maintenance mode: it waits for a machine configuration.', 'maintenance', name, served,
                              'Apply its configuration with: talosctl apply-config --insecure')
    if code in (_EXPIRED, _NOT_YET_VALID):
        period = f'valid from {served["not_before"]} to {served["not_after"]}' if served else error.verify_message
        what, kind = ('has expired', 'expired') if code == _EXPIRED else ('is not valid yet', 'not_yet_valid')
        if served and _is_valid_now(served):
            return TransportError(f'The CA of the talosconfig {what}, so that {name} cannot be verified.', kind, name, served,
                                  'Compare the clock of this host; a CA of Talos is valid for ten years.')
        return TransportError(f'The certificate of {name} {what}: {period}.', kind, name, served,
                              'Compare the clocks of this host and of the node; Talos renews its certificate every 12 hours.')
    if code in _WRONG_NAMES:
        names = ', '.join(served['ips'] + served['dns']) if served else ''
        names = names or 'no name and no address at all'
        return TransportError(f'The certificate of {name} is valid for {names}, not for {server_name(endpoint.host)}.', 'wrong_name', name, served,
                              'Use one of these names as endpoint, or add this one to machine.certSANs.')
    issuer = f' It was issued by "{served["issuer"]}".' if served else ''
    text = f'The certificate of {name} is not signed by the CA of the talosconfig ({error.verify_message}).{issuer}'
    return TransportError(text, 'untrusted_ca', name, served, 'The talosconfig belongs to another cluster, or the endpoint does.')


def _readable(reason):
    """OpenSSL's name of an error as words."""
    return reason.lower().replace('_', ' ')


def _is_valid_now(served):
    return served['not_before'] <= certificate.time_text(datetime.now(timezone.utc)) <= served['not_after']
