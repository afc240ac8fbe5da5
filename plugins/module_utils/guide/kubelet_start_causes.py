# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a kubelet does not run: what the last event of the service, its "last log" and machined's log since then name.

Unlike etcd's, the event of a kubelet that exits holds the cause (edge-cases 50c).
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_start_causes import Cause
from ansible_collections.talosops.talos.plugins.module_utils.guide.image_pull import given_up, last_pull
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NOT_BOOTSTRAPPED, PRE_FAILED
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import API_DOWN
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time

_LAST_LOG = re.compile(r'\(last log "(?P<log>.*)"\)\s*$', re.DOTALL)
_EXIT_CODE = re.compile(r'exit code (\d+)')
_WAITING = re.compile(r'^Waiting for (?P<what>.*)', re.DOTALL)
_REFUSED = re.compile(r'"controller": "k8s\.KubeletSpecController", "error": "(?P<why>(?:extra arg|field|error creating kubelet configuration)'
                      r'(?:[^"\\]|\\.)*)"')

_ARGUMENTS = ('Correct or remove it in machine.kubelet.extraArgs (talosctl patch machineconfig, first with --dry-run; no reboot): the kubelet takes '
              'it up by itself.')
_CONFIGURATION = 'Correct machine.kubelet.extraConfig (talosctl patch machineconfig, first with --dry-run; no reboot).'

# (what its last words say, what it is, what it means, what to do, the facts that would explain it), the most telling first.
_LAST_WORDS = (
    (re.compile(r'failed to parse kubelet flag: unknown (?:shorthand )?flag: (?P<what>\S+?)(?:["\s]|$)'), 'it does not know the argument {what}',
     'machine.kubelet.extraArgs holds an argument that this version of the kubelet does not have.', _ARGUMENTS, ()),
    (re.compile(r'[Ff]ailed to validate kubelet flags"? err="?(?P<what>[^"\n]+)'), 'it refuses its arguments ({what})',
     'An argument was removed, or needs a feature gate, in this version of the kubelet.', _ARGUMENTS, ()),
    (re.compile(r'unrecognized feature gate: (?P<what>\w+)'), 'it does not know the feature gate {what}',
     'The feature gate was never in this version of the kubelet, or is in it no more.',
     'Remove it from machine.kubelet.extraArgs or extraConfig (talosctl patch machineconfig, first with --dry-run; no reboot).', ()),
    (re.compile(r'(?P<what>failed to load kubelet config file[^"\n]*|failed to validate kubelet configuration[^"\n]*|strict decoding error[^"\n]*|'
                r'unknown field [^,\n]+)'), 'it refuses its configuration ({what})', 'machine.kubelet.extraConfig is wrong for this version.',
     _CONFIGURATION, ()),
    (re.compile(r'invalid kernel flag: (?P<what>\S+, expected value: \S+, actual value: [^",\s]+)'), 'a kernel setting is not what it wants ({what})',
     'With protectKernelDefaults the kubelet refuses to run on other settings than its own.', 'Set it in machine.sysctls.', ()),
    (re.compile(r'bad --node-ip "?(?P<what>[^";\s]+)'), 'it refuses its node IP {what}',
     'More addresses than one of each family match machine.kubelet.nodeIP.validSubnets.',
     'Let validSubnets match one address of each family, and leave the VIP out.', ('node_ip',)),
    (re.compile(r'(?P<what>no space left on device)'), 'its disk is full', 'The kubelet cannot write to /var.',
     'Free space on /var of this node (talosctl usage /var).', ('disk_full',)),
    (re.compile(r'(?P<what>existing bootstrap client certificate[^"\n]*is expired|x509: certificate has expired or is not yet valid[^"\n]*)'),
     'a certificate is out of its time ({what})', 'The kubelet was off for longer than its certificate lasts, or a clock is wrong.',
     'Compare the clock of this node with the others first; then restart the kubelet (talosctl service kubelet restart), which asks for a new one.',
     ('clock',)),
    (re.compile(r'failed to run Kubelet: (?P<what>[^"\n]+)'), 'it cannot run ({what})', 'The kubelet gave up while it started.',
     'Read the reason in its log, and compare machine.kubelet of this node with one whose kubelet runs.', ()),
    (re.compile(r'Unable to register mirror pod|No valid client certificate is found(?P<what>)'),
     'it waits for its client certificate, which no API server gave it', 'A kubelet without a certificate exits every five minutes and is '
     'started again, until an API server answers.', 'Look at the API server first; where it is up, at kubectl get csr.', ('api',)),
)

# From a start to the exit that it leads to.
_STARTS = timedelta(seconds=60)
# Lines of the kubelet's log that name why it exits.
_LAST_LINES = ('kubelet.unknown_flag', 'kubelet.bad_flags', 'kubelet.unknown_gate', 'kubelet.kernel_flag', 'nodeip.too_many')

