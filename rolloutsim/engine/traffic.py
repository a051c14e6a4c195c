"""Services and the router of a canary (``rollout/service.go``, ``rollout/trafficrouting.go``)."""

from __future__ import annotations

from rolloutsim.engine import replicas
from rolloutsim.engine.events import Role, SetWeight
from rolloutsim.engine.experiments import additional_weights
from rolloutsim.engine.replicas import Count, Pair, Picture, Weights
from rolloutsim.engine.state import Recorded, Revision
from rolloutsim.engine.steps import current_step
from rolloutsim.engine.work import Work
from rolloutsim.policy.model import SetHeaderRoute, SetMirrorRoute, TrafficRouting

__all__ = [
    "VERIFY_RETRY_MS",
    "at_desired_counts",
    "canary_counts",
    "end_unverified",
    "reconcile_router",
    "reconcile_services",
]

Additional = tuple[tuple[str, int], ...]

VERIFY_RETRY_MS = 10_000
"""A weight that the router has not confirmed is asked for again after this time."""


def canary_picture(work: Work, weights: Recorded | None) -> Picture:
    """The rollout as replica arithmetic sees it, with the recorded ``weights`` that it should assume.

    Only ``dynamicStableScale`` goes by them.
    """
    if not work.canary.dynamic_stable_scale:
        weights = None
    if work.picture is None or work.picture_weights is not weights:
        work.picture, work.picture_weights, work.counts = _picture(work, weights), weights, None
    return work.picture


def canary_counts(work: Work, weights: Recorded | None) -> Pair:
    """Pods that the new and the stable revision should have in this pass; ``weights`` as in the picture."""
    picture = canary_picture(work, weights)
    if work.counts is None:
        work.counts = replicas.desired_counts(work.canary, picture)
    return work.counts


def at_desired_counts(work: Work, weights: Recorded | None) -> bool:
    """Whether a setWeight or setCanaryScale step has the pods that it wants."""
    goal = canary_counts(work, weights)
    created = 0 if work.stable is None else work.stable.created
    return replicas.at_desired_counts(work.canary, canary_picture(work, weights), goal, created)


def _picture(work: Work, weights: Recorded | None) -> Picture:
    stable = work.stable
    if stable is None or (work.new is not None and work.new.id == stable.id):
        stable_count = None
    else:
        stable_count = Count(stable.desired, stable.available)
    return Picture(
        work.facts.replicas,
        None if work.new is None else Count(work.new.desired, work.new.available),
        stable_count,
        tuple([Count(r.desired, r.available) for r in work.others]),
        current_step(work.canary, work.status.step_index)[1],
        work.status.abort,
        work.status.promote_full,
        None if weights is None else Weights(weights.canary, weights.stable),
    )


# --- Services -------------------------------------------------------------------------------------


def reconcile_services(work: Work) -> None:
    """Point the stable Service at the stable revision, and the canary Service at the new one.

    After an abort the canary Service belongs to stable; the controller gets there by way of the new
    revision within one reconcile, of which only the settled value is modelled.
    """
    strategy = work.canary
    if strategy.ping_pong is not None:
        # The two Services change places with every promotion: what is the stable one is the world's to know.
        if not work.fully_promoted:
            _ensure(work, Role.CANARY, work.new, check=False)
        _ensure(work, Role.STABLE, work.stable, check=True)
        return
    if strategy.stable_service:
        _ensure(work, Role.STABLE, work.stable, check=True)
    if not strategy.canary_service:
        return
    if work.aborted and strategy.routing is None:
        _ensure(work, Role.CANARY, work.stable, check=True)
    elif work.aborted and not _weight_after_abort(work):
        _ensure(work, Role.CANARY, work.stable, check=False)
    elif not _back_to_stable(work):
        _ensure(work, Role.CANARY, work.new, check=True)


def _ensure(work: Work, role: Role, revision: Revision | None, *, check: bool) -> None:
    if revision is None or work.selects(role) == revision.id:
        return
    service = work.services.get(role)
    if check:
        adopted = service is not None and service.managed
        full = revision.desired != 0 and revision.available >= revision.desired
        if revision.available == 0 or not (adopted or full):
            return
    work.set_service(role, revision.id)


def _back_to_stable(work: Work) -> bool:
    """The template is stable's again, mid-update, and stable cannot serve everybody yet."""
    weights, new = work.status.weights, work.new
    return (
        work.fully_promoted
        and work.canary.dynamic_stable_scale
        and work.canary.routing is not None
        and weights is not None
        and new is not None
        and weights.canary_revision != new.id
        and new.available < work.facts.replicas
    )


