"""Long-lived connections: cohorts against a played population, and what cuts them."""

from __future__ import annotations

import numpy as np
import pytest

from rolloutsim.policy.model import BlueGreen, Canary, Pause, Policy, SetWeight
from rolloutsim.sim.clients import Connections, Swap
from rolloutsim.sim.connections import ConnectionLedger, limited_mean_ms, survival
from rolloutsim.sim.platform import Cluster, Delay
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import ConstantRate, Release, Scenario, Service, Traffic

LIFETIME = Delay(600_000, 1.0)


def ledger(swap=Swap.KEEP, lifetime=LIFETIME, **more):
    return ConnectionLedger(Connections(1_000, lifetime, swap, **more), 0)


def test_survivors_are_the_integral_of_the_survival_function():
    ages = np.linspace(0, 5_000_000, 400_001)
    alive = np.array([survival(LIFETIME, age) for age in ages[::400]])
    integral = np.trapezoid(alive, ages[::400])
    assert limited_mean_ms(LIFETIME, 5_000_000) == pytest.approx(integral, rel=1e-3)


@pytest.mark.parametrize("lifetime", [LIFETIME, Delay(600_000)])
def test_as_many_are_open_at_any_time(lifetime):
    one = ledger(lifetime=lifetime)
    for at, share in ((0, 0.0), (60_000, 0.3), (600_000, 0.6), (2_000_000, 0.9)):
        one.see(at, (1.0 - share, share))
        assert one.open_at(0, at) + one.open_at(1, at) == pytest.approx(1_000, rel=1e-6)
    assert one.open_at(1, 10_000_000) == pytest.approx(900, rel=0.06)


def test_cohorts_agree_with_a_played_population():
    """A weight of 30 % for ten minutes, then half of the new pods go."""
    draw = np.random.Generator(np.random.Philox(key=9))
    mean = LIFETIME.median_ms * np.exp(0.5)
    born = draw.uniform(0, 600_000, 200_000)
    dies = born + np.exp(np.log(LIFETIME.median_ms) + draw.standard_normal(len(born)))
    to_new = draw.random(len(born)) < 0.3
    scale = 1_000 / mean * 600_000 / len(born)
    one = ledger()
    one.see(0, (0.7, 0.3))
    one.deleted(600_000, 1, 0.5)
    assert one.cut == pytest.approx(0.5 * scale * (to_new & (dies > 600_000)).sum(), rel=0.03)


def test_a_swap_keeps_cuts_or_drains():
    kept, cut, drained = (ledger(swap, drain_ms=300_000) for swap in (Swap.KEEP, Swap.CUT, Swap.DRAIN))
    for one in (kept, cut, drained):
        one.see(60_000, (0.0, 1.0))
    assert kept.cut == 0.0
    assert cut.cut == pytest.approx(1_000)
    assert 500 < drained.cut < 1_000
    kept.deleted(3_600_000, 0, 1.0)
    assert 0.0 < kept.cut < 500
    assert kept.open_at(0, 3_600_000) == pytest.approx(0.0, abs=1e-9)
    assert kept.open_at(1, 3_600_000) == pytest.approx(1_000)


def test_a_grace_time_lets_short_ones_end():
    sudden, patient = ledger(), ledger(grace_ms=600_000)
    for one in (sudden, patient):
        one.deleted(0, 0, 1.0)
    assert sudden.cut == pytest.approx(1_000)
    assert 300 < patient.cut < 900


def played(strategy, connections, replicas=10, horizon_s=7_200):
    cluster = Cluster(pod_ready=Delay(10_000), router_delay=Delay(100))
    service = Service(
        "api",
        Traffic(ConstantRate(50.0)),
        cluster=cluster,
        connections=connections,
        horizon_ms=horizon_s * 1000,
    )
    scenario = Scenario("s", service, Release("good"))
    return simulate(Policy("api", strategy, replicas=replicas), scenario, runs=3).runs["cut_connections"]


SLOW = Canary(steps=(SetWeight(25), Pause(600_000), SetWeight(50), Pause(600_000)))
"""A canary by pods: the old ones go as new ones come."""


def test_the_data_plane_decides_more_than_the_strategy():
    """Connections that outlive a rollout are cut when the old pods go, whatever moved the requests."""
    long = Connections(1_000, Delay(24 * 3_600_000), Swap.KEEP)
    switch = BlueGreen("a", scale_down_delay_ms=30_000)
    assert played(switch, long).mean() > 950
    assert played(SLOW, long).mean() > 950
    patient = BlueGreen("a", scale_down_delay_ms=3_600_000)
    short = Connections(1_000, Delay(60_000, 0.5), Swap.KEEP)
    assert played(patient, short).mean() < 1.0
