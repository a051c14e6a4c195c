"""What scrapes read of played requests is what array arithmetic makes of the kernels' counts."""

from __future__ import annotations

import numpy as np
import pytest

from rolloutsim.sim.requests.counters import Counters
from rolloutsim.sim.requests.layout import CUT, REJECTED, TIMED_OUT, State
from rolloutsim.sim.requests.state import empty_state

POOLS, BUCKETS, PATIENCE = 3, 5, 3


def counted(seed: int, before: State | None = None) -> State:
    """A state with counts in all lanes, no lower than ``before``."""
    draws = np.random.default_rng(seed)
    state = empty_state(POOLS, POOLS + 1, BUCKETS, 0, 0)
    for name in ("counts", "hist", "time_ns"):
        array = getattr(state, name)
        array += draws.integers(0, 10_000, array.shape)
        if before is not None:
            array += getattr(before, name)
    return state


@pytest.mark.parametrize("by_router", [True, False])
@pytest.mark.parametrize("latency", [True, False])
def test_the_totals_are_answers_and_what_a_router_sees_besides(by_router: bool, latency: bool) -> None:
    before = np.arange(POOLS * (2 + 2 * BUCKETS * latency)).reshape(POOLS, -1)
    counters = Counters(before.copy(), by_router=by_router, patience=PATIENCE, latency=latency)
    state = counted(1)
    rows = counters.rows(2)
    counters.read(state, rows[1])

    histogram = state.hist[:POOLS].copy()
    if by_router:
        histogram[:, 1, 0] += state.counts[:POOLS, REJECTED] + state.counts[:POOLS, CUT]
        histogram[:, 1, PATIENCE] += state.counts[:POOLS, TIMED_OUT]
    expected = before.copy()
    expected[:, :2] += histogram.sum(axis=2)
    if latency:
        expected[:, 2:] += histogram.reshape(POOLS, -1)
    assert rows.shape == (2, *before.shape)
    np.testing.assert_array_equal(rows[1], expected)


def test_the_mean_is_that_of_the_answers_since_the_last_time() -> None:
    counters = Counters(np.zeros((POOLS, 2), dtype=np.int64), by_router=True, patience=0, latency=False)
    first = counted(2)
    second = counted(3, before=first)
    second.hist[1], second.time_ns[1] = first.hist[1], first.time_ns[1]

    def sums(state: State) -> tuple[np.ndarray, np.ndarray]:
        return state.hist[:POOLS].sum(axis=(1, 2)), (state.time_ns[:POOLS, :2] * 1e-9).sum(axis=1)

    (answers, seconds), (more, longer) = sums(first), sums(second)
    np.testing.assert_array_equal(counters.mean_s(first), seconds / answers)
    mean_s = counters.mean_s(second)
    np.testing.assert_array_equal(mean_s, (longer - seconds) / np.maximum(more - answers, 1))
    assert mean_s[1] == 0.0
