# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check is, and what it says about a subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v

ALL = 'all'
CONTROL_PLANES = 'control_planes'
WORKERS = 'workers'


@dataclass(frozen=True)
class Threshold:
    """A number that a user may set in C(talos_thresholds); C(unit) is s, ratio, bytes, MiB, GiB, %, count or days."""

    default: float
    unit: str
    what: str


@dataclass
class Evidence:
    """What was seen: C(node) a machine's label, C(source) the read it stands in, C(at) RFC 3339 or None."""

    text: str
    source: str
    node: str | None = None
    at: str | None = None


@dataclass
class Outcome:
    """The verdict on one subject.

    C(subject) is stable over time: a machine's key, an etcd member id, an endpoint as it is written, or "cluster".
    C(nodes) are keys of machines. C(asserts) are facts that this outcome establishes, C(explained_by) facts that
    would explain it ("unreachable:<key>"): a finding whose explanation is asserted by another one is its
    consequence (causes.py). C(remedy) is None or {name, args}.
    """

    verdict: str
    subject: str
    title: str = ''
    means: str = ''
    next_step: str = ''
    nodes: list = field(default_factory=list)
    evidence: list = field(default_factory=list)
    asserts: tuple = ()
    explained_by: tuple = ()
    remedy: dict | None = None


@dataclass(frozen=True)
class Check:
    """One bullet of the guide, or one that it implies.

    C(run) is pure: C(run(view, machine)) for each machine of C(each) that answered, or C(run(view)) once where
    C(each) is None; it returns an Outcome, a list of them, or None for "nothing to say about this machine".
    C(needs): reads of that machine without which it is unknown; the judge says so before C(run) is called.
    C(reads): further reads it looks at; C(cluster_reads): those of Kubernetes. C(role): the least Talos role that
    can judge it. C(sharpens): it only refines a check that a lesser role can judge, so its unknown does not move
    the section.
    """

    id: str
    section: str
    title: str
    run: Callable
    each: str | None = None
    needs: tuple = ()
    reads: tuple = ()
    logs: tuple = ()
    cluster_reads: tuple = ()
    role: str = 'os:reader'
    catalogue: str = ''
    thresholds: dict = field(default_factory=dict)
    remedy: str | None = None
    sharpens: bool = False


def ok(subject, **more):
    return Outcome(v.OK, subject, **more)


def info(subject, title, means='', next_step='', **more):
    return Outcome(v.INFO, subject, title, means, next_step, **more)


def warning(subject, title, means, next_step, **more):
    return Outcome(v.WARNING, subject, title, means, next_step, **more)


def error(subject, title, means, next_step, **more):
    return Outcome(v.ERROR, subject, title, means, next_step, **more)


def critical(subject, title, means, next_step, **more):
    return Outcome(v.CRITICAL, subject, title, means, next_step, **more)


def unknown(subject, title, means='', next_step='', **more):
    """C(title) says what could not be seen and why."""
    return Outcome(v.UNKNOWN, subject, title, means, next_step, **more)


def not_applicable(subject, title='', **more):
    return Outcome(v.NOT_APPLICABLE, subject, title, **more)
