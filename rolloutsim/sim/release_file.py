"""A release out of its section of a scenario file: its faults, and outcomes that are not simulated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rolloutsim.policy.yaml_source import Scalar
from rolloutsim.sim.quantities import (
    UnfitValue,
    choice,
    duration_ms,
    number,
    percent,
    positive_ms,
    probability,
    rate_rps,
    share,
    text,
)
from rolloutsim.sim.scenario import Fault, FaultKind, Measurements, Release
from rolloutsim.sim.section import Section

__all__ = ["RELEASE_FIELDS", "read_release"]

RELEASE_FIELDS = ("description", "faults", "measurements")

_MAX_FACTOR = 1e6
_TIMED = ("kind", "size", "onset", "ramp", "end", "above_rps")
_ALWAYS = ("kind", "size")

_FIELDS: Mapping[FaultKind, tuple[str, ...]] = MappingProxyType(
    {
        FaultKind.ERROR_STEP: (*_TIMED, "above_weight"),
        FaultKind.LATENCY_SHIFT: (*_TIMED, "above_weight"),
        FaultKind.LEAK: (*_TIMED, "above_weight"),
        FaultKind.SILENT_WRONG: (*_TIMED, "above_weight"),
        FaultKind.DEPENDENCY_BLIP: _TIMED,
        FaultKind.CRASH_AT_START: _ALWAYS,
        FaultKind.BROKEN_AT_START: _ALWAYS,
    }
)


def read_release(name: str, spec: Section) -> Release:
    """The release that a ``spec`` describes.

    Raises
    ------
    ScenarioError : a field that is unknown, missing, of the wrong type, out of range, or without a meaning
        for its kind of fault.
    """
    measurements = tuple(_measurements(section) for section in spec.sections("measurements"))
    names = [entry.metric for entry in measurements]
    for index, metric in enumerate(names):
        if metric in names[:index]:
            section = spec.sections("measurements")[index]
            raise section.error("metric", "the metric is given twice", metric, "keep one of them")
    return Release(
        name=name,
        faults=tuple(_fault(section) for section in spec.sections("faults")),
        measurements=measurements,
        description=spec.word("description", text) if spec.has("description") else "",
    )


def _fault(section: Section) -> Fault:
    section.only("kind", "size", "onset", "ramp", "end", "above_rps", "above_weight")
    if not section.has("kind"):
        raise section.error("kind", "the field 'kind' is missing", fix=f"one of {', '.join(FaultKind)}")
    kind = FaultKind(section.word("kind", choice(*FaultKind)))
    for key in section.given:
        if key not in _FIELDS[kind]:
            raise section.error(key, f"a fault of kind {kind} has no {key!r}", fix="remove it")
    ramp = section.read("ramp", positive_ms) if kind is FaultKind.LEAK else 0
    fault = Fault(
        kind=kind,
        size=section.read("size", _factor if kind is FaultKind.LATENCY_SHIFT else share),
        onset_ms=section.optional("onset", duration_ms, 0),
        ramp_ms=ramp or section.optional("ramp", duration_ms, 0),
        end_ms=section.optional("end", duration_ms, None),
        above_weight=section.optional("above_weight", percent, 0.0) / 100.0,
        above_rps=section.optional("above_rps", rate_rps, 0.0),
    )
    if fault.end_ms is not None and fault.end_ms <= fault.onset_ms:
        raise section.error(
            "end",
            "the fault ends before it begins",
            f"{fault.end_ms / 1000:g} s",
            "end and onset count from the same moment",
        )
    return fault


def _measurements(section: Section) -> Measurements:
    section.only("metric", "pass_probability", "duration")
    return Measurements(
        metric=section.word("metric", text),
        pass_probability=section.read("pass_probability", probability),
        duration_ms=section.optional("duration", duration_ms, 0),
    )


def _factor(value: Scalar) -> float:
    if isinstance(value, str) and value.endswith("%"):
        raise UnfitValue("the size of a latency shift is a factor", "write 1.2 for 20 % slower")
    found = number(value)
    if not 0.0 < found <= _MAX_FACTOR:
        raise UnfitValue("the size of a latency shift is a factor above 0", "write 4 for four times as slow")
    return found
