"""Pods and the Deployment controller."""

from __future__ import annotations

import pytest
import simpy

from rolloutsim.policy.model import IntOrPercent, Recreate, RollingUpdate
from rolloutsim.sim.cluster import Cluster, DeploymentController


def cluster(ready_ms=1_000, min_ready_ms=0):
    env = simpy.Environment(0)
    changed: list[tuple[int, str]] = []
    made = Cluster(
        env, lambda _, __: ready_ms, lambda r: changed.append((env.now, r)), min_ready_ms=min_ready_ms
    )
    return env, made, changed


def test_pods_become_ready_then_available():
    env, made, changed = cluster(ready_ms=2_000, min_ready_ms=3_000)
    made.create("v2")
    made.scale("v2", 2)
    pool = made.pools["v2"]
    seen = []
    for until in (1_999, 2_001, 4_999, 5_001):
        env.run(until=until)
        seen.append((pool.ready, pool.available))
    assert seen == [(0, 0), (2, 0), (2, 0), (2, 2)]
    assert changed[0] == (0, "v2")


def test_what_serves_least_goes_first():
    env, made, _ = cluster()
    made.adopt("v1", 2)
    made.scale("v1", 4)
    made.scale("v1", 3)
    assert made.pools["v1"].available == 2
    env.run(until=2_000)
    made.scale("v1", 2)
    assert [pod.ordinal for pod in made.pools["v1"].pods] == [0, 1]


def test_a_pod_that_went_does_not_come_back():
    env, made, _ = cluster()
    made.create("v2")
    made.scale("v2", 1)
    made.scale("v2", 0)
    env.run(until=5_000)
    assert made.pools["v2"].ready == 0


def test_pods_that_fail_stay_failed():
    env, made, _ = cluster()
    made.adopt("v1", 3)
    made.fail("v1", 1)
    env.run(until=60_000)
    assert (made.pools["v1"].available, len(made.pools["v1"].pods)) == (2, 3)


def rolled(strategy, replicas=10, ready_ms=500):
    """Roll from v1 to v2; most pods, fewest available, and the end in ms."""
    env, made, changed = cluster(ready_ms)
    made.adopt("v1", replicas)
    controller = DeploymentController(made, strategy, replicas)
    controller.apply("v2")
    most, fewest = 0, replicas
    while made.pools["v2"].available < replicas or made.pools["v1"].pods:
        controller.reconcile()
        most = max(most, made.total())
        fewest = min(fewest, sum(pool.available for pool in made.pools.values()))
        if not changed or made.pools["v2"].available == replicas:
            continue
        env.step()
    return most, fewest, env.now


@pytest.mark.parametrize(
    ("surge", "unavailable", "most", "fewest"),
    [
        (IntOrPercent(25, True), IntOrPercent(25, True), 13, 8),
        (IntOrPercent(1), IntOrPercent(0), 11, 10),
        (IntOrPercent(0), IntOrPercent(1), 10, 9),
        (IntOrPercent(100, True), IntOrPercent(0), 20, 10),
        (IntOrPercent(0), IntOrPercent(0), 10, 9),
    ],
)
def test_rolling_update_keeps_its_limits(surge, unavailable, most, fewest):
    """The peaks that a real kube-controller-manager 1.36 reached with 10 replicas."""
    assert rolled(RollingUpdate(surge, unavailable))[:2] == (most, fewest)


def test_one_pod_at_a_time_takes_one_start_each():
    assert rolled(RollingUpdate(IntOrPercent(1), IntOrPercent(0)), ready_ms=30_000)[2] == 300_000


def test_recreate_stops_everything_first():
    most, fewest, end = rolled(Recreate(), ready_ms=700)
    assert (most, fewest, end) == (10, 0, 700)


def test_a_broken_version_stops_a_rolling_update():
    env = simpy.Environment(0)
    made = Cluster(env, lambda _, __: None, lambda _: None)
    made.adopt("v1", 10)
    controller = DeploymentController(made, RollingUpdate(), 10)
    controller.apply("v2")
    controller.reconcile()
    env.run(until=3_600_000)
    assert (made.pools["v1"].available, len(made.pools["v2"].pods)) == (8, 5)