# In the order in which they come at a boot: while several are missing, the first is the reason.
_DEPENDENCIES = (
    ('volume', 'a volume is not mounted', 'The kubelet keeps its data on it.', 'Look at talosctl get volumestatus for a volume in phase failed.',
     ('volume_failed', 'boot_blocked')),
    ('service "cri"', 'the service cri is not up', 'containerd runs the kubelet and its containers.', 'Look at talosctl service cri and its log.',
     ('boot_blocked',)),
    ('network', 'the network is not ready', 'It has no address, no host name or no default route yet.',
     'Look at talosctl get networkstatus and the links.', ('network', 'no_address', 'subnet_conflict')),
    ('time sync', 'the time is not in sync', 'The kubelet is not started with a clock that may be wrong.',
     'Make the time servers reachable (UDP 123), or set others in machine.time.servers.', ('clock',)),
)


def cause_of(view, machine):
    """The Cause why the kubelet does not run, or is not healthy; the last reason that the present attempt gave."""
    last = view.kubelet.last_event(machine)
    said = last.msg if last is not None else ''
    crashes = view.kubelet.crashes(machine)
    if crashes:
        return _crash(view, machine, crashes)
    found = _image(view, machine, said) or _prestage(view, machine, said) or _dependency(view, machine, said) or _unhealthy(view, machine)
    return found or _nothing_known(view, machine, said)


def event(machine, item):
    """One event of the service as evidence; of a long one the end, where the cause stands."""
    if item is None:
        return []
    text = ' '.join(item.msg.split())
    if len(text) > 480:
        text = f'{text[:160]} … {text[-310:]}'
    return [Evidence(f'{item.state}: {text}', 'ServiceList', machine.label, format_time(item.at) if item.at else None)]


def last_words(message):
    """What the kubelet said last before it exited, its quoting undone (talos-api 5.2); empty where the event does not hold it."""
    match = _LAST_LOG.search(message)
    if not match:
        return ''
    try:
        text = json.loads(f'"{match["log"]}"')
    except ValueError:
        text = match['log']
    return text.replace('\\"', '"')


def _crash(view, machine, crashes):
    count = len(crashes)
    often = f'{count} exit{"s" if count > 1 else ""} in five minutes'
    evidence = event(machine, crashes[-1])
    for crash in reversed(crashes):
        words = last_words(crash.msg)
        for pattern, what, means, step, facts in _LAST_WORDS:
            hit = pattern.search(words)
            if hit:
                return Cause(f'{what.format(what=(hit.group("what") or "").strip())} ({often})', means, step, evidence, lasting='api' not in facts,
                             explained_by=_facts(machine, facts))
    logged = _logged(view, machine, crashes, often, evidence)
    if logged:
        return logged
    code = _EXIT_CODE.search(crashes[-1].msg)
    if code and code[1] == '137':
        return Cause(f'it was killed, with exit code 137 ({often})', 'Most likely for lack of memory.',
                     'Look at the memory of this node (talosctl memory) and at its kernel log for the OOM killer.', evidence,
                     explained_by=_facts(machine, ('memory',)))
    said = f' with exit code {code[1]}' if code else ''
    return Cause(f'it exits{said} ({often})', 'Talos starts it again every five seconds, for ever.',
                 f'Read its log for the reason: talosctl -n {machine.address or machine.label} logs kubelet --tail 100. Extra arguments and extra '
                 'configuration are the first suspects.', evidence)


def _logged(view, machine, crashes, often, evidence):
    """The Cause that the kubelet's own log names, where the events of the service do not hold its last words; None where it names none."""
    since = min((crash.at for crash in crashes if crash.at), default=None)
    hits = [hit for hit in view.signatures.recent(machine, *_LAST_LINES) if hit.at and since and hit.at >= since - _STARTS]
    for hit in hits:
        for pattern, what, means, step, facts in _LAST_WORDS:
            words = pattern.search(hit.line.text.replace('\\"', '"'))
            if words and 'api' not in facts:
                return Cause(f'{what.format(what=(words.group("what") or "").strip())} ({often})', means, step, [hit.evidence(), *evidence],
                             lasting=True, explained_by=_facts(machine, facts))
    return None


