"""Rules about the weights of a canary: reached or not, in which order, by which router.

Source: Argo Rollouts, utils/replicaset/canary.go (pods from weights) and docs/features/canary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from rolloutsim.engine.replicas import canary_scale_at, limits, max_weight_of, target
from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import Rollout
from rolloutsim.lint.words import percent
from rolloutsim.policy.ingress import PREFIX
from rolloutsim.policy.model import Canary, SetWeight

__all__ = ["CHECKS", "share_of_pods"]

TOLERANCE = 0.25
"""A share of pods is near enough to a weight within a quarter of it."""
MOST_REPLICAS = 1000


def _share(canary: Canary, replicas: int, weight: int) -> tuple[int, int]:
    """Pods of the canary, and of both versions, that a weight comes to without a router."""
    pair = target(replicas, weight, 100, limits(canary, replicas).surge)
    return pair.canary, pair.canary + pair.stable


def share_of_pods(canary: Canary, replicas: int, weight: int) -> float:
    """What a weight comes to without a router: percent of the pods."""
    pods, total = _share(canary, replicas, weight)
    return 100 * pods / total


def _near(canary: Canary, replicas: int, weight: int) -> bool:
    return abs(share_of_pods(canary, replicas, weight) - weight) <= TOLERANCE * weight


def _unreachable(subject: Rollout) -> Iterator[Hit]:
    canary, replicas = subject.canary, subject.policy.replicas
    if canary is None or canary.routing is not None or replicas == 0:
        return
    given = "" if "replicas" in subject.document.spec else " (replicas is not set)"
    for index, step in enumerate(canary.steps):
        if not isinstance(step, SetWeight) or step.weight in (0, 100):
            continue
        if _near(canary, replicas, step.weight):
            continue
        pods, total = _share(canary, replicas, step.weight)
        reason = (
            f"no router and {replicas} replicas{given}: {pods} of {total} pods, {percent(100 * pods / total)}"
        )
        enough = next((n for n in range(replicas, MOST_REPLICAS) if _near(canary, n, step.weight)), None)
        fix = "use a traffic router"
        if enough is not None:
            fix += f", or {enough} replicas ({percent(share_of_pods(canary, enough, step.weight))})"
        yield Hit(subject.document, (*subject.strategy_path, "steps", index, "setWeight"), reason, fix)


def _decreasing(subject: Rollout) -> Iterator[Hit]:
    before = 0
    for index, step in enumerate(subject.canary.steps if subject.canary else ()):
        if not isinstance(step, SetWeight):
            continue
        if step.weight < before:
            reason = f"the weight goes from {before} down to {step.weight}: pods are removed before it drops"
            yield Hit(subject.document, (*subject.strategy_path, "steps", index, "setWeight"), reason)
        before = step.weight


def _scale_stays(subject: Rollout) -> Iterator[Hit]:
    canary, replicas = subject.canary, subject.policy.replicas
    if canary is None or canary.routing is None:
        return
    for index, step in enumerate(canary.steps):
        scale = canary_scale_at(canary.steps, index)
        if not isinstance(step, SetWeight) or scale is None:
            continue
        full = max_weight_of(canary)
        pods = scale.replicas
        if pods is None:
            pods = math.ceil((scale.weight or 0) * replicas / full)
        needed = math.ceil(step.weight * replicas / full)
        if pods < needed:
            share = percent(100 * step.weight / full)
            reason = (
                f"an earlier setCanaryScale still holds: {pods} pods for {share} of the traffic, not {needed}"
            )
            yield Hit(subject.document, (*subject.strategy_path, "steps", index, "setWeight"), reason)


def _router_without_steps(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is not None and canary.routing is not None and not canary.steps:
        reason = "all pods of the new version start at weight 0, then the Services switch: all users at once"
        yield Hit(subject.document, subject.strategy_path, reason)


def _retired_router(subject: Rollout) -> Iterator[Hit]:
    strategy = subject.policy.strategy
    if (
        not isinstance(strategy, Canary)
        or strategy.routing is None
        or "nginx" not in strategy.routing.routers
    ):
        return
    reason = "ingress-nginx gets no releases and no security fixes since March 2026"
    if subject.document.kind == "Rollout":
        yield Hit(subject.document, (*subject.strategy_path, "trafficRouting", "nginx"), reason)
    elif subject.document.kind == "RolloutPolicy":
        yield Hit(subject.document, ("spec", "target", "route"), reason)
    else:
        for ingress in subject.bundle.of_kind("Ingress"):
            annotations = ingress.data.get("metadata", {}).get("annotations", {})
            if annotations.get(PREFIX + "canary") == "true":
                yield Hit(ingress, ("metadata", "annotations", PREFIX + "canary"), reason)


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS020",
            "unreachable-weight",
            Severity.WARNING,
            "without a router the weight is a share of pods, and so few pods cannot give this one",
            "use a traffic router, or more replicas",
        ),
        _unreachable,
    ),
    Check(
        Rule(
            "RS021",
            "decreasing-weight",
            Severity.WARNING,
            "a weight below the one before: the canary loses pods while it still has the higher weight",
            "sort the weights; to go back, abort",
        ),
        _decreasing,
    ),
    Check(
        Rule(
            "RS022",
            "canary-scale-stays",
            Severity.WARNING,
            "a setCanaryScale holds until matchTrafficWeight: the weight rises and the pods do not",
            "add a step 'setCanaryScale: {matchTrafficWeight: true}' before the weight",
        ),
        _scale_stays,
    ),
    Check(
        Rule(
            "RS023",
            "router-without-steps",
            Severity.WARNING,
            "a canary with a router and without steps never shows the new version to a part of the users",
            "add steps, or use blueGreen",
        ),
        _router_without_steps,
    ),
    Check(
        Rule(
            "RS024",
            "retired-router",
            Severity.WARNING,
            "the ingress-nginx project is retired",
            "move to a Gateway API HTTPRoute or another maintained router",
        ),
        _retired_router,
    ),
)
