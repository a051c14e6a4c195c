"""How many pods each revision of a canary gets, and which weight is in force.

Pure arithmetic of Argo Rollouts (``utils/replicaset/canary.go``, ``rollout/trafficrouting.go``), in Go's
own order of operations: IEEE doubles where the controller uses ``float64``, integers elsewhere. Counts are
pods, weights are shares of ``TrafficRouting.max_weight``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from rolloutsim.policy.model import Canary, IntOrPercent, ProgressThreshold, SetCanaryScale, SetWeight, Step

__all__ = [
    "Count",
    "Limits",
    "Pair",
    "Picture",
    "Weights",
    "abort_router_weight",
    "at_desired_counts",
    "canary_scale_at",
    "desired_counts",
    "limits",
    "max_weight_of",
    "progress_reached",
    "reverse_walk_weight",
    "stable_can_serve",
    "target",
    "weight_at",
    "weight_before",
]


TOLERANCE = 1e-10
"""Slack of the controller's comparison of percentages."""


class Count(NamedTuple):
    """Pods of one revision: asked for (``spec.replicas``), and available."""

    spec: int
    available: int


class Pair(NamedTuple):
    """Desired ``spec.replicas`` of the new and of the stable revision."""

    canary: int
    stable: int


class Weights(NamedTuple):
    """Recorded weights of the router (``status.canary.weights``); extra destinations take the rest."""

    canary: int
    stable: int


class Limits(NamedTuple):
    """``maxSurge`` and ``maxUnavailable`` as pods."""

    surge: int
    unavailable: int


class Picture(NamedTuple):
    """What replica arithmetic needs to know of a rollout.

    ``canary`` is the new revision (None: not created). ``stable`` is None when there is no stable
    revision, and when the stable revision is the new one. ``others`` are all further revisions.
    ``step_index`` is None without steps (with steps None counts as 0). ``weights`` None: nothing is
    recorded yet.
    """

    replicas: int
    canary: Count | None
    stable: Count | None
    others: tuple[Count, ...] = ()
    step_index: int | None = None
    abort: bool = False
    promote_full: bool = False
    weights: Weights | None = None


def limits(strategy: Canary, replicas: int) -> Limits:
    """``maxSurge`` (rounded up) and ``maxUnavailable`` (rounded down, at most ``replicas``) as pods.

    If both come to 0, one pod may be unavailable.
    """
    surge, unavailable = strategy.max_surge, strategy.max_unavailable
    return _limits(surge.value, surge.percent, unavailable.value, unavailable.percent, replicas)


@lru_cache(maxsize=1024)
def _limits(
    surge: int, surge_percent: bool, unavailable: int, unavailable_percent: bool, replicas: int
) -> Limits:
    more = IntOrPercent(surge, surge_percent).resolve(replicas, round_up=True)
    fewer = IntOrPercent(unavailable, unavailable_percent).resolve(replicas, round_up=False)
    if more == 0 and fewer == 0:
        fewer = 1
    return Limits(more, min(fewer, replicas))


# --- what the steps say -----------------------------------------------------------------------------


def weight_at(steps: tuple[Step, ...], index: int | None, max_weight: int = 100) -> int:
    """Value of the nearest setWeight at or before ``index``: 0 if none, all past the end or without steps.

    An ``index`` of None is 0. The abort (0) is the caller's to apply.
    """
    index = index or 0
    return max_weight if index >= len(steps) else weight_before(steps, index + 1)


def weight_before(steps: tuple[Step, ...], index: int) -> int:
    """Value of the nearest setWeight strictly before ``index``; 0 if none."""
    for step in reversed(steps[:index]):
        if isinstance(step, SetWeight):
            return step.weight
    return 0


def canary_scale_at(steps: tuple[Step, ...], index: int | None) -> SetCanaryScale | None:
    """The setCanaryScale in force at ``index``; None if none, or if it matches the traffic weight.

    Past the end none is in force. An ``index`` of None is 0.
    """
    index = index or 0
    if index >= len(steps):
        return None
    for step in reversed(steps[: index + 1]):
        if isinstance(step, SetCanaryScale):
            return None if step.match_traffic_weight else step
    return None


# --- pods from a weight -----------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def target(replicas: int, weight: int, max_weight: int, surge: int) -> Pair:
    """The pair of counts that approximates ``weight`` best by pods alone (canary without a router).

    The sum is ``replicas``, or one more if pods may surge; a weight strictly between 0 and all never
    leaves the canary without a pod, unless there is a single replica that may not surge.
    """
    if replicas == 0:
        return Pair(0, 0)
    ceiling = math.ceil(replicas * weight / max_weight)
    floor = math.floor(replicas * weight / max_weight)
    zero_allowed = weight in (0, max_weight) or (replicas == 1 and surge == 0)
    floor_allowed = floor != 0 or zero_allowed
    options: list[tuple[int, int]] = []
    if ceiling < replicas or zero_allowed:
        options.append((ceiling, replicas))
    if floor_allowed and not _tied(replicas, weight, max_weight):
        options.append((floor, replicas))
    if surge > 0:
        options.append((ceiling, replicas + 1))
        if floor_allowed and not _tied(replicas + 1, weight, max_weight):
            options.append((floor, replicas + 1))
    if not options:
        return Pair(0, replicas)
    canary, total = min(options, key=lambda option: abs(option[0] * max_weight / option[1] - weight))
    return Pair(canary, total - canary)


