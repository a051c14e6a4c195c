"""What a service runs on, out of its section of a scenario file: pods, readiness, endings, controllers."""

from __future__ import annotations

from rolloutsim.policy.yaml_source import Scalar
from rolloutsim.sim.platform import Autoscaler, Cluster, Controller, Drain, PodPhases, Probe, Split
from rolloutsim.sim.quantities import (
    UnfitValue,
    choice,
    duration_ms,
    number,
    percent,
    positive,
    positive_ms,
    probability,
    share,
)
from rolloutsim.sim.scenario import FaultKind
from rolloutsim.sim.section import Section

__all__ = ["FOUND_KINDS", "read_cluster", "read_finds"]

FOUND_KINDS = tuple(
    str(kind) for kind in FaultKind if kind not in (FaultKind.DEPENDENCY_BLIP, FaultKind.COLD_START)
)
"""Kinds of faults that a check can find: those for which a release is to blame."""

_MAX_COUNT = 100_000


def read_cluster(section: Section) -> Cluster:
    """The cluster of a service; parts that are not given are not modelled.

    Raises
    ------
    ScenarioError : a field that is unknown, of the wrong type or out of range.
    """
    section.only(
        "pod_ready",
        "phases",
        "readiness",
        "probe",
        "drain",
        "controller",
        "autoscaler",
        "pod_capacity_rps",
        "router_delay",
        "weight_granularity",
        "split",
    )
    return Cluster(
        pod_ready=section.delay("pod_ready"),
        readiness=section.read("readiness", choice("shallow", "deep")),
        router_delay=section.delay("router_delay"),
        weight_granularity=section.read("weight_granularity", _granularity),
        split=Split(section.read("split", choice(*Split))),
        phases=_phases(section.section("phases")) if section.has("phases") else None,
        probe=_probe(section.section("probe")) if section.has("probe") else None,
        drain=_drain(section.section("drain")) if section.has("drain") else None,
        controller=_controller(section.section("controller")) if section.has("controller") else None,
        autoscaler=_autoscaler(section.section("autoscaler")) if section.has("autoscaler") else None,
        pod_capacity_rps=section.optional("pod_capacity_rps", positive, None),
    )


def read_finds(section: Section) -> tuple[tuple[str, float], ...]:
    """Chances to find each kind of fault: ``finds: {broken-at-start: 95%}``."""
    if not section.has("finds"):
        return ()
    finds = section.section("finds").only(*FOUND_KINDS)
    return tuple((kind, finds.read(kind, probability)) for kind in finds.given)


def count(value: Scalar) -> int:
    """A whole number, at least 1."""
    found = number(value)
    if found != int(found) or not 1.0 <= found <= _MAX_COUNT:
        raise UnfitValue("expected a whole number, at least 1")
    return int(found)


def _phases(section: Section) -> PodPhases:
    section.only("schedule", "pull", "start", "probe", "nodes")
    return PodPhases(
        schedule=section.delay("schedule"),
        pull=section.delay("pull"),
        start=section.delay("start"),
        probe_ms=section.read("probe", positive_ms),
        nodes=section.read("nodes", count),
    )


def _probe(section: Section) -> Probe:
    section.only("finds", "coupling", "period", "failures")
    return Probe(
        finds=read_finds(section),
        coupling=section.read("coupling", probability),
        period_ms=section.read("period", positive_ms),
        failures=section.read("failures", count),
    )


def _drain(section: Section) -> Drain:
    section.only("endpoints", "pre_stop", "grace")
    return Drain(
        endpoints=section.delay("endpoints"),
        pre_stop_ms=section.read("pre_stop", duration_ms),
        grace_ms=section.read("grace", duration_ms),
    )


def _controller(section: Section) -> Controller:
    section.only("sync", "qps", "burst")
    return Controller(
        sync_ms=section.read("sync", duration_ms),
        qps=section.read("qps", positive),
        burst=section.read("burst", count),
    )


def _autoscaler(section: Section) -> Autoscaler:
    section.only("least", "most", "target", "sync", "tolerance", "settle")
    scaler = Autoscaler(
        least=section.read("least", count),
        most=section.read("most", count),
        target=section.read("target", share),
        sync_ms=section.read("sync", positive_ms),
        tolerance=section.read("tolerance", share),
        settle_ms=section.read("settle", duration_ms),
    )
    if scaler.most < scaler.least:
        raise section.error("most", "the most pods are fewer than the least", scaler.most)
    return scaler


def _granularity(value: Scalar) -> float:
    found = percent(value)
    if found == 0.0:
        raise UnfitValue("expected a weight above 0")
    return found
