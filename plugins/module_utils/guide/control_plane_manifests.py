# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes Bootstrap Manifests": each control plane node has applied what it rendered and what it downloaded.

What should be there is what the node itself lists as Manifests: their ids differ by version and configuration (edge-cases 34; no flannel
with another CNI, no kube-proxy where it is switched off). An object that exists is never changed by Talos (edge-cases 33), so an applied
manifest says nothing about how the object is now.
"""

from __future__ import annotations

from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_common import (
    failing_now, failure, nothing_to_judge, settling, why_settling,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Outcome, Threshold, error, info, not_applicable, ok, unknown,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.controllers import SETTLED_SECONDS
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, NOT_BOOTSTRAPPED, down
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import API_DOWN, CORRUPT, api_server_down
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'controlplane.manifests'
SETTLE_SECONDS = 'controlplane_manifest_settle'
APPLY, DOWNLOAD = 'k8s.ManifestApplyController', 'k8s.ExtraManifestController'

# Signatures of what these controllers say, with what each means and asks for.
_SYMPTOMS = ('manifest.api_down', 'manifest.inventory_error')
_STEPS = {
    'manifest.etcd_session': 'Talos locks through etcd before it applies: repair etcd first; it applies by itself within a minute after that.',
    'manifest.download_failed': 'Let the node reach that URL, correct it in cluster.extraManifests or cluster.network.cni.urls, or put the manifest inline.',
    'manifest.nameless': 'Take the "kind: List" in cluster.inlineManifests or extraManifests apart into single objects with names.',
    'manifest.no_match': 'Apply the CustomResourceDefinition first, or switch on the feature that the object belongs to '
                         '(machine.features.kubernetesTalosAPIAccess for a talos.dev ServiceAccount).',
}
_STEP = ('Read the controller\'s log (talosctl -n {node} logs controller-runtime) and correct the manifest in cluster.inlineManifests or '
         'cluster.extraManifests.')


# -- CP-5: what fails -------------------------------------------------------------------------------------------

def manifest_apply_fails(view, machine):
    """Neither the download nor the application of manifests has failed in the last five minutes."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    if not machine.log('controller-runtime').ok:
        return unknown(machine.key, f'whether {machine.label} applies its manifests: log controller-runtime, {machine.log("controller-runtime").why()}',
                       nodes=[machine.key], explained_by=('role', 'not_judged'))
    done = _done(machine)
    hits = [hit for hit in view.signatures.on(machine, *_STEPS, *_SYMPTOMS)
            if hit.age is not None and hit.age <= SETTLED_SECONDS and not hit.history and not (done and hit.at <= done)]
    others = [one for one in failing_now(view, machine, APPLY, DOWNLOAD) if not (done and one.last <= done) and not any(
        hit.signature.regex.search(f'"controller": "{one.name}", "error": "{one.error}"') for hit in hits)]
    if not hits and not others:
        return ok(machine.key)
    worst = max(hits, key=lambda hit: hit.signature.weight, default=None)
    evidence = [*(hit.evidence() for hit in reversed(hits)), *(failure(machine, one) for one in others[:2])]
    known = worst is not None and worst.id in _STEPS
    what = _short(_said(worst.line.text) if known or not others else others[0].error)
    more = {'nodes': [machine.key], 'evidence': evidence, 'explained_by': _explained(machine)}
    if settling(view, machine):
        return info(machine.key, f'{machine.label} does not apply its manifests yet: {what}', why_settling(view, machine),
                    'Look again in a few minutes.', **more)
    if worst is not None and not known and not others:
        if _missing(machine) is None:
            return unknown(machine.key, f'whether {machine.label} has applied its manifests since it could not ({what}): they were not read', **more)
        return info(machine.key, f'{machine.label} could not apply its manifests: {what}', 'The API server did not answer it; it tries again.',
                    'Look at the API server.', **more)
    severity = worst.signature.severity if known else v.WARNING if _missing(machine) == [] else v.ERROR
    return Outcome(severity, machine.key, f'{machine.label} cannot apply its manifests: {what}',
                   'What Talos brings into Kubernetes (bootstrap token, roles for the kubelets, CNI, kube-proxy, CoreDNS, extra manifests) is not created '
                   'where it is missing.', _STEPS[worst.id] if known else _STEP.format(node=machine.address or machine.label), **more)


def _done(machine):
    """When the last of all its manifests was applied: failures before that are history. None where one is missing, or it was not seen."""
    if _missing(machine) != []:
        return None
    return next((parse_time(item.get('updated')) for item in machine.value('ManifestStatuses') if item.get('id') == 'manifests'), None)


def _said(text):
    """The error in a line "controller failed"."""
    text = text.replace('\\"', '"').replace('\\n\\t', ' ').replace('\\n', ' ')
    start = text.rfind('"error": "')
    said = text[start + len('"error": "'):].rstrip('}').removesuffix('"') if start >= 0 else text
    return said


