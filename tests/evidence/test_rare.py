"""Rare false aborts: against closed forms, against counting, and with honest errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, poisson

from rolloutsim.evidence.rare import RareEvent, ThresholdGate, TooFewEvents, rare_false_aborts


def window_fails(gate: ThresholdGate, rate_rps: float, error_rate: float) -> float:
    """Exact: ``errors / (errors + good) >= threshold`` of two Poisson counts."""
    requests = rate_rps * gate.window_s
    bad, good = requests * error_rate, requests * (1.0 - error_rate)
    total = 0.0
    for k in range(1, int(good + 12 * math.sqrt(good + 10)) + 60):
        most_good = math.floor(k / gate.threshold - k + 1e-9)
        total += poisson.pmf(k, bad) * poisson.cdf(most_good, good)
    return total


def errors_from(found: RareEvent, truth: float) -> float:
    """How many standard errors an estimate is from the truth."""
    estimate = found.probability
    assert estimate.value is not None
    assert estimate.high is not None
    return (estimate.value - truth) / ((estimate.high - estimate.value) / 1.96)


@pytest.mark.parametrize(
    ("gate", "rate_rps", "error_rate"),
    [
        (ThresholdGate(0.05, 60, 60, 1), 10.0, 0.02),
        (ThresholdGate(0.05, 60, 60, 10), 10.0, 0.02),
        (ThresholdGate(0.01, 60, 60, 10, failure_limit=3), 1.0, 0.001),
        (ThresholdGate(0.05, 60, 60, 30, failure_limit=3), 5.0, 0.025),
        (ThresholdGate(0.02, 60, 120, 20, failure_limit=1), 10.0, 0.008),
    ],
)
def test_windows_that_do_not_overlap_have_a_closed_form(
    gate: ThresholdGate, rate_rps: float, error_rate: float
) -> None:
    p = window_fails(gate, rate_rps, error_rate)
    truth = float(binom.sf(gate.failure_limit, gate.looks, p))
    assert truth < 0.01
    found = rare_false_aborts(gate, rate_rps=rate_rps, error_rate=error_rate, samples=40_000)
    assert abs(errors_from(found, truth)) < 4.0
    assert found.effective_events > 100
    assert found.gain > 10.0


def test_overlapping_windows_agree_with_counting() -> None:
    """Windows that overlap by a half share their bursts: far likelier than independent ones."""
    gate = ThresholdGate(0.05, 120, 60, 10, failure_limit=1)
    rate_rps, error_rate, n = 2.0, 0.02, 200_000
    generator = np.random.Generator(np.random.Philox(key=1))
    errors = generator.poisson(rate_rps * 60 * error_rate, (n, 11))
    good = generator.poisson(rate_rps * 60 * (1.0 - error_rate), (n, 11))
    bad, all_ = (counts[:, 1:] + counts[:, :-1] for counts in (errors, errors + good))
    counted = float(((bad / all_ >= 0.05).sum(axis=1) > 1).mean())
    found = rare_false_aborts(gate, rate_rps=rate_rps, error_rate=error_rate)
    estimate = found.probability
    assert estimate.value is not None
    assert estimate.high is not None
    both = math.hypot((estimate.high - estimate.value) / 1.96, math.sqrt(counted * (1 - counted) / n))
    assert abs(estimate.value - counted) < 4.0 * both
    independent = binom.sf(1, 10, window_fails(gate, rate_rps, error_rate))
    assert estimate.value > 1.2 * independent


def test_the_interval_covers() -> None:
    """500 repetitions, within three standard errors of 95 %."""
    gate = ThresholdGate(0.05, 60, 60, 3)
    truth = float(binom.sf(0, 3, window_fails(gate, 10.0, 0.02)))
    covered = 0
    for seed in range(500):
        found = rare_false_aborts(gate, rate_rps=10.0, error_rate=0.02, samples=4000, seed=seed).probability
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert truth < 2e-5
    assert covered / 500 == pytest.approx(0.95, abs=3.0 * math.sqrt(0.95 * 0.05 / 500))


def test_too_few_events_give_no_number() -> None:
    gate = ThresholdGate(0.05, 60, 60, 5, failure_limit=1)
    with pytest.raises(TooFewEvents, match="fewer than 100: take more"):
        rare_false_aborts(gate, rate_rps=5.0, error_rate=0.01, samples=150)


def test_the_same_seed_gives_the_same_number() -> None:
    gate = ThresholdGate(0.05, 60, 60, 5)
    first, second, other = (
        rare_false_aborts(gate, rate_rps=10.0, error_rate=0.02, samples=4000, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


@pytest.mark.parametrize(
    ("threshold", "window", "looks", "limit"), [(0.0, 60, 1, 0), (0.05, 0, 1, 0), (0.05, 60, 3, 3)]
)
def test_a_gate_that_is_none(threshold: float, window: int, looks: int, limit: int) -> None:
    with pytest.raises(ValueError, match=r"a gate needs|so few looks"):
        ThresholdGate(threshold, window, 60, looks, limit)


@pytest.mark.parametrize(("rate_rps", "error_rate"), [(0.0, 0.01), (5.0, 0.0), (5.0, 0.05)])
def test_what_is_not_rare(rate_rps: float, error_rate: float) -> None:
    with pytest.raises(ValueError, match="rare events need"):
        rare_false_aborts(ThresholdGate(0.05, 60, 60, 5), rate_rps=rate_rps, error_rate=error_rate)
