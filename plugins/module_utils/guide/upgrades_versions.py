# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades: which versions run, and whether they go together (check catalogue 13, EXT-VER).

A pre-release counts as its minor. Two builds of one release ("-dirty", commits after a tag) are no two releases.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.progress import progressing, stuck
from ansible_collections.talosops.talos.plugins.module_utils.judge import support_matrix, versions
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Evidence, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import down
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import COMPONENTS, kubelet_down

KUBELET = 'kubelet'
PROXY = 'kube-proxy'
API_SERVER = 'kube-apiserver'


def unfit_kubelet(machine):
    """The fact that the version of this machine's kubelet does not fit Talos, or the API servers."""
    return f'kubelet.version:{machine.key}'


def talos(machine):
    """The Version of Talos on a machine, None where it was not read or is none."""
    return versions.parse(((machine.value('Version') or {}).get('version') or {}).get('tag'))


# -- EXT-VER: one Talos everywhere ------------------------------------------------------------------------------

def talos_versions_differ(view):
    """All machines run one release of Talos; info while a machine is being upgraded."""
    answering = view.snapshot.answering()
    if not answering:
        return unknown('cluster', 'whether all machines run one version of Talos: no machine answered', explained_by=('not_judged',))
    found = {machine.key: talos(machine) for machine in answering}
    unread = [machine for machine in answering if found[machine.key] is None]
    outcomes = [unknown('cluster', f'whether all machines run one version of Talos: {_why_unread(unread)}', nodes=[m.key for m in unread],
                        next_step='Ask it: talosctl version.', explained_by=('role', 'not_judged'))] if unread else []
    known = [machine for machine in answering if machine not in unread]
    return [*outcomes, _differ(view, known, found)] if known else outcomes


def _differ(view, machines, found):
    groups = _by_release(machines, found)
    if len(groups) == 1:
        builds = {str(found[machine.key]) for machine in machines}
        if len(builds) == 1:
            return ok('cluster')
        return info('cluster', f'The machines run different builds of one release of Talos: {_told(_by(machines, lambda m: str(found[m.key])))}',
                    'Builds between releases may behave differently, although they bear one number.',
                    'Run the same image on all machines.', nodes=[m.key for m in machines], evidence=_tags(machines))
    busy = [machine for machine in machines if progressing(view, machine)]
    settled = _by_release([machine for machine in machines if machine not in busy], found)
    usual = max(settled or groups, key=lambda release: (len((settled or groups)[release]), release))
    others = [machine for machine in ordered(machines) if found[machine.key].release != usual]
    told = _told({str(found[group[0].key]): group for group in groups.values()})
    more = {'nodes': [machine.key for machine in others], 'evidence': _tags(others + groups[usual][:1])}
    lines = sorted({found[machine.key].line for group in settled.values() for machine in group})
    apart = lines and (lines[0][0] != lines[-1][0] or lines[-1][1] - lines[0][1] > 1)
    if busy and not apart:
        return info('cluster', f'Talos is being upgraded on {listed(m.label for m in busy)}: {told}',
                    'Different versions are normal until the last machine was upgraded.', 'Gather again when the upgrade is done.', **more)
    raise_it = error if apart else warning
    means = ('They are more than one minor apart, which Talos is not tested with: machines of one cluster may understand neither each other\'s '
             'configuration nor an API.' if apart else 'An upgrade stopped half way, or a machine was left out.')
    return raise_it('cluster', f'The machines run different versions of Talos: {told}', means,
                    f'Bring {listed(m.label for m in others)} to the version of the others (talosctl upgrade), one machine at a time, minor by '
                    'minor.',
                    explained_by=tuple(stuck(machine) for machine in machines), **more)


def _by(machines, key):
    groups = {}
    for machine in ordered(machines):
        groups.setdefault(key(machine), []).append(machine)
    return groups


def _by_release(machines, found):
    return _by(machines, lambda machine: found[machine.key].release)


def _told(groups):
    """"v1.13.9 on cp-1 and cp-2, v1.12.4 on w-2", what most machines run first."""
    parts = [f'{text} on {listed(m.label for m in group)}' for text, group in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))]
    return ', '.join(parts)


def _tags(machines):
    return [seen(machine, 'Version', str(((machine.value('Version') or {}).get('version') or {}).get('tag'))) for machine in machines]


def _why_unread(machines):
    said = []
    for machine in ordered(machines):
        datum = machine.datum('Version')
        tag = ((datum.value or {}).get('version') or {}).get('tag') if datum.ok else None
        said.append(f'"{tag}" of {machine.label} is no version' if datum.ok else f'Version of {machine.label}: {datum.why()}')
    return '; '.join(said)


# -- what of Kubernetes runs where ------------------------------------------------------------------------------

