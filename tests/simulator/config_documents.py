# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine configuration as a set of YAML documents: read, checked, written and compared as Talos does it (talos-api 5.5 and 7)."""

from __future__ import annotations

import difflib
import ipaddress
import re

import yaml

from tests.simulator import go_yaml

_MACHINE = """type token ca acceptedCAs certSANs controlPlane kubelet pods network disks install files env time sysctls sysfs registries
systemDiskEncryption features udev logging kernel seccompProfiles baseRuntimeSpecOverrides nodeLabels nodeAnnotations nodeTaints""".split()
_CLUSTER = """id secret controlPlane clusterName network token aescbcEncryptionSecret secretboxEncryptionSecret ca acceptedCAs aggregatorCA
serviceAccount apiServer controllerManager proxy scheduler discovery etcd coreDNS externalCloudProvider extraManifests extraManifestHeaders
inlineManifests adminKubeconfig allowSchedulingOnMasters allowSchedulingOnControlPlanes""".split()
_KEYS = {
    (): ['version', 'debug', 'persist', 'machine', 'cluster'],
    ('machine',): _MACHINE,
    ('machine', 'kubelet'): """image clusterDNS extraArgs extraMounts extraConfig credentialProviderConfig defaultRuntimeSeccompProfileEnabled
        registerWithFQDN nodeIP skipNodeRegistration disableManifestsDirectory""".split(),
    ('machine', 'kubelet', 'nodeIP'): ['validSubnets'],
    ('machine', 'network'): ['hostname', 'interfaces', 'nameservers', 'searchDomains', 'extraHostEntries', 'kubespan', 'disableSearchDomain'],
    ('machine', 'install'): """disk diskSelector extraKernelArgs image extensions wipe legacyBIOSSupport grubUseUKICmdline""".split(),
    ('machine', 'time'): ['disabled', 'servers', 'bootTimeout'],
    ('machine', 'features'): """rbac stableHostname kubernetesTalosAPIAccess apidCheckExtKeyUsage diskQuotaSupport kubePrism hostDNS imageCache
        nodeAddressSortAlgorithm""".split(),
    ('cluster',): _CLUSTER,
    ('cluster', 'controlPlane'): ['endpoint', 'localAPIServerPort'],
    ('cluster', 'network'): ['cni', 'dnsDomain', 'podSubnets', 'serviceSubnets'],
    ('cluster', 'apiServer'): """image extraArgs extraVolumes env certSANs disablePodSecurityPolicy admissionControl auditPolicy resources
        authorizationConfig""".split(),
    ('cluster', 'discovery'): ['enabled', 'registries'],
    ('cluster', 'etcd'): ['image', 'ca', 'extraArgs', 'subnet', 'advertisedSubnets', 'listenSubnets'],
}
_KEPT_WHEN_EMPTY = ('certSANs', 'key', 'wipe', 'debug')
_LEADING = ('apiVersion', 'kind', 'name', 'interface')
_FREE = ('configuration', 'auditPolicy', 'extraConfig')

# Which documents there are beside v1alpha1, and since which minor version.
_KINDS = {
    **dict.fromkeys("""ExtensionServiceConfig KmsgLogConfig EventSinkConfig SideroLinkConfig NetworkDefaultActionConfig NetworkRuleConfig
        TrustedRootsConfig WatchdogTimerConfig VolumeConfig KubeSpanEndpointsConfig""".split(), 0),
    **dict.fromkeys(['UserVolumeConfig', 'EthernetConfig', 'PCIDriverRebindConfig'], 10),
    **dict.fromkeys(['RawVolumeConfig', 'ExistingVolumeConfig', 'SwapVolumeConfig', 'ZswapConfig'], 11),
    **dict.fromkeys("""HostnameConfig ResolverConfig StaticHostConfig TimeSyncConfig LinkConfig LinkAliasConfig DHCPv4Config DHCPv6Config
        VLANConfig BondConfig BridgeConfig DummyLinkConfig WireguardConfig Layer2VIPConfig HCloudVIPConfig RegistryMirrorConfig
        RegistryAuthConfig RegistryTLSConfig OOMConfig""".split(), 12),
    **dict.fromkeys(['EnvironmentConfig', 'KubeSpanConfig', 'ImageVerificationConfig'], 13),
    **dict.fromkeys("""KubeAPIServerConfig KubeControllerManagerConfig KubeSchedulerConfig KubeletConfig KubeNodeConfig KubeNetworkConfig
        KubeFlannelCNIConfig KubeExternalManifestConfig KubeInlineManifestConfig KubeClusterConfig DiscoveryServiceConfig
        DiscoveryIdentityConfig KubePrismConfig KubeTalosAPIAccessConfig UnattendedInstallConfig KubeAggregatorCAConfig""".split(), 14),
}

