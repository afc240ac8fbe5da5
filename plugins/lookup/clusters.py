# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clusters
author:
  - The talosops.talos maintainers (@talosops)
version_added: 0.1.0
short_description: Name the clusters that a run is about
description:
  - Names the hosts of a pattern that O(ignore:--limit) leaves, and fails when there are none.
  - Ansible ends a play that matches no host with exit code 0. Used as the C(hosts) of a play, this lookup turns such a run into a failed one.
options:
  _terms:
    description:
      - One host pattern.
    type: list
    elements: str
  or_context:
    description:
      - Where the inventory has no group V(talos_clusters), name the context of the talosconfig instead of failing.
      - An inventory that was given and has no hosts at all is an error also then.
    type: bool
    default: false
  talosconfig:
    description:
      - Path of the talosconfig whose context is named; found as in the modules of this collection when not set.
    type: path
  talosconfig_content:
    description:
      - Content of the talosconfig, as text or mapping.
    type: raw
  context:
    description:
      - Context of the talosconfig; its current one when not set.
    type: str
seealso:
  - plugin: talosops.talos.talosconfig
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Fails, instead of doing nothing, when no cluster is left
  hosts: "{{ query('talosops.talos.clusters', 'talos_clusters') and 'talos_clusters' }}"
  gather_facts: false
  tasks:
    - name: Gather and judge
      talosops.talos.talos_snapshot:
      connection: local

- name: Without an inventory, the context of the talosconfig
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Add it
      ansible.builtin.add_host:
        name: "{{ item }}"
        groups: talos_clusters
        ansible_connection: local
      loop: "{{ query('talosops.talos.clusters', or_context=true) | difference(groups['talos_clusters'] | default([])) }}"
"""

RETURN = r"""
_raw:
  description: Names of hosts.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.inventory.manager import InventoryManager
from ansible.plugins.lookup import LookupBase
from ansible import context as cli

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.plugin_utils.control_node import plain, reader

GROUP = 'talos_clusters'
NO_INVENTORY = '/etc/ansible/hosts'
LOCAL = {'localhost', '127.0.0.1', '::1'}
LISTINGS = ('syntax', 'listhosts', 'listtasks', 'listtags')


class LookupModule(LookupBase):
    """One place that knows whether a run has a cluster to judge, and says why not."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        pattern = plain(terms[0]) if terms else GROUP
        groups = plain(variables['groups'])
        limit = plain(variables.get('ansible_limit'))
        if any(cli.CLIARGS.get(listing) for listing in LISTINGS):
            return [pattern]
        if pattern == GROUP and GROUP not in groups:
            if self.get_option('or_context'):
                return [self._context(groups, plain(variables.get('ansible_inventory_sources')) or [])]
            raise AnsibleLookupError(f'There is no cluster to judge: the inventory has no group {GROUP}{_instead_of(limit)}.')
        found = self._hosts(groups, pattern, None)
        if not found:
            where = f'the group {GROUP} is empty' if pattern == GROUP else f'the pattern "{pattern}" (talos_hosts) matches no host of the inventory'
            raise AnsibleLookupError(f'There is no cluster to judge: {where}.')
        left = self._hosts(groups, pattern, limit)
        if not left:
            raise AnsibleLookupError(f'There is no cluster to judge: --limit {limit} leaves none of {_listed(found)}.')
        return left

    def _context(self, groups, sources):
        """The context of the talosconfig, of which the first play makes a host."""
        given = [source for source in sources if source != NO_INVENTORY and not set(source.split(',')) <= {'', *LOCAL}]
        if given and not set(groups.get('all', ())) - LOCAL:
            raise AnsibleLookupError(f'There is no cluster to judge: the inventory {_listed(given)} has no hosts.')
        try:
            return talosconfig.load(path=self.get_option('talosconfig'), content=plain(self.get_option('talosconfig_content')),
                                    context=plain(self.get_option('context')), read=reader(self._loader)).name
        except TalosError as error:
            raise AnsibleLookupError(error.sentence()) from None

    def _hosts(self, groups, pattern, limit):
        """Names of the hosts that a pattern matches within a limit, as Ansible itself would take them."""
        manager = InventoryManager(self._loader, parse=False)
        for group, hosts in groups.items():
            manager.add_group(group)
            for host in hosts:
                manager.add_host(host, group=group)
        try:
            if limit:
                manager.subset(limit)
            return [host.name for host in manager.get_hosts(pattern)]
        except AnsibleError as error:
            raise AnsibleLookupError(f'There is no cluster to judge: {error}.') from None


def _instead_of(limit):
    if not limit:
        return ''
    return (f', so --limit {limit} leaves nothing; name the context with "-e talos_context={limit}" instead, '
            'or give an inventory, for example by the plugin talosops.talos.talosconfig')


def _listed(names):
    shown = ', '.join(sorted(names)[:6])
    return f'{shown} and {len(names) - 6} more' if len(names) > 6 else shown
