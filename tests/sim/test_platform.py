"""Pods that start in phases, checks that see too much or too little, autoscalers, and pods that are full."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rolloutsim.outcomes import CaughtBy, End
from rolloutsim.policy.model import BlueGreen, Canary, Pause, Policy, RollingUpdate, SetWeight
from rolloutsim.sim.autoscaler import HorizontalAutoscaler, Load
from rolloutsim.sim.faults import as_readiness_sees
from rolloutsim.sim.platform import Autoscaler, Cluster, Delay, PodPhases, Probe
from rolloutsim.sim.pod_start import PodStarts
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import (
    ConstantRate,
    Fault,
    FaultKind,
    Operators,
    Release,
    Scenario,
    Service,
    Traffic,
)

BROKEN = Fault(FaultKind.BROKEN_AT_START, 1.0)
PHASES = PodPhases(Delay(500), Delay(4_000), Delay(5_200), probe_ms=1_000, nodes=3)
CANARY = Canary(steps=(SetWeight(20), Pause(600_000), SetWeight(50), Pause(600_000)))


def scenario(*faults, rate=100.0, horizon_s=1_800, **cluster):
    model = replace(Cluster(pod_ready=Delay(10_000), router_delay=Delay(0)), **cluster)
    nobody = Operators(notice_excess=None)
    service = Service(
        "api",
        Traffic(ConstantRate(rate)),
        error_rate=0.0,
        cluster=model,
        operators=nobody,
        horizon_ms=horizon_s * 1000,
    )
    return Scenario("s", service, Release("r", faults))


def rows(strategy, world, runs=10, replicas=10):
    return simulate(Policy("api", strategy, replicas=replicas), world, runs=runs).runs


# --- starts ---------------------------------------------------------------------------------------


def test_only_the_first_new_pod_of_a_node_pulls_the_image():
    starts = PodStarts(Cluster(phases=PHASES), stream(1, 0, "pods"))
    assert [starts.ready_ms(ordinal, 1) for ordinal in range(5)] == [10_000] * 3 + [6_000] * 2
    assert starts.ready_ms(0, 0) == 6_000


def test_a_rollback_to_pods_that_are_gone_is_faster_than_a_release():
    """The stable version's image is on every node."""
    starts = PodStarts(Cluster(phases=PodPhases()), stream(1, 0, "pods"))
    new = np.mean([starts.ready_ms(ordinal, 1) for ordinal in range(3)])
    old = np.mean([starts.ready_ms(100 + ordinal, 0) for ordinal in range(200)])
    assert old < new


# --- readiness ------------------------------------------------------------------------------------


def test_a_check_finds_a_kind_of_fault_as_often_as_it_says():
    service = scenario(probe=Probe(finds=(("broken-at-start", 0.7),))).service
    release = Release("r", (BROKEN,))
    found = 0
    for run in range(400):
        seen = as_readiness_sees(release, service, stream(1, run, "readiness").uniform)
        found += seen.faults[0].kind is FaultKind.CRASH_AT_START
    assert found / 400 == pytest.approx(0.7, abs=0.07)


def test_sure_and_blind_checks_are_deep_and_shallow():
    deep = rows(RollingUpdate(), scenario(BROKEN, readiness="deep"))
    sure = rows(RollingUpdate(), scenario(BROKEN, probe=Probe(finds=(("broken-at-start", 1.0),))))
    shallow = rows(RollingUpdate(), scenario(BROKEN))
    blind = rows(RollingUpdate(), scenario(BROKEN, probe=Probe()))
    assert sure["bad_requests"].tolist() == deep["bad_requests"].tolist()
    assert blind["bad_requests"].tolist() == shallow["bad_requests"].tolist()
    assert deep["bad_requests"].max() == 0.0 < shallow["bad_requests"].min()
    assert (deep["caught_by"] == CaughtBy.DEADLINE).all()


def blip(size, minutes=5):
    return Fault(FaultKind.DEPENDENCY_BLIP, size, onset_ms=900_000, end_ms=900_000 + minutes * 60_000)