# What may change without a reboot up to 1.13 (talos-api 7.2).
_IMMEDIATE = """ca acceptedCAs time certSANs install network sysfs sysctls logging controlPlane kubelet kernel registries pods seccompProfiles
nodeAnnotations nodeLabels nodeTaints""".split()
_IMMEDIATE_FEATURES = ('kubernetesTalosAPIAccess', 'kubePrism', 'hostDNS', 'imageCache', 'nodeAddressSortAlgorithm')

KUBELET_FLAGS = set("""address allowed-unsafe-sysctls authentication-token-webhook authorization-mode bootstrap-kubeconfig cert-dir cloud-provider
cluster-dns cluster-domain config container-runtime-endpoint cpu-manager-policy enable-server eviction-hard eviction-soft fail-swap-on
feature-gates hostname-override image-gc-high-threshold image-gc-low-threshold kube-reserved kubeconfig max-pods node-ip node-labels
node-status-update-frequency pod-max-pids protect-kernel-defaults provider-id read-only-port register-node register-with-taints
resolv-conf rotate-certificates rotate-server-certificates runtime-request-timeout serialize-image-pulls system-reserved
tls-cert-file tls-cipher-suites tls-min-version tls-private-key-file topology-manager-policy v volume-plugin-dir
anonymous-auth application-metrics-count-limit authentication-token-webhook-cache-ttl authorization-webhook-cache-authorized-ttl
authorization-webhook-cache-unauthorized-ttl cgroup-driver cgroup-root cgroups-per-qos client-ca-file cloud-config config-dir
container-log-max-files container-log-max-size contention-profiling cpu-cfs-quota cpu-cfs-quota-period cpu-manager-policy-options
cpu-manager-reconcile-period enable-controller-attach-detach enable-debugging-handlers enforce-node-allocatable event-burst event-qps
eviction-max-pod-grace-period eviction-minimum-reclaim eviction-pressure-transition-period eviction-soft-grace-period exit-on-lock-contention
experimental-allocatable-ignore-eviction file-check-frequency hairpin-mode healthz-bind-address healthz-port http-check-frequency
image-credential-provider-bin-dir image-credential-provider-config image-service-endpoint keep-terminated-pod-volumes kernel-memcg-notification
kube-api-burst kube-api-content-type kube-api-qps kube-reserved-cgroup kubelet-cgroups local-storage-capacity-isolation lock-file
log-flush-frequency log-json-info-buffer-size log-json-split-stream log-text-info-buffer-size log-text-split-stream logging-format
make-iptables-util-chains manifest-url manifest-url-header max-open-files maximum-dead-containers maximum-dead-containers-per-container
memory-manager-policy minimum-container-ttl-duration minimum-image-ttl-duration node-status-max-images oom-score-adj pod-cidr
pod-infra-container-image pod-manifest-path pods-per-core port profiling qos-reserved registry-burst registry-qps reserved-cpus reserved-memory
root-dir runonce runtime-cgroups seccomp-default streaming-connection-idle-timeout sync-frequency system-cgroups system-reserved-cgroup
topology-manager-policy-options topology-manager-scope vmodule volume-stats-agg-period""".split())
ETCD_FLAGS = set("""advertise-client-urls auto-compaction-mode auto-compaction-retention auto-tls cert-file cipher-suites client-cert-auth
data-dir election-timeout enable-pprof experimental-compact-hash-check-enabled feature-gates heartbeat-interval initial-advertise-peer-urls
initial-cluster initial-cluster-state key-file listen-client-http-urls listen-client-urls listen-metrics-urls listen-peer-urls log-level
max-request-bytes max-snapshots max-txn-ops max-wals metrics name peer-cert-file peer-key-file peer-trusted-ca-file quota-backend-bytes
snapshot-count strict-reconfig-check tls-max-version tls-min-version trusted-ca-file unsafe-no-fsync auth-token auth-token-ttl
backend-batch-interval backend-batch-limit bcrypt-cost bootstrap-defrag-threshold-megabytes client-cert-allowed-hostname client-crl-file
compaction-batch-limit compaction-sleep-interval corrupt-check-time cors discovery-token downgrade-check-time enable-distributed-tracing
enable-grpc-gateway force-new-cluster force-new-cluster-bump-amount grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout
host-whitelist initial-cluster-token initial-election-tick-advance lease-checkpoint logger log-outputs log-format max-concurrent-streams
max-learners memory-mlock peer-auto-tls peer-cert-allowed-cn peer-cert-allowed-hostname peer-client-cert-auth peer-crl-file
peer-skip-client-san-verification pre-vote self-signed-cert-validity snapshot-catchup-entries socket-reuse-address socket-reuse-port
unsafe-no-fsync v2-deprecation wal-dir warning-apply-duration warning-unary-request-duration watch-progress-notify-interval""".split())