def _tied(total: int, weight: int, max_weight: int) -> bool:
    # Rounding up and down are equally far off; the controller then takes the larger canary.
    return math.modf(total * (weight / max_weight))[0] == 0.5


def _pods(weight: int, replicas: int, max_weight: int) -> int:
    return math.ceil(weight * replicas / max_weight)


def _whole_pods(weight: int, replicas: int, max_weight: int) -> int:
    return weight * replicas // max_weight


def _at_least_minimum(strategy: Canary, count: int, replicas: int) -> int:
    minimum = strategy.min_pods_per_replica_set
    if count == 0 or minimum is None:
        return count
    return max(count, min(minimum, replicas))


# --- desired counts ---------------------------------------------------------------------------------


def _asked(strategy: Canary, picture: Picture) -> tuple[int | None, int]:
    """Pods of the canary that a setCanaryScale names (or None), and the weight in force for pods.

    Where pods are named the weight is 0, as in the controller: ``dynamicStableScale`` then keeps all
    stable pods.
    """
    full = max_weight_of(strategy)
    if picture.promote_full or picture.stable is None:
        return None, full
    scale = _scale_in_force(strategy, picture)
    if scale is not None and scale.replicas is not None:
        return scale.replicas, 0
    if scale is not None and scale.weight is not None:
        return None, scale.weight
    if picture.abort:
        return None, reverse_walk_weight(strategy, picture) if strategy.dynamic_stable_scale else 0
    return None, weight_at(strategy.steps, picture.step_index, full)


def _scale_in_force(strategy: Canary, picture: Picture) -> SetCanaryScale | None:
    if strategy.routing is None:
        return None
    if picture.abort and strategy.abort_scale_down_delay_ms != 0:
        return None
    return canary_scale_at(strategy.steps, picture.step_index)


def max_weight_of(strategy: Canary) -> int:
    """The weight that means all traffic: 100, or ``trafficRouting.maxTrafficWeight``."""
    return 100 if strategy.routing is None else strategy.routing.max_weight


def desired_counts(strategy: Canary, picture: Picture) -> Pair:
    """``spec.replicas`` of the new and the stable revision that one reconcile asks for.

    Without traffic routing this is one move towards `target` inside the surge and unavailable limits;
    with it, the counts of the weight. With ``dynamicStableScale`` the controller scales the stable
    revision by the *persisted* weights and the canary by those just written: call it once with each.
    """
    if strategy.routing is None:
        return _basic_counts(strategy, picture)
    return _routed_counts(strategy, picture)


def _routed_counts(strategy: Canary, picture: Picture) -> Pair:
    replicas, full = picture.replicas, max_weight_of(strategy)
    named, weight = _asked(strategy, picture)
    canary = named if named is not None else _pods(weight, replicas, full)
    if not strategy.dynamic_stable_scale:
        if named is None:
            canary = _at_least_minimum(strategy, canary, replicas)
        return Pair(canary, replicas)
    stable = _pods(full - weight, replicas, full)
    if picture.weights is not None:
        stable = max(stable, _pods(picture.weights.stable, replicas, full))
        if picture.abort:
            canary = max(canary, _pods(picture.weights.canary, replicas, full))
    return Pair(_at_least_minimum(strategy, canary, replicas), _at_least_minimum(strategy, stable, replicas))


def _basic_counts(strategy: Canary, picture: Picture) -> Pair:
    replicas = picture.replicas
    bounds = limits(strategy, replicas)
    if picture.stable is None:
        goal = Pair(replicas, 0)
    else:
        goal = target(replicas, _asked(strategy, picture)[1], max_weight_of(strategy), bounds.surge)
    old = sum([count.spec for count in picture.others])
    most, least = replicas + bounds.surge, replicas - bounds.unavailable
    return _one_move(picture.canary, picture.stable, old, goal, most, least)


@lru_cache(maxsize=4096)
def _one_move(new: Count | None, stable: Count | None, old: int, goal: Pair, most: int, least: int) -> Pair:
    """One reconcile towards the goal with at most ``most`` pods, of which ``least`` stay available."""
    moved = _scaled_up(new, stable, goal, most - old)
    if old > 0:
        return moved  # other revisions drain first
    increasing = new is None or goal.canary >= new.spec
    counted = _counted(new, ignore_availability=not increasing) + _counted(
        stable, ignore_availability=increasing
    )
    room = counted - least
    if room <= 0:
        return moved
    if not increasing:
        canary = _drained(new, goal.canary, room, moved.canary)
        canary, other = _fit(new, stable, canary, moved.stable, most, least)
        return Pair(canary, other)
    if stable is not None:
        drained = _drained(stable, goal.stable, room, moved.stable)
        drained, other = _fit(stable, new, drained, moved.canary, most, least)
        return Pair(other, drained)
    return moved


