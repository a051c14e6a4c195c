"""Parameters of simulated services come back, within the standard error that is stated with them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rolloutsim.evidence.calibration import (
    Calibration,
    ServerSource,
    StoreSource,
    calibrate,
    correlation_of,
    count_cells,
    dispersion_of,
    error_rate_of,
    given_reads,
    scraping,
    write_service,
)
from rolloutsim.evidence.recorded import Recorder
from rolloutsim.prometheus import Server
from rolloutsim.promql import SeriesStore
from rolloutsim.sim.scenario import (
    Basis,
    ConstantRate,
    DiurnalRate,
    Latency,
    RecordedRate,
    Service,
    Telemetry,
)
from rolloutsim.sim.scenario_file import load_scenario
from tests.evidence.calibration.histories import (
    END_MS,
    HOUR_MS,
    history,
    labelled,
    restarted,
    served,
    service,
    without,
)

READS = given_reads(
    'http_requests_total{service="api"}', 'http_requests_total{service="api", status=~"5.."}', ""
)
ERRORS = 5.0
"""How many standard errors an estimate may be off: they are themselves estimated from a day or two."""


@dataclass(frozen=True)
class Case:
    known: Service
    hours: int
    relative: float
    """The largest standard error of the dispersion, as a share of it, for the test to mean something."""


CASES = {
    "plain": Case(service(ConstantRate(100.0)), 24, 0.1),
    "as NASA 1995": Case(
        service(ConstantRate(100.0), dispersion=4.6, error_rate=0.005, error_icc=0.002), 24, 0.1
    ),
    "as Azure LLM 2023": Case(
        service(ConstantRate(2.57), dispersion=164.0, error_rate=0.01, error_icc=0.05), 48, 0.1
    ),
    "by day": Case(
        service(DiurnalRate(50.0, 0.6), dispersion=20.0, error_rate=0.002, error_icc=0.01), 48, 0.1
    ),
    "low traffic": Case(service(ConstantRate(0.2), dispersion=3.0, error_rate=0.02, error_icc=0.1), 48, 0.1),
}


def from_server(store: SeriesStore, hours: int) -> Calibration:
    with served(store) as url, closing(Recorder(Server(url))) as client:
        return calibrate(ServerSource(client, url), "api", END_MS - hours * HOUR_MS, END_MS)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_over_http(case: Case) -> None:
    known = case.known
    found = from_server(history(known, case.hours), case.hours)
    for path, true in (
        ("traffic.dispersion", known.traffic.dispersion),
        ("error_rate", known.error_rate),
        ("error_icc", known.error_icc),
    ):
        value = found.value(path)
        assert value.number is not None
        assert value.error is not None
        assert abs(value.number - true) < ERRORS * value.error, path
    dispersion = found.value("traffic.dispersion")
    assert dispersion.error is not None
    assert dispersion.error < case.relative * known.traffic.dispersion
    mean = known.traffic.rate.rate_rps if isinstance(known.traffic.rate, ConstantRate) else 50.0
    assert found.day is not None
    assert found.day.mean_rps == pytest.approx(mean, rel=0.05)
    assert bool(found.day.rates_rps) == isinstance(known.traffic.rate, DiurnalRate)
    assert found.latency is not None
    assert found.latency.median_s == pytest.approx(0.06, rel=0.02)
    assert found.latency.sigma == pytest.approx(0.6, rel=0.02)
    assert not found.latency.poor
    assert found.value("telemetry.scrape_interval").number == 15.0
    assert found.value("telemetry.missed").number == 0.0


def test_the_rate_by_time_of_day_is_the_true_one(tmp_path: Path) -> None:
    known = service(DiurnalRate(50.0, 0.6, phase_ms=6 * HOUR_MS), dispersion=3.0)
    found = calibrate(StoreSource(history(known, 72)), "api", END_MS - 72 * HOUR_MS, END_MS)
    path = tmp_path / "api.yaml"
    write_service(found, path)
    scenario = load_scenario(f"{path}+scenarios/releases/good.yaml")
    rate = scenario.service.traffic.rate
    assert isinstance(rate, RecordedRate)
    assert rate.period_ms == 24 * HOUR_MS
    middles = np.array(rate.times_ms) + 900_000
    true = 50.0 * (1.0 + 0.6 * np.sin(2.0 * np.pi * (middles + 6 * HOUR_MS) / (24 * HOUR_MS)))
    assert np.array(rate.rates_rps) == pytest.approx(true, rel=0.04)


@pytest.mark.parametrize("interval_s", [5, 25, 30, 60, 120])
def test_at_other_scrape_intervals(interval_s: int) -> None:
    telemetry = Telemetry(scrape_interval_ms=1000 * interval_s)
    known = service(ConstantRate(50.0), dispersion=4.0, error_rate=0.005, error_icc=0.01, telemetry=telemetry)
    found = calibrate(StoreSource(history(known, 24)), "api", END_MS - 24 * HOUR_MS, END_MS)
    assert found.value("telemetry.scrape_interval").text == f"{interval_s}s"
    for path, true in (("traffic.dispersion", 4.0), ("error_icc", 0.01)):
        value = found.value(path)
        assert value.number is not None
        assert value.error is not None
        assert abs(value.number - true) < ERRORS * value.error
        assert value.error < 0.25 * true


def test_missed_scrapes_are_counted_and_make_no_dispersion() -> None:
    known = service(ConstantRate(50.0), dispersion=4.0, telemetry=Telemetry(missed=0.05))
    found = calibrate(StoreSource(history(known, 48)), "api", END_MS - 48 * HOUR_MS, END_MS)
    missed, dispersion = found.value("telemetry.missed"), found.value("traffic.dispersion")
    # of so many scrapes: 4 standard errors of a binomial share
    assert missed.number == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 1400) ** 0.5)
    assert dispersion.number == pytest.approx(4.0, abs=ERRORS * (dispersion.error or 0.0))
    assert found.valid < 0.95 * found.cells


def test_restarts_of_pods_make_no_dispersion_and_no_errors() -> None:
    known = service(ConstantRate(20.0), dispersion=2.0, error_rate=0.01)
    pods = {f"api-{k}": history(known, 24, seed=k + 1) for k in range(2)}
    times = [END_MS - (2 * k + 1) * HOUR_MS for k in range(12)]
    pods["api-0"] = restarted(pods["api-0"], times)
    found = calibrate(StoreSource(labelled(pods)), "api", END_MS - 24 * HOUR_MS, END_MS)
    dispersion, rate = found.value("traffic.dispersion"), found.value("error_rate")
    assert dispersion.number == pytest.approx(2.0, abs=ERRORS * (dispersion.error or 0.0))
    assert rate.number == pytest.approx(0.01, abs=ERRORS * (rate.error or 0.0))
    assert found.day is not None
    assert found.day.mean_rps == pytest.approx(40.0, rel=0.01)


def test_an_outage_is_no_correlation_of_errors() -> None:
    """Six hours with fifty times the errors, each minute's errors independent."""
    known = service(ConstantRate(50.0), error_rate=0.002)
    worse = service(ConstantRate(50.0), error_rate=0.1)
    calm, rough = history(known, 24), history(worse, 24)
    turned = [END_MS - 12 * HOUR_MS, END_MS - 6 * HOUR_MS]
    series = []
    for index in range(len(calm)):
        labels = calm.labels(index)
        times, values = calm.samples(index)
        if not len(times):
            continue
        other = next(i for i in range(len(rough)) if rough.labels(i) == labels)
        grown = np.diff(values, prepend=values[:1])
        bad = np.interp(times, *rough.samples(other))
        inside = (times >= turned[0]) & (times < turned[1])
        grown = np.where(inside, np.rint(np.diff(bad, prepend=bad[:1])), grown)
        series.append((labels, times, values[:1].sum() + np.cumsum(grown)))
    found = calibrate(StoreSource(SeriesStore.from_series(series)), "api", END_MS - 24 * HOUR_MS, END_MS)
    icc, rate = found.value("error_icc"), found.value("error_rate")
    assert rate.number is not None
    assert rate.number > 0.02
    # with the day's rate in the place of that of the minutes around, the outage would be one of 0.07
    assert icc.number is not None
    assert icc.number < 0.005