def _weight_after_abort(work: Work) -> int:
    if not work.canary.dynamic_stable_scale:
        return 0
    return replicas.abort_router_weight(work.canary, canary_picture(work, work.status.weights))


# --- the router -----------------------------------------------------------------------------------


def reconcile_router(work: Work) -> bool:
    """Choose the weight and ask the router for it; False if the pass has to end here.

    That is so at the end of the steps, until the router confirms all traffic: nothing may be scaled
    down before.
    """
    routing = work.canary.routing
    if routing is None:
        work.weights = None
        return True
    canary = "" if work.new is None else work.new.id
    if _back_to_stable(work):
        assert work.status.weights is not None
        weight, canary = work.status.weights.canary, work.status.weights.canary_revision
        additional: Additional = ()
    else:
        additional = _additional(work)
        weight = _weight(work, routing, additional)
    if not _stable_can_serve(work, weight):
        return True
    if _progressing(work):
        _set_route_of_step(work)
    _ask(work, routing, weight, additional)
    stable = "" if work.stable is None else work.stable.id
    rest = routing.max_weight - weight - sum(share for _, share in additional)
    new = Recorded(weight, rest, canary, stable, additional=additional)
    if work.status.weights is None or not _same(work.status.weights, new):
        work.weights = new
    return not end_unverified(work, work.weights)


def _same(known: Recorded, new: Recorded) -> bool:
    """Whether the same weights are recorded already, verified or not."""
    return (
        known.canary == new.canary
        and known.stable == new.stable
        and known.canary_revision == new.canary_revision
        and known.stable_revision == new.stable_revision
        and known.additional == new.additional
    )


def _progressing(work: Work) -> bool:
    """Whether the steps decide; otherwise header and mirror routes are removed."""
    has_pods = work.new is not None and work.new.available > 0
    return has_pods and not (work.fully_promoted or work.aborted or work.status.promote_full)


def _additional(work: Work) -> Additional:
    """What an experiment gets beside canary and stable: only while the steps decide."""
    over = work.fully_promoted or work.aborted or work.status.promote_full
    return () if over or not work.experiments else additional_weights(work)


def _weight(work: Work, routing: TrafficRouting, additional: Additional) -> int:
    new, status = work.new, work.status
    if not _progressing(work):
        work.remove_routes()
    if work.fully_promoted:
        return 0
    if work.aborted:
        return _weight_after_abort(work)
    if new is None or new.available == 0:
        if status.weights is not None and status.weights.canary > 0 and work.facts.weight != 0:
            # Even if stable cannot serve everybody: nobody should be sent where no pod is.
            work.set_weight(0, additional)
        return 0
    if status.promote_full:
        if work.canary.dynamic_stable_scale:
            return min(routing.max_weight, routing.max_weight * new.available // max(1, work.facts.replicas))
        return 0 if status.weights is None else status.weights.canary
    return _weight_of_steps(work, routing)


def _weight_of_steps(work: Work, routing: TrafficRouting) -> int:
    steps = work.canary.steps
    _, index = current_step(work.canary, work.status.step_index)
    if index is None:
        return 0
    if not at_desired_counts(work, None):
        return replicas.weight_before(steps, index)
    return replicas.weight_at(steps, index, routing.max_weight)


def _stable_can_serve(work: Work, weight: int) -> bool:
    """Whether stable, which may be the new revision itself, has the pods for the rest of the traffic."""
    if work.stable is None:
        return False
    picture = Picture(work.facts.replicas, None, Count(work.stable.desired, work.stable.available))
    return replicas.stable_can_serve(work.canary, picture, weight)


def _set_route_of_step(work: Work) -> None:
    step, _ = current_step(work.canary, work.status.step_index)
    if work.number <= 1:
        return
    if isinstance(step, SetHeaderRoute | SetMirrorRoute):
        work.set_route(step)


def _ask(work: Work, routing: TrafficRouting, weight: int, additional: Additional) -> None:
    facts = work.facts
    if any(isinstance(action, SetWeight) for action in work.actions):
        return
    unconfirmed = routing.verifies and facts.verified is False
    moved = facts.weight != weight or facts.additional != additional
    if moved or (unconfirmed and work.now >= facts.weight_at + VERIFY_RETRY_MS):
        work.set_weight(weight, additional)


def end_unverified(work: Work, weights: Recorded | None) -> bool:
    """Whether all steps are done and the router has all traffic to shift but has not confirmed it."""
    routing = work.canary.routing
    if routing is None or not routing.verifies or weights is None or weights.canary != routing.max_weight:
        return False
    _, index = current_step(work.canary, work.status.step_index)
    at_end = index == len(work.canary.steps) and not (work.fully_promoted or work.aborted)
    return at_end and not (work.facts.weight == weights.canary and work.facts.verified is not False)