class Invalid(Exception):
    """The configuration is none, in Talos's own words."""


def v1alpha1(documents):
    """The document without kind, None without one."""
    return next((one for one in documents if not one.get('kind')), None)


def parse(data, minor):
    """The documents of a configuration, normalized. Raises L(Invalid)."""
    try:
        found = [one for one in yaml.compose_all(data.decode(), yaml.SafeLoader) if one is not None]
        loaded = [one for one in yaml.safe_load_all(data.decode()) if one is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, 'problem_mark', None)
        raise Invalid(f'decode error: yaml: line {mark.line + 1 if mark else 1}: {getattr(error, "problem", error)}') from error
    seen = set()
    for node, document in zip(found, loaded):
        line = node.start_mark.line + 1
        if not isinstance(document, dict):
            raise Invalid(f'expected a YAML document at line {line}')
        name = '/'.join(str(document.get(key) or '') for key in ('apiVersion', 'kind', 'name'))
        name = name if document.get('kind') else '/v1alpha1/'
        if name in seen:
            raise Invalid(f'duplicate document {name} is not allowed (line {line})')
        seen.add(name)
        problem = _document_problem(document, minor)
        if problem:
            raise Invalid(f'error decoding document {name} (line {line}): {problem}')
    return normalized(loaded)


def _document_problem(document, minor):
    kind, version = document.get('kind'), document.get('apiVersion')
    if not kind:
        if version is None and not {'machine', 'cluster', 'debug', 'persist'} & set(document):
            return 'missing kind'
        unknown = _unknown(document, ())
        return f'unknown keys found during decoding:\n{go_yaml.dump(unknown)}' if unknown else None
    if version is None:
        return 'missing apiVersion'
    if version != 'v1alpha1' or _KINDS.get(kind, 99) > minor:
        return f'"{kind}" "{version}": not registered'
    return None


def _unknown(value, path):
    """The part of a mapping that Talos has no fields for, {} when there is none."""
    found = {}
    for key, item in value.items():
        if path in _KEYS and key not in _KEYS[path]:
            found[key] = item
        elif isinstance(item, dict) and (inner := _unknown(item, (*path, key))):
            found[key] = inner
    return found


def normalized(documents):
    """As Talos writes them anew: fields in its order, other mappings sorted, what is empty left out (see text)."""
    return [_ordered(one, ('kind',) if one.get('kind') else ()) for one in documents]


def _ordered(value, path):
    if isinstance(value, list):
        return [_ordered(item, (*path, '[]')) for item in value]
    if not isinstance(value, dict):
        return value
    known = _KEYS.get(path)
    keys = sorted(value, key=known.index) if known else sorted(value) if {*path} & {*_FREE} else sorted(value, key=_first_keys)
    ordered = {key: _ordered(value[key], (*path, key)) for key in keys}
    return {key: item for key, item in ordered.items() if item not in (None, {}, []) or key in _KEPT_WHEN_EMPTY or {*path} & {*_FREE}}


def _first_keys(key):
    return _LEADING.index(key) if key in _LEADING else len(_LEADING), key


def text(documents):
    return '---\n'.join(go_yaml.dump(one) for one in documents)


def diff(old, new):
    """A unified diff, empty when there is none."""
    lines = difflib.unified_diff(text(old).splitlines(), text(new).splitlines(), 'a', 'b', lineterm='')
    return ''.join(f'{line}\n' for line in lines)


def immediate_problem(old, new):
    """Why a change needs a reboot up to 1.13, None when it does not."""
    before, after = v1alpha1(old), v1alpha1(new)
    allowed = {**after, 'debug': before.get('debug'), 'cluster': before.get('cluster')}
    machine = {**(after.get('machine') or {})}
    own = before.get('machine') or {}
    _put(machine, own, _IMMEDIATE)
    if 'features' in machine and 'features' in own:
        machine['features'] = {**machine['features']}
        _put(machine['features'], own['features'], _IMMEDIATE_FEATURES)
    allowed['machine'] = machine
    difference = diff(normalized([before]), normalized([allowed]))
    return f"this config change can't be applied in immediate mode\ndiff:\n{difference}" if difference else None


def _put(target, source, keys):
    for key in keys:
        if key in source:
            target[key] = source[key]
        else:
            target.pop(key, None)


