"""A latency-tail against the closed form of its mixture: in both fidelities, compiled, in the exact law."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from rolloutsim.evidence.law import law
from rolloutsim.policy.model import (
    Analysis,
    Canary,
    Metric,
    Pause,
    PodHashArgument,
    Policy,
    PrometheusProvider,
    SetWeight,
    TrafficRouting,
)
from rolloutsim.promql import Vector, evaluate
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE
from rolloutsim.sim.compiled import Courses
from rolloutsim.sim.latency import Tail, bucket_shares, mean_factor, paces, slower_than
from rolloutsim.sim.platform import Cluster, Delay
from rolloutsim.sim.requests.layout import STARTED
from rolloutsim.sim.requests.model import Client, Endpoint, Fidelity, Law, Pods, Requests
from rolloutsim.sim.requests.need import fidelity_of
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route
from rolloutsim.sim.run import play, trace_run
from rolloutsim.sim.scenario import (
    ConstantRate,
    Fault,
    FaultKind,
    Latency,
    Operators,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)
from rolloutsim.sim.world import World
from tests.sim.requests.stations import constant

MEDIAN_S, SIGMA = 0.06, 0.6
SHARE, FACTOR = 0.004, 20.0
TAIL = Fault(FaultKind.LATENCY_TAIL, FACTOR, share=SHARE)
WORK = Endpoint(1000.0 * MEDIAN_S * math.exp(SIGMA**2 / 2), Law.LOGNORMAL, SIGMA)
ERROR_RATE = 0.01


def lognormal(bound_s: float, factor: float = 1.0) -> float:
    """Share of lognormal times above a bound."""
    return float(norm.sf(math.log(bound_s / (MEDIAN_S * factor)) / SIGMA))


def mixture(bound_s: float) -> float:
    """Share of the requests above a bound when the tail is there."""
    return (1.0 - SHARE) * lognormal(bound_s) + SHARE * lognormal(bound_s, FACTOR)


# --- the mixture ----------------------------------------------------------------------------------


def test_the_shares_of_a_mixture_are_those_of_its_parts() -> None:
    latency, found = Latency(MEDIAN_S, SIGMA), paces(1.0, (Tail(SHARE, FACTOR),))
    for bound in (0.05, 0.25, 1.0, 5.0):
        assert slower_than(latency, found, bound) == pytest.approx(mixture(bound), rel=1e-12)
    bounds = (0.05, 0.25, 1.0)
    above = [1.0, *map(mixture, bounds), 0.0]
    assert bucket_shares(latency, found, bounds) == pytest.approx(-np.diff(above), rel=1e-9)
    assert mean_factor(found) == pytest.approx(1.0 + SHARE * (FACTOR - 1.0))


def test_a_pool_that_is_slower_altogether_has_a_slower_tail() -> None:
    assert paces(2.0, (Tail(0.25, 3.0),)) == ((0.75, 2.0), (0.25, 6.0))


# --- both fidelities, through scrapes and queries --------------------------------------------------


def world(fidelity: Fidelity) -> World:
    """Half of the traffic for half an hour, on so many slots that nobody waits."""
    steps = (SetWeight(50), Pause(1_500_000))
    canary = Canary(
        steps, stable_service="stable", canary_service="canary", routing=TrafficRouting(("nginx",))
    )
    service = Service(
        "api",
        Traffic(ConstantRate(400.0)),
        ERROR_RATE,
        latency=Latency(MEDIAN_S, SIGMA),
        telemetry=Telemetry(counters_from_zero=True),
        operators=Operators(promote=None, notice_excess=None),
        cluster=Cluster(pod_ready=Delay(0), router_delay=Delay(0)),
        horizon_ms=1_440_000,
        requests=Requests((WORK,), pods=Pods(slots=64), fidelity=fidelity),
    )
    made = World(Policy("api", canary, replicas=4), Scenario("w", service, Release("r", (TAIL,))), 5, 0)
    made.play()
    assert made.fidelity is fidelity
    return made


@pytest.fixture(scope="module", params=[Fidelity.AGGREGATE, Fidelity.REQUEST], ids=str)
def played(request: pytest.FixtureRequest) -> World:
    return world(request.param)


def asked(played: World, query: str, revision: str) -> float:
    """What a query over twenty minutes finds for a version."""
    text = query.replace("WHERE", f'{{rollouts_pod_template_hash="{revision}"}}[20m]')
    found = evaluate(text, played.metrics.store, ORIGIN_MS + 1_430_000)
    assert isinstance(found, Vector)
    ((_, value),) = found.elements
    return value


def quantile(played: World, q: float, revision: str) -> float:
    buckets = "sum by (le) (rate(http_request_duration_seconds_bucketWHERE))"
    return asked(played, f"histogram_quantile({q}, {buckets})", revision)


@pytest.mark.parametrize("bound", ["0.25", "0.5", "1.0", "2.5"])
def test_the_share_above_a_bound_is_that_of_the_mixture(played: World, bound: str) -> None:
    for revision, expected in ((STABLE, lognormal(float(bound))), (NEW, mixture(float(bound)))):
        total = asked(played, "sum(increase(http_request_duration_seconds_countWHERE))", revision)
        below = "sum(increase(http_request_duration_seconds_bucketWHERE))".replace(
            "WHERE", f'{{rollouts_pod_template_hash="{revision}",le="{bound}"}}[20m]'
        )
        under = asked(played, below, revision)
        assert total > 200_000
        error = math.sqrt(expected * (1.0 - expected) / total)
        assert abs(1.0 - under / total - expected) < 4.0 * error + 2.0 / total


def test_the_mean_is_that_of_the_mixture(played: World) -> None:
    mean = "sum(rate(http_request_duration_seconds_sumWHERE))"
    count = "sum(rate(http_request_duration_seconds_countWHERE))"
    plain = MEDIAN_S * math.exp(SIGMA**2 / 2)
    for revision, factor in ((STABLE, 1.0), (NEW, 1.0 + SHARE * (FACTOR - 1.0))):
        found = asked(played, mean, revision) / asked(played, count, revision)
        assert found == pytest.approx(plain * factor, rel=0.01)


def test_the_median_stays_and_the_tail_moves(played: World) -> None:
    assert quantile(played, 0.5, NEW) == pytest.approx(quantile(played, 0.5, STABLE), rel=0.01)
    assert quantile(played, 0.95, NEW) == pytest.approx(quantile(played, 0.95, STABLE), rel=0.03)
    assert quantile(played, 0.999, NEW) > 3.0 * quantile(played, 0.999, STABLE)


def test_who_takes_too_long_is_counted_as_bad(played: World) -> None:
    """More than a second; expectations in the aggregate, requests one by one in the other."""
    worse = (1.0 - ERROR_RATE) * (mixture(1.0) - lognormal(1.0))
    exposed = played.exposed()
    error = math.sqrt(worse / exposed)
    assert played.plane.bad[1:].sum() / exposed == pytest.approx(worse, abs=4.0 * error)


# --- what really is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "factor"), [(SHARE, FACTOR), (0.3, 4.0), (0.5, 20.0), (0.9, 20.0), (0.2, 0.25)]
)
def test_the_true_median_is_that_of_the_mixture(share: float, factor: float) -> None:
    """Half of the requests take longer than it says, by the closed form."""
    tail = Fault(FaultKind.LATENCY_TAIL, factor, share=share)
    policy = gated("sum(rate(http_request_duration_seconds_countWHERE))", "1000")
    _, records = trace_run(policy, Scenario("s", gated_service(), Release("r", (tail,))))
    truths = [one for one in records if one["kind"] == "truth"]
    (stable,) = {one["latency_median_s"] for one in truths if one["revision"] == STABLE}
    assert stable == MEDIAN_S
    median = {one["latency_median_s"] for one in truths if one["revision"] == NEW and one["share"] > 0.0}
    (found,) = median
    assert (1.0 - share) * lognormal(found) + share * lognormal(found, factor) == pytest.approx(0.5, abs=1e-9)
    assert (found > MEDIAN_S) == (factor > 1.0)


# --- requests one by one --------------------------------------------------------------------------


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("law_", list(Law))
def test_work_is_longer_for_the_share_of_requests_whatever_its_law(general: bool, law_: Law) -> None:
    """Two tails, of which the second makes its requests faster; the other lane is as it was."""
    requests = Requests((Endpoint(10.0, law_, 0.5),), pods=Pods(slots=100, queue=0))
    bounds = (9.0, 11.0, 50.0)
    tables = []
    for tails in ((), (Tail(0.3, 10.0), Tail(0.2, 0.5))):
        plane = RequestPlane(
            requests, 2, 0, lanes=((0,), (1,)), expected=constant(2.0), bounds_ms=bounds, general=general
        )
        pod = plane.start_pod(warm=True)
        plane.route([Route(0.5, (pod,)), Route(0.5, (pod,))])
        plane.conditions([Lane(), Lane(tails=tails)])
        plane.advance(50_000.0)
        tables.append((plane.histogram, plane.seconds, plane.counts))
    (plain, _, _), (found, seconds, counts) = tables
    assert (found[0] == plain[0]).all()
    number = counts[1, STARTED]
    mean_ms = 1000.0 * seconds[1, :2].sum() / number
    assert mean_ms == pytest.approx(10.0 * (0.5 + 0.3 * 10.0 + 0.2 * 0.5), rel=0.03)
    if law_ is Law.DETERMINISTIC:
        shares = found[1, 0] / found[1].sum()
        assert shares == pytest.approx([0.2, 0.5, 0.0, 0.3], abs=4.0 * math.sqrt(0.25 / number))


def test_both_kernels_count_the_same() -> None:
    tables = []
    for general in (False, True):
        requests = Requests((WORK,), pods=Pods(slots=4, queue=5, cold=1.0))
        plane = RequestPlane(
            requests, 2, 1, expected=constant(0.1), bounds_ms=(10.0, 100.0, 1000.0), general=general
        )
        plane.route([Route(1.0, (plane.start_pod(), plane.start_pod(warm=True)))])
        for until in range(1_000, 60_001, 1_000):
            plane.conditions([Lane(0.1, tails=(Tail(0.1, 20.0),) * (until // 20_000))])
            plane.advance(float(until))
        tables.append([plane.histogram.tolist(), plane.waits.tolist(), plane.counts.tolist()])
        tables[-1].append(plane.seconds.tolist())
    assert tables[0] == tables[1]


def test_a_tail_beyond_patience_is_played_request_by_request() -> None:
    """A time-out of two seconds: 0.14 of the tail's requests exceed it, 0.4 % of them are in the tail."""
    patient = Requests((WORK,), pods=Pods(slots=64), client=Client(timeout_ms=2_000))
    service = Service("api", Traffic(ConstantRate(1.0)), requests=patient)
    chance = SHARE * lognormal(2.0, FACTOR)
    for share, expected in ((0.9e-3, Fidelity.AGGREGATE), (1.1e-3, Fidelity.REQUEST)):
        tail = replace(TAIL, share=SHARE * share / chance)
        assert fidelity_of(Scenario("s", service, Release("r", (tail,))), 4)[0] is expected


