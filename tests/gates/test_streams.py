"""Arrays of streams are judged as `update` judges each of them, look by look."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from rolloutsim.engine.gates import (
    Arm,
    Gate,
    GroupSequential,
    Sample,
    SampleRatio,
    Verdict,
    start_gate,
    update,
)
from rolloutsim.engine.gates.streams import Streams, first_verdicts
from tests.gates.good_canaries import World
from tests.gates.streams import GATES, NAMES

LOOKS, RUNS = 24, 40


def drawn(seed: int, ratio: float, *, fixed: bool = False) -> Streams:
    """A canary with ``ratio`` times the errors of stable, under four weights; some looks without news."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    weights = np.repeat([0.0, 5.0, 20.0, 50.0], LOOKS // 4)
    shape = (RUNS, LOOKS)
    share = weights / 100
    canary = np.broadcast_to((800 * share).astype(np.int64), shape)
    stable = np.broadcast_to((800 * (1 - share)).astype(np.int64), shape)
    if not fixed:
        canary, stable = generator.poisson(canary), generator.poisson(stable)
        quiet = generator.random(shape) < 0.1
        canary, stable = np.where(quiet, 0, canary), np.where(quiet, 0, stable)
    bad_c, bad_s = generator.binomial(canary, 0.01 * ratio), generator.binomial(stable, 0.01)
    return Streams(*(np.cumsum(part, axis=1) for part in (canary, bad_c, stable, bad_s)), weights)


def judged(gate: Gate, streams: Streams, row: int) -> tuple[int, int]:
    """First looks at which the gate itself failed and passed."""
    state, failed, passed = start_gate(gate), LOOKS, LOOKS
    for look in range(LOOKS):
        sample = Sample(
            Arm(int(streams.stable_requests[row, look]), int(streams.stable_bad[row, look])),
            Arm(int(streams.canary_requests[row, look]), int(streams.canary_bad[row, look])),
            float(streams.weights[look]),
        )
        step = update(gate, state, sample)
        state = step.state
        if step.verdict is Verdict.FAIL:
            failed = min(failed, look)
            break
        if step.verdict is Verdict.PASS:
            passed = min(passed, look)
    return failed, passed


@pytest.mark.parametrize("gate", GATES, ids=NAMES)
def test_every_stream_gets_the_verdicts_of_the_gate(gate: Gate) -> None:
    if isinstance(gate, GroupSequential):
        gate = replace(gate, planned_requests=1_500)
    seen, passes = set(), set()
    for seed, ratio in ((1, 1.0), (2, 3.0), (3, 8.0)):
        streams = drawn(seed, ratio, fixed=isinstance(gate, GroupSequential))
        found = first_verdicts(gate, streams)
        for row in range(RUNS):
            failed, passed = judged(gate, streams, row)
            assert found.failed[row] == failed, row
            seen.add(failed < LOOKS)
            assert min(found.passed[row], found.failed[row]) == min(passed, failed), row
            passes.add(passed < min(failed, LOOKS))
    assert len(seen) == 2 or isinstance(gate, SampleRatio)
    assert True in passes


def test_a_group_sequential_gate_needs_planned_traffic() -> None:
    with pytest.raises(ValueError, match="request counts are the same"):
        first_verdicts(GroupSequential(planned_requests=500), drawn(4, 1.0))


@pytest.mark.soak
@pytest.mark.parametrize("gate", GATES, ids=NAMES)
def test_a_hundred_thousand_streams_take_less_than_a_minute(gate: Gate) -> None:
    """Of one core's time; told from a tenth of them."""
    streams = World("speed", planned=isinstance(gate, GroupSequential), steps=True).draw(10_000, 1)
    start = time.process_time()
    first_verdicts(gate, streams)
    assert 10.0 * (time.process_time() - start) < 60.0
