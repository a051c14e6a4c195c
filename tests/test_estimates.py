"""Estimates: published values, closed forms, and coverage by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from rolloutsim.estimates import (
    clopper_pearson,
    equal_runs_needed,
    mean_interval,
    paired_mean_difference,
    paired_rate_difference,
    rate,
    runs_needed,
    wilson,
)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


# --- rates ----------------------------------------------------------------------------------------


def test_no_false_abort_in_a_thousand_runs() -> None:
    assert wilson(0, 1000) == pytest.approx((0.0, 0.003826758487), rel=1e-9)
    assert clopper_pearson(0, 1000) == pytest.approx((0.0, 0.003682083897), rel=1e-9)
    assert clopper_pearson(0, 1000, conf=0.90)[1] == pytest.approx(0.002991249545, rel=1e-9)
    estimate = rate(0, 1000)
    assert (estimate.value, estimate.low, estimate.n) == (0.0, 0.0, 1000)
    assert estimate.high == pytest.approx(0.003682083897, rel=1e-9)


@pytest.mark.parametrize(("p", "h", "runs"), [(0.01, 0.002, 9507.610586), (0.001, 0.0005, 15350.46945)])
def test_runs_needed_for_a_half_width(p: float, h: float, runs: float) -> None:
    assert runs_needed(p, h) == math.ceil(runs)


def test_runs_needed_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="half_width"):
        runs_needed(0.5, 0.0)


@pytest.mark.parametrize(("k", "n"), [(1, 7), (15, 148), (3, 400), (399, 400), (200, 400)])
def test_rate_intervals_agree_with_scipy(k: int, n: int) -> None:
    test = stats.binomtest(k, n)
    assert wilson(k, n) == pytest.approx(tuple(test.proportion_ci(method="wilson")), rel=1e-9)
    assert clopper_pearson(k, n) == pytest.approx(tuple(test.proportion_ci(method="exact")), rel=1e-9)


def test_all_runs_agreeing_gives_the_exact_bound() -> None:
    every, none = rate(400, 400), rate(0, 400)
    assert every.method == none.method == "clopper-pearson"
    assert every.high == 1.0
    assert none.high is not None
    assert every.low == pytest.approx(1.0 - none.high)
    assert rate(1, 400).method == "wilson"


def test_no_runs_give_no_value() -> None:
    assert rate(0, 0).value is None
    assert mean_interval([]).value is None
    assert paired_rate_difference([], []).value is None


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 2), (0, 0)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(k, n)


# --- skewed totals --------------------------------------------------------------------------------


def lognormal(sigma: float) -> tuple[Draw, float]:
    return (lambda g, n: g.lognormal(0.0, sigma, n)), math.exp(sigma**2 / 2)


def mostly_zero(share: float) -> tuple[Draw, float]:
    return (lambda g, n: (g.random(n) < share) * g.lognormal(0.0, 1.0, n)), share * math.exp(0.5)


@pytest.mark.parametrize(
    ("total", "n", "at_least", "at_most"),
    [
        ((lambda g, n: g.normal(5.0, 1.0, n), 5.0), 30, 0.935, 0.965),
        (lognormal(1.0), 100, 0.915, 0.965),
        (lognormal(1.0), 400, 0.92, 0.965),
        (lognormal(1.5), 400, 0.905, 0.965),
        (mostly_zero(0.3), 400, 0.92, 0.965),
        (mostly_zero(0.1), 400, 0.92, 0.97),
        (mostly_zero(0.03), 400, 0.92, 0.985),
    ],
    ids=["normal-30", "logn1-100", "logn1-400", "logn1.5-400", "zeros70-400", "zeros90-400", "zeros97-400"],
)
def test_coverage_of_skewed_totals(
    total: tuple[Draw, float], n: int, at_least: float, at_most: float
) -> None:
    draw, truth = total
    covered = 0
    trials = 2000
    for trial in range(trials):
        estimate = mean_interval(draw(generator(trial), n))
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
    assert at_least <= covered / trials <= at_most


def test_the_t_interval_misses_where_ours_does_not() -> None:
    """The reason for the transform: rare losses, whose t interval ends too low."""
    draw, truth = mostly_zero(0.03)
    ours = by_t = 0
    for trial in range(500):
        x = draw(generator(trial), 400)
        estimate = mean_interval(x)
        assert estimate.high is not None
        ours += truth <= estimate.high
        by_t += truth <= x.mean() + 1.96 * x.std(ddof=1) / math.sqrt(400)
    assert ours / 500 > 0.94
    assert by_t / 500 < 0.88


def test_without_skewness_it_is_the_t_interval() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    expected = stats.t.interval(0.95, 4, loc=3.0, scale=stats.sem(x))
    estimate = mean_interval(x)
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_the_transform_is_undone_exactly() -> None:
    """Put the interval's ends back through Hall's cubic: they are the t quantiles."""
    x = generator(3).lognormal(0.0, 1.0, 50)
    n, mean, deviation = 50, x.mean(), x.std()
    g = ((x - mean) ** 3).mean() / deviation**3
    estimate = mean_interval(x)
    for end, quantile in ((estimate.low, 0.975), (estimate.high, 0.025)):
        assert end is not None
        u = (mean - end) / (deviation * math.sqrt(n / (n - 1)))
        cubic = u + g * u**2 / 3 + g**2 * u**3 / 27 + g / (6 * n)
        assert math.sqrt(n) * cubic == pytest.approx(stats.t.ppf(quantile, n - 1))


def test_runs_without_a_value_are_left_out() -> None:
    estimate = mean_interval([math.nan, 10.0, math.nan, 14.0, 12.0])
    assert (estimate.value, estimate.n) == (12.0, 3)
    assert mean_interval([math.nan, math.nan]).value is None


def test_one_run_has_a_value_and_no_interval() -> None:
    estimate = mean_interval([7.0])
    assert (estimate.value, estimate.low, estimate.high) == (7.0, None, None)


@pytest.mark.parametrize("n", [2, 3, 4, 10, 58])
def test_few_equal_runs_have_no_interval(n: int) -> None:
    """Two out of two say nothing of the third: an interval without width would claim certainty."""
    for estimate in (mean_interval([2100.0] * n), paired_mean_difference([0.0] * n, [0.0] * n)):
        assert (estimate.low, estimate.high, estimate.n, estimate.method) == (None, None, n, "none")
    assert mean_interval([2100.0] * n).value == 2100.0


def test_equal_runs_are_an_interval_once_they_stand_for_nearly_all() -> None:
    """59 is the published sample size of a 95/95 tolerance limit (Wilks)."""
    assert equal_runs_needed() == 59
    assert 0.95**59 <= 0.05 < 0.95**58
    assert equal_runs_needed(0.99) == 90
    estimate = mean_interval([2100.0] * 59)
    assert (estimate.low, estimate.high, estimate.method) == (2100.0, 2100.0, "constant")
    assert mean_interval([2100.0] * 59, conf=0.99).low is None


def test_a_total_that_is_never_negative_keeps_its_bound() -> None:
    assert mean_interval([0.0] * 29 + [1000.0]).low == 0.0
    low = mean_interval([-1.0] * 29 + [1000.0]).low
    assert low is not None
    assert low < 0.0


def test_same_data_same_interval() -> None:
    x = generator(1).lognormal(0.0, 1.0, 400)
    assert mean_interval(x) == mean_interval(x.copy())


def test_scale_and_sign_carry_through() -> None:
    x = generator(2).lognormal(0.0, 1.0, 100)
    plain, scaled, mirrored = mean_interval(x), mean_interval(60.0 * x), mean_interval(-x)
    assert plain.low is not None
    assert plain.high is not None
    assert (scaled.low, scaled.high) == pytest.approx((60 * plain.low, 60 * plain.high))
    assert (mirrored.low, mirrored.high) == pytest.approx((-plain.high, -plain.low))


# --- paired differences ---------------------------------------------------------------------------


def pairs(both: int, only_b: int, only_a: int, neither: int) -> tuple[list[bool], list[bool]]:
    a = [True] * both + [False] * only_b + [True] * only_a + [False] * neither
    b = [True] * both + [True] * only_b + [False] * only_a + [False] * neither
    return a, b


def test_tango_example_of_lens_disinfection() -> None:
    """Tango (1998), table of the crossover trial of soft contact lenses: 90 % interval -0.096 to 0.037."""
    estimate = paired_rate_difference(*pairs(43, 0, 1, 0), conf=0.90)
    assert estimate.value == pytest.approx(-1 / 44)
    assert estimate.low == pytest.approx(-0.096, abs=5e-4)
    assert estimate.high == pytest.approx(0.037, abs=5e-4)


def test_no_discordant_pair_still_leaves_doubt() -> None:
    """Tango's interval for no discordant pair is z^2 / (n + z^2) either way."""
    estimate = paired_rate_difference(*pairs(100, 0, 0, 300))
    bound = 1.959963985**2 / (400 + 1.959963985**2)
    assert (estimate.low, estimate.high) == pytest.approx((-bound, bound))


