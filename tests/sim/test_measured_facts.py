"""What was measured on a real control plane and real proxies comes out of the simulated ones.

kube-apiserver, kube-controller-manager 1.36 and Traefik 3.7 on one two-core machine; requests at a steady
rate over some dozens of switches.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import simpy

from rolloutsim.outcomes import CaughtBy
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import BlueGreen, IntOrPercent, Policy, RollingUpdate
from rolloutsim.sim.cluster import Cluster, DeploymentController
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.latency import PLAIN, Tail, paces, residual_s
from rolloutsim.sim.platform import Cluster as ClusterModel
from rolloutsim.sim.platform import Controller, Delay, Drain, Split
from rolloutsim.sim.run import play, simulate
from rolloutsim.sim.scenario import (
    ConstantRate,
    Fault,
    FaultKind,
    Latency,
    Release,
    Scenario,
    Service,
    Traffic,
)
from rolloutsim.sim.toll import Sight, Toll

QUARTER = IntOrPercent(25, True)
REAL = Controller(sync_ms=20, qps=20.0, burst=30)


def rolled(strategy, controller=REAL, replicas=10, ready_ms=500):
    """Seconds, most pods and fewest available of a rolling update."""
    env = simpy.Environment(0)
    moved = []

    def after(wait_ms, do):
        env.timeout(wait_ms).callbacks.append(lambda _: do())

    made = Cluster(env, lambda *_: ready_ms, moved.append, controller=controller)
    made.adopt("v1", replicas)
    deployment = DeploymentController(made, strategy, replicas, sync_ms=controller.sync_ms, after=after)
    deployment.apply("v2")
    deployment.reconcile()
    most, fewest, heard = 0, replicas, 0
    while made.pools["v2"].available < replicas or made.pools["v1"].pods:
        env.step()
        if len(moved) != heard:
            heard = len(moved)
            deployment.reconcile()
        most = max(most, made.total())
        fewest = min(fewest, sum(pool.available for pool in made.pools.values()))
    return env.now / 1000.0, most, fewest


@pytest.mark.parametrize(
    ("surge", "unavailable", "seconds", "most", "fewest"),
    [
        (QUARTER, QUARTER, 2.89, 13, 8),
        (IntOrPercent(1), IntOrPercent(0), 5.39, 11, 10),
        (IntOrPercent(0), IntOrPercent(1), 5.62, 10, 9),
        (IntOrPercent(100, True), IntOrPercent(0), 1.61, 20, 10),
    ],
)
def test_a_rolling_update_takes_as_long_as_a_real_one(surge, unavailable, seconds, most, fewest):
    found = rolled(RollingUpdate(surge, unavailable))
    assert found[0] == pytest.approx(seconds, rel=0.06)
    assert found[1:] == (most, fewest)


SWITCH = Delay(149, 0.8)


def world(drain=None, controller=None, router=SWITCH, faults=(), rate=1_000.0, horizon_s=300):
    cluster = ClusterModel(
        pod_ready=Delay(500), router_delay=router, drain=drain, controller=controller, split=Split.EXACT
    )
    service = Service(
        "api", Traffic(ConstantRate(rate)), error_rate=0.0, cluster=cluster, horizon_ms=horizon_s * 1000
    )
    return Scenario("facts", service, Release("r", tuple(faults)))


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 10
  progressDeadlineSeconds: 6
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: "api:2"}]}
"""


def test_pods_that_never_become_ready_exceed_the_deadline():
    """6.96 s measured for 6: a real controller looks again a whole second after the deadline.

    Time here counts in milliseconds, so it is the deadline and what the controller needs.
    """
    policy = load_policy_text(DEPLOYMENT)
    crash = Fault(FaultKind.CRASH_AT_START, 1.0)
    row = play(policy, world(controller=REAL, faults=[crash]))
    assert row.caught_by is CaughtBy.DEADLINE
    assert row.time_to_detect_s == pytest.approx(6.96, rel=0.1)


def blue_green(delay_s):
    """The old colour goes this long after the switch; 0 would be for ever, so it is a millisecond."""
    return Policy("api", BlueGreen("api", scale_down_delay_ms=round(delay_s * 1000) or 1), replicas=5)


def lost(policy, scenario, runs=60):
    return simulate(policy, scenario, runs=runs).runs["unserved"]


def test_switches_reach_traffic_in_the_measured_time():
    """36, 149 and 1141 ms: least, median, most; a request that goes to the old version fails nowhere."""
    from rolloutsim.sim.randomness import stream

    draws = [stream(1, run, "router").delay_ms(Delay(149, 0.8), 1) for run in range(60)]
    assert 10 < min(draws) < 60
    assert np.median(draws) == pytest.approx(149, rel=0.35)
    assert 500 < max(draws) < 2_500


def test_the_old_colour_gone_at_the_same_instant_loses_what_is_still_sent_to_it():
    """981 of 53,188 and 3,327 of 58,246 failed: 1.8 % and 5.7 % of the requests around the switches.

    A switch and a deletion at one instant lose the requests of the time until the switch has arrived.
    """
    losses = lost(blue_green(0), world())
    per_switch_s = losses / 1_000.0
    assert 0.05 < per_switch_s.median() < 0.4
    assert (losses > 0).mean() > 0.95
    window_s = 10.0
    assert 0.005 < losses.mean() / (1_000.0 * window_s) < 0.06


