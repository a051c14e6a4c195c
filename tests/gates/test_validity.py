"""Always-valid gates keep their false-abort rate however often one looks: 20,000 streams each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rolloutsim.engine.gates import (
    Arm,
    EventShare,
    RateRatio,
    Sample,
    TwoSampleBlocks,
    Verdict,
    start_gate,
    update,
)
from rolloutsim.engine.gates.mixtures import share_of

STREAMS = 20_000
EVENTS = 1_000
WEIGHT = 10.0


def fewest_that_fail(gate: RateRatio | EventShare) -> NDArray[np.int64]:
    """Canary events at which the gate fails after 1, 2, ... events, asked of the gate itself."""
    fewest, out = 0, []
    for n in range(1, EVENTS + 1):
        while fewest <= n:
            sample = Sample(Arm(n, n - fewest), Arm(max(fewest, 1), fewest), WEIGHT)
            if update(gate, start_gate(gate), sample).verdict is Verdict.FAIL:
                break
            fewest += 1
        out.append(fewest)
    return np.array(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gate",
    [RateRatio(), RateRatio(margin=1.0), EventShare(margin=1.0), EventShare()],
    ids=["ratio", "ratio-no-margin", "share-no-margin", "share"],
)
def test_looking_more_often_does_not_raise_false_aborts(gate: RateRatio | EventShare) -> None:
    generator = np.random.Generator(np.random.Philox(key=21))
    labels = generator.random((STREAMS, EVENTS)) < share_of(gate.margin, WEIGHT)
    beyond = labels.cumsum(axis=1, dtype=np.int32) >= fewest_that_fail(gate)
    bound = gate.alpha + 4.0 * math.sqrt(gate.alpha * (1.0 - gate.alpha) / STREAMS)
    rates = [float(beyond[:, every - 1 :: every].any(axis=1).mean()) for every in (EVENTS, 100, 10, 1)]
    assert rates == sorted(rates)
    assert rates[-1] <= bound


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.25, 1.0, 0.7])
def test_the_mean_e_value_is_at_most_one(ratio: float) -> None:
    """Over streams of ten samples with the weight going up; exact at the margin, below it smaller."""
    generator = np.random.Generator(np.random.Philox(key=22))
    gate, runs = RateRatio(min_requests=10**9), 2_000
    values = []
    for _ in range(runs):
        state, y, x = start_gate(gate), 0, 0
        for weight in (5.0, 5.0, 5.0, 20.0, 20.0, 50.0):
            canary = int(generator.binomial(4, share_of(ratio, weight)))
            x, y = x + canary, y + 4 - canary
            step = update(gate, state, Sample(Arm(y, y), Arm(x, x), weight))
            state = step.state
        values.append(step.evidence.value)
    error = float(np.std(values)) / math.sqrt(runs)
    assert float(np.mean(values)) <= 1.0 + 4.0 * error


@pytest.mark.slow
def test_blocks_hold_while_the_common_rate_drifts() -> None:
    """A healthy canary judged every tick while the error rate of both arms swings between 1 and 9 percent."""
    generator = np.random.Generator(np.random.Philox(key=23))
    gate, ticks, streams = TwoSampleBlocks(), 20, STREAMS // 10
    rates = 0.05 + 0.04 * np.sin(np.arange(ticks))
    weights = np.where(np.arange(ticks) < ticks // 2, 5, 25)
    canary = generator.binomial(10 * weights, rates, size=(streams, ticks)).cumsum(axis=1)
    stable = generator.binomial(10 * (100 - weights), rates, size=(streams, ticks)).cumsum(axis=1)
    requests = (10 * weights).cumsum(), (10 * (100 - weights)).cumsum()
    failed = 0
    for run in range(streams):
        state = start_gate(gate)
        for k in range(ticks):
            sample = Sample(
                Arm(int(requests[1][k]), int(stable[run, k])),
                Arm(int(requests[0][k]), int(canary[run, k])),
                float(weights[k]),
            )
            state = update(gate, state, sample).state
        failed += state.verdict is Verdict.FAIL
    bound = gate.alpha + 4.0 * math.sqrt(gate.alpha * (1.0 - gate.alpha) / streams)
    assert failed / streams <= bound