def _scaled_up(new: Count | None, stable: Count | None, goal: Pair, most: int) -> Pair:
    """Both revisions raised towards the goal, stable first, while all pods stay at most ``most``."""
    canary = 0 if new is None else new.spec
    kept = 0 if stable is None else stable.spec
    room = most - canary - kept
    if stable is not None and kept < goal.stable and room > 0:
        more = min(room, goal.stable - kept)
        kept += more
        room -= more
    if new is not None and canary < goal.canary and room > 0:
        canary += min(room, goal.canary - canary)
    return Pair(canary, kept)


def _counted(revision: Count | None, *, ignore_availability: bool) -> int:
    # A revision that shrinks counts with what will stay; a broken one that may go, with all its pods.
    if revision is None:
        return 0
    if ignore_availability or revision.spec < revision.available:
        return revision.spec
    return revision.available


def _drained(revision: Count | None, goal: int, room: int, current: int) -> int:
    if revision is None or revision.spec <= goal:
        return current
    return max(goal, revision.spec - room)


def _fit(
    drain: Count | None, other: Count | None, draining: int, adjusted: int, most: int, least: int
) -> tuple[int, int]:
    """Keep both limits after both sides moved at once; without the other revision nothing changes."""
    if other is None:
        return draining, adjusted
    adjusted -= max(0, adjusted + draining - most)
    available = min(other.available, adjusted)
    if drain is not None:
        available += min(drain.available, draining)
    lost = max(0, other.available - adjusted)
    adjusted += min(lost, max(0, least - available))
    draining -= max(0, adjusted + draining - most)
    return draining, adjusted


# --- tests and guards -------------------------------------------------------------------------------


def at_desired_counts(strategy: Canary, picture: Picture, goal: Pair, stable_created: int) -> bool:
    """Whether setWeight and setCanaryScale steps have the pods that they want.

    ``goal`` are the `desired_counts` of the picture. ``stable_created`` are the created pods
    (``status.replicas``) of the stable revision: they count, not its availability.
    """
    new, stable = picture.canary, picture.stable
    if new is None:
        return False
    if _in_force(strategy.progress_threshold):
        if not progress_reached(strategy.progress_threshold, new.available, goal.canary):
            return False
    elif new.spec != goal.canary or new.available != goal.canary:
        return False
    stable_counts = strategy.routing is None or not strategy.dynamic_stable_scale
    if stable_counts and (stable is None or stable.spec != goal.stable or stable_created != goal.stable):
        return False
    return strategy.routing is not None or not any(count.available for count in picture.others)


def _in_force(threshold: ProgressThreshold | None) -> bool:
    return threshold is not None and threshold.value >= 0


def progress_reached(threshold: ProgressThreshold | None, available: int, desired: int) -> bool:
    """Whether ``replicaProgressThreshold`` is set, not negative, and met by ``available`` pods.

    A percentage is of ``desired`` pods; a number of pods stands for itself, even above ``desired``.
    """
    if threshold is None or threshold.value < 0:
        return False
    if not threshold.percent:
        return available >= threshold.value
    return desired == 0 or 100 * available / desired >= threshold.value - TOLERANCE


def stable_can_serve(strategy: Canary, picture: Picture, weight: int) -> bool:
    """Whether stable has the pods for its share when the canary gets ``weight``.

    If not, the controller leaves the router alone in this reconcile (no weight, no route, no status).
    """
    full = max_weight_of(strategy)
    needed = _whole_pods(full - weight, picture.replicas, full)
    available = 0 if picture.stable is None else picture.stable.available
    return available >= needed or progress_reached(strategy.progress_threshold, available, needed)


# --- dynamicStableScale after an abort --------------------------------------------------------------


def reverse_walk_weight(strategy: Canary, picture: Picture) -> int:
    """``dynamicStableScale`` after an abort: the weight of the steps, walked backwards, for the replicas.

    It is the last setWeight of the list that needs fewer canary pods than are still there (than stable
    still lacks, with an explicit abort delay other than 0); 0 when none does.
    """
    full = max_weight_of(strategy)
    stable_available = 0 if picture.stable is None else picture.stable.available
    pods = picture.replicas - stable_available
    if not strategy.abort_scale_down_delay_ms:
        pods = max(pods, 0 if picture.canary is None else picture.canary.available)
    for step in reversed(strategy.steps):
        if isinstance(step, SetWeight) and _pods(step.weight, picture.replicas, full) < pods:
            return step.weight
    return 0


def abort_router_weight(strategy: Canary, picture: Picture) -> int:
    """``dynamicStableScale`` after an abort: the canary weight for the router.

    The canary keeps what stable cannot serve yet, and its weight never rises again. Without replicas
    it is 0.
    """
    if picture.replicas == 0:
        return 0
    full = max_weight_of(strategy)
    stable_available = 0 if picture.stable is None else picture.stable.available
    served = full * stable_available // picture.replicas
    unserved = max(0, full - served)
    desired = reverse_walk_weight(strategy, picture)
    if picture.weights is None:
        return max(unserved, desired)
    current = picture.weights.canary
    if desired <= 0:
        return min(unserved, current)
    if served < full - desired:
        return current
    return min(desired, current)