def test_two_seconds_of_delay_lose_nothing():
    assert lost(blue_green(2), world()).max() < 1_000.0 * 2.5
    assert (lost(blue_green(2), world()) == 0.0).mean() > 0.95
    assert (lost(blue_green(30), world()) == 0.0).all()


def test_pods_that_serve_on_after_their_deletion_lose_nothing():
    """Serving one more second after the deletion covers all but the slowest switches."""
    kept = Drain(endpoints=Delay(1_000), pre_stop_ms=1_000)
    losses = lost(blue_green(0), world(drain=kept))
    assert (losses == 0.0).mean() > 0.9


def test_a_rolling_update_without_a_pre_stop_hook_loses_requests_and_with_one_does_not():
    policy = load_policy_text(DEPLOYMENT.replace("progressDeadlineSeconds: 6", "progressDeadlineSeconds: 60"))
    without = lost(policy, world(drain=Drain(endpoints=Delay(150, 0.8))), runs=20)
    assert (without > 0.0).all()
    with_hook = lost(policy, world(drain=Drain(endpoints=Delay(150, 0.8), pre_stop_ms=5_000)), runs=20)
    assert with_hook.max() == 0.0


def test_requests_in_flight_are_cut_when_the_grace_time_is_short():
    """Stationary load: rate times the mean time by which a request outlasts the grace."""
    latency = Latency(0.06, 0.6)
    samples = np.exp(
        math.log(0.06) + 0.6 * np.random.Generator(np.random.Philox(key=3)).standard_normal(400_000)
    )
    for grace in (0.0, 0.02, 0.1, 0.3):
        usual = np.maximum(samples - grace, 0).mean()
        hit = np.maximum(20.0 * samples - grace, 0).mean()
        assert residual_s(latency, PLAIN, grace) == pytest.approx(usual, rel=0.03)
        slow = paces(1.0, (Tail(0.25, 20.0),))
        assert residual_s(latency, slow, grace) == pytest.approx(0.75 * usual + 0.25 * hit, rel=0.03)
    scenario = world(drain=Drain(endpoints=Delay(0), grace_ms=0))
    policy = load_policy_text(DEPLOYMENT.replace("progressDeadlineSeconds: 6", "progressDeadlineSeconds: 60"))
    assert simulate(policy, scenario, runs=4).runs["cut_requests"].min() > 10.0
    long = world(drain=Drain(endpoints=Delay(0), grace_ms=30_000))
    assert simulate(policy, long, runs=4).runs["cut_requests"].max() < 1e-6


def test_of_a_slow_version_more_requests_are_in_flight_when_its_pods_end():
    """Two of four pods, a fifth of 100 requests per second; a tenth of these take twenty times as long."""
    service = Service("api", Traffic(ConstantRate(100.0)))
    service = replace(service, cluster=ClusterModel(drain=Drain(endpoints=Delay(0), grace_ms=0)))
    toll = Toll(service, Release("r"), lambda wait_ms, do: None, lambda: None)
    slow = paces(1.0, (Tail(0.1, 20.0),))
    toll.see(Sight(0, (0.8, 0.2), 0.2, (0.0, 0.0), 0.0, (4, 4), (PLAIN, slow)))
    mean_s = 0.06 * math.exp(0.6**2 / 2)
    toll.deleted(1_000, 0, 2, 4, 100.0)
    assert toll.cut_in_flight == pytest.approx(40.0 * mean_s)
    toll.deleted(2_000, 1, 2, 4, 100.0)
    assert toll.cut_in_flight == pytest.approx(40.0 * mean_s + 10.0 * mean_s * (0.9 + 0.1 * 20.0))


def split(kind, weight, requests=10_000):
    """How many of 10,000 requests a router sends to the canary."""
    service = Service("api", Traffic(ConstantRate(requests / 100.0)), cluster=ClusterModel(split=kind))
    found = []
    for run in range(20):
        plane = DataPlane(service, 1, run, [0, 1], (), start_ms=0, phase_ms=0)
        plane.change((Conditions(1.0 - weight), Conditions(weight)))
        plane.advance(100_000)
        totals = plane.now().totals[0, :, :2].sum(axis=1)
        found.append((totals[1], totals.sum()))
    return np.array(found, dtype=float)


@pytest.mark.parametrize("weight", [0.05, 0.25])
def test_traefik_and_haproxy_split_exactly_and_nginx_and_envoy_at_random(weight):
    """500 and 2,500 of 10,000 exactly; 503, 510 and 2,558, 2,553 at random."""
    exact = split(Split.EXACT, weight)
    assert np.abs(exact[:, 0] - weight * exact[:, 1]).max() < 1.0
    noisy = split(Split.RANDOM, weight)
    z = (noisy[:, 0] - weight * noisy[:, 1]) / np.sqrt(noisy[:, 1] * weight * (1 - weight))
    assert 0.5 < z.std() < 1.6
    assert abs(z.mean()) < 0.8


def test_without_a_drain_or_a_controller_nothing_changes():
    """The new parts are neutral unless a scenario has them."""
    plain = world(router=Delay(0))
    neutral = replace(
        plain,
        service=replace(
            plain.service, cluster=replace(plain.service.cluster, drain=Drain(), controller=Controller())
        ),
    )
    policy = load_policy_text(DEPLOYMENT.replace("progressDeadlineSeconds: 6", "progressDeadlineSeconds: 60"))
    first, second = simulate(policy, plain, runs=5).runs, simulate(policy, neutral, runs=5).runs
    for column in ("duration_s", "requests_exposed", "unserved", "pod_hours", "peak_pods"):
        assert first[column].tolist() == second[column].tolist()
