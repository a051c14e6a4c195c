"""Rollouts whose requests are played one by one: the same world as in aggregate, and what only queues do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rolloutsim as rs
from rolloutsim.errors import ScenarioError
from rolloutsim.outcomes import End
from rolloutsim.policy import load_policy_text
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.requests.model import Balancing, Client, Endpoint, Fidelity, Law, Pods, Requests
from rolloutsim.sim.requests.need import fidelity_of
from rolloutsim.sim.scenario import (
    ConstantRate,
    DiurnalRate,
    Fault,
    FaultKind,
    Latency,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)
from rolloutsim.sim.scenario_file import load_scenario_text

ROOT = Path(__file__).parents[3]
LATENCY = Latency(0.05, 0.6)
WORK = Endpoint(50.0 * float(np.exp(0.18)), sigma=0.6)
ROOMY = Requests((WORK,), pods=Pods(200, 64), fidelity=Fidelity.REQUEST)
BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0)


def service(requests: Requests | None = ROOMY, rate_rps: float = 200.0, **changes: object) -> Service:
    telemetry = Telemetry(scrape_phase_ms=0, history_ms=60_000)
    plain = Service("api", Traffic(ConstantRate(rate_rps)), 0.02, 0.0, LATENCY, telemetry, requests=requests)
    return replace(plain, **changes)  # type: ignore[arg-type]


def plane(of: Service, run: int = 0) -> RequestDataPlane:
    made = RequestDataPlane(of, 1, run, [0, 1, 1], BOUNDS_S, start_ms=-60_000, phase_ms=0)
    made.set_pods(0, range(10))
    made.change((Conditions(1.0, 0.02), Conditions(), Conditions()))
    return made


# --- the plane ------------------------------------------------------------------------------------


def test_without_contention_it_counts_what_the_aggregate_expects() -> None:
    model = service(rate_rps=1000.0)
    played = plane(model)
    aggregate = DataPlane(model, 1, 0, [0, 1, 1], BOUNDS_S, start_ms=-60_000, phase_ms=0)
    aggregate.change((Conditions(1.0, 0.02), Conditions(), Conditions()))
    for one in (played, aggregate):
        one.advance(0)
    played.set_pods(1, range(1))
    for one in (played, aggregate):
        one.change((Conditions(0.9, 0.02), Conditions(0.1, 0.06), Conditions()))
    ours, theirs = played.advance(600_000), aggregate.advance(600_000)
    assert ours is not None
    assert theirs is not None
    assert ours.times_ms.tolist() == theirs.times_ms.tolist()
    assert ours.totals.shape == theirs.totals.shape
    difference = ours.totals[-1] - theirs.totals[-1]
    spread = 5.0 * np.sqrt(ours.totals[-1] + theirs.totals[-1] + 10.0)
    assert (np.abs(difference) <= spread).all()
    assert ours.mean_s[:2] == pytest.approx(theirs.mean_s[:2], rel=0.03)
    assert played.exposed == pytest.approx(aggregate.exposed, rel=0.02)
    assert played.bad[1] == pytest.approx(aggregate.bad[1], rel=0.1)
    assert abs(played.bad[0]) < 1.0  # chance does not show


def test_looking_more_often_changes_nothing() -> None:
    of = service(error_icc=0.01, traffic=Traffic(DiurnalRate(200.0, 0.5), dispersion=3.0))
    once, often = plane(of), plane(of)
    whole = once.advance(90_000)
    parts = [often.advance(until) for until in (-30_000, -1, 0, 7, 14_999, 15_000, 61_000, 90_000)]
    assert whole is not None
    times = np.concatenate([part.times_ms for part in parts if part is not None])
    totals = np.concatenate([part.totals for part in parts if part is not None])
    assert whole.times_ms.tolist() == times.tolist()
    assert (whole.totals == totals).all()
    assert once.exposed.tolist() == often.exposed.tolist()


def test_a_proxy_sees_time_outs_and_the_pods_do_not() -> None:
    slow = replace(ROOMY, client=Client(timeout_ms=60.0))
    router = plane(service(slow))
    pods = RequestDataPlane(
        service(slow), 1, 0, [0, 1, 1], BOUNDS_S, start_ms=-60_000, phase_ms=0, by_router=False
    )
    pods.set_pods(0, range(10))
    pods.change((Conditions(1.0, 0.02), Conditions(), Conditions()))
    router.advance(0)
    pods.advance(0)
    seen, counted = router.now().totals[0, 0], pods.now().totals[0, 0]
    assert seen[0] == counted[0]
    assert seen[1] > 10 * counted[1]
    assert seen[2:].sum() == seen[:2].sum()


def test_requests_that_find_no_pod_are_unserved() -> None:
    played = plane(service(rate_rps=100.0))
    played.advance(0)
    before = played.exposed[0]
    played.set_pods(0, ())
    played.change((Conditions(0.0, 0.02), Conditions(), Conditions()))
    played.advance(10_000)
    assert played.unserved == pytest.approx(1000 * 0.98, rel=0.15)
    assert played.exposed[0] == before


def test_a_pod_that_leaves_finishes_what_it_has() -> None:
    played = plane(service())
    played.advance(0)
    before = played._played.in_flight
    played.set_pods(0, range(1))
    played.change((Conditions(0.0), Conditions(), Conditions()))
    played.advance(30_000)
    assert before > 0
    assert played._played.in_flight == 0
    assert played._played.counts[:, 3].sum() == 0
    played.change((Conditions(1.0), Conditions(), Conditions()))
    assert (played._played._s.pods_i[:, 4] > 0).sum() == 1


# --- which fidelity -------------------------------------------------------------------------------


def scenario(requests: Requests | None, rate_rps: float = 100.0, *faults: Fault) -> Scenario:
    return Scenario("s", service(requests, rate_rps), Release("r", faults))


AUTO = Requests((WORK,), pods=Pods(8, 64))


@pytest.mark.parametrize(
    ("world", "fidelity", "said"),
    [
        (scenario(None), Fidelity.AGGREGATE, "aggregate fidelity (no queueing)"),
        (scenario(replace(AUTO, fidelity=Fidelity.AGGREGATE), 9_000.0), Fidelity.AGGREGATE, "no queueing"),
        (scenario(replace(AUTO, fidelity=Fidelity.REQUEST), 1.0), Fidelity.REQUEST, "request fidelity"),
        (scenario(AUTO, 50.0), Fidelity.AGGREGATE, "fewer than one request in 1000 would wait"),
        (scenario(AUTO, 1_000.0), Fidelity.REQUEST, "would wait"),
        (scenario(AUTO, 50.0, Fault(FaultKind.LATENCY_SHIFT, 30.0)), Fidelity.REQUEST, "would wait"),
        (scenario(replace(AUTO, client=Client(retries=1)), 1.0), Fidelity.REQUEST, "try again"),
        (scenario(replace(AUTO, client=Client(timeout_ms=100.0)), 1.0), Fidelity.REQUEST, "give up"),
        (scenario(replace(AUTO, client=Client(timeout_ms=9e3)), 1.0), Fidelity.AGGREGATE, "aggregate"),
        (scenario(replace(AUTO, pods=Pods(8, 64, cold=1.0)), 1.0), Fidelity.REQUEST, "cold"),
    ],
)
def test_requests_are_played_where_they_meet(world: Scenario, fidelity: Fidelity, said: str) -> None:
    found, why = fidelity_of(world, 10)
    assert found is fidelity
    assert said in why


# --- whole rollouts -------------------------------------------------------------------------------


def canary_world(requests: Requests, *faults: Fault) -> tuple[rs.Policy, rs.Scenario]:
    text = (ROOT / "tests" / "benchmarks" / "gated-canary.yaml").read_text(encoding="utf-8")
    policy = load_policy_text(text.replace("http_request_duration_seconds_count", "http_requests_total"))
    given = rs.load_scenario(ROOT / "tests" / "benchmarks" / "busy-service.yaml")
    of = replace(given.service, requests=requests, horizon_ms=600_000, latency=LATENCY)
    of = replace(of, traffic=Traffic(ConstantRate(300.0)))
    return policy, replace(given, service=of, release=Release("r", faults))


def test_a_result_says_how_requests_were_played() -> None:
    policy, world = canary_world(ROOMY)
    assert "request fidelity" in rs.simulate(policy, world, runs=1).notes[0]
    quiet = replace(world, service=replace(world.service, requests=None))
    assert "aggregate fidelity (no queueing)" in rs.simulate(policy, quiet, runs=1).notes[0]


def test_both_fidelities_catch_a_plain_error_alike() -> None:
    ends = []
    for fidelity in (Fidelity.REQUEST, Fidelity.AGGREGATE):
        requests = replace(ROOMY, fidelity=fidelity)
        policy, world = canary_world(requests, Fault(FaultKind.ERROR_STEP, 0.2))
        row = rs.play(policy, world)
        assert row.end is End.ABORTED
        ends.append(row)
    assert ends[0].time_to_detect_s == pytest.approx(ends[1].time_to_detect_s, abs=15.0)
    assert ends[0].bad_requests == pytest.approx(ends[1].bad_requests, rel=0.35)


def test_a_slow_release_is_caught_by_errors_only_where_requests_meet() -> None:
    """Four times the work overloads the canary's pods: their queue is full, and a proxy sees errors."""
    tight = Requests((WORK,), Balancing.TWO_CHOICES, Pods(2, 10), Client(), fidelity=Fidelity.REQUEST)
    policy, world = canary_world(tight, Fault(FaultKind.LATENCY_SHIFT, 6.0))
    meeting = replace(world.service.telemetry, preset="istio")
    row = rs.play(policy, replace(world, service=replace(world.service, telemetry=meeting)))
    apart = replace(world.service, requests=replace(tight, fidelity=Fidelity.AGGREGATE))
    alone = rs.play(policy, replace(world, service=apart))
    assert row.bad_requests > 2.0 * max(1.0, alone.bad_requests)