def test_pods_that_differ() -> None:
    sigma, count = 0.15, 12
    draws = np.random.Generator(np.random.Philox(key=5)).normal(0.0, sigma, count)
    stores = {
        f"api-{k}": history(
            service(ConstantRate(5.0), latency=Latency(0.06 * float(np.exp(draw)), 0.6)), 6, seed=k + 1
        )
        for k, draw in enumerate(draws)
    }
    found = calibrate(StoreSource(labelled(stores)), "api", END_MS - 6 * HOUR_MS, END_MS)
    assert found.pod_label == "pod"
    assert found.pods is not None
    assert found.pods.pods == count
    assert found.pods.sigma == pytest.approx(float(np.std(draws, ddof=1)), abs=0.01)


def test_pods_that_are_alike_have_no_spread() -> None:
    stores = {f"api-{k}": history(service(ConstantRate(0.5)), 6, seed=k + 1) for k in range(8)}
    found = calibrate(StoreSource(labelled(stores, "instance")), "api", END_MS - 6 * HOUR_MS, END_MS)
    assert found.pod_label == "instance"
    assert found.pods is not None
    assert found.pods.sigma < 0.01


def test_buckets_that_are_missing() -> None:
    store = history(service(ConstantRate(50.0), latency=Latency(0.2, 0.9)), 6)
    some = without(store, le={"0.01", "0.1", "0.5", "2.5", "+Inf"})
    found = calibrate(StoreSource(some), "api", END_MS - 6 * HOUR_MS, END_MS)
    assert found.latency is not None
    assert found.latency.median_s == pytest.approx(0.2, rel=0.02)
    assert found.latency.sigma == pytest.approx(0.9, rel=0.02)
    assert 0.1 not in found.latency.bounds_s
    assert any("bounds of its own" in sentence for sentence in found.absent)