def check(documents, node):
    """Talos's validation. Raises L(Invalid)."""
    errors = [f'v1alpha1.Config: {_listed(found)}'] if (found := _v1alpha1_errors(v1alpha1(documents), node)) else []
    for document in documents:
        if document.get('kind') == 'HostnameConfig':
            errors += _hostname_errors(document, v1alpha1(documents))
        if document.get('kind') == 'KubeAPIServerConfig' and (v1alpha1(documents).get('cluster') or {}).get('apiServer'):
            errors.append('kube-apiserver config is already set in v1alpha1 config (.cluster.apiServer)')
    if errors:
        raise Invalid(_listed(errors))


def _listed(errors):
    """The text of hashicorp's multierror."""
    return f'{len(errors)} error{"s" if len(errors) > 1 else ""} occurred:\n' + ''.join(f'\t* {error}\n' for error in errors) + '\n'


def _hostname_errors(document, config):
    if not document.get('auto') and not document.get('hostname'):
        yield "either 'auto' or 'hostname' must be set"
    if document.get('auto', 'off') != 'off' and document.get('hostname'):
        yield "'auto' and 'hostname' cannot be set at the same time"
    if ((config.get('machine') or {}).get('network') or {}).get('hostname'):
        yield 'static hostname is already set in v1alpha1 config'


def _v1alpha1_errors(config, node):
    machine, cluster = config.get('machine'), config.get('cluster')
    if not machine:
        return ['machine instructions are required']
    errors = _cluster_errors(cluster, machine.get('type') in ('controlplane', 'init'))
    authority = machine.get('ca') or {}
    if not authority.get('crt') and not machine.get('acceptedCAs'):
        errors.append('issuing CA or some accepted CAs are required (.machine.ca, machine.acceptedCAs)')
    if machine.get('type') in ('controlplane', 'init'):
        if not authority:
            errors.append('issuing CA is required (.machine.ca)')
        elif not authority.get('key'):
            errors.append('issuing CA key is required for controlplane nodes (.machine.ca.key)')
    elif machine.get('type') == 'worker':
        if any(one.get('vip') for one in (machine.get('network') or {}).get('interfaces') or ()):
            errors.append('virtual (shared) IP is not allowed on non-controlplane nodes')
        if authority.get('key'):
            errors.append('issuing Talos API CA key is not allowed on non-controlplane nodes (.machine.ca)')
    else:
        errors.append(f'unknown machine type "{machine.get("type") or ""}"')
    kubelet = machine.get('kubelet') or {}
    for subnet in (kubelet.get('nodeIP') or {}).get('validSubnets') or ():
        if not _is_subnet(subnet):
            errors.append(f'kubelet nodeIP subnet is not valid: "{subnet.removeprefix("!")}"')
    image = kubelet.get('image')
    problem = _version_problem(image, node) if image != (node.config.machine.get('kubelet') or {}).get('image') else None
    return errors + ([f'kubelet image is not valid: {problem}'] if problem else [])


def _cluster_errors(cluster, control_plane):
    if not cluster:
        return ['cluster instructions are required']
    if 'controlPlane' in cluster and not (cluster['controlPlane'] or {}).get('endpoint'):
        return ['cluster controlplane endpoint is required']
    errors = []
    etcd = cluster.get('etcd')
    if etcd and not control_plane:
        errors.append('etcd config is only allowed on control plane machines')
    for kind in ('advertised', 'listen'):
        for subnet in (etcd or {}).get(f'{kind}Subnets') or ():
            if not _is_subnet(subnet):
                errors.append(f'etcd {kind} subnet is not valid: "{subnet.removeprefix("!")}"')
    if not control_plane and (cluster.get('ca') or {}).get('key'):
        errors.append('cluster CA key is not allowed on non-controlplane nodes (.cluster.ca)')
    return errors


def _is_subnet(text):
    try:
        return bool(ipaddress.ip_network(str(text).removeprefix('!'), strict=False))
    except ValueError:
        return False


def _version_problem(image, node):
    """Which Kubernetes a Talos runs: 1.N takes 1.(N+18) to 1.(N+23) (talos-api 8; the newest patch 99 is too new already, rec)."""
    match = re.search(r':v?(\d+)\.(\d+)\.(\d+)', image or '')
    if not match:
        return None
    minor, patch = int(match[2]), int(match[3])
    version, talos = '.'.join(match.groups()), node.talos.removeprefix('v')
    if (minor, patch) >= (node.minor + 23, 99):
        return f'version of Kubernetes {version} is too new to be used with Talos {talos}'
    if minor < node.minor + 18:
        return f'version of Kubernetes {version} is too old to be used with Talos {talos}'
    return None