def test_law_and_numbers_of_a_file() -> None:
    text = """
apiVersion: rolloutsim.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  service:
    name: api
    traffic: {rate_rps: 10}
    latency: {median: 50ms, sigma: 0.6}
    requests:
      balancing: least-connections
      slots: 4
      queue: 0
      cold_factor: 3
      timeout: 2s
      retries: 1
      retry_budget: 20%
      endpoints:
        - {name: read, share: 9, mean: 20ms, law: exponential}
        - {mean: 200ms, law: deterministic}
  release: {name: good}
"""
    found = load_scenario_text(text, "s.yaml").service.requests
    assert found == Requests(
        (
            Endpoint(20.0, Law.EXPONENTIAL, 0.6, 9.0, "read"),
            Endpoint(200.0, Law.DETERMINISTIC, 0.6),
        ),
        Balancing.LEAST,
        Pods(4, 0, 2.0, 30_000.0, 0.0),
        Client(2_000.0, 1, 100.0, 0.2, 10.0),
    )
    for line, wrong in (
        ("slots: 4", "slots: 0"),
        ("retries: 1", "retries: 1.5"),
        ("cold_factor: 3", "cold_factor: 0.5"),
    ):
        with pytest.raises(ScenarioError, match="requests"):
            load_scenario_text(text.replace(line, wrong), "s.yaml")
    plain = load_scenario_text(
        text.split("    requests:")[0] + "    requests: {}\n  release: {name: good}\n", "s.yaml"
    )
    assert plain.service.requests is not None
    assert plain.service.requests.endpoints[0].mean_ms == pytest.approx(WORK.mean_ms)


def test_an_overload_is_said() -> None:
    """Ten pods of one slot and work of 60 ms stand 167 rps; the traffic of a day passes that at its peak."""
    policy = rs.load_policy(ROOT / "scenarios" / "article" / "rolling.yaml")
    small = Requests((WORK,), pods=Pods(1, 4), fidelity=Fidelity.REQUEST)
    day = Traffic(DiurnalRate(100.0, 0.9, period_ms=3_600_000))
    few = Traffic(ConstantRate(100.0))
    said = {}
    for name, traffic in (("day", day), ("few", few)):
        model = service(small, traffic=traffic, horizon_ms=1_800_000)
        result = rs.simulate(policy, Scenario(name, model, Release("good")), runs=1)
        said[name] = [note for note in result.notes if note.startswith("overload")]
        assert (result.runs["load_most"].max() > 1.0) == bool(said[name])
    assert not said["few"]
    (note,) = said["day"]
    assert "in day met up to 1.1 times the work" in note
