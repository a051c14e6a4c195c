"""A router that tells the versions apart by the hash of their pods, without a Service for each."""

from __future__ import annotations

import pytest

from rolloutsim.policy.model import Canary, Pause, Policy, SetWeight, TrafficRouting
from rolloutsim.sim.run import play
from rolloutsim.sim.scenario import ConstantRate, Fault, FaultKind, Release, Scenario, Service, Traffic


@pytest.mark.parametrize("services", [{}, {"stable_service": "s", "canary_service": "c"}])
@pytest.mark.parametrize("steps", [(SetWeight(20), Pause(300_000)), ()])
def test_the_weight_reaches_the_new_version_and_promotion_leaves_nobody_without_pods(services, steps) -> None:
    policy = Policy("p", Canary(steps=steps, routing=TrafficRouting(("istio",)), **services), 10)
    service = Service("api", Traffic(ConstantRate(100.0)))
    good, bad = (
        play(policy, Scenario("s", service, Release("r", faults)), seed=1)
        for faults in ((), (Fault(FaultKind.ERROR_STEP, 0.3),))
    )
    assert good.end == "promoted"
    assert good.bad_requests == good.unserved == 0.0
    if steps:
        # 20 requests per second for the pause, then everybody
        assert good.requests_exposed == pytest.approx(20 * 300, rel=0.1)
    assert bad.bad_requests > 1_000
