"""Intervals that hold at all times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.engine.gates import Arm, difference_sequence, quantile_ranks, rate_sequence
from rolloutsim.engine.gates.confidence import mean_sequence, requests_for_width, surely_below


@given(good=st.integers(0, 20_000), bad=st.integers(0, 20_000), alpha=st.sampled_from([0.01, 0.05, 0.2]))
def test_a_rate_lies_inside_and_its_mirror_mirrors(good: int, bad: int, alpha: float) -> None:
    n = good + bad
    if not n:
        return
    low, high = rate_sequence(bad, n, alpha)
    assert 0.0 <= low <= bad / n + 1e-12
    assert bad / n - 1e-12 <= high <= 1.0
    mirrored_low, mirrored_high = rate_sequence(good, n, alpha)
    assert (low, high) == pytest.approx((1.0 - mirrored_high, 1.0 - mirrored_low), abs=1e-6)
    for rate in (1.001 * high, 0.999 * high):
        if bad / n < rate < 1.0:
            assert surely_below(bad, n, rate, alpha) is (rate > high)


def test_a_rate_is_covered_at_all_times() -> None:
    generator = np.random.Generator(np.random.Philox(key=7))
    runs, rate, alpha = 400, 0.05, 0.1
    missed = 0
    for bad in generator.binomial(25, rate, size=(runs, 60)).cumsum(axis=1):
        ends = [rate_sequence(int(k), 25 * (look + 1), alpha) for look, k in enumerate(bad)]
        missed += not all(low <= rate <= high for low, high in ends)
    assert missed / runs <= alpha + 4.0 * math.sqrt(alpha * (1.0 - alpha) / runs)


def test_a_mean_is_covered_at_all_times() -> None:
    generator = np.random.Generator(np.random.Philox(key=8))
    runs, alpha = 150, 0.1
    missed = 0
    for values in generator.beta(2.0, 6.0, size=(runs, 400)):
        ends = [mean_sequence(values[:n].tolist(), alpha) for n in (10, 30, 100, 200, 400)]
        missed += not all(low <= 0.25 <= high for low, high in ends)
    assert missed / runs <= alpha + 4.0 * math.sqrt(alpha * (1.0 - alpha) / runs)
    low, high = mean_sequence([0.0, 1.0] * 1_000, 0.05)
    assert 0.42 < low < 0.5 < high < 0.58
    assert mean_sequence([], 0.05) == (0.0, 1.0)


def test_a_difference_and_the_requests_it_needs() -> None:
    assert difference_sequence(Arm(), Arm(100, 1), 0.1) == (-1.0, 1.0)
    low, high = difference_sequence(Arm(1_000, 30), Arm(9_000, 90), 0.1)
    assert low < 0.02 < high
    needed = requests_for_width(Arm(500, 5), Arm(4_500, 45), 0.01, 0.1)

    def reach(n: int) -> float:
        return difference_sequence(Arm(n, n // 100), Arm(9 * n, 9 * n // 100), 0.1)[1]

    assert reach(needed * 2 // 3) > 0.01 > reach(needed * 3 // 2)


def test_few_requests_do_not_bound_a_high_quantile() -> None:
    lower, upper = quantile_ranks(0.99, 100, 0.05, 100)
    assert lower < 99
    assert upper > 100
    assert quantile_ranks(0.5, 3, 0.05, 3)[0] < 1
