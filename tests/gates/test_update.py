"""What holds for every gate: idempotent, serialisable, monotone, and never a pass for want of evidence."""

from __future__ import annotations

import json
import time
import timeit
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.engine.codec import from_json, to_json
from rolloutsim.engine.gates import (
    Arm,
    Gate,
    GateState,
    RateRatio,
    Sample,
    SampleRatio,
    TwoSampleBlocks,
    Verdict,
    WaldSprt,
    arm_above_edge,
    start_gate,
    update,
)
from tests.gates.streams import GATES, NAMES, feed, streams

every_gate = pytest.mark.parametrize("gate", GATES, ids=NAMES)
comparing = pytest.mark.parametrize("gate", [g for g in GATES if not isinstance(g, WaldSprt)])


@every_gate
@settings(deadline=None)
@given(samples=streams())
def test_the_same_sample_twice_changes_nothing(gate: Gate, samples: list[Sample]) -> None:
    for step, sample in zip(feed(gate, samples), samples, strict=True):
        again = update(gate, step.state, sample)
        assert again == step


@every_gate
@settings(deadline=None)
@given(samples=streams())
def test_state_and_gate_survive_json(gate: Gate, samples: list[Sample]) -> None:
    assert from_json(type(gate), json.loads(json.dumps(to_json(gate)))) == gate
    state = start_gate(gate)
    for sample in samples:
        state = update(gate, state, sample).state
        text = json.dumps(to_json(state), allow_nan=False)
        assert from_json(GateState, json.loads(text)) == state


@every_gate
@settings(deadline=None)
@given(samples=streams())
def test_a_verdict_that_is_open_says_what_is_missing(gate: Gate, samples: list[Sample]) -> None:
    for step in feed(gate, samples):
        open_verdict = step.verdict in (Verdict.CONTINUE, Verdict.INCONCLUSIVE)
        assert bool(step.evidence.missing) is open_verdict
        assert step.state.verdict is step.verdict
        effect = step.evidence.effect
        assert effect.low <= effect.high
        if effect.estimate is not None:
            assert effect.low - 1e-6 <= effect.estimate <= effect.high + 1e-6


@every_gate
@settings(deadline=None)
@given(samples=streams())
def test_a_failure_stands(gate: Gate, samples: list[Sample]) -> None:
    verdicts = [step.verdict for step in feed(gate, samples)]
    if Verdict.FAIL in verdicts:
        first = verdicts.index(Verdict.FAIL)
        assert set(verdicts[first:]) == {Verdict.FAIL}


@pytest.mark.parametrize("gate", [g for g in GATES if not isinstance(g, SampleRatio)])
@settings(deadline=None)
@given(samples=streams(), where=st.integers(0, 9), more=st.integers(1, 200))
def test_more_canary_errors_never_undo_a_failure(
    gate: Gate, samples: list[Sample], where: int, more: int
) -> None:
    """In the sample that failed, and for all but the block e-value in any sample before it."""
    steps = feed(gate, samples)
    verdicts = [step.verdict for step in steps]
    if Verdict.FAIL not in verdicts:
        return
    failed = verdicts.index(Verdict.FAIL)
    start = failed if isinstance(gate, TwoSampleBlocks) else min(where, failed)
    before = samples[start - 1].canary if start else Arm()
    here = samples[start].canary
    # Requests that were good in this sample turn bad.
    extra = min(more, here.requests - here.bad - (before.requests - before.bad))
    worse = [
        replace(sample, canary=Arm(sample.canary.requests, sample.canary.bad + extra))
        if index >= start
        else sample
        for index, sample in enumerate(samples[: failed + 1])
    ]
    assert feed(gate, worse)[-1].verdict is Verdict.FAIL


@every_gate
@pytest.mark.parametrize("weight", [0.0, 5.0, 100.0])
def test_no_requests_are_no_verdict(gate: Gate, weight: float) -> None:
    for step in feed(gate, [Sample(Arm(), Arm(), weight)] * 3):
        assert step.verdict is Verdict.CONTINUE
        assert step.state == start_gate(gate)


@comparing
def test_one_arm_alone_never_passes(gate: Gate) -> None:
    for stable, canary in ((Arm(10**6, 1_000), Arm()), (Arm(), Arm(10**6, 1_000))):
        (step,) = feed(gate, [Sample(stable, canary, 100.0 if canary.requests else 0.0)])
        harmless = isinstance(gate, RateRatio) and gate.harmless_rate > 0.0 and canary.requests
        assert step.verdict is Verdict.PASS if harmless else step.verdict is not Verdict.PASS


@every_gate
@pytest.mark.parametrize(
    ("stable", "canary", "what"),
    [
        (Arm(900, 9), Arm(100, 2), "stable requests went from 1,000 back to 900"),
        (Arm(1_000, 8), Arm(100, 2), "stable bad requests went from 10 back to 8"),
        (Arm(2_000, 20), Arm(90, 2), "canary requests went from 100 back to 90"),
        (Arm(2_000, 20), Arm(100, 90), "canary good requests went from 98 back to 10"),
    ],
)
def test_counters_that_go_backwards_are_refused(gate: Gate, stable: Arm, canary: Arm, what: str) -> None:
    (first,) = feed(gate, [Sample(Arm(1_000, 10), Arm(100, 2), 10.0)])
    step = update(gate, first.state, Sample(stable, canary, 10.0))
    assert step.state == first.state
    assert step.verdict is first.verdict
    assert what in step.evidence.warnings[-1]


def test_a_gate_refuses_the_state_of_another() -> None:
    sample = Sample(Arm(10, 1), Arm(10, 1), 50.0)
    with pytest.raises(TypeError, match="WaldSprt"):
        update(WaldSprt(0.01, 0.03), start_gate(RateRatio()), sample)


@pytest.mark.parametrize(("requests", "bad"), [(-1, 0), (1, 2), (5, -1)])
def test_an_impossible_arm(requests: int, bad: int) -> None:
    with pytest.raises(ValueError, match="0 <= bad <= requests"):
        Arm(requests, bad)


def test_an_impossible_weight() -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        Sample(Arm(), Arm(), 101.0)


BUCKETS = ((0.1, 60), (0.5, 90), (float("inf"), 100))


def test_latency_is_the_share_above_an_edge() -> None:
    assert arm_above_edge(BUCKETS, 0.5) == Arm(100, 10)
    with pytest.raises(ValueError, match=r"0\.3 s is no bucket edge; choose one of 0\.1, 0\.5"):
        arm_above_edge(BUCKETS, 0.3)
    with pytest.raises(ValueError, match=r"\+Inf"):
        arm_above_edge(BUCKETS[:2], 0.5)


@pytest.mark.slow
@every_gate
def test_one_update_costs_no_more_than_four_thousand_squares(gate: Gate) -> None:
    """About 50 microseconds where a thousand take 25; in turns, so that a busy machine slows down both."""
    (before,) = feed(gate, [Sample(Arm(3_800, 30), Arm(200, 2), 5.0)])
    now = Sample(Arm(4_200, 34), Arm(221, 3), 5.0)

    def cost(work: Callable[[], object]) -> float:
        return timeit.timeit(work, timer=time.process_time, number=50)

    turns = [
        (cost(lambda: update(gate, before.state, now)), cost(lambda: sum(i * i for i in range(1_000))))
        for _ in range(60)
    ]
    assert min(one for one, _ in turns) <= 4.0 * min(other for _, other in turns)