def _image(view, machine, said):
    wanted = (machine.resource('KubeletSpecs', 'kubelet') or {}).get('image')
    state = view.kubelet.state(machine)
    ended = given_up(said) if said.startswith(PRE_FAILED) else None
    logged = last_pull(view.kubelet.attempt_lines(machine), lambda image: image == wanted or 'kubelet' in image.rsplit('/', 1)[-1])
    pull = ended or (logged if state == 'Preparing' else None)
    if pull is None:
        return None
    if pull.failed is None:
        return Cause(f'its image {pull.image} is being pulled ({pull.progress})', 'The download goes on, it is slow.',
                     'Wait; if it stays slow, look at the link to the registry or use a mirror.', [view.etcd.quote(machine, 'machined', pull.line)])
    evidence, host = event(machine, view.kubelet.last_event(machine)) if ended else [], None
    if logged is not None and logged.failed is not None:
        evidence.append(view.etcd.quote(machine, 'machined', logged.line))
        host = logged.host
    final = ' A service that failed so is not tried again by itself: once the image is there, talosctl service kubelet start.' if ended else ''
    return Cause(f'its image {pull.image} cannot be pulled ({pull.failed})',
                 f'{f"The registry {host} was asked. " if host else ""}The kubelet runs from an image; without it the service ends in state Failed '
                 'after about two minutes for an unknown tag, after twenty for other faults.',
                 'Check that this tag exists (machine.kubelet.image; it begins with a v), and the registry, its mirror settings, DNS, proxy, '
                 f'credentials and the clock.{final}', evidence, lasting=pull.lasting, explained_by=_facts(machine, ('image_pull', 'clock')))


def _prestage(view, machine, said):
    if not said.startswith(PRE_FAILED):
        return None
    why = ' '.join(said[len(PRE_FAILED):].lstrip(': ').split())
    return Cause(f'the steps before its start failed ({why})', 'A service that failed so is not tried again by itself.',
                 f'Remove the cause (talosctl -n {machine.address or machine.label} logs machined), then talosctl service kubelet start.',
                 event(machine, view.kubelet.last_event(machine)), lasting=True)


def _dependency(view, machine, said):
    waiting = _WAITING.match(said)
    if not waiting or view.kubelet.state(machine) != 'Waiting':
        return None
    what, evidence = waiting['what'], event(machine, view.kubelet.last_event(machine))
    missing = [dependency for dependency in _DEPENDENCIES if dependency[0] in what]
    if not missing:
        return Cause(f'it waits for {what}', 'Something that the kubelet depends on is missing.',
                     'Look for the reason in talosctl logs machined.', evidence)
    _sign, title, means, step, _first = missing[0]
    shown = what if len(missing) == 1 else f'also {", ".join(each[1] for each in missing[1:])}'
    return Cause(f'{title} (waiting for {shown})' if len(missing) == 1 else f'{title}, {shown}', means, step, evidence,
                 explained_by=_facts(machine, tuple(dict.fromkeys(fact for each in missing for fact in each[4]))))


def _unhealthy(view, machine):
    service = view.kubelet.service(machine) or {}
    health = service.get('health') or {}
    if service.get('state') != 'Running' or health.get('healthy'):
        return None
    message = health.get('last_message') or ('its health was never checked' if health.get('unknown') else 'no message')
    evidence = [Evidence(f'health: {message}', 'ServiceList', machine.label, None if health.get('unknown') else health.get('last_change'))]
    return Cause(f'it runs and its health check fails ({message})' if not health.get('unknown') else 'it was started and has not been healthy yet',
                 'Talos asks http://127.0.0.1:10248/healthz of the kubelet. It does not answer while it starts, and when it hangs.',
                 f'Read its log: talosctl -n {machine.address or machine.label} logs kubelet --tail 100. If it hangs, restart it '
                 '(talosctl service kubelet restart).', evidence + event(machine, view.kubelet.last_event(machine)))


def _nothing_known(view, machine, said):
    log = machine.log('machined')
    unseen = '' if log.ok else f' (the log that would say why was not read: {log.why()})'
    refused = _refused(machine)
    if refused:
        return Cause(f'Talos refuses its configuration ({refused[0]})', 'machine.kubelet sets what Talos keeps for itself.', _ARGUMENTS, refused[1],
                     lasting=True)
    return Cause(f'its last word is "{said.splitlines()[0]}"{unseen}' if said else f'it gives no reason{unseen}', 'The kubelet has not been started.',
                 f'Read the log: talosctl -n {machine.address or machine.label} logs machined.', event(machine, view.kubelet.last_event(machine)))


def _refused(machine):
    """(why, evidence) where Talos does not accept machine.kubelet, by the log of its controllers; else None."""
    hits = list(_REFUSED.finditer(machine.log('controller-runtime').value or '')) if machine.log('controller-runtime').ok else []
    if not hits:
        return None
    why = hits[-1]['why'].replace('\\"', '"')
    return why, [Evidence(why, 'log controller-runtime', machine.label, machine.log('controller-runtime').at)]


def _facts(machine, names):
    return tuple(fact for name in names for fact in ((API_DOWN, NOT_BOOTSTRAPPED) if name == 'api' else (f'{name}:{machine.key}',)))