def _short(said, most=200):
    return said if len(said) <= most else said[:most - 1] + '…'


def _explained(machine):
    return (NOT_BOOTSTRAPPED, NO_QUORUM, NOSPACE, CORRUPT, down(machine), api_server_down(machine), API_DOWN, f'network:{machine.key}',
            f'clock:{machine.key}')


# -- CP-5: what is missing --------------------------------------------------------------------------------------

def manifests_missing(view, machine):
    """Every manifest that the node has is among those that it has applied since it booted (talos-api 6.6)."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    if view.components.quorum_lost:
        return unknown(machine.key, f'whether {machine.label} has applied its manifests: without a leader of etcd what it says stands still',
                       nodes=[machine.key], explained_by=(NO_QUORUM,))
    ids = [str(item.get('id')) for item in machine.value('Manifests')]
    more = {'nodes': [machine.key], 'explained_by': _explained(machine)}
    if not ids:
        return _none(view, machine, more)
    missing = _missing(machine)
    if not missing:
        return ok(machine.key, title=f'{len(ids)} manifests applied')
    more['evidence'] = [seen(machine, 'Manifests', listed(ids, 20)), seen(machine, 'ManifestStatuses', f'applied: {listed(_applied(machine), 20) or "none"}')]
    title = f'{machine.label} has not applied {len(missing)} of its {len(ids)} manifests: {listed(missing, 4)}'
    fresh = [name for name in missing if _is_fresh(view, machine, name)]
    if settling(view, machine) or len(fresh) == len(missing):
        means = why_settling(view, machine) if settling(view, machine) else 'The manifest is young.'
        return info(machine.key, title, means, 'Look again in a few minutes.', **more)
    if not machine.datum('ServiceList').ok or not view.etcd.running(machine):
        return _dependent(view, machine, title, more)
    return error(machine.key, title, 'What they bring into Kubernetes is missing where it did not exist before.',
                 f'Look for {APPLY} in talosctl -n {machine.address or machine.label} logs controller-runtime. To bring changed objects up to date is not '
                 'its task: talosctl upgrade-k8s does that.', **more)


def _dependent(view, machine, title, more):
    if not machine.datum('ServiceList').ok:
        return unknown(machine.key, f'{title}; whether its etcd runs was not seen (ServiceList: {machine.datum("ServiceList").why()})', **more)
    return not_applicable(machine.key, f'{machine.label} applies manifests when its etcd runs, which it does not', nodes=[machine.key])


def _none(view, machine, more):
    """The outcome where the node lists no manifest at all."""
    config = machine.datum('BootstrapManifestsConfigs')
    if config.ok and not config.value:
        return not_applicable(machine.key, f'{machine.label} is configured for no manifest', nodes=[machine.key])
    if not config.ok:
        return unknown(machine.key, f'whether {machine.label} should have manifests: BootstrapManifestsConfigs: {config.why()}', **more)
    if settling(view, machine):
        return info(machine.key, f'{machine.label} has rendered no manifest yet', why_settling(view, machine), 'Look again in a few minutes.', **more)
    return error(machine.key, f'{machine.label} has rendered no manifest', 'Talos brings nothing into Kubernetes from this node.',
                 f'Look for k8s.ManifestController in talosctl -n {machine.address or machine.label} logs controller-runtime.', **more)


def _applied(machine):
    spec = machine.resource('ManifestStatuses', 'manifests') or {}
    return [str(name) for name in spec.get('manifestsApplied') or []]


def _missing(machine):
    """Ids that are not applied; None where that was not seen."""
    if not machine.datum('Manifests').ok or not machine.datum('ManifestStatuses').ok:
        return None
    done = set(_applied(machine))
    return [str(item.get('id')) for item in machine.value('Manifests') if str(item.get('id')) not in done]


def _is_fresh(view, machine, name):
    """It came, or was changed, so short a while ago that it need not be applied yet."""
    item = next(each for each in machine.value('Manifests') if str(each.get('id')) == name)
    at = parse_time(item.get('updated'))
    return at is not None and view.now - at < timedelta(seconds=view.threshold(SETTLE_SECONDS))


CHECKS = (
    Check('controlplane.manifest_apply_fails', SECTION, 'Manifests are downloaded and applied without an error', manifest_apply_fails, each=CONTROL_PLANES,
          reads=('Manifests', 'ManifestStatuses', 'MachineStatuses'), logs=('controller-runtime', 'machined', 'dmesg'), catalogue='CP-5'),
    Check('controlplane.manifests_missing', SECTION, 'Every manifest of a control plane node is applied', manifests_missing, each=CONTROL_PLANES,
          needs=('Manifests', 'ManifestStatuses'), reads=('BootstrapManifestsConfigs', 'ServiceList', 'EtcdStatus', 'MachineStatuses'), catalogue='CP-5',
          thresholds={SETTLE_SECONDS: Threshold(600, 's', 'how long a new or changed manifest may be waiting to be applied')}),
)
