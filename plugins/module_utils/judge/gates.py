# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The general gates of the check catalogue, and the facts that many checks share, worked out once.

G0 reach, G1 kind of node, G2 mode, G3 stage, G4 not bootstrapped, G5 age, G6 discovery disabled. A gate that
cannot be seen is never taken as passed: C(young) and C(container) are None then.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from functools import cached_property

from ansible_collections.talosops.talos.plugins.module_utils.judge.clusters import found_elsewhere
from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import ComponentFacts
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import EtcdFacts
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubelet_facts import KubeletFacts
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import KubernetesFacts
from ansible_collections.talosops.talos.plugins.module_utils.judge.signatures import YOUNG_SECONDS, Signatures
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

GATE_READS = ('Version', 'MachineTypes', 'MachineStatuses', 'ServiceList', 'Identities', 'Affiliates', 'Members', 'NodeIPConfigs',
              'NodeAddressFilters', 'Time', 'EtcdStatus', 'SiderolinkStatuses')
GATE_LOGS = ('machined',)

CLOCKS_AGREE = timedelta(seconds=60)
_IN_PROGRESS = ('installing', 'upgrading', 'rebooting', 'resetting', 'shutting down')


class View:
    """A snapshot with the user's settings, as the checks see it."""

    def __init__(self, snapshot, settings):
        self.snapshot = snapshot
        self.settings = settings

    def judged(self, _section):
        """The outcomes of another section for this view; none where nobody judges more than one check (judge.Judged)."""
        return []

    # -- time -----------------------------------------------------------------------------------------------

    @property
    def control_now(self):
        """The time of the gather by the control node's clock, by which certificates were accepted or refused."""
        return self.snapshot.now

    @cached_property
    def now(self):
        """The time of the gather by the machines' clocks, in which their logs, events and ages are told.

        The control node's clock is as good while it differs by less than a minute, and is all there is where no machine told its time.
        """
        offset = timedelta(milliseconds=self.snapshot.control_node.get('clock_offset_ms') or 0)
        return self.control_now + (offset if abs(offset) > CLOCKS_AGREE else timedelta())

    def threshold(self, name):
        return self.settings.thresholds[name]

    # -- machines -------------------------------------------------------------------------------------------

    @cached_property
    def control_planes(self):
        return self.snapshot.control_planes()

    @cached_property
    def answering_control_planes(self):
        return self.snapshot.control_planes(answered=True)

    @cached_property
    def elsewhere(self):
        """{key: clusters.Elsewhere} of machines that answer, but belong to another cluster."""
        return found_elsewhere(self)

    def label(self, key):
        machine = self.snapshot.machine(key)
        return machine.label if machine else key

    def container(self, machine):
        """G2: platform mode container (its kernel, memory and disks are the host's); None when not read."""
        version = machine.value('Version')
        return None if version is None else (version.get('platform') or {}).get('mode') == 'container'

    def stage(self, machine):
        """G3: the stage of the machine (talos-api 6.3), None when not read."""
        status = machine.resource('MachineStatuses', 'machine')
        return status.get('stage') if isinstance(status, dict) else None

    def in_progress(self, machine):
        """G3: it is being installed, upgraded, rebooted or reset."""
        return self.stage(machine) in _IN_PROGRESS

    def age_seconds(self, machine):
        """G5: seconds since its COSI state began, which is its boot (in container mode too); None when not read."""
        for item in machine.value('MachineStatuses') or []:
            created = parse_time(item.get('created'))
            if item.get('id') == 'machine' and created is not None:
                return max(0.0, (self.now - created).total_seconds())
        return None

    def young(self, machine):
        """G5: booted less than ten minutes ago; None when that could not be seen."""
        age = self.age_seconds(machine)
        return None if age is None else age < YOUNG_SECONDS

    def service(self, machine, service_id):
        """A service of ServiceList, or None where it is not listed or the list was not read."""
        for service in (machine.value('ServiceList') or {}).get('services') or []:
            if service.get('id') == service_id:
                return service
        return None

    # -- network --------------------------------------------------------------------------------------------

    @cached_property
    def vips(self):
        """Configured virtual IPs: the bare addresses in NodeIPConfigs excludeSubnets (talos-api 6.4)."""
        found = set()
        for machine in self.snapshot.answering():
            for item in machine.value('NodeIPConfigs') or []:
                for subnet in (item.get('spec') or {}).get('excludeSubnets') or []:
                    if '/' not in str(subnet):
                        found.add(str(subnet))
        return found

    @cached_property
    def vips_known(self):
        return any(machine.datum('NodeIPConfigs').ok for machine in self.answering_control_planes)

    @cached_property
    def kubernetes_networks(self):
        """Pod and service CIDRs as networks, from NodeAddressFilters/no-k8s (readable for os:reader)."""
        found = set()
        for machine in self.snapshot.answering():
            spec = machine.resource('NodeAddressFilters', 'no-k8s') or {}
            for subnet in spec.get('excludeSubnets') or []:
                try:
                    found.add(ipaddress.ip_network(str(subnet), strict=False))
                except ValueError:
                    continue
        return found

    # -- discovery ------------------------------------------------------------------------------------------

    def discovery_disabled(self, machine):
        """G6: it knows who it is, but not even itself as an affiliate; None when that could not be seen."""
        affiliates, identities = machine.value('Affiliates'), machine.value('Identities')
        if affiliates is None or identities is None:
            return None
        return bool(identities) and not affiliates

    # -- etcd -----------------------------------------------------------------------------------------------

    @cached_property
    def etcd(self):
        """What is known of etcd (EtcdFacts)."""
        return EtcdFacts(self)

    @property
    def not_bootstrapped(self):
        """G4: there is no Kubernetes yet, because etcd waits to be bootstrapped, or was never started for another reason (EtcdFacts)."""
        return self.etcd.not_bootstrapped or self.etcd.never_started

    # -- Kubernetes -----------------------------------------------------------------------------------------

    @cached_property
    def kubelet(self):
        """What is known of the kubelets (KubeletFacts)."""
        return KubeletFacts(self)

    @cached_property
    def kubernetes(self):
        """What is known of Kubernetes (KubernetesFacts)."""
        return KubernetesFacts(self)

    @cached_property
    def components(self):
        """What is known of kube-apiserver, kube-controller-manager and kube-scheduler on each control plane node (ComponentFacts)."""
        return ComponentFacts(self)

    # -- logs -----------------------------------------------------------------------------------------------

    @cached_property
    def signatures(self):
        """Known lines in the logs of all machines (Signatures)."""
        return Signatures(self)
