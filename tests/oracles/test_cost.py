"""What a rollout costs in pods beside those that are wanted anyway."""

from __future__ import annotations

from rolloutsim.policy.model import Policy
from rolloutsim.sim.run import play
from tests.oracles.cases import Found, Oracle, adapter, meet, unknown
from tests.oracles.worlds import blue_green, instant_cluster, pause, rolling_update, routed_canary, world

GROUP = "cost"
HOUR_S = 3600.0


def pod_seconds(policy: Policy, horizon_s: float, ready_s: float = 0.0) -> float:
    """Pods above the wanted replicas, times how long they were there."""
    good = world(100.0, 0.0, horizon_s, cluster=instant_cluster(ready_s=ready_s))
    return play(policy, good).pod_hours * HOUR_S


def extra_pods(oracle: Oracle) -> Found:
    """Blue-green doubles the pods, a rolling update has a quarter more, a canary what its steps say."""
    given = oracle.inputs
    kind, _, unit = oracle.key.rpartition("_pod_")
    if unit not in ("s", "h"):
        return unknown(oracle)
    pods = given["pods"]
    if kind == "bluegreen":
        cost = pod_seconds(blue_green(pods, given["bluegreen_s"]), given["bluegreen_s"] + HOUR_S)
    elif kind == "rolling":
        cost = pod_seconds(rolling_update(pods, "25%"), pods * given["ready_s"] + HOUR_S, given["ready_s"])
    elif kind == "canary":
        steps = [
            step
            for extra, length in zip(given["canary_extra_pods"], given["canary_s"], strict=True)
            for step in ({"setCanaryScale": {"replicas": extra}}, pause(length))
        ]
        cost = pod_seconds(routed_canary(steps, replicas=pods), sum(given["canary_s"]))
    else:
        return unknown(oracle)
    return cost if unit == "s" else cost / HOUR_S


ADAPTERS = (adapter("pods ready_s bluegreen_s canary_extra_pods canary_s", extra_pods),)


def test_oracle(oracle: Oracle) -> None:
    meet(oracle, ADAPTERS)