def test_one_useful_bucket_tells_no_law() -> None:
    store = history(service(ConstantRate(50.0)), 6)
    kept = {"0.05", "+Inf"}
    bounds = {store.labels(index).get("le", "") for index in range(len(store))} - kept - {""}
    found = calibrate(StoreSource(without(store, le=bounds)), "api", END_MS - 6 * HOUR_MS, END_MS)
    assert found.latency is None
    assert any(sentence.startswith("latency: fewer than two buckets") for sentence in found.absent)


def test_a_law_that_is_not_lognormal_is_called_a_poor_fit() -> None:
    """Fast answers from a cache and slow ones from a database."""
    fast = history(service(ConstantRate(50.0), latency=Latency(0.008, 0.3)), 6, seed=1)
    slow = history(service(ConstantRate(50.0), latency=Latency(0.8, 0.3)), 6, seed=2)
    found = calibrate(StoreSource(labelled({"a": fast, "b": slow})), "api", END_MS - 6 * HOUR_MS, END_MS)
    assert found.latency is not None
    assert found.latency.poor
    assert any("no lognormal law" in sentence for sentence in found.absent)


def test_less_than_a_day_says_nothing_of_the_time_of_day() -> None:
    known = service(DiurnalRate(50.0, 0.6))
    found = calibrate(StoreSource(history(known, 6)), "api", END_MS - 6 * HOUR_MS, END_MS)
    assert found.day is not None
    assert not found.day.whole
    assert any("less than a day" in sentence for sentence in found.absent)


def test_gaps_are_told() -> None:
    store = history(service(ConstantRate(20.0)), 24)
    hole = (END_MS - 10 * HOUR_MS, END_MS - 9 * HOUR_MS)
    series = []
    for index in range(len(store)):
        times, values = store.samples(index)
        kept = (times < hole[0]) | (times >= hole[1])
        series.append((store.labels(index), times[kept], values[kept]))
    found = calibrate(StoreSource(SeriesStore.from_series(series)), "api", END_MS - 24 * HOUR_MS, END_MS)
    ((start, end),) = found.gaps
    # a server takes the last sample to hold for five minutes
    assert abs(start - hole[0] - 300_000) < 120_000
    assert abs(end - hole[1]) < 120_000
    assert found.value("telemetry.missed").number == 0.0
    dispersion = found.value("traffic.dispersion")
    assert dispersion.number == pytest.approx(1.0, abs=ERRORS * (dispersion.error or 0.0))


