"""What came under several weights is told to a gate at once: judged once, each weight by itself."""

from __future__ import annotations

import pytest

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine.events import Counted, Counts, Span
from rolloutsim.engine.gating import Look, Watch, look, watch_from
from rolloutsim.policy.gated import ArmCounters, GatedCounts
from rolloutsim.policy.gates import (
    BetaPosterior,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    TwoProportionZ,
)

SPANS = (Span(0, 600_000, 5.0), Span(600_000, None, 50.0))
RISING = (Counts(1_000, 1, 19_000, 19), Counts(10_000, 100, 10_000, 100))
"""Both versions alike under each weight; the errors of both rose as the weight did."""


def looked(gate: Gate, *answers: tuple[Counts, ...]) -> Look:
    metric = GatedCounts(gate, ArmCounters("a", "b"), ArmCounters("c", "d"))
    watch: Watch | None = None
    for answer in answers:
        found = look(metric, watch_from(metric, watch, SPANS), Counted(answer), 1_200_000, 15_000)
        watch = found.watch
    return found


@pytest.mark.parametrize(
    "gate",
    [TwoProportionZ(), FisherExact(), GroupSequential(planned_requests=5_900), RateRatio()],
    ids=lambda gate: type(gate).__name__,
)
def test_a_rise_of_both_versions_is_no_bad_canary(gate: Gate) -> None:
    found = looked(gate, RISING)
    assert found.phase is MeasurementPhase.SUCCESSFUL
    assert found.watch.state.looks <= 1
    assert "looked at" not in found.message


def test_a_posterior_pools_and_says_so() -> None:
    found = looked(BetaPosterior(), RISING)
    assert found.phase is MeasurementPhase.FAILED
    assert "the weight changed while counting" in found.message


def test_a_count_that_fell_in_an_earlier_span_is_named() -> None:
    first = (Counts(1_000, 10, 19_000, 190), Counts(10, 0, 10, 0))
    fell = (Counts(900, 10, 19_000, 190), Counts(3_000, 30, 3_000, 30))
    found = looked(RateRatio(), first, fell)
    assert "canary requests went from 1,010 back to 910" in found.message
    assert found.watch.state.sample.canary.requests == 4_000