def test_swapping_the_policies_mirrors_the_difference() -> None:
    a, b = pairs(10, 40, 7, 43)
    there, back = paired_rate_difference(a, b), paired_rate_difference(b, a)
    assert there.low is not None
    assert there.high is not None
    assert there.low > 0
    assert (back.value, back.low, back.high) == pytest.approx((-0.33, -there.high, -there.low))


@pytest.mark.parametrize(("p_a", "p_b"), [(0.05, 0.10), (0.5, 0.6), (0.9, 0.99), (0.02, 0.02)])
def test_coverage_of_paired_rates(p_a: float, p_b: float) -> None:
    covered = 0
    for trial in range(1000):
        g = generator(trial)
        shared, own = g.random(200), g.random(200)
        luck_b = np.where(g.random(200) < 0.8, shared, own)
        estimate = paired_rate_difference(shared < p_a, luck_b < p_b)
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= p_b - p_a <= estimate.high
    assert 0.93 <= covered / 1000 <= 0.995


def test_pairing_narrows_a_difference_of_means() -> None:
    g = generator(4)
    world = g.lognormal(3.0, 1.0, 400)
    a, b = world, world * 1.1 + g.normal(0.0, 0.5, 400)
    paired = paired_mean_difference(a, b)
    assert paired.value == pytest.approx(b.mean() - a.mean())
    assert paired.low is not None
    assert paired.low > 0
    unpaired = 1.96 * math.sqrt(a.var() / 400 + b.var() / 400)
    assert paired.high is not None
    assert paired.high - paired.low < unpaired / 5


def test_a_pair_with_one_side_missing_is_left_out() -> None:
    assert paired_mean_difference([1.0, math.nan, 3.0], [2.0, 2.0, 5.0]).n == 2


def test_pairs_need_the_same_runs() -> None:
    with pytest.raises(ValueError, match="same runs"):
        paired_rate_difference([True], [True, False])
