"""JSON and back, unchanged; and no guessing on the way back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from rolloutsim.conditions import MeasurementPhase, NilResult, ScalarResult, VectorResult
from rolloutsim.engine import (
    Action,
    Measured,
    MeasureError,
    Observation,
    Role,
    Scale,
    ServiceSeen,
    Tick,
    from_json,
    to_json,
)
from rolloutsim.policy.model import Canary, Metric, OtherProvider, Policy, Recreate


def there_and_back(kind: Any, value: object) -> Any:
    return from_json(kind, json.loads(json.dumps(to_json(value), allow_nan=False)))


@pytest.mark.parametrize(
    "outcome",
    [
        VectorResult((math.nan, math.inf, -math.inf, 0.1)),
        VectorResult(()),
        ScalarResult(1.0),
        NilResult(pointer=True),
        MeasurementPhase.FAILED,
        MeasureError("boom"),
    ],
)
def test_outcomes_survive(outcome: Any) -> None:
    seen = Measured(5, "run", "m", 1, 3, 4, outcome)
    assert there_and_back(Observation, seen) == seen


def test_a_member_of_a_union_carries_its_kind() -> None:
    assert to_json(Scale("1-scale", "v2", 3)) == {
        "kind": "Scale",
        "id": "1-scale",
        "revision": "v2",
        "replicas": 3,
    }
    assert to_json(ServiceSeen(1, Role.ACTIVE, "v2"))["role"] == "active"


def test_a_field_called_kind_survives() -> None:
    policy = Policy("demo", Recreate(), kind="Deployment")
    assert there_and_back(Policy, policy) == policy
    metric = Metric("m", OtherProvider("datadog"))
    assert there_and_back(Metric, metric) == metric


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Action, {"kind": "Scale", "id": "1", "revision": "v2", "replicas": 3, "speed": 9}),
        (Action, {"kind": "Scale", "id": "1", "revision": "v2"}),
        (Action, {"kind": "Explode", "id": "1"}),
        (Action, ["Scale"]),
        (Tick, {"at": "soon"}),
        (Tick, {"at": True}),
        (Tick, {"kind": "Scale", "at": 1}),
        (Policy, {"name": "x", "strategy": {"kind": "Canary", "steps": {}}}),
        (Observation, {"kind": "ServiceSeen", "at": 1, "role": "third", "revision": "v1"}),
    ],
)
def test_what_is_not_such_an_object_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(kind, value)


def test_defaults_may_be_left_out() -> None:
    assert from_json(Canary, {}) == Canary()