def test_a_tail_that_fills_the_pods_is_played_request_by_request() -> None:
    """Half of the requests take twenty times as long: ten times the work altogether."""
    service = Service("api", Traffic(ConstantRate(3.0)), requests=Requests((WORK,), pods=Pods(slots=4)))
    for fault, expected in (((), Fidelity.AGGREGATE), ((replace(TAIL, share=0.5),), Fidelity.REQUEST)):
        assert fidelity_of(Scenario("s", service, Release("r", fault)), 4)[0] is expected


# --- compiled, and exactly ------------------------------------------------------------------------


def gated(query: str, limit: str) -> Policy:
    metric = Metric(
        "slow",
        PrometheusProvider(query.replace("WHERE", '{rollouts_pod_template_hash="{{args.new}}"}[2m]')),
        interval_ms=60_000,
        initial_delay_ms=180_000,
        success_condition=f"result[0] < {limit}",
        failure_limit=2,
    )
    canary = Canary(
        (SetWeight(20), Pause(300_000), SetWeight(50), Pause(300_000)),
        stable_service="stable",
        canary_service="canary",
        routing=TrafficRouting(("nginx",)),
        background=Analysis((metric,), (PodHashArgument("new", True),)),
    )
    return Policy("api", canary, replicas=4)


def gated_service(**telemetry: object) -> Service:
    return Service(
        "api",
        Traffic(ConstantRate(50.0)),
        ERROR_RATE,
        latency=Latency(MEDIAN_S, SIGMA),
        telemetry=Telemetry(**telemetry),  # type: ignore[arg-type]
        operators=Operators(promote=None, notice_excess=None),
        cluster=Cluster(pod_ready=Delay(0), router_delay=Delay(0)),
        horizon_ms=1_200_000,
    )


