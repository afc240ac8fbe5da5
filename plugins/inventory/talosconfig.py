# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: talosconfig
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Make every context of a talosconfig a host
description:
  - Makes one host of every context of one or more talosconfig files, in the group C(talos_clusters). A host stands for a cluster.
  - Reads files only. It asks no machine, and nothing secret becomes a variable.
  - The name of its file ends with C(.talosconfig.yml), C(.talosconfig.yaml), C(talos.yml) or C(talos.yaml).
  - A character that has a meaning in host patterns becomes a dash in the host's name; C(talos_context) keeps the name of the context.
  - Every host gets C(ansible_connection=local), C(talos_context), C(talos_context_endpoints), C(talos_context_nodes),
    and C(talos_config) where O(talosconfigs) is given.
extends_documentation_fragment:
  - ansible.builtin.constructed
options:
  plugin:
    description: Must be V(talosops.talos.talosconfig).
    required: true
    choices: [talosops.talos.talosconfig, talosconfig]
  talosconfigs:
    description:
      - Paths of talosconfig files; a relative one starts at the directory of the inventory file. Encrypted files are read too.
      - When not set, the file is found as by the modules of this collection (E(TALOSCONFIG), E(TALOS_HOME), C(~/.talos/config)).
    type: list
    elements: path
  contexts:
    description:
      - Names of contexts, with shell wildcards, of which to make hosts. All when not set.
    type: list
    elements: str
seealso:
  - plugin: talosops.talos.clusters
    plugin_type: lookup
"""

EXAMPLES = r"""
# clusters.talosconfig.yml: every context of the usual talosconfig
plugin: talosops.talos.talosconfig

---
# Two files, production only, in groups by the second part of the name (prod-eu: region_eu)
plugin: talosops.talos.talosconfig
talosconfigs:
  - files/europe.talosconfig
  - files/america.talosconfig
contexts: [prod-*]
keyed_groups:
  - key: talos_context.split('-')[1]
    prefix: region
compose:
  talos_expected_nodes: talos_context_nodes
"""

import fnmatch
import os

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.plugin_utils.control_node import plain, reader

GROUP = 'talos_clusters'
SPECIAL = ' ,:;&!~*?[]'  # what a host pattern would take for something else
NAMES = ('talosconfig.yml', 'talosconfig.yaml', 'talos.yml', 'talos.yaml')


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Contexts to hosts."""

    NAME = 'talosops.talos.talosconfig'

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith(NAMES)

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.inventory.add_group(GROUP)
        sources = [os.path.join(os.path.dirname(os.path.abspath(path)), name) for name in plain(self.get_option('talosconfigs')) or []]
        places = {}
        for source in sources or [None]:
            for name, context in self._contexts(source).items():
                host = ''.join('-' if character in SPECIAL else character for character in name)
                if host in places:
                    raise AnsibleParserError(f'Two contexts would be the host "{host}", in {places[host]} and in {source}: rename one of them.')
                places[host] = source
                self._add(host, {'ansible_connection': 'local', 'talos_context': name, 'talos_context_endpoints': context['endpoints'],
                                 'talos_context_nodes': context['nodes'], **({'talos_config': source} if source else {})})

    def _contexts(self, source):
        """The contexts that are wanted, by name."""
        try:
            found = talosconfig.outline(source, read=reader(self.loader))
        except TalosError as error:
            raise AnsibleParserError(error.sentence()) from None
        wanted = plain(self.get_option('contexts')) or ['*']
        return {name: context for name, context in found.items() if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)}

    def _add(self, host, variables):
        self.inventory.add_host(host, group=GROUP)
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)
        strict = self.get_option('strict')
        self._set_composite_vars(self.get_option('compose'), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option('groups'), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option('keyed_groups'), variables, host, strict=strict)
