"""Compiled draws: the generator bit by bit, the laws by their moments and by chi-square."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rolloutsim.sim import kernels

WORD = st.integers(0, 2**64 - 1)


@settings(deadline=None)  # the first call compiles
@given(WORD, WORD, st.integers(0, 2**63 - 2), WORD, WORD, WORD)
def test_philox_is_the_generator_of_numpy(k0, k1, c0, c1, c2, c3):
    reference = np.random.Philox(
        key=np.array([k0, k1], dtype=np.uint64), counter=np.array([c0, c1, c2, c3], dtype=np.uint64)
    )
    # numpy counts up before its first block
    assert tuple(reference.random_raw(4).tolist()) == kernels.philox(
        *(np.uint64(word) for word in (k0, k1, c0 + 1, c1, c2, c3))
    )


def test_uniforms_are_uniform():
    draws = np.array([kernels.uniform(5, 7, cell, 0, 0, 0) for cell in range(20_000)])
    assert draws.min() > 0.0
    assert draws.max() < 1.0
    assert stats.kstest(draws, "uniform").pvalue > 1e-3


def drawn(draw, count=20_000):
    return np.array([draw(cell) for cell in range(count)])


def chi_square(draws, law):
    """P-value of the draws against a discrete law, over cells of at least 10 expected draws."""
    low, high = int(law.ppf(1e-4)), int(law.ppf(1 - 1e-4))
    edges = np.unique(np.linspace(low, high, 30).astype(int))
    probabilities = np.diff(np.concatenate(([0.0], law.cdf(edges), [1.0])))
    observed = np.bincount(np.searchsorted(edges, draws), minlength=len(edges) + 1)
    expected = probabilities * len(draws)
    kept = expected >= 10
    observed = np.append(observed[kept], observed[~kept].sum())
    expected = np.append(expected[kept], expected[~kept].sum())
    if expected[-1] == 0:
        observed, expected = observed[:-1], expected[:-1]
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.3), (20, 0.01), (100, 0.02), (100, 0.5), (1500, 0.05), (1500, 0.97), (10**6, 0.2)]
)
def test_binomial_law(n, p):
    draws = drawn(lambda cell: kernels.binomial(11, 13, cell, 0, 0, n, p))
    assert chi_square(draws, stats.binom(n, p)) > 1e-4


@pytest.mark.parametrize("mean", [0.01, 3.0, 9.9, 10.1, 60.0, 1500.0])
def test_poisson_law(mean):
    draws = drawn(lambda cell: kernels.poisson(11, 13, cell, 0, 0, mean))
    assert chi_square(draws, stats.poisson(mean)) > 1e-4


@pytest.mark.parametrize("shape", [0.3, 1.0, 7.5, 400.0])
def test_gamma_law(shape):
    draws = drawn(lambda cell: kernels.gamma(11, 13, cell, 0, 0, shape), 8_000)
    assert stats.kstest(draws, stats.gamma(shape).cdf).pvalue > 1e-4


def test_beta_law():
    draws = drawn(lambda cell: kernels.beta(11, 13, cell, 0, 0, 2.0, 50.0), 8_000)
    assert stats.kstest(draws, stats.beta(2.0, 50.0).cdf).pvalue > 1e-4


@given(st.integers(0, 2000), st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_binomial_stays_in_range(n, p, cell):
    assert 0 <= kernels.binomial(1, 2, cell, 0, 0, n, p) <= n


@given(st.integers(0, 200), st.floats(0.0, 0.04), st.floats(0.0, 0.04), st.integers(0, 10**6))
def test_small_binomials_are_monotone_in_p(n, p, q, cell):
    """Common random numbers: the same draw under a higher error rate never gives fewer errors."""
    low, high = sorted((p, q))
    assert kernels.binomial(1, 2, cell, 0, 0, n, low) <= kernels.binomial(1, 2, cell, 0, 0, n, high)


def test_columns_of_pools_are_cumulated_buckets_time_and_count():
    draws = np.random.default_rng(4)
    scrapes, pools, buckets = 4, 3, 6
    totals = draws.integers(0, 50, (scrapes, pools, 2 + 2 * buckets)).cumsum(axis=0)
    mean_s = draws.random(pools)
    before, seconds_before = draws.integers(0, 50, (pools, 2)), draws.random((pools, 2))
    counted, seconds = before.copy(), seconds_before.copy()
    columns = np.full((scrapes, pools, 6 + 2 * buckets), np.nan)
    kernels.fill_columns(totals, mean_s, counted, seconds, columns)

    counts = totals[:, :, :2]
    each = columns[:, :, 2:].reshape(scrapes, pools, 2, buckets + 2)
    np.testing.assert_array_equal(columns[:, :, :2], counts)
    spread = totals[:, :, 2:].reshape(scrapes, pools, 2, buckets)
    np.testing.assert_array_equal(each[..., :buckets], spread.cumsum(axis=3))
    took = seconds_before + (counts - before) * mean_s[:, None]
    np.testing.assert_array_equal(each[..., buckets], took)
    np.testing.assert_array_equal(each[..., buckets + 1], counts)
    np.testing.assert_array_equal(counted, counts[-1])
    np.testing.assert_array_equal(seconds, took[-1])
    unchanged = counted.copy(), seconds.copy()
    kernels.fill_columns(totals[:0], mean_s, counted, seconds, columns[:0])
    np.testing.assert_array_equal((counted, seconds), unchanged)