def kubelet(view, machine):
    """(Version, where it was seen) of a machine's kubelet, or (None, '').

    Talos 1.14 tells it; before that its configuration does (os:admin), the Node, or the only kubelet image that there is.
    """
    for kind in ('KubeletStatuses', 'KubeletSpecs'):
        found = versions.image((machine.resource(kind, KUBELET) or {}).get('image'))
        if found:
            return found, kind
    node = view.kubernetes.node_of(machine) if view.kubernetes.read else None
    found = versions.parse(node.get('kubelet_version')) if node else None
    if found:
        return found, 'nodes'
    images = {versions.image(each.get('name')) for each in machine.value('ImageList') or [] if '/kubelet:' in str(each.get('name'))} - {None}
    return (max(images), 'ImageList') if len({each.line for each in images}) == 1 else (None, '')


def components(machine):
    """{name: (Version, where it was seen)} of the control plane of a machine: its static pods, else its containers."""
    found = {}
    for name in COMPONENTS:
        spec = machine.resource('StaticPods', name)
        version = next((versions.image(each.get('image')) for each in (spec or {}).get('containers') or [] if each.get('name') == name), None)
        if version:
            found[name] = (version, 'StaticPods')
    listed_ = (machine.value('Containers') or {}).get('containers') or []
    for container in sorted(listed_, key=lambda each: each.get('status') != 'CONTAINER_RUNNING'):
        name, version = container.get('name'), versions.image(container.get('image'))
        if name in COMPONENTS and version and str(container.get('id')).startswith('kube-system/'):
            found.setdefault(name, (version, 'Containers'))
    return found


def api_servers(view):
    """{key of a control plane node: Version of its API server}; under None that of the API, where no node told its own."""
    found = {machine.key: components(machine)[API_SERVER][0] for machine in view.answering_control_planes if API_SERVER in components(machine)}
    if not found:
        datum = view.kubernetes.datum('version')
        version = versions.parse((datum.value or {}).get('gitVersion')) if datum.ok else None
        found = {None: version} if version else {}
    return found


def _runs_kubelet(view, machine):
    """False where the kubelet was seen not to run: what its version has to do with that is said where that is judged."""
    return view.kubelet.runs(machine) is not False


def _nothing_runs(view):
    """Why there is no API server that a version could be compared with, or None where there may be one."""
    if view.kubernetes.absent:
        return 'there is no Kubernetes'
    if view.not_bootstrapped:
        return 'the cluster has not been bootstrapped'
    if view.etcd.statuses and not view.etcd.with_leader or view.answering_control_planes and not view.etcd.possible_planes:
        return 'etcd has no quorum, so no API server runs'
    return None


# -- EXT-VER: Kubernetes and Talos ------------------------------------------------------------------------------

def kubernetes_unsupported(view):
    """Talos on each machine supports the Kubernetes that it runs (check catalogue 13)."""
    if view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    bad, beyond, unread, judged = [], [], [], 0
    for machine in view.snapshot.answering():
        runs = {name: found for name, (found, _source) in components(machine).items()} if machine.is_control_plane else {}
        release, own = talos(machine), kubelet(view, machine)[0]
        if _runs_kubelet(view, machine):
            if release is None or own is None:
                unread.append(machine)
                continue
            runs[KUBELET] = own
        if release is None or not runs:
            continue
        judged += 1
        if any(versions.supported(release, found) is None for found in runs.values()):
            beyond.append(machine)
        wrong = {name: found for name, found in runs.items() if versions.supported(release, found) is False}
        if wrong:
            bad.append((machine, release, wrong))
    outcomes = []
    if bad:
        outcomes.append(_unsupported(bad))
    if beyond:
        lines = sorted({talos(machine).line for machine in beyond})
        outcomes.append(unknown('cluster', f'whether Talos {listed(f"{major}.{minor}" for major, minor in lines)} supports the Kubernetes that runs: '
                                           'this release of the collection does not know it', nodes=[m.key for m in beyond],
                                next_step='Look it up in the support matrix of Talos, and update this collection.'))
    if unread:
        outcomes.append(unknown('cluster', f'whether Talos supports the Kubernetes on {listed(m.label for m in ordered(unread))}: '
                                           f'{_unread_kubelet(unread[0])}',
                                nodes=[m.key for m in unread], next_step='Give a kubeconfig, or read it with an os:admin talosconfig.',
                                explained_by=(*(kubelet_down(m) for m in unread), 'role', 'not_judged')))
    if outcomes or judged:
        return outcomes or ok('cluster')
    if view.snapshot.answering():
        return not_applicable('cluster', 'nothing of Kubernetes was seen to run')
    return unknown('cluster', 'whether Talos supports the Kubernetes that runs: no machine answered', explained_by=('not_judged',))


