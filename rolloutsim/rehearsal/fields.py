"""The fields of a test file, each with how it is read, its schema and what it is for.

The loader and the JSON Schema are both made of these tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rolloutsim.conditions import Dialect, MeasurementPhase
from rolloutsim.engine import Phase, RunPhase
from rolloutsim.policy.yaml_source import Scalar
from rolloutsim.rehearsal.case import Deed, End, Happens
from rolloutsim.sim.quantities import (
    UnfitValue,
    choice,
    duration_ms,
    metadata_name,
    number,
    percent,
    positive_ms,
    text,
    time_ms,
)
from rolloutsim.sim.schema import DURATION, PERCENT, TEXT, TIME, Schema, mapping

__all__ = [
    "COMMAND",
    "EXPECT",
    "FILE",
    "NEVER",
    "PODS",
    "SERIES",
    "TEST",
    "VERDICTS",
    "Field",
    "Table",
    "schema_of",
]

VERDICTS = tuple(
    str(phase)
    for phase in (
        MeasurementPhase.SUCCESSFUL,
        MeasurementPhase.FAILED,
        MeasurementPhase.INCONCLUSIVE,
        MeasurementPhase.ERROR,
    )
)
RUN_PHASES = tuple(str(phase) for phase in RunPhase if phase)


@dataclass(frozen=True, slots=True)
class Field:
    """``parse`` reads a scalar; fields that hold more than one are read by the loader itself."""

    about: str
    schema: Schema
    parse: Callable[[Scalar], Any] = text


Table = Mapping[str, Field]


def schema_of(table: Table, *required: str) -> Schema:
    """The schema of a mapping with the fields of a table."""
    properties = {
        name: {
            "description": field.about,
            **({"allOf": [field.schema]} if "$ref" in field.schema else field.schema),
        }
        for name, field in table.items()
    }
    return mapping(properties, required)


def _words(about: str, *words: str) -> Field:
    return Field(about, {"enum": list(words)}, choice(*words))


def _list_of(about: str, item: Schema) -> Field:
    return Field(about, {"type": "array", "items": item})


def whole(value: Scalar) -> int:
    """A whole number, not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnfitValue("expected a whole number, not negative")
    return value


def shown_value(value: Scalar) -> float | str:
    """A number, or a value as it is shown: ``0.2``, ``NaN``, ``"[0.1,0.3]"``."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return text(value)
    return number(value)


_WHOLE: Schema = {"type": "integer", "minimum": 0}
_WHAT: Table = {
    "event": _words("An event of this name.", *Happens),
    "message": Field("Text that the message of the event, measurement or analysis holds.", TEXT),
    "metric": Field("This metric was measured.", TEXT),
    "verdict": _words("The verdict on the measurement of the metric.", *VERDICTS),
    "value": Field(
        "The value of the measurement: a number, or as it is shown.",
        {"type": ["number", "string"]},
        shown_value,
    ),
    "analysis": _words("An analysis run changed to this phase.", *RUN_PHASES),
    "weight": Field("Share of the requests that the new version gets, in percent.", PERCENT, percent),
    "phase": _words("Phase of the rollout.", *Phase),
    "step": Field("Number of completed steps.", _WHOLE, whole),
    "pods": Field("Available pods of the new version.", _WHOLE, whole),
}
EXPECT: Table = {
    "at": Field("When, since the release; all else holds at this time.", DURATION, duration_ms),
    "by": Field("At this time or at some time before it.", DURATION, duration_ms),
    **_WHAT,
}
NEVER: Table = {
    "before": Field("Up to this time; the whole test if left out.", DURATION, duration_ms),
    **_WHAT,
}
COMMAND: Table = {
    "at": Field("When, since the release.", DURATION, duration_ms),
    "do": _words("What a person or a pipeline does.", *Deed),
    "revision": Field("For a release: the wanted version (v1 is the one that ran before).", TEXT),
}
SERIES: Table = {
    "series": Field('The series: http_requests_total{service="api",status="200"}.', TEXT),
    "values": Field(
        "Its values, one per interval, as in promtool's tests: 0+100x40, 5x3, _ (missing), stale.",
        {"type": ["string", "number"]},
    ),
    "from": Field("Time of the first value, before the release negative.", TIME, time_ms),
    "interval": Field("Time between two values.", DURATION, positive_ms),
}
PODS: Table = {
    "ready_after": Field(
        "Time from the creation of a pod to ready; never: new pods never are.",
        {"anyOf": [{"const": "never"}, DURATION]},
        duration_ms,
    )
}
_OUTCOMES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [
            {"type": ["number", "null"]},
            {"type": "array", "items": {"type": ["number", "string"]}},
            {"type": "object"},
            {"type": "string"},
        ]
    },
}
TEST: Table = {
    "name": Field("What the test shows, as a sentence.", TEXT),
    "replicas": Field("Replicas in place of the policy's.", _WHOLE, whole),
    "pods": Field("How the new pods start.", schema_of(PODS)),
    "fields": Field(
        "Values of fields of the Rollout that late arguments name.",
        {"type": "object", "additionalProperties": {"type": "string"}},
    ),
    "interval": Field("Time between two values of a series.", DURATION, positive_ms),
    "series": _list_of("What Prometheus has.", schema_of(SERIES, "series", "values")),
    "measurements": Field(
        "Per metric, what it finds each time; the last for ever. A number, a list, error, nil, timeout, or "
        "Successful, Failed, Inconclusive.",
        {"type": "object", "additionalProperties": _OUTCOMES},
    ),
    "commands": _list_of("What people do.", schema_of(COMMAND, "at", "do")),
    "until": Field(
        "End of the test: by default the last sample or time in it, without series one day.",
        DURATION,
        positive_ms,
    ),
    "expect": _list_of("What has to happen.", schema_of(EXPECT)),
    "never": _list_of(
        "What may not happen.", {"anyOf": [{"enum": [str(h) for h in Happens]}, schema_of(NEVER)]}
    ),
    "outcome": _words("How the rollout stands at the end.", *End),
}
FILE: Table = {
    "policy": Field(
        "The policy's file, or several, relative to this one.",
        {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]},
    ),
    "rollout": Field("Which rollout, if the files hold several.", TEXT, metadata_name),
    "argo": _words("Version of Argo Rollouts: it decides how conditions are read.", *Dialect),
    "interval": Field("Time between two values of a series; 1m if left out.", DURATION, positive_ms),
    "tests": _list_of("The tests.", schema_of(TEST, "name")),
}
