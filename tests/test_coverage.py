"""Coverage: each interval holds its truth as often as it says, on the kind of data that it is used for.

Every kind of estimate that a table or a verdict shows has a row here. Rates and rules that stop are computed
exactly where that is possible; the rest is 500 repetitions, within three standard errors of what is promised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from rolloutsim.estimates import (
    Estimate,
    Looks,
    mean_interval,
    paired_mean_difference,
    paired_rate_difference,
    plan_looks,
    rate,
    repeated_mean,
    repeated_rate,
)
from rolloutsim.evidence.bars import MEAN_RUNS

Numbers = NDArray[np.float64]
REPETITIONS = 500
LOOKS = plan_looks(1600)


def generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def share(hits: Callable[[np.random.Generator], bool], repetitions: int = REPETITIONS) -> float:
    return sum(hits(generator(7, key)) for key in range(repetitions)) / repetitions


def three_errors(promised: float, repetitions: int = REPETITIONS) -> float:
    return 3.0 * math.sqrt(promised * (1.0 - promised) / repetitions)


# --- at a number of runs that was fixed before ----------------------------------------------------


def averaged_coverage(n: int, around: float) -> float:
    """Exact coverage of `rate`, averaged over truths near one: at a single one it jumps with the counts."""
    ends = [rate(k, n) for k in range(n + 1)]
    truths = around * np.linspace(0.8, 1.2, 41)
    found = [sum(binom.pmf(k, n, p) for k, end in enumerate(ends) if covers(end, float(p))) for p in truths]
    return float(np.mean(found))


@pytest.mark.parametrize(("n", "around"), [(100, 0.5), (400, 0.3), (400, 0.05), (400, 0.01)])
def test_rates(n: int, around: float) -> None:
    assert averaged_coverage(n, around) == pytest.approx(0.95, abs=three_errors(0.95))


def test_the_bound_of_no_event_at_all_is_never_too_low() -> None:
    """Zero of 400: rates above the bound give zero less often than the 2.5 % that are left for that end."""
    high = rate(0, 400).high
    assert high is not None
    assert binom.pmf(0, 400, high) == pytest.approx(0.025)


TOTALS: dict[str, tuple[Callable[[np.random.Generator, int], Numbers], float]] = {
    "normal": (lambda g, n: g.normal(5.0, 1.0, n), 5.0),
    "exponential": (lambda g, n: g.exponential(1.0, n), 1.0),
    "lognormal-1": (lambda g, n: g.lognormal(0.0, 1.0, n), math.exp(0.5)),
    "lognormal-1.5": (lambda g, n: g.lognormal(0.0, 1.5, n), math.exp(1.125)),
    "nine-in-ten-zero": (lambda g, n: (g.random(n) < 0.1) * g.lognormal(0.0, 1.0, n), 0.1 * math.exp(0.5)),
    "two-modes": (lambda g, n: np.where(g.random(n) < 0.03, 12_000.0, 300.0), 651.0),
}
"""Bad requests of policies that catch always, mostly, seldom; two-modes: 3 of 100 runs get through."""


@pytest.mark.parametrize("name", TOTALS)
def test_skewed_totals_of_a_thousand_runs(name: str) -> None:
    draw, truth = TOTALS[name]
    found = share(lambda g: covers(mean_interval(draw(g, 1000)), truth))
    assert found >= 0.92
    assert found == pytest.approx(0.95, abs=three_errors(0.95))


@pytest.mark.parametrize("rare", [0.05, 0.1, 0.3])
def test_an_interval_without_width_misleads_as_rarely_as_promised(rare: float) -> None:
    """Exactly: n runs are all equal, though a share of all is different, with a chance of (1 - rare)^n."""
    without_width = [n for n in range(2, 200) if mean_interval([300.0] * n).low is not None]
    assert without_width
    assert max((1.0 - rare) ** n for n in without_width) <= 0.05


@pytest.mark.slow
def test_the_formula_does_as_well_as_the_bootstrap() -> None:
    """BCa (Efron 1987, as in scipy) on the same data: why no resampling is needed for a mean."""
    from scipy.stats import bootstrap

    draw, truth = TOTALS["lognormal-1.5"]

    def by_bootstrap(g: np.random.Generator) -> bool:
        found = bootstrap((draw(g, 1000),), np.mean, n_resamples=999, method="BCa", rng=g).confidence_interval
        return bool(found.low <= truth <= found.high)

    ours = share(lambda g: covers(mean_interval(draw(g, 1000)), truth), 300)
    assert ours >= share(by_bootstrap, 300) - three_errors(0.95, 300)


@pytest.mark.parametrize(("p_a", "p_b"), [(0.5, 0.6), (0.95, 0.99), (0.02, 0.03)])
def test_paired_rates(p_a: float, p_b: float) -> None:
    def hit(g: np.random.Generator) -> bool:
        world, own = g.random(400), g.random(400)
        luck = np.where(g.random(400) < 0.8, world, own)
        return covers(paired_rate_difference(world < p_a, luck < p_b), p_b - p_a)

    assert share(hit) >= 0.95 - three_errors(0.95)


def test_paired_totals() -> None:
    def hit(g: np.random.Generator) -> bool:
        world = g.lognormal(0.0, 1.0, 1000)
        return covers(
            paired_mean_difference(world, world * g.lognormal(0.1, 0.5, 1000)),
            math.exp(0.5) * (math.exp(0.225) - 1.0),
        )

    assert share(hit) == pytest.approx(0.95, abs=three_errors(0.95))


# --- where runs are added until a bar is decided --------------------------------------------------


def still_open(p: float, bar: float, looks: Looks) -> Iterator[tuple[int, float, float, float]]:
    """At each look the runs so far, and the exact chances that a share of ``p`` is there found to be surely
    at most ``bar``, surely above it, and neither yet.
    """
    alive, before = np.array([1.0]), 0
    for n, tail in zip(looks.runs, looks.tails, strict=True):
        alive = np.convolve(alive, binom.pmf(np.arange(n - before + 1), n - before, p))
        before = n
        ends = [repeated_rate(k, n, tail) for k in range(n + 1)]
        passed = np.array([end.high is not None and end.high <= bar for end in ends])
        failed = np.array([end.low is not None and end.low > bar for end in ends])
        below, above = alive[passed].sum(), alive[failed].sum()
        alive = np.where(passed | failed, 0.0, alive)
        yield n, float(below), float(above), float(alive.sum())


def chances(p: float, bar: float, looks: Looks) -> tuple[float, float, float]:
    """Exact chances to find a share of ``p`` surely at most ``bar``, surely above it, and neither."""
    found = list(still_open(p, bar, looks))
    return sum(below for _, below, _, _ in found), sum(above for _, _, above, _ in found), found[-1][3]


def runs_taken(p: float, bar: float, looks: Looks) -> float:
    """Runs until a share of ``p`` is decided, on average; the cap where it is not."""
    taken, before, open_ = 0.0, 0, 1.0
    for n, _, _, left in still_open(p, bar, looks):
        taken, before, open_ = taken + open_ * (n - before), n, left
    return taken


def test_there_are_three_looks_for_each_doubling() -> None:
    assert LOOKS.runs == (100, 126, 159, 200, 252, 317, 400, 504, 635, 800, 1008, 1270, 1600)
    assert plan_looks(150).runs == (119, 150)
    assert plan_looks(125) == Looks((125,), (0.05,))
    assert plan_looks(10, 1).runs == (1, 2, 3, 4, 5, 6, 8, 10)


def test_a_share_at_half_its_bar_takes_a_fifth_fewer_runs_than_with_looks_that_double() -> None:
    """What the looks in between are there for; the other plan may spend as much in all."""
    tails = tuple(0.05 * 6.0**look / sum(6.0**one for one in range(5)) for look in range(5))
    doubling = Looks((100, 200, 400, 800, 1600), tails)
    assert runs_taken(0.01, 0.02, LOOKS) < 0.8 * runs_taken(0.01, 0.02, doubling)


@pytest.mark.parametrize(("cap", "first", "error"), [(50, 100, 0.05), (100, 0, 0.05), (100, 100, 0.5)])
def test_a_plan_without_sense_is_refused(cap: int, first: int, error: float) -> None:
    with pytest.raises(ValueError, match="plan_looks"):
        plan_looks(cap, first, error)


@pytest.mark.parametrize("bar", [0.02, 0.05, 0.2, 0.5])
def test_a_share_at_the_bar_is_decided_either_way_as_rarely_as_promised(bar: float) -> None:
    """At the bar itself every decision is a wrong one: at most one in twenty, either way."""
    passed, failed, _ = chances(bar, bar, LOOKS)
    assert 0.025 < passed <= 0.05
    assert 0.025 < failed <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("cap", [150, 400, 1000, 1600])
def test_no_share_at_its_bar_is_decided_more_often_than_promised(cap: int) -> None:
    looks = plan_looks(cap)
    for bar in np.geomspace(0.001, 0.5, 40):
        for truth in (bar, 1.0 - bar):
            passed, failed, _ = chances(truth, truth, looks)
            assert passed <= 0.05
            assert failed <= 0.05


@pytest.mark.parametrize("bar", [0.02, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_four_standard_errors_from_the_bar_it_is_decided_and_rightly(bar: float, side: float) -> None:
    """The standard error at the cap, at the bar or at the truth, whichever is larger."""
    truth = bar
    for _ in range(100):
        at_truth, at_bar = truth * (1.0 - truth), bar * (1.0 - bar)
        truth = bar + side * 4.0 * math.sqrt(max(at_truth, at_bar) / LOOKS.runs[-1])
    passed, failed, open_ = chances(truth, bar, LOOKS)
    right, wrong = (passed, failed) if side < 0 else (failed, passed)
    assert wrong < 1e-5
    assert open_ <= 0.02
    assert right >= 0.98


@pytest.mark.parametrize("name", TOTALS)
def test_the_mean_of_a_total_at_the_bar(name: str) -> None:
    """Means are judged from 800 runs on: either wrong decision is as rare as promised."""
    draw, truth = TOTALS[name]
    looks = [(n, tail) for n, tail in zip(LOOKS.runs, LOOKS.tails, strict=True) if n >= MEAN_RUNS]

    def decided(g: np.random.Generator) -> tuple[bool, bool]:
        values = draw(g, LOOKS.runs[-1])
        for n, tail in looks:
            estimate = repeated_mean(values[:n], tail)
            assert estimate.low is not None
            assert estimate.high is not None
            if not covers(estimate, truth):
                return estimate.high < truth, estimate.low > truth
        return False, False

    found = [decided(generator(7, key)) for key in range(REPETITIONS)]
    for side in zip(*found, strict=True):
        assert sum(side) / REPETITIONS <= 0.05 + three_errors(0.05)
