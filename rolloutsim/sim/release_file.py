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
from rolloutsim.sim.scenario import (
    TAIL_SHARE,
    Change,
    Fault,
    FaultKind,
    Measurements,
    Migration,
    Release,
    SchemaChange,
)
from rolloutsim.sim.section import Section

__all__ = ["RELEASE_FIELDS", "read_release"]

RELEASE_FIELDS = ("description", "faults", "measurements", "schema")

_MAX_FACTOR = 1e6
_FACTORS = (FaultKind.LATENCY_SHIFT, FaultKind.LATENCY_TAIL, FaultKind.CAPACITY, FaultKind.COLD_START)
"""Kinds whose size multiplies something; of the others it is a share."""
_RAMPS = (FaultKind.LEAK, FaultKind.COLD_START, FaultKind.CRASH_LOOP)
"""Kinds that have no meaning without a ramp."""
_TIMED = ("kind", "size", "onset", "ramp", "end", "above_rps")
_ALWAYS = ("kind", "size")

_FIELDS: Mapping[FaultKind, tuple[str, ...]] = MappingProxyType(
    {
        FaultKind.ERROR_STEP: (*_TIMED, "above_weight"),
        FaultKind.LATENCY_SHIFT: (*_TIMED, "above_weight"),
        FaultKind.LATENCY_TAIL: (*_TIMED, "above_weight", "share"),
        FaultKind.LEAK: (*_TIMED, "above_weight"),
        FaultKind.SILENT_WRONG: (*_TIMED, "above_weight"),
        FaultKind.DEPENDENCY_BLIP: _TIMED,
        FaultKind.CRASH_AT_START: _ALWAYS,
        FaultKind.BROKEN_AT_START: _ALWAYS,
        FaultKind.CAPACITY: _ALWAYS,
        FaultKind.COLD_START: ("kind", "size", "ramp"),
        FaultKind.CRASH_LOOP: ("kind", "size", "onset", "ramp", "end"),
        FaultKind.NEW_LOG_CLASS: _ALWAYS,
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
        schema=_schema(spec.section("schema")) if spec.has("schema") else None,
    )


def _schema(section: Section) -> SchemaChange:
    section.only("change", "touches", "writes", "migration", "duration", "contract")
    if not section.has("change"):
        raise section.error("change", "the field 'change' is missing", fix=f"one of {', '.join(Change)}")
    change = Change(section.word("change", choice(*Change)))
    one_step = change is Change.ONE_STEP
    for key, fits in (("migration", one_step), ("duration", one_step), ("contract", not one_step)):
        if section.has(key) and not fits:
            raise section.error(key, f"a change of kind {change} has no {key!r}", fix="remove it")
    return SchemaChange(
        change=change,
        touches=section.read("touches", probability),
        writes=section.read("writes", probability),
        migration=Migration(section.read("migration", choice(*Migration)))
        if one_step
        else Migration.AT_START,
        duration_ms=section.read("duration", duration_ms) if one_step else 0,
        contract_ms=section.optional("contract", duration_ms, None),
    )


def _fault(section: Section) -> Fault:
    section.only("kind", "size", "onset", "ramp", "end", "above_rps", "above_weight", "share")
    if not section.has("kind"):
        raise section.error("kind", "the field 'kind' is missing", fix=f"one of {', '.join(FaultKind)}")
    kind = FaultKind(section.word("kind", choice(*FaultKind)))
    for key in section.given:
        if key not in _FIELDS[kind]:
            raise section.error(key, f"a fault of kind {kind} has no {key!r}", fix="remove it")
    ramp = section.read("ramp", positive_ms) if kind in _RAMPS else 0
    fault = Fault(
        kind=kind,
        size=section.read("size", _factor if kind in _FACTORS else share),
        onset_ms=section.optional("onset", duration_ms, 0),
        ramp_ms=ramp or section.optional("ramp", duration_ms, 0),
        end_ms=section.optional("end", duration_ms, None),
        above_weight=section.optional("above_weight", percent, 0.0) / 100.0,
        above_rps=section.optional("above_rps", rate_rps, 0.0),
        share=section.read("share", share) if kind is FaultKind.LATENCY_TAIL else TAIL_SHARE,
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
        raise UnfitValue("the size of this kind of fault is a factor", "write 1.2 for 20 % more")
    found = number(value)
    if not 0.0 < found <= _MAX_FACTOR:
        raise UnfitValue("the size of this kind of fault is a factor above 0", "write 4 for four times")
    return found