def _unread_kubelet(machine):
    if talos(machine) is None:
        return 'the version of Talos was not read'
    return (f'the version of the kubelet was not read (KubeletSpecs of {machine.label}: {machine.datum("KubeletSpecs").why()}; ImageList: '
            f'{"it does not hold just one" if machine.datum("ImageList").ok else machine.datum("ImageList").why()})')


def _unsupported(bad):
    pairs = sorted({(release.line, found.line) for _machine, release, wrong in bad for found in wrong.values()})
    what = listed(f'Kubernetes {kube[0]}.{kube[1]} on Talos {own[0]}.{own[1]}' for own, kube in pairs)
    machines = [machine for machine, _release, _wrong in bad]
    first, last = support_matrix.KUBERNETES[pairs[0][0][1]]
    new = pairs[0][1][1] > last
    step = ('Upgrade Talos on these machines.' if new else 'Upgrade Kubernetes (talosctl upgrade-k8s), minor by minor, before Talos is upgraded '
                                                           'further.')
    return error('cluster', f'Talos does not support the Kubernetes that it runs: {what} ({listed(m.label for m in ordered(machines))})',
                 f'Talos {pairs[0][0][0]}.{pairs[0][0][1]} supports Kubernetes 1.{first} to 1.{last}. It may run, but Talos refuses changes of the '
                 'machine '
                 f'configuration ("version of Kubernetes … is too {"new" if new else "old"} to be used with Talos …").', step,
                 nodes=[machine.key for machine in machines],
                 evidence=[Evidence(f'Talos {release}, {", ".join(f"{name} {found}" for name, found in sorted(wrong.items()))}', 'Version',
                                    machine.label,
                                    machine.datum('Version').at) for machine, release, wrong in bad],
                 asserts=tuple(unfit_kubelet(machine) for machine, _release, wrong in bad if KUBELET in wrong))


# -- EXT-VER, KUB-3, CP-4: Kubernetes among itself --------------------------------------------------------------

def kubelet_skew(view):
    """No kubelet is newer than an API server, nor more than three minors older."""
    servers = api_servers(view)
    if not servers or not view.snapshot.answering():
        return _no_server(view, 'whether the kubelets fit the API servers')
    oldest, newest = min(servers.values()), max(servers.values())
    wrong, unread = [], []
    for machine in view.snapshot.answering():
        if not _runs_kubelet(view, machine):
            continue
        own, source = kubelet(view, machine)
        if own is None:
            unread.append(machine)
        elif own.line > oldest.line or _behind(own, newest) > support_matrix.KUBELET_BEHIND:
            wrong.append((machine, own, source))
    outcomes = []
    if wrong:
        told = _told(_by([machine for machine, _own, _source in wrong], lambda m: str(kubelet(view, m)[0])))
        newer = any(own.line > oldest.line for _machine, own, _source in wrong)
        outcomes.append(error(
            'cluster', f'The kubelet does not fit the API server ({_range(oldest, newest)}): {told}',
            'A kubelet that is newer than an API server, or more than three minors older, is not supported: it may fail to register, or misread '
            'what it is '
            'told to run.', 'Bring Kubernetes to one version with talosctl upgrade-k8s'
            + (', or set machine.kubelet.image of these machines to the version of the API server.' if newer else ', minor by minor.'),
            nodes=[machine.key for machine, _own, _source in wrong], asserts=tuple(unfit_kubelet(machine) for machine, _own, _source in wrong),
            evidence=[Evidence(f'kubelet {own}', source, machine.label, machine.datum(source).at) for machine, own, source in wrong]))
    if unread:
        outcomes.append(unknown('cluster', f'whether the kubelet of {listed(m.label for m in ordered(unread))} fits the API server: '
                                           f'{_unread_kubelet(unread[0])}', nodes=[m.key for m in unread],
                                next_step='Give a kubeconfig, or read it with an os:admin talosconfig.',
                                explained_by=(*(kubelet_down(m) for m in unread), 'role', 'not_judged')))
    return outcomes or ok('cluster')


def components_skew(view):
    """API servers are at most one minor apart, and kube-proxy fits them all; what runs beside an API server is judged with it."""
    servers = {machine.key: components(machine)[API_SERVER] for machine in view.answering_control_planes if API_SERVER in components(machine)}
    if not servers:
        return _no_server(view, 'whether the components of Kubernetes fit each other')
    oldest, newest = min(version for version, _source in servers.values()), max(version for version, _source in servers.values())
    late = [(view.snapshot.machine(key), API_SERVER, version, source) for key, (version, source) in servers.items() if _behind(version, newest) > 1]
    proxies = [(None, PROXY, version, 'daemonsets') for version in _proxies(view)
               if version.line > oldest.line or _behind(version, newest) > support_matrix.KUBELET_BEHIND]
    wrong = late + proxies
    if not wrong:
        return ok('cluster')
    told = listed(f'{name} {version}' + (f' on {machine.label}' if machine else '') for machine, name, version, _source in wrong)
    return error('cluster', f'Components of Kubernetes do not fit the API servers ({_range(oldest, newest)}): {told}',
                 'API servers may be one minor apart, kube-proxy may be three minors older and never newer. An upgrade stopped half way, or a '
                 'component was left behind.',
                 'Look for what still sets the old image (cluster.apiServer and cluster.proxy in the machine configuration), then finish the '
                 'upgrade with talosctl upgrade-k8s.', nodes=[machine.key for machine, _name, _version, _source in late], asserts=(versions.SKEW,),
                 evidence=[Evidence(f'{name} {version}', source, machine.label if machine else None,
                                    machine.datum(source).at if machine else view.kubernetes.datum(source).at)
                           for machine, name, version, source in wrong])


