"""Rare false aborts: against closed forms, against counting, and with honest errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, poisson

from rolloutsim.evidence.rare import RareEvent, TooFewEvents, rare_kills
from rolloutsim.evidence.windows import kill_chances
from tests.evidence.streams import steady


def window_fails(threshold: float, requests: float, error_rate: float) -> float:
    """Exact: ``errors / (errors + good) >= threshold`` of two Poisson counts."""
    bad, good = requests * error_rate, requests * (1.0 - error_rate)
    total = 0.0
    for k in range(1, int(good + 12 * math.sqrt(good + 10)) + 60):
        most_good = math.floor(k / threshold - k + 1e-9)
        total += poisson.pmf(k, bad) * poisson.cdf(most_good, good)
    return total


def errors_from(found: RareEvent, truth: float) -> float:
    """How many standard errors an estimate is from the truth."""
    estimate = found.probability
    assert estimate.value is not None
    assert estimate.high is not None
    return (estimate.value - truth) / ((estimate.high - estimate.value) / 1.96)


@pytest.mark.parametrize(
    ("threshold", "window_s", "interval_s", "looks", "limit", "rate_rps", "error_rate"),
    [
        (0.05, 60, 60, 1, 0, 10.0, 0.02),
        (0.05, 60, 60, 10, 0, 10.0, 0.02),
        (0.01, 60, 60, 10, 3, 1.0, 0.001),
        (0.05, 60, 60, 20, 2, 5.0, 0.025),
        (0.02, 60, 120, 10, 1, 10.0, 0.008),
    ],
)
def test_windows_that_do_not_overlap_have_a_closed_form(
    threshold: float,
    window_s: int,
    interval_s: int,
    looks: int,
    limit: int,
    rate_rps: float,
    error_rate: float,
) -> None:
    p = window_fails(threshold, rate_rps * window_s, error_rate)
    truth = float(binom.sf(limit, looks, p))
    assert truth < 0.01
    stream = steady(
        threshold=threshold,
        window_s=window_s,
        interval_s=interval_s,
        looks=looks,
        limit=limit,
        rate_rps=rate_rps,
        error_rate=error_rate,
    )
    found = rare_kills(stream, samples=20_000)
    assert abs(errors_from(found, truth)) < 4.0
    assert found.effective_events > 100
    assert found.gain > 10.0


def test_overlapping_windows_agree_with_the_exact_law() -> None:
    """Windows that overlap by a half share their bursts: far likelier than independent ones."""
    stream = steady(window_s=120, limit=1, rate_rps=2.0, error_rate=0.015)
    truth = float(kill_chances(stream).sum())
    assert truth < 1e-2
    found = rare_kills(stream, samples=40_000)
    assert abs(errors_from(found, truth)) < 4.0
    assert truth > 1.2 * binom.sf(1, 10, window_fails(0.05, 240.0, 0.015))


def test_windows_that_overlap_more_agree_with_counting() -> None:
    stream = steady(window_s=300, looks=20, limit=2, rate_rps=1.0, error_rate=0.025)
    n = 50_000
    generator = np.random.Generator(np.random.Philox(key=1))
    bad, good = (generator.poisson(mean, (n, mean.size)) for mean in (stream.bad, stream.good))
    failures = sum(
        stream.rule.fails(*(part[:, look.first : look.end].sum(axis=1) for part in (bad, good))).astype(int)
        for look in stream.looks
    )
    counted = float((failures > 2).mean())
    found = rare_kills(stream)
    assert found.probability.high is not None
    assert found.probability.value is not None
    error = math.hypot(
        (found.probability.high - found.probability.value) / 1.96, math.sqrt(counted * (1 - counted) / n)
    )
    assert abs(found.probability.value - counted) < 4.0 * error


@pytest.mark.slow
def test_the_interval_covers() -> None:
    """500 repetitions, within three standard errors of 95 %."""
    stream = steady(looks=3, rate_rps=10.0, error_rate=0.02)
    truth = float(binom.sf(0, 3, window_fails(0.05, 600.0, 0.02)))
    covered = 0
    for seed in range(500):
        found = rare_kills(stream, samples=4000, seed=seed).probability
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert truth < 2e-5
    assert covered / 500 == pytest.approx(0.95, abs=3.0 * math.sqrt(0.95 * 0.05 / 500))


def test_too_few_events_give_no_number() -> None:
    stream = steady(looks=5, limit=1, rate_rps=5.0, error_rate=0.01)
    with pytest.raises(TooFewEvents, match="fewer than 100: take more"):
        rare_kills(stream, samples=150)


def test_what_never_fails_gives_no_number() -> None:
    with pytest.raises(TooFewEvents, match="hold 0 effective events"):
        rare_kills(steady(rate_rps=5.0, error_rate=0.0), samples=500)


def test_the_same_seed_gives_the_same_number() -> None:
    stream = steady(looks=5, rate_rps=10.0, error_rate=0.02)
    first, second, other = (rare_kills(stream, samples=4000, seed=seed) for seed in (1, 1, 2))
    assert first == second != other
