"""Rates and their integrals against closed forms and numerical integration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from rolloutsim.sim.scenario import ConstantRate, DiurnalRate, RecordedRate, Traffic
from rolloutsim.sim.traffic import expected_per_cell, expected_requests, mean_rps, minute_shape, rate_rps

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

rates = st.floats(0.0, 1e5, allow_nan=False)
times = st.integers(-3 * DAY_MS, 3 * DAY_MS)


@st.composite
def recorded(draw: st.DrawFn) -> RecordedRate:
    steps = draw(st.lists(rates, min_size=2, max_size=30))
    step_ms = draw(st.integers(1, HOUR_MS))
    return RecordedRate(
        tuple(index * step_ms for index in range(len(steps))), tuple(steps), step_ms * len(steps)
    )


traffics = st.builds(
    Traffic,
    st.one_of(
        st.builds(ConstantRate, rates),
        st.builds(
            DiurnalRate, rates, st.floats(0.0, 1.0), st.integers(1000, 2 * DAY_MS), st.integers(0, DAY_MS)
        ),
        recorded(),
    ),
)


def test_diurnal_counts_of_the_closed_form() -> None:
    # mean ((t2 - t1) - A / w (cos w t2 - cos w t1)), evaluated apart from this package.
    traffic = Traffic(DiurnalRate(100.0, 0.6))
    windows = [(0, 21_600), (21_600, 43_200), (64_800, 68_400)]
    counts = [expected_requests(traffic, start * 1000, end * 1000) for start, end in windows]
    assert counts == pytest.approx([2_985_059.225, 2_985_059.225, 146_458.9592], rel=1e-9)
    assert rate_rps(traffic, 6 * HOUR_MS) / rate_rps(traffic, 18 * HOUR_MS) == pytest.approx(4.0)


@given(traffics, st.lists(times, min_size=3, max_size=3))
def test_expected_requests_are_additive_and_not_negative(traffic: Traffic, points: list[int]) -> None:
    start, middle, end = sorted(points)
    first, second = expected_requests(traffic, start, middle), expected_requests(traffic, middle, end)
    assert first >= 0.0
    assert second >= 0.0
    assert first + second == pytest.approx(expected_requests(traffic, start, end), rel=1e-9, abs=1e-5)


@given(traffics, st.lists(times, min_size=2, max_size=40, unique=True))
def test_cells_are_the_single_integrals(traffic: Traffic, edges: list[int]) -> None:
    edges = sorted(edges)
    cells = expected_per_cell(traffic, np.array(edges, dtype=np.int64))
    assert cells.dtype == np.float64
    single = [expected_requests(traffic, a, b) for a, b in itertools.pairwise(edges)]
    assert cells.tolist() == pytest.approx(single, rel=1e-12, abs=1e-9)


@given(traffics, times)
def test_the_rate_is_the_derivative_of_the_count(traffic: Traffic, t_ms: int) -> None:
    # Within one millisecond the steps of a record do not change, and a sine hardly does.
    rate = rate_rps(traffic, t_ms)
    assert expected_requests(traffic, t_ms, t_ms + 1) * 1000.0 == pytest.approx(rate, rel=0.02, abs=1e-2)


def test_diurnal_agrees_with_numerical_integration() -> None:
    traffic = Traffic(DiurnalRate(40.0, 0.9, period_ms=7 * HOUR_MS, phase_ms=HOUR_MS))
    numeric, _ = integrate.quad(lambda t: rate_rps(traffic, round(t)) / 1000.0, -HOUR_MS, 2 * HOUR_MS)
    assert expected_requests(traffic, -HOUR_MS, 2 * HOUR_MS) == pytest.approx(numeric, rel=1e-6)


def test_a_record_holds_its_steps_and_repeats() -> None:
    traffic = Traffic(RecordedRate((0, 1000, 2000), (10.0, 0.0, 4.0), 3000))
    assert [rate_rps(traffic, t) for t in (0, 999, 1000, 2500, 3000, -1)] == [10.0, 10.0, 0.0, 4.0, 10.0, 4.0]
    assert expected_requests(traffic, 500, 2500) == pytest.approx(5.0 + 0.0 + 2.0)
    assert expected_requests(traffic, -3000, 6000) == pytest.approx(3 * 14.0)
    assert mean_rps(traffic) == pytest.approx(14.0 / 3.0)


def test_no_traffic_is_legal() -> None:
    for rate in (
        ConstantRate(0.0),
        DiurnalRate(0.0, 0.5),
        RecordedRate((0, 60_000), (0.0, 0.0), 120_000),
    ):
        traffic = Traffic(rate, dispersion=3.0)
        assert expected_requests(traffic, 0, DAY_MS) == 0.0
        assert minute_shape(traffic) is None


def test_an_interval_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        expected_requests(Traffic(ConstantRate(1.0)), 1, 0)


def test_poisson_traffic_has_no_minute_factor() -> None:
    assert minute_shape(Traffic(ConstantRate(10.0))) is None


@pytest.mark.parametrize(("rate", "dispersion"), [(100.0, 4.6), (2.0, 1.5), (0.5, 7.0)])
def test_the_minute_factor_gives_the_dispersion(rate: float, dispersion: float) -> None:
    shape = minute_shape(Traffic(ConstantRate(rate), dispersion))
    assert shape is not None
    mean = rate * 60.0
    # Law of total variance: Poisson variance plus that of the mean times a gamma variable of mean 1.
    variance = mean + mean**2 / shape
    assert variance / mean == pytest.approx(dispersion)


def test_the_dispersion_of_a_diurnal_rate_holds_at_its_mean() -> None:
    shape = minute_shape(Traffic(DiurnalRate(10.0, 0.6), 4.0))
    assert shape == pytest.approx(600.0 / 3.0)
    assert math.isfinite(rate_rps(Traffic(DiurnalRate(10.0, 0.6)), -1))
