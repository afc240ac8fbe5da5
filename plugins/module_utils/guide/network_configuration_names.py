# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Network Configuration": the name servers of a machine (check catalogue NET-3)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.host_links import default_routes
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, logs_quiet, seen, unread
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)

SECTION = 'network_configuration'
FAILURES = 'network_configuration_dns_failures'
# What Talos takes where nobody names a resolver.
_DEFAULTS = {'1.1.1.1', '8.8.8.8', '2606:4700:4700::1111', '2001:4860:4860::8888'}
_MEANS = 'Names do not resolve on this machine: registries, discovery, time servers and a control plane endpoint that is a name.'
_STEP = ('Name resolvers that this machine reaches in machine.network.nameservers (ResolverConfig), which takes no reboot, or let UDP and TCP '
         'port 53 through.')


def no_resolver(view, machine):
    """The machine has resolvers. With host DNS it works without: Talos answers the names of members itself."""
    found = servers(machine)
    if found:
        return ok(machine.key, nodes=[machine.key])
    evidence = [seen(machine, 'ResolverStatuses', 'dnsServers: none')]
    host_dns = machine.resource('HostDNSConfigs', 'config')
    if not machine.datum('HostDNSConfigs').ok:
        return unknown(machine.key, f'{machine.label} has no resolver; whether it needs one: {"; ".join(unread([machine], "HostDNSConfigs"))}',
                       nodes=[machine.key], evidence=evidence)
    if isinstance(host_dns, dict) and host_dns.get('enabled') or view.young(machine) or view.in_progress(machine):
        return info(machine.key, f'{machine.label} has no resolver', 'Names of other machines do not resolve, which an air gap need not miss.',
                    f'If names have to resolve: {_STEP}', nodes=[machine.key], evidence=evidence)
    return error(machine.key, f'{machine.label} has no resolver', _MEANS, _STEP, nodes=[machine.key], evidence=evidence,
                 explained_by=(f'network:{machine.key}',))


def servers(machine):
    """Addresses of the resolvers; 1.14 lists them as C(nameServers) with a protocol each (talos-api 6.4)."""
    spec = machine.resource('ResolverStatuses', 'resolvers') or {}
    return [*(spec.get('dnsServers') or []), *(each.get('addr') for each in spec.get('nameServers') or [] if isinstance(each, dict))]


def resolver_not_answering(view, machine):
    """The upstream resolvers of host DNS answer; whether they are healthy is told as a text (edge-cases 71)."""
    upstreams = [item.get('spec') or {} for item in machine.value('DNSUpstreams') or []]
    if not upstreams:
        return not_applicable(machine.key, f'host DNS of {machine.label} is off, or has no resolver', nodes=[machine.key])
    sick = [str(each.get('addr')) for each in upstreams if str(each.get('healthy')).lower() == 'false']
    if not sick:
        return ok(machine.key, nodes=[machine.key])
    evidence = [seen(machine, 'DNSUpstreams', f'{each.get("addr")}: healthy {each.get("healthy")}') for each in upstreams]
    if len(sick) < len(upstreams):
        return info(machine.key, f'{machine.label}: the resolver {listed(sick)} does not answer', 'Another one does.',
                    'Take it out of the resolvers, or repair it.', nodes=[machine.key], evidence=evidence)
    title = f'{machine.label}: no resolver answers ({listed(sick)})'
    if view.young(machine) or view.in_progress(machine):
        return info(machine.key, title, 'The machine booted or is being changed just now.', 'Look again in a few minutes.', nodes=[machine.key],
                    evidence=evidence)
    if {_host(address) for address in sick} <= _DEFAULTS and machine.datum('RouteStatuses').ok and not default_routes(machine):
        return info(machine.key, title, 'They are those that Talos takes where nobody names any, and the machine has no way out: an air gap in which '
                    'names need not resolve.', f'If names have to resolve: {_STEP}', nodes=[machine.key], evidence=evidence)
    return error(machine.key, title, _MEANS, _STEP, nodes=[machine.key], evidence=evidence, explained_by=(f'network:{machine.key}',))


def _host(address):
    """An address without the port that DNSUpstreams shows with it."""
    return normal(address.rpartition(':')[0]) if address.endswith(':53') else normal(address)


def dns_requests_fail(view, machine):
    """Host DNS serves its requests; a few that fail are none, and those of the boot are history (signature hostdns.upstream_timeout)."""
    upstreams = [item.get('spec') or {} for item in machine.value('DNSUpstreams') or []]
    if upstreams and all(str(each.get('healthy')).lower() == 'false' for each in upstreams):
        return None
    failed = [hit for hit in view.signatures.recent(machine, 'hostdns.upstream_timeout') if hit.recent_count >= view.threshold(FAILURES)]
    if not failed:
        return logs_quiet(view, machine, f'whether DNS requests of {machine.label} fail', 'machined', 'dns-resolve-cache')
    hit = failed[-1]
    return warning(machine.key, f'{machine.label}: {hit.recent_count} DNS requests failed within five minutes', _MEANS,
                   f'Look for a resolver that is slow or does not answer. {_STEP}', nodes=[machine.key], evidence=[hit.evidence()],
                   explained_by=(f'network:{machine.key}',))


CHECKS = (
    Check('network_configuration.no_resolver', SECTION, 'the machine has resolvers', no_resolver, each=ALL, needs=('ResolverStatuses',),
          reads=('HostDNSConfigs', 'MachineStatuses'), catalogue='NET-3'),
    Check('network_configuration.resolver_not_answering', SECTION, 'the resolvers answer', resolver_not_answering, each=ALL,
          needs=('DNSUpstreams',), reads=('RouteStatuses', 'MachineStatuses'), catalogue='NET-3'),
    Check('network_configuration.dns_requests_fail', SECTION, 'DNS requests are served', dns_requests_fail, each=ALL,
          reads=('DNSUpstreams', 'MachineStatuses'), logs=('machined', 'dns-resolve-cache'), catalogue='NET-3', sharpens=True, thresholds={
              FAILURES: Threshold(3, 'count', 'how many DNS requests may fail within five minutes')}),
)
