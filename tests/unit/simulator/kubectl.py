# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the simulated Kubernetes API over HTTPS, as one kubeconfig has it."""

from __future__ import annotations

import base64
import json
import uuid

import urllib3
import yaml

MERGE = 'application/merge-patch+json'
NODES = '/api/v1/nodes'
PODS = '/api/v1/namespaces/kube-system/pods'
CSRS = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'


class Kubectl:
    """C(text) is a kubeconfig; its credentials are put into C(directory). Calls answer (status, JSON or text)."""

    def __init__(self, text, directory, certificate=True):
        document = yaml.safe_load(text)
        cluster, user = document['clusters'][0]['cluster'], document['users'][0]['user']
        self.server = cluster['server']
        files = {}
        for name, data in (('ca_certs', cluster['certificate-authority-data']), ('cert_file', user['client-certificate-data']),
                           ('key_file', user['client-key-data'])):
            path = directory / f'{uuid.uuid4()}.pem'
            path.write_bytes(base64.b64decode(data))
            files[name] = str(path)
        if not certificate:
            files = {'ca_certs': files['ca_certs']}
        self._pool = urllib3.PoolManager(**files, retries=False)

    def __call__(self, path, address=None, method='GET', body=None, content_type='application/json'):
        server = f'https://{address}:6443' if address else self.server
        answer = self._pool.request(method, server + path, body=json.dumps(body) if body is not None else None, headers={'Content-Type': content_type})
        return answer.status, json.loads(answer.data) if answer.headers['content-type'] == 'application/json' else answer.data.decode()

    def items(self, path, **options):
        """{name: object} of a list that must be answered."""
        status, listed = self(path, **options)
        assert status == 200, listed
        return {item['metadata']['name']: item for item in listed['items']}

    def patch(self, path, body):
        return self(path, method='PATCH', body=body, content_type=MERGE)

    def delete(self, path, **options):
        return self(path, method='DELETE', body=options)


def admin(cluster):
    """A client with the kubeconfig that the cluster issues."""
    return Kubectl((cluster.directory / 'kubeconfig').read_text(), cluster.directory)
