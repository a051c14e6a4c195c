"""Aggregate counts: conservation, addressing, laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.latency import PLAIN, bucket_shares, paces
from rolloutsim.sim.scenario import Cluster, ConstantRate, DiurnalRate, Latency, Service, Split, Traffic

BOUNDS = (0.05, 0.1, 0.5)


def plane(service=None, *, seed=1, bounds=BOUNDS, versions=(0, 1), start_ms=0, phase_ms=0):
    service = service or Service("api", Traffic(ConstantRate(100.0)))
    return DataPlane(service, seed, 0, versions, bounds, start_ms=start_ms, phase_ms=phase_ms)


USUAL = (Conditions(0.9, 0.01), Conditions(0.1, 0.05))


def run(made, cuts, conditions=USUAL):
    made.change(conditions)
    scrapes = [made.advance(cut) for cut in cuts]
    times = np.concatenate([s.times_ms for s in scrapes if s is not None])
    totals = np.concatenate([s.totals for s in scrapes if s is not None])
    return times, totals


def test_scrapes_stand_on_their_grid():
    times, _ = run(plane(phase_ms=4_000, start_ms=-20_000), [60_000])
    assert times.tolist() == [-11_000, 4_000, 19_000, 34_000, 49_000]


def test_every_request_has_one_fate():
    _, totals = run(plane(), [600_000])
    requests = totals[-1, :, :2].sum()
    assert requests == pytest.approx(60_000, abs=6 * 60_000**0.5)
    assert totals[-1, :, 2:6].sum(axis=1).tolist() == totals[-1, :, 0].tolist()
    assert totals[-1, :, 6:].sum(axis=1).tolist() == totals[-1, :, 1].tolist()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True))
@settings(max_examples=30, deadline=None)
def test_when_somebody_looks_changes_nothing(looks):
    """Advancing to scrapes in any steps gives the same tables."""
    cuts = [15_000 * look for look in sorted(looks)]
    times, totals = run(plane(), [*cuts, 900_000])
    once_times, once_totals = run(plane(), [900_000])
    assert times.tolist() == once_times.tolist()
    assert (totals == once_totals).all()


def test_a_weight_does_not_change_the_arrivals():
    _, one = run(plane(), [600_000], (Conditions(0.9), Conditions(0.1)))
    _, other = run(plane(), [600_000], (Conditions(0.5), Conditions(0.5)))
    assert one[:, :, :2].sum(axis=(1, 2)).tolist() == other[:, :, :2].sum(axis=(1, 2)).tolist()


def test_a_change_inside_a_cell_keeps_the_arrivals_of_the_cell():
    cut = plane()
    cut.change((Conditions(1.0), Conditions()))
    cut.advance(7_000)
    cut.change((Conditions(0.5), Conditions(0.5)))
    _, whole = run(plane(), [15_000], (Conditions(1.0), Conditions()))
    assert cut.advance(15_000).totals[0, :, :2].sum() == whole[0, :, :2].sum()


def test_latency_buckets_change_no_count():
    _, with_latency = run(plane(), [300_000])
    _, without = run(plane(bounds=()), [300_000])
    assert (with_latency[:, :, :2] == without).all()


def test_error_rate_and_share_are_met():
    _, totals = run(plane(seed=7), [3_600_000])
    requests = totals[-1, :, :2].sum(axis=1)
    errors = totals[-1, :, 1]
    assert requests[1] / requests.sum() == pytest.approx(0.1, abs=0.003)
    assert errors[0] / requests[0] == pytest.approx(0.01, abs=0.001)
    assert errors[1] / requests[1] == pytest.approx(0.05, abs=0.005)


def test_an_exact_router_splits_exactly():
    service = Service("api", Traffic(ConstantRate(100.0)), cluster=Cluster(split=Split.EXACT))
    _, totals = run(plane(service), [600_000], (Conditions(0.95), Conditions(0.05)))
    requests = totals[:, :, :2].sum(axis=2)
    assert np.abs(requests[:, 1] - 0.05 * requests.sum(axis=1)).max() <= 1.0


@pytest.mark.parametrize("dispersion", [1.0, 8.0])
def test_dispersion_of_requests_per_minute(dispersion):
    service = Service("api", Traffic(ConstantRate(20.0), dispersion))
    _, totals = run(plane(service, bounds=()), [60_000 * 3_000], (Conditions(1.0), Conditions()))
    per_minute = np.diff(totals[3::4, 0, :2].sum(axis=1))
    index = per_minute.var() / per_minute.mean()
    assert index == pytest.approx(dispersion, rel=0.12)
    assert per_minute.mean() == pytest.approx(1200.0, rel=0.02)


def test_errors_in_clusters_keep_their_mean():
    service = Service("api", Traffic(ConstantRate(20.0)), error_icc=0.02)
    _, totals = run(plane(service, bounds=()), [60_000 * 3_000], (Conditions(1.0, 0.02), Conditions()))
    counts = np.diff(totals[3::4, 0, :2], axis=0)
    rates = counts[:, 1] / counts.sum(axis=1)
    assert rates.mean() == pytest.approx(0.02, rel=0.1)
    assert rates.var() > 5 * 0.02 * 0.98 / 1200.0


def test_expected_bad_requests_are_the_integral():
    made = plane(Service("api", Traffic(ConstantRate(200.0))), bounds=())
    for share, end_ms in ((0.05, 300_000), (0.25, 900_000)):
        made.change((Conditions(1 - share, 0.001), Conditions(share, 0.021)))
        made.advance(end_ms)
    assert made.bad[1] == pytest.approx(60.0 + 600.0, rel=1e-5)
    assert made.bad[0] == 0.0
    assert made.exposed[1] == pytest.approx(3_000 + 30_000)


def test_a_ramp_is_integrated_exactly():
    made = plane(Service("api", Traffic(ConstantRate(100.0)), error_rate=0.0), bounds=())
    made.change((Conditions(0.0), Conditions(1.0, 0.0, 0.1 / 600_000)))
    made.skip(600_000)
    assert made.bad[1] == pytest.approx(100.0 * 600.0 * 0.05, rel=1e-5)


def test_skipping_accounts_like_drawing():
    totals = []
    for move in (DataPlane.advance, DataPlane.skip):
        made = plane(Service("api", Traffic(DiurnalRate(100.0, 0.6))), bounds=())
        made.change((Conditions(0.5, 0.01), Conditions(0.4, 0.03)))
        move(made, 3_600_000)
        totals.append((made.bad.sum(), made.exposed.sum(), made.unserved))
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)


def test_bucket_shares_sum_to_one():
    shares = bucket_shares(Latency(), paces(2.0, ()), BOUNDS)
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= 0.0).all()
    assert bucket_shares(Latency(median_s=0.1), PLAIN, BOUNDS)[:2].sum() == pytest.approx(0.5)
