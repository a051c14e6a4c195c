"""Counts and numbers that make no sense: a clear error or a named verdict, never NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.engine.codec import to_json
from rolloutsim.engine.gates import (
    Arm,
    EventShare,
    Evidence,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    Sample,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    Verdict,
    WaldSprt,
    start_gate,
    update,
)
from tests.gates.streams import GATES, NAMES

SIZES = st.one_of(*(st.integers(0, 10**power) for power in (1, 4, 9, 12)))
WEIGHTS = st.one_of(
    st.sampled_from((0.0, 100.0, 5e-324, 1e-300, 1e-17, 1e-9, 99.99999999999999, 50.0)), st.floats(0.0, 100.0)
)


@st.composite
def any_samples(draw: st.DrawFn) -> list[Sample]:
    """Counts of any size that rise, or fall, under any weight."""
    samples: list[Sample] = []
    stable, canary = Arm(), Arm()
    for _ in range(draw(st.integers(1, 6))):
        falls = draw(st.booleans())
        arms = []
        for arm in (stable, canary):
            before = Arm() if falls else arm
            more = draw(SIZES)
            arms.append(Arm(before.requests + more, before.bad + min(more, draw(SIZES))))
        stable, canary = arms
        samples.append(Sample(stable, canary, draw(WEIGHTS)))
    return samples


def numbers(evidence: Evidence) -> Iterator[float]:
    effect = evidence.effect
    for number in (evidence.value, evidence.limit, evidence.p, effect.estimate, effect.low, effect.high):
        if number is not None:
            yield number


def check(gate: Gate, samples: list[Sample]) -> None:
    state = start_gate(gate)
    for sample in samples:
        step = update(gate, state, sample)
        state, evidence = step.state, step.evidence
        assert step.verdict in Verdict
        assert not any(math.isnan(number) for number in numbers(evidence))
        assert evidence.p is None or 0.0 <= evidence.p <= 1.0
        assert evidence.effect.low <= evidence.effect.high
        assert "nan" not in evidence.missing
        json.dumps(to_json(state), allow_nan=False)


@pytest.mark.parametrize("gate", GATES, ids=NAMES)
@settings(deadline=None, max_examples=60)
@given(samples=any_samples())
def test_no_counts_and_no_weight_give_nan(gate: Gate, samples: list[Sample]) -> None:
    check(gate, samples)


def test_a_p_value_of_hundreds_of_millions_of_requests_is_none_above_one() -> None:
    sample = Sample(stable=Arm(1, 0), canary=Arm(479_001_601, 1), weight_percent=1e-9)
    check(FisherExact(alpha=0.05, beta=0.1, smallest_difference=0.01, min_requests=1), [sample])


def changed(gate: Gate, name: str, value: Any) -> Gate | None:
    """The gate with one other number; None where it says that it makes no sense."""
    try:
        return replace(gate, **{name: value})
    except ValueError:
        return None


PARAMETERS = [
    pytest.param(gate, field.name, id=f"{name}-{field.name}")
    for gate, name in zip(GATES, NAMES, strict=True)
    for field in fields(gate)
    if isinstance(getattr(gate, field.name), int | float)
]


@pytest.mark.parametrize(("gate", "name"), PARAMETERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1])
def test_a_gate_of_impossible_numbers_is_refused(gate: Gate, name: str, value: float) -> None:
    assert changed(gate, name, value) is None


@pytest.mark.parametrize(("gate", "name"), PARAMETERS)
@settings(deadline=None, max_examples=10)
@given(
    samples=any_samples(),
    value=st.one_of(st.floats(), st.floats(0.0, 2.0), st.sampled_from((5e-324, 1e-300, 1e-15, 1 - 1e-16))),
)
def test_a_gate_is_refused_or_judges(gate: Gate, name: str, value: float, samples: list[Sample]) -> None:
    whole = isinstance(getattr(gate, name), int)
    if whole and not math.isfinite(value):
        return
    if (other := changed(gate, name, int(value) if whole else value)) is not None:
        check(other, samples)


@pytest.mark.parametrize(
    ("gate", "wrong"),
    [
        (RateRatio(margin=1.0), {"smallest_ratio": math.nextafter(1.0, 2.0)}),
        (EventShare(margin=1.0), {"smallest_ratio": math.nextafter(1.0, 2.0)}),
        (SampleRatio(tolerance=1.0), {"largest": math.nextafter(1.0, 2.0)}),
        (WaldSprt(0.01, 0.03), {"bad_rate": math.nextafter(0.01, 1.0)}),
        (WaldSprt(0.01, 0.03), {"bad_rate": 1.0}),
        (TwoSampleBlocks(), {"prior_ratio": 100.0}),
        (TwoProportionZ(), {"smallest_difference": 0.0}),
        (GroupSequential(planned_requests=900), {"smallest_difference": 0.0}),
    ],
    ids=str,
)
def test_numbers_that_leave_nothing_to_tell_apart(gate: Gate, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need|must"):
        replace(gate, **wrong)


@pytest.mark.parametrize(
    ("requests", "bad"), [(10**13 + 1, 0), (math.inf, 0), (math.nan, 0), (10, math.nan), (math.inf, math.inf)]
)
def test_counts_are_finite(requests: float, bad: float) -> None:
    with pytest.raises(ValueError, match="0 <= bad <= requests"):
        Arm(requests, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0])
def test_weights_are_percentages(weight: float) -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        Sample(Arm(), Arm(), weight)