def test_the_fast_path_gives_the_rows_of_the_ordinary_one() -> None:
    """A gate on the share of requests above half a second, which the tail moves across its threshold."""
    slow = (
        "1 - sum(rate(http_request_duration_seconds_bucketWHERE)) "
        "/ sum(rate(http_request_duration_seconds_countWHERE))"
    ).replace("bucketWHERE", 'bucket{rollouts_pod_template_hash="{{args.new}}",le="0.5"}[2m]')
    policy = gated(slow, "0.004")
    scenario = Scenario(
        "s", gated_service(), Release("r", (replace(TAIL, onset_ms=100_000, ramp_ms=200_000),))
    )
    courses = Courses(policy, scenario)
    ends = set()
    for run in range(12):
        row = courses.play(3, run)
        assert not courses.refused
        assert repr(row) == repr(play(policy, scenario, seed=3, run=run))
        assert row is not None
        ends.add(row.end)
    assert len(ends) == 2


def test_the_exact_law_knows_what_a_tail_costs() -> None:
    """No gate on errors sees it, and every request that takes longer than a second is a bad one."""
    query = (
        'sum(rate(http_requests_total{rollouts_pod_template_hash="{{args.new}}",status=~"5.."}[2m]))'
        " / sum(rate(http_requests_totalWHERE))"
    )
    service = gated_service(
        scrape_interval_ms=60_000, scrape_phase_ms=0, counters_from_zero=True, left_closed=True
    )
    policy = gated(query, "0.05")
    worse = (1.0 - ERROR_RATE) * (mixture(1.0) - lognormal(1.0))
    found = {
        bool(faults): law(policy, Scenario("s", service, Release("r", faults))) for faults in ((), (TAIL,))
    }
    assert found[True].chances == found[False].chances
    for with_tail, without in zip(found[True].rows, found[False].rows, strict=True):
        more = with_tail.bad_requests - without.bad_requests
        assert more == pytest.approx(with_tail.requests_exposed * worse, rel=1e-9)
        assert more > 1.0
