"""The A/A check: what is split adds up, what it says agrees with simulation, and its interval covers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rolloutsim.errors import InputError
from rolloutsim.evidence.calibration import StoreSource, clustered_rate, false_aborts
from rolloutsim.evidence.calibration.source import Points
from rolloutsim.evidence.calibration.split import Split
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import Canary, JobProvider, SetMirrorRoute
from rolloutsim.promql import SeriesStore
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import ConstantRate, Release, Scenario, Telemetry
from tests.evidence.calibration.histories import END_MS, HOUR_MS, history, labelled, service

POLICIES = "scenarios/policies"
ARMS = {"app_version": ("s", "c"), "rollouts_pod_template_hash": ("s", "c")}


def draws(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def points_of(store: SeriesStore) -> list[Points]:
    return [
        Points(dict(store.labels(i)), *store.samples(i))
        for i in range(len(store))
        if len(store.samples(i)[0])
    ]


def grown(store: SeriesStore, arm: str, after_ms: int, **labels: str) -> float:
    """By how much the counters of an arm that have these labels grew after a time; one born then from 0."""
    total = 0.0
    for index in range(len(store)):
        series = store.labels(index)
        if series["app_version"] == arm and all(series.get(name) == value for name, value in labels.items()):
            times, values = store.samples(index)
            before = values[times <= after_ms]
            if not len(values):
                continue
            total += float(values[-1] - (before[-1] if len(before) else 0.0))
    return total


# --- the split ------------------------------------------------------------------------------------


def test_the_two_arms_together_are_what_was_there() -> None:
    known = service(ConstantRate(40.0), dispersion=3.0, error_rate=0.02)
    store = labelled({f"api-{k}": history(known, 3, seed=k + 1) for k in range(5)})
    split = Split(points_of(store), ARMS, "pod", draws())
    begin = END_MS - 2 * HOUR_MS
    split.advance(begin)
    split.turn(begin, 0.25)
    for at in range(begin, END_MS + 1, 60_000):
        split.advance(at)
    for name in ("http_requests_total", "http_request_duration_seconds_sum"):
        whole = sum(
            float(v[t <= END_MS][-1] - v[t <= begin][-1])
            for i in range(len(store))
            if store.labels(i)["__name__"] == name
            for t, v in [store.samples(i)]
            if len(t)
        )
        parts = [grown(split.store, arm, begin, __name__=name) for arm in ("s", "c")]
        assert sum(parts) == pytest.approx(whole, rel=1e-9)
        # all of 200 requests/s for two hours: the share of the canary is known to a thousandth
        assert parts[1] / sum(parts) == pytest.approx(0.25, abs=0.005)


def test_a_histogram_stays_one() -> None:
    store = history(service(ConstantRate(40.0)), 2)
    split = Split(points_of(store), ARMS, "", draws())
    split.turn(END_MS - HOUR_MS, 0.5)
    split.advance(END_MS)
    base = "http_request_duration_seconds"
    bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]
    counts = [grown(split.store, "c", 0, __name__=f"{base}_bucket", le=bound) for bound in bounds]
    assert counts == sorted(counts)
    assert counts[-1] == grown(split.store, "c", 0, __name__=f"{base}_count")
    mean = grown(split.store, "c", 0, __name__=f"{base}_sum") / counts[-1]
    assert mean == pytest.approx(0.06 * np.exp(0.18), rel=0.01)


def test_the_canary_takes_whole_pods_with_what_is_theirs() -> None:
    """One pod of four fails a tenth; a quarter of the traffic is one pod, so all of it or nothing."""
    stores = {
        f"api-{k}": history(service(ConstantRate(20.0), error_rate=0.1 if k == 0 else 0.0), 2, seed=k + 1)
        for k in range(4)
    }
    rates = []
    for seed in range(12):
        split = Split(points_of(labelled(stores)), ARMS, "pod", draws(seed))
        split.turn(END_MS - HOUR_MS, 0.25)
        split.advance(END_MS)
        failed = grown(split.store, "c", 0, status="500")
        rates.append(failed / grown(split.store, "c", 0, __name__="http_requests_total"))
    assert {round(rate, 1) for rate in rates} == {0.0, 0.1}


def test_restarts_and_late_counters_are_split_too() -> None:
    times = np.arange(0, 600_000, 15_000)
    rising = np.arange(len(times)) * 10.0
    reset = np.where(times < 300_000, rising, rising - rising[20] + 7.0)
    late = np.arange(20) + 1.0
    labels = {"__name__": "http_requests_total", "app_version": "v", "status": "200"}
    points = [
        Points(labels, times, reset),
        Points({**labels, "status": "500"}, times[20:], late),
    ]
    split = Split(points, {"app_version": ("s", "c")}, "", draws())
    split.turn(0, 0.5)
    split.advance(600_000)
    both = sum(grown(split.store, arm, 0, status="200") for arm in "sc")
    assert both == 19 * 10.0 + 7.0 + 19 * 10.0
    # its first sample begins its own history: what it counted before is not known
    assert sum(grown(split.store, arm, 300_000, status="500") for arm in "sc") == pytest.approx(19.0, abs=1.0)


# --- the check ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error_rate"), [("httproute-canary", 0.025), ("canary-success-rate", 0.012)]
)
def test_it_agrees_with_a_simulation_of_the_same_service(name: str, error_rate: float) -> None:
    """Independent errors: then a split of one service is as two services."""
    policy = load_policy(f"{POLICIES}/{name}.yaml")
    known = service(ConstantRate(2.0), dispersion=3.0, error_rate=error_rate)
    hours = 24 * 5
    found = false_aborts(
        policy, StoreSource(history(known, hours)), END_MS - hours * HOUR_MS, END_MS, starts=150
    )
    people = replace(service(ConstantRate(2.0)).operators, promote=None)
    scenario = Scenario("good", replace(known, operators=people), Release("good"))
    other = simulate(policy, scenario, runs=150).summary.iloc[0]["p_false_abort"]
    assert found.starts >= 120
    assert found.rate.value is not None
    error = np.sqrt(2 * 0.25 / found.starts)
    assert abs(found.rate.value - other) < 3.0 * error
    assert 0.05 < found.rate.value < 0.95, "a rate near 0 or 1 would agree with anything"


def test_the_same_seed_gives_the_same_answer() -> None:
    policy = load_policy(f"{POLICIES}/httproute-canary.yaml")
    source = StoreSource(history(service(ConstantRate(2.0), error_rate=0.03), 24))
    first, again, other = (
        false_aborts(policy, source, END_MS - 24 * HOUR_MS, END_MS, starts=6, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.starts == other.starts
    assert first.days == 1
    assert first.by == ("rollouts_pod_template_hash",)
    assert first.rate.low is None, "a day is too few for an interval"
    assert first.independent.low is not None


def test_a_bad_pod_shows_only_where_pods_are_told_apart() -> None:
    policy = load_policy(f"{POLICIES}/api-gated.yaml")
    stores = {
        f"api-{k}": history(service(ConstantRate(20.0), error_rate=0.02 if k == 0 else 0.001), 8, seed=k + 1)
        for k in range(4)
    }
    source = StoreSource(labelled(stores))
    apart, together = (
        false_aborts(policy, source, END_MS - 8 * HOUR_MS, END_MS, pod=pod, starts=starts)
        for pod, starts in (("pod", 8), ("", 2))
    )
    assert apart.pods == 4
    assert apart.aborted >= 1
    assert together.aborted == 0
    assert "errors" in apart.reasons[0][0]


def test_a_release_of_ones_own_is_left_out_and_a_hole_as_well() -> None:
    policy = load_policy(f"{POLICIES}/httproute-canary.yaml")
    store = history(service(ConstantRate(5.0)), 24)
    released = (END_MS - 20 * HOUR_MS, END_MS - 17 * HOUR_MS)
    hole = (END_MS - 9 * HOUR_MS, END_MS - 7 * HOUR_MS)
    series = []
    for index in range(len(store)):
        times, values = store.samples(index)
        kept = (times < hole[0]) | (times >= hole[1])
        series.append((store.labels(index), times[kept], values[kept]))
        if store.labels(index)["__name__"] == "http_requests_total" and len(times):
            some = times[(times >= released[0]) & (times < released[1])]
            labels = {**store.labels(index), "rollouts_pod_template_hash": "v2", "app_version": "v2"}
            series.append((labels, some, np.arange(len(some)) + 1.0))
    source = StoreSource(SeriesStore.from_series(series))
    found = false_aborts(policy, source, END_MS - 24 * HOUR_MS, END_MS, starts=100)
    assert found.released >= 3
    assert found.cut >= 2
    assert found.starts >= 15


def test_checks_that_are_no_queries_are_named_as_taken_to_pass() -> None:
    policy = load_policy(f"{POLICIES}/httproute-canary.yaml")
    assert isinstance(policy.strategy, Canary)
    assert policy.strategy.background is not None
    job = replace(policy.strategy.background.metrics[0], name="smoke", provider=JobProvider())
    background = replace(policy.strategy.background, metrics=(*policy.strategy.background.metrics, job))
    checked = replace(policy, strategy=replace(policy.strategy, background=background))
    source = StoreSource(history(service(ConstantRate(5.0)), 6))
    found = [
        false_aborts(one, source, END_MS - 6 * HOUR_MS, END_MS, starts=2).passing for one in (policy, checked)
    ]
    assert found == [(), ("smoke",)]


def test_latency_and_preview_policies_are_replayed_too() -> None:
    source = StoreSource(history(service(ConstantRate(20.0)), 12))
    for name in ("canary-latency", "blue-green-checked", "native-blue-green"):
        policy = load_policy(f"{POLICIES}/{name}.yaml")
        found = false_aborts(policy, source, END_MS - 12 * HOUR_MS, END_MS, starts=8)
        assert found.aborted == 0, name
        assert found.starts >= 4


@pytest.mark.parametrize(
    ("policy", "by", "hours", "why"),
    [
        ("scenarios/article/rolling.yaml", (), 6, "asks Prometheus nothing"),
        (f"{POLICIES}/httproute-canary.yaml", (), 0.3, "ends within the history"),
        (f"{POLICIES}/httproute-canary.yaml", ("status",), 6, "by a pattern on status"),
    ],
)
def test_questions_without_an_answer(policy: str, by: tuple[str, ...], hours: float, why: str) -> None:
    source = StoreSource(history(service(ConstantRate(5.0)), 6))
    with pytest.raises(InputError, match=why):
        false_aborts(load_policy(policy), source, END_MS - int(hours * HOUR_MS), END_MS, by=by)


def test_a_mirror_route_is_no_part_of_a_history() -> None:
    policy = load_policy(f"{POLICIES}/httproute-canary.yaml")
    assert isinstance(policy.strategy, Canary)
    steps = (SetMirrorRoute("copy", '[{"method":{"exact":"GET"}}]'), *policy.strategy.steps)
    mirrored = replace(policy, strategy=replace(policy.strategy, steps=steps))
    with pytest.raises(InputError, match="a step setMirrorRoute, whose requests no history tells apart"):
        false_aborts(mirrored, StoreSource(history(service(ConstantRate(5.0)), 6)), END_MS - HOUR_MS, END_MS)


# --- the interval ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("p", [0.05, 0.2])
def test_the_interval_covers_where_days_differ(p: float, rho: float) -> None:
    """500 histories of 14 days with 14 starts each, the rate of a day drawn from a beta law."""
    generator = draws(round(1000 * (p + rho)) + 7)
    covered = 0
    for _ in range(500):
        if rho:
            weight = 1.0 / rho - 1.0
            rates = generator.beta(p * weight, (1.0 - p) * weight, 14)
        else:
            rates = np.full(14, p)
        happened = generator.random((14, 14)) < rates[:, None]
        days = np.repeat(np.arange(14), 14)
        found = clustered_rate(happened.ravel().tolist(), days.tolist())
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= p <= found.high
    assert covered / 500 >= 0.95 - 3.0 * np.sqrt(0.95 * 0.05 / 500)


def test_nothing_in_few_days_proves_little() -> None:
    found = clustered_rate([False] * 140, [k // 10 for k in range(140)])
    assert found.low == 0.0
    # as of 14 cases, not of 140
    assert found.high == pytest.approx(1.0 - 0.025 ** (1 / 14), rel=1e-6)


def test_telemetry_that_starts_at_zero_is_split_alike() -> None:
    known = service(ConstantRate(5.0), telemetry=Telemetry(counters_from_zero=True))
    policy = load_policy(f"{POLICIES}/httproute-canary.yaml")
    found = false_aborts(policy, StoreSource(history(known, 12)), END_MS - 12 * HOUR_MS, END_MS, starts=10)
    assert found.aborted == 0
