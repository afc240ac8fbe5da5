# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine configurations as the documents that they consist of, so that a redactor sees their fields and not one text."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import yaml_text


def machine_configs(items, mark):
    """The specs of MachineConfigs as lists of documents; C(mark(text)) replaces what has no name that would tell that it is secret.

    That is the id of the cluster in the discovery service, whose encrypted data anybody could ask for by it, and a text that is no YAML.
    """
    return [{**item, 'spec': _documents(item['spec'], mark)} for item in items]


def _documents(text, mark):
    try:
        documents = yaml_text.documents(text or '')
    except ValueError:
        return mark(text)
    for document in documents:
        cluster = document.get('cluster') if isinstance(document, dict) else None
        if isinstance(cluster, dict) and cluster.get('id'):
            cluster['id'] = mark(cluster['id'])
    return documents