def test_a_check_of_a_shared_dependency_takes_all_pods_out():
    """A shallow check serves the calls that do not fail, a deep one at times nobody."""
    shallow = rows(RollingUpdate(), scenario(blip(0.95), probe=Probe(coupling=0.0)))
    deep = rows(RollingUpdate(), scenario(blip(0.95), probe=Probe(coupling=1.0, failures=2)))
    total = rows(RollingUpdate(), scenario(blip(1.0), probe=Probe(coupling=1.0)))
    assert shallow["unserved"].max() == 0.0
    assert deep["unserved"].median() > 0.0
    # all pods out from the third failed check, at most 30 s after the start, until after the end
    assert total["unserved"].between(100 * 265, 100 * 312).all()
    assert (rows(RollingUpdate(), scenario(blip(1.0)))["unserved"] == 0.0).all()


# --- capacity and autoscaling ---------------------------------------------------------------------


def test_what_is_beyond_the_pods_capacity_fails():
    """100 rps on ten pods of 8: a fifth is lost, from the start on, for every version."""
    found = rows(RollingUpdate(), scenario(pod_capacity_rps=8.0), runs=2)
    assert found["bad_requests"].to_numpy() == pytest.approx(0.2 * 100 * 1_800, rel=0.02)
    assert rows(RollingUpdate(), scenario(pod_capacity_rps=20.0), runs=2)["bad_requests"].max() < 1.0


def test_a_version_that_costs_more_is_overloaded_alone():
    heavy = Fault(FaultKind.CAPACITY, 1.4)
    found = rows(CANARY, scenario(heavy, pod_capacity_rps=12.0, horizon_s=1_200), runs=2)
    # 10 rps per pod cost 14 where 12 fit: a seventh of the new version's requests
    assert (found["bad_requests"] > 0.10 * found["requests_exposed"]).all()
    assert (found["bad_requests"] < 0.17 * found["requests_exposed"]).all()


def test_an_autoscaler_averages_over_both_versions():
    """One hot new pod among ten cool old ones moves the mean by a tenth of its heat."""
    scaler = HorizontalAutoscaler(Autoscaler(2, 50, target=0.6), 10)
    assert scaler.look(0, [Load(9, 9 * 0.6), Load(1, 0.9)]) == 10
    assert scaler.look(15_000, [Load(9, 9 * 0.6), Load(1, 1.8)]) == 12
    alone = HorizontalAutoscaler(Autoscaler(2, 50, target=0.6), 10)
    assert alone.look(0, [Load(1, 1.8)]) == 30


def test_an_autoscaler_goes_down_slowly_and_up_at_once():
    scaler = HorizontalAutoscaler(Autoscaler(2, 50, target=0.5, settle_ms=300_000), 10)
    wishes = [scaler.look(at, [Load(10, 5.0 if at < 60_000 else 2.0)]) for at in range(0, 600_000, 15_000)]
    assert wishes[0] == 10
    assert wishes[10] == 10
    assert wishes[-1] < 10


def test_idle_pods_of_a_second_colour_do_not_count_in_a_rollout_and_do_in_a_deployment():
    """Argo Rollouts: only the active version of a blue-green Rollout is averaged."""
    auto = Autoscaler(2, 50, target=0.5)
    world = scenario(autoscaler=auto, pod_capacity_rps=20.0, horizon_s=1_200)
    green = rows(BlueGreen("a", auto_promotion_ms=600_000), world, runs=2)
    assert (green["end"] == End.PROMOTED).all()
    assert green["bad_requests"].max() < 1.0
    assert (green["peak_pods"] == 20).all()


def test_a_canary_under_an_autoscaler_that_averages_keeps_its_replicas():
    auto = Autoscaler(2, 50, target=0.5)
    heavy = Fault(FaultKind.CAPACITY, 3.0)
    world = scenario(heavy, autoscaler=auto, pod_capacity_rps=20.0, horizon_s=1_200)
    found = rows(CANARY, world, runs=2)
    # one pod in five at three times the load: the mean rises by 40 %, and so do the pods
    assert found["peak_pods"].between(13, 30).all()