def _proxies(view):
    images = [image for each in view.kubernetes.listed('daemonsets') or [] if each['name'] == PROXY for image in each['images']]
    return [version for version in map(versions.image, images) if version]


def _behind(old, new):
    """By how many minors C(old) is older than C(new); a major is more than any number of them."""
    return (new.major - old.major) * 1000 + new.minor - old.minor


def _range(oldest, newest):
    return str(newest) if oldest.release == newest.release else f'{oldest} to {newest}'


def _no_server(view, what):
    nothing = _nothing_runs(view)
    if nothing:
        return not_applicable('cluster', nothing)
    planes = view.answering_control_planes
    why = '; '.join(f'StaticPods of {m.label}: {"there is none" if m.datum("StaticPods").ok else m.datum("StaticPods").why()}' for m in planes)
    return unknown('cluster', f'{what}: no version of an API server was read ({why or "no control plane node answered"})',
                   next_step='Find out why no API server runs.', nodes=[m.key for m in planes], explained_by=view.kubernetes.troubles)


# -- etcd and Talos ---------------------------------------------------------------------------------------------

def etcd_too_old(view, machine):
    """etcd is as new as this Talos needs it."""
    if view.service(machine, 'etcd') is None:
        return None
    release = talos(machine)
    status = machine.value('EtcdStatus') or {}
    found, source = versions.parse(status.get('protocol_version')), 'EtcdStatus'
    if found is None:
        found, source = versions.image((machine.resource('EtcdSpecs', 'etcd') or {}).get('image')), 'EtcdSpecs'
    if release is None or found is None:
        return unknown(machine.key, f'whether etcd of {machine.label} is new enough for Talos: '
                                    f'{"the version of Talos was not read" if release is None else "the version of etcd was not read"}',
                       nodes=[machine.key], explained_by=(down(machine), 'role', 'not_judged'))
    need = versions.least_etcd(release)
    if need is None or found.line >= need:
        return ok(machine.key)
    return error(machine.key, f'etcd {found} on {machine.label} is too old for Talos {release}, which needs {need[0]}.{need[1]}',
                 'Talos of this version does not work with it: the member may not start again, and cannot be maintained.',
                 'Set cluster.etcd.image of the control plane nodes to a version that Talos supports, or leave it out; one node after the other, '
                 'minor by '
                 'minor, with a snapshot of etcd taken before.', nodes=[machine.key],
                 evidence=[seen(machine, source, f'etcd {found}'), seen(machine, 'Version', str(release))])


_KUBERNETES = ('Version', 'ServiceList', 'KubeletStatuses', 'KubeletSpecs', 'ImageList', 'StaticPods', 'Containers', 'NodeIPConfigs')

CHECKS = (
    Check('upgrade.talos_versions_differ', 'x.upgrade', 'All machines run one version of Talos', talos_versions_differ,
          reads=('Version', 'MachineStatuses'), logs=('machined',), catalogue='EXT-VER'),
    Check('upgrade.kubernetes_unsupported', 'x.upgrade', 'Talos supports the Kubernetes that runs', kubernetes_unsupported,
          reads=_KUBERNETES, cluster_reads=('nodes',), catalogue='EXT-VER KUB-3 CP-4'),
    Check('upgrade.kubelet_skew', 'x.upgrade', 'The kubelets fit the API servers', kubelet_skew,
          reads=(*_KUBERNETES, 'EtcdStatus'), cluster_reads=('nodes', 'version'), catalogue='EXT-VER KUB-3'),
    Check('upgrade.components_skew', 'x.upgrade', 'The API servers and kube-proxy fit each other', components_skew,
          reads=('ServiceList', 'StaticPods', 'Containers', 'EtcdStatus'), cluster_reads=('daemonsets',), catalogue='EXT-VER CP-4'),
    Check('upgrade.etcd_too_old', 'x.upgrade', 'etcd is new enough for Talos', etcd_too_old, each=CONTROL_PLANES,
          needs=('ServiceList',), reads=('Version', 'EtcdStatus', 'EtcdSpecs'), catalogue='EXT-VER'),
)
