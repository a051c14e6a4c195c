"""How long a monitoring system takes to find the pods of a new version."""

from __future__ import annotations

import pytest

from rolloutsim.outcomes import End
from rolloutsim.policy.model import Canary, Pause, Policy, SetWeight, TrafficRouting
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE
from rolloutsim.sim.compiled import Courses
from rolloutsim.sim.platform import Cluster, Delay
from rolloutsim.sim.run import play
from rolloutsim.sim.scenario import (
    ConstantRate,
    Fault,
    FaultKind,
    Operators,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)
from rolloutsim.sim.world import World
from rolloutsim.telemetry import PRESETS
from tests.sim.test_beside import EXPERIMENT
from tests.sim.test_beside import policy as beside_policy
from tests.sim.test_latency_tail import gated

READY_MS = 10_000
QUERY = (
    'sum(rate(http_requests_total{rollouts_pod_template_hash="{{args.new}}",status=~"5.."}[2m]))'
    " / sum(rate(http_requests_totalWHERE))"
)


def scenario(discovery_ms: int, preset: str = "app", size: float = 0.2) -> Scenario:
    service = Service(
        "api",
        Traffic(ConstantRate(200.0)),
        telemetry=Telemetry(
            preset=preset, scrape_interval_ms=15_000, scrape_phase_ms=0, discovery_ms=discovery_ms
        ),
        operators=Operators(promote=None, notice_excess=None),
        cluster=Cluster(pod_ready=Delay(READY_MS), router_delay=Delay(0)),
        horizon_ms=900_000,
    )
    return Scenario("s", service, Release("r", (Fault(FaultKind.ERROR_STEP, size),)))


def samples(world: World) -> tuple[list[int], list[float]]:
    """Times from the release, and values, of the new version's failed requests."""
    store = world.metrics.store
    for series in range(len(store)):
        labels = dict(store.labels(series))
        if labels.get("status") == "500" and labels["rollouts_pod_template_hash"] == NEW:
            times, values = store.samples(series)
            return [at - ORIGIN_MS for at in times.tolist()], values.tolist()
    raise AssertionError("there is no such series")


def played(made: Scenario) -> World:
    canary = Canary(
        (SetWeight(50), Pause(1_200_000)),
        stable_service="stable",
        canary_service="canary",
        routing=TrafficRouting(("nginx",)),
    )
    world = World(Policy("api", canary, replicas=4), made, 1, 0)
    world.play()
    return world


@pytest.mark.parametrize(
    ("discovery_ms", "first_ms"),
    [(0, 15_000), (5_000, 15_000), (14_999, 15_000), (15_000, 30_000), (60_000, 75_000), (70_000, 75_000)],
)
def test_the_first_scrape_is_the_first_after_the_discovery(discovery_ms: int, first_ms: int) -> None:
    """Counted from the pods' creation: found while they start, they are scraped once they are ready."""
    times, values = samples(played(scenario(discovery_ms)))
    assert times[0] == first_ms
    requests = 100.0 * (first_ms - READY_MS) / 1000.0
    assert values[0] == pytest.approx(0.2 * requests, abs=4.0 * (0.2 * requests) ** 0.5)


def test_a_router_has_been_scraped_for_long() -> None:
    preset = next(name for name, one in PRESETS.items() if one.by_router)
    stores = [played(scenario(discovery_ms, preset)).metrics.store for discovery_ms in (0, 60_000)]
    for series in range(len(stores[0])):
        (times, values), (later, same) = (store.samples(series) for store in stores)
        assert times.tolist() == later.tolist()
        assert values.tolist() == pytest.approx(same.tolist(), rel=1e-12)


def test_a_gate_that_looks_before_the_discovery_sees_nothing() -> None:
    policy = gated(QUERY, "0.05")
    ends = [play(policy, scenario(discovery_ms)) for discovery_ms in (0, 30_000, 500_000)]
    assert [row.end for row in ends] == [End.ABORTED] * 3
    assert ends[0].time_to_detect_s == ends[1].time_to_detect_s == 300.0 - READY_MS / 1000.0
    assert "Failed" in ends[0].message
    assert "Error" in ends[2].message  # an empty answer has no first element


def test_the_fast_path_gives_the_rows_of_the_ordinary_one() -> None:
    policy = gated(QUERY, "0.05")
    for discovery_ms in (0, 185_000, 250_000):
        made = scenario(discovery_ms, size=0.05)
        courses = Courses(policy, made)
        for run in range(4):
            row = courses.play(3, run)
            assert not courses.refused
            assert repr(row) == repr(play(policy, made, seed=3, run=run))


def test_an_experiment_is_found_as_late() -> None:
    """Its pods and those of the old version are behind one Service."""
    policy = beside_policy(EXPERIMENT.replace("WEIGHT", ""), "")
    world = World(policy, scenario(60_000), 1, 0, truth=lambda told: None)
    world.play()
    store, firsts = world.metrics.store, []
    for series in range(len(store)):
        times, _ = store.samples(series)
        revision = dict(store.labels(series))["rollouts_pod_template_hash"]
        if len(times) and revision not in (STABLE, NEW):
            firsts.append(int(times[0]) - ORIGIN_MS)
    assert set(firsts) == {75_000}