def test_the_file_says_where_each_value_is_from(tmp_path: Path) -> None:
    known = service(ConstantRate(30.0), dispersion=3.0, error_rate=0.01, error_icc=0.01)
    stores = {f"api-{k}": history(known, 6, seed=k + 1) for k in range(4)}
    with served(labelled(stores)) as url:
        address = url.replace("http://", "http://somebody:s3cret@")
        server = Server(address)
        with closing(Recorder(server)) as client:
            found = calibrate(ServerSource(client, server.shown), "api", END_MS - 6 * HOUR_MS, END_MS)
    path = tmp_path / "api.yaml"
    (written,) = write_service(found, path)
    text = written.read_text(encoding="utf-8")
    assert "s3cret" not in text
    assert "somebody" not in text
    scenario = load_scenario(f"{path}+scenarios/releases/good.yaml")
    measured = {one.path: one for one in scenario.inputs if one.basis is Basis.MEASURED}
    for place in ("traffic.rate_rps", "traffic.dispersion", "error_rate", "error_icc", "latency.median"):
        assert url.removeprefix("http://") in measured[f"service.{place}"].source
    for place in ("requests.pod_spread", "telemetry.scrape_interval", "telemetry.left_closed"):
        assert f"service.{place}" in measured
    assert "2026-01-04T18:00:00Z to 2026-01-05T00:00:00Z" in measured["service.error_rate"].source
    # what is not in a history keeps its default and is named in the file
    assert "service.cluster.pod_ready.median" not in measured
    assert "cluster.pod_ready.median 10s" in text
    assert scenario.service.error_rate == pytest.approx(0.01, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "hours"),
    [
        (service(ConstantRate(100.0), dispersion=4.6, error_rate=0.005, error_icc=0.002), 24),
        (service(ConstantRate(0.2), dispersion=3.0, error_rate=0.02, error_icc=0.1), 24),
        (service(DiurnalRate(50.0, 0.6), dispersion=20.0, error_rate=0.002, error_icc=0.01), 24),
    ],
    ids=["steady", "low traffic", "by day"],
)
def test_estimates_are_unbiased_and_their_standard_errors_true(known: Service, hours: int) -> None:
    """Over 60 histories: the mean within 4 standard errors of the truth, the scatter as stated to a third."""
    rows = []
    for seed in range(60):
        source = StoreSource(history(known, hours, seed=seed + 100))
        first = END_MS - hours * HOUR_MS
        scrapes = scraping(source, READS, first, END_MS)
        assert scrapes is not None
        cells = count_cells(source, READS, first, END_MS, scrapes, lambda done, total: None)
        found = dispersion_of(cells), error_rate_of(cells), correlation_of(cells)
        rows.append([(one.value, one.error) for one in found if one is not None and one.error is not None])
    table = np.array(rows)
    true = np.array([known.traffic.dispersion, known.error_rate, known.error_icc])
    values, errors = table[:, :, 0], table[:, :, 1]
    scatter = values.std(axis=0, ddof=1)
    assert (np.abs(values.mean(axis=0) - true) < 4.0 * scatter / np.sqrt(len(rows))).all()
    assert scatter == pytest.approx(errors.mean(axis=0), rel=0.34)


def test_a_file_with_many_series_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much to read at once is asked in halves, and the answer is the same."""
    source = StoreSource(history(service(ConstantRate(5.0)), 6))
    query = "sum by (le) (increase(http_request_duration_seconds_bucket[10m]))"
    whole = source.over(query, END_MS - 6 * HOUR_MS, END_MS, 60_000)
    monkeypatch.setattr("rolloutsim.promql.query.MAX_SAMPLES", 20_000)
    halves = source.over(query, END_MS - 6 * HOUR_MS, END_MS, 60_000)
    assert len(whole) == 12
    for one, other in zip(whole, halves, strict=True):
        assert one.labels == other.labels
        assert np.array_equal(one.times_ms, other.times_ms)
        assert np.array_equal(one.values, other.values)
