"""Replica arithmetic of Argo Rollouts' canary: one test per vector of the section ``canary_replicas``."""

from __future__ import annotations

from typing import Any

from rolloutsim.engine.replicas import Count, Pair, Picture, Weights, desired_counts, limits, target
from rolloutsim.policy.model import Canary, IntOrPercent, SetCanaryScale, SetWeight, Step, TrafficRouting

VECTORS = ("argo.json", "canary_replicas")


def int_or_percent(raw: int | str | None) -> IntOrPercent:
    if raw is None:
        return IntOrPercent(25, percent=True)
    if isinstance(raw, str):
        return IntOrPercent(int(raw.removesuffix("%")), percent=True)
    return IntOrPercent(raw)


def steps_of(case: dict[str, Any]) -> tuple[Step, ...]:
    if "setWeightSteps" in case:
        return tuple(SetWeight(weight) for weight in case["setWeightSteps"])
    steps: list[Step] = [SetWeight(case["weight"])]
    if "setCanaryScaleReplicas" in case:
        steps.append(SetCanaryScale(replicas=case["setCanaryScaleReplicas"]))
    if "setCanaryScaleWeight" in case:
        steps.append(SetCanaryScale(weight=case["setCanaryScaleWeight"]))
    if case.get("matchTrafficWeight"):
        steps.append(SetCanaryScale(match_traffic_weight=True))
    return tuple(steps)


def strategy_of(case: dict[str, Any], steps: tuple[Step, ...]) -> Canary:
    max_weight = case.get("maxTrafficWeight", 100)
    delay_s = case.get("abortScaleDownDelaySeconds")
    return Canary(
        steps=steps,
        max_surge=int_or_percent(case.get("maxSurge")),
        max_unavailable=int_or_percent(case.get("maxUnavailable")),
        routing=TrafficRouting(("fake",), max_weight) if case["kind"] == "traffic" else None,
        min_pods_per_replica_set=case.get("minPodsPerReplicaSet"),
        dynamic_stable_scale=case.get("dynamicStableScale", False),
        abort_scale_down_delay_ms=None if delay_s is None else delay_s * 1000,
    )


def count_of(raw: dict[str, int] | None) -> Count | None:
    return None if raw is None else Count(raw["spec"], raw["available"])


def picture_of(case: dict[str, Any], steps: tuple[Step, ...]) -> Picture:
    canary_weight = case.get("currentCanaryWeight")
    full = case.get("maxTrafficWeight", 100)
    # An abort sets the index to 0; where a vector keeps its one setWeight, that is index 0 too.
    index = 0 if case.get("abort") and "setWeightSteps" in case else len(steps) - 1
    return Picture(
        replicas=case["replicas"],
        canary=count_of(case.get("canary")),
        stable=count_of(case.get("stable")),
        others=tuple(Count(raw["spec"], raw["available"]) for raw in case.get("older", ())),
        step_index=index,
        abort=case.get("abort", False),
        promote_full=case.get("promoteFull", False),
        weights=None if canary_weight is None else Weights(canary_weight, full - canary_weight),
    )


def test_counts(case: dict[str, Any]) -> None:
    expected = case["expected"]
    pair = Pair(expected["canary"], expected["stable"])
    if case["kind"] == "approx":
        assert (
            target(case["replicas"], case["weight"], case.get("maxTrafficWeight", 100), case["surge"]) == pair
        )
        return
    steps = steps_of(case)
    strategy = strategy_of(case, steps)
    assert desired_counts(strategy, picture_of(case, steps)) == pair
    if case["kind"] == "basic":
        bounds = limits(strategy, case["replicas"])
        assert bounds.surge == expected["resolvedMaxSurge"]
        assert bounds.unavailable == expected["resolvedMaxUnavailable"]
