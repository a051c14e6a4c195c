"""Observations other than `Tick`: they update the picture, and nothing else.

A repeated, late, unknown or wrong-kind observation returns the same state, but for the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rolloutsim.engine.events import (
    Action,
    CreateRevision,
    CreateTemplate,
    Failed,
    Measured,
    Observation,
    PolicyChanged,
    ReleaseAsked,
    RemoveRevision,
    ReplicasWanted,
    RevisionSeen,
    Scale,
    ServiceSeen,
    SetService,
    SetWeight,
    StatusPatched,
    WeightSeen,
)
from rolloutsim.engine.experiment import pods_seen
from rolloutsim.engine.exposure import has_gates
from rolloutsim.engine.holds import approvers_needed
from rolloutsim.engine.runs import fold_measured
from rolloutsim.engine.spans import Exposed
from rolloutsim.engine.state import Facts, Revision, ServiceFact, State, with_revisions
from rolloutsim.engine.steps import steps_hash
from rolloutsim.engine.work import FIRST_BACKOFF_MS, LAST_BACKOFF_MS
from rolloutsim.policy.model import Canary, Policy

__all__ = ["at_time", "fold"]


def fold(policy: Policy, state: State, seen: Observation) -> State:
    """The state with one observation folded in."""
    now = max(state.now, seen.at)
    return at_time(_FOLDS[type(seen)](policy, state, now, seen), now)


def at_time(state: State, at: int) -> State:
    """The state at ``at`` ms; time never goes back."""
    return state if at <= state.now else _with(state, at, state.facts, state.unanswered, state.dirty)


def _with(state: State, now: int, facts: Facts, unanswered: tuple[Action, ...], dirty: bool) -> State:
    # Spelled out: this is the path of most decisions, and `dataclasses.replace` is slow.
    return State(
        now,
        facts,
        state.status,
        state.runs,
        state.run_names,
        state.waiting,
        unanswered,
        state.retry_at,
        state.backoff_ms,
        state.writes,
        dirty,
        state.looked_at,
        state.exposed,
        state.experiments,
    )


# --- the world ------------------------------------------------------------------------------------


def _revision_seen(policy: Policy, state: State, now: int, seen: RevisionSeen) -> State:
    unanswered = _without(state.unanswered, lambda action: _answers_revision(seen, action))
    answered = unanswered is not state.unanswered
    revisions = state.facts.revisions
    index = next((i for i, r in enumerate(revisions) if r.id == seen.revision), None)
    if index is None:
        experiments = pods_seen(state.experiments, now, seen)
        if experiments is not state.experiments or any(
            template.revision == seen.revision for one in experiments for template in one.templates
        ):
            if experiments is state.experiments and not answered:
                return state
            return replace(state, now=now, experiments=experiments, unanswered=unanswered, dirty=True)
        return _revision_created(state, now, seen, unanswered) if answered else state
    known = revisions[index]
    removed = answered and any(
        isinstance(action, RemoveRevision) and action.revision == seen.revision for action in state.unanswered
    )
    same = (
        known.desired == seen.desired
        and known.created == seen.created
        and known.ready == seen.ready
        and known.available == seen.available
    )
    if removed:
        facts = with_revisions(state.facts, revisions[:index] + revisions[index + 1 :])
    elif same:
        if not answered:
            return state
        facts = state.facts
    else:
        moved = Revision(
            known.id,
            known.number,
            known.created_at,
            seen.desired,
            seen.created,
            seen.ready,
            seen.available,
            known.scale_down_at,
            known.wanted,
        )
        facts = with_revisions(state.facts, (*revisions[:index], moved, *revisions[index + 1 :]))
    return _with(state, now, facts, unanswered, True)


def _answers_revision(seen: RevisionSeen, action: Action) -> bool:
    match action:
        case CreateRevision(_, revision) | CreateTemplate(_, revision):
            return revision == seen.revision
        case Scale(_, revision, replicas):
            return revision == seen.revision and replicas == seen.desired
        case RemoveRevision(_, revision):
            return revision == seen.revision and seen.desired == seen.created == 0
    return False


def _revision_created(state: State, now: int, seen: RevisionSeen, unanswered: tuple[Action, ...]) -> State:
    number = next(
        action.number
        for action in state.unanswered
        if isinstance(action, CreateRevision) and action.revision == seen.revision
    )
    created = Revision(
        seen.revision,
        number,
        now,
        seen.desired,
        seen.created,
        seen.ready,
        seen.available,
        None,
        state.facts.replicas,
    )
    facts = with_revisions(state.facts, (*state.facts.revisions, created))
    return _with(state, now, facts, unanswered, True)


def _without(unanswered: tuple[Action, ...], answers: Callable[[Action], bool]) -> tuple[Action, ...]:
    """What is still unanswered; the same tuple if nothing was answered."""
    for action in unanswered:
        if answers(action):
            return tuple(other for other in unanswered if not answers(other))
    return unanswered


def _service_seen(policy: Policy, state: State, now: int, seen: ServiceSeen) -> State:
    unanswered = _without(
        state.unanswered,
        lambda a: isinstance(a, SetService) and a.role is seen.role and a.revision == seen.revision,
    )
    ours = any(revision.id == seen.revision for revision in state.facts.revisions)
    services = list(state.facts.services)
    for index, known in enumerate(services):
        if known.role is seen.role:
            services[index] = ServiceFact(seen.role, seen.revision, known.managed or ours)
            break
    else:
        services.append(ServiceFact(seen.role, seen.revision, ours))
    changed = tuple(services) != state.facts.services
    if not changed and unanswered is state.unanswered:
        return state
    facts = replace(state.facts, services=tuple(services)) if changed else state.facts
    return _with(state, now, facts, unanswered, True)


def _weight_seen(policy: Policy, state: State, now: int, seen: WeightSeen) -> State:
    unanswered = _without(
        state.unanswered,
        lambda action: (
            isinstance(action, SetWeight)
            and action.weight == seen.weight
            and action.additional == seen.additional
        ),
    )
    facts = state.facts
    same = (
        facts.weight == seen.weight
        and facts.verified is seen.verified
        and facts.additional == seen.additional
    )
    moved = replace(
        facts, weight=seen.weight, verified=seen.verified, weight_at=now, additional=seen.additional
    )
    dirty = state.dirty or not same or unanswered is not state.unanswered
    return _with(state, now, moved, unanswered, dirty)


def _failed(policy: Policy, state: State, now: int, seen: Failed) -> State:
    """A refused write, and one of unknown fate: drop the pass, try again a little later."""
    if all(action.id != seen.action for action in state.unanswered):
        return state
    backoff_ms = min(max(FIRST_BACKOFF_MS, 2 * state.backoff_ms), LAST_BACKOFF_MS)
    return replace(
        state,
        waiting=None,
        unanswered=(),
        retry_at=now + backoff_ms,
        backoff_ms=backoff_ms,
        dirty=True,
    )


# --- people ---------------------------------------------------------------------------------------


def _anew(state: State, facts: Facts) -> State:
    """The state under a changed spec: a pass in flight knows the old one and is dropped."""
    facts = replace(facts, observed=False)
    if state.waiting is None:
        return _with(state, state.now, facts, state.unanswered, True)
    return replace(state, facts=facts, waiting=None, unanswered=(), retry_at=None, dirty=True)


def _release_asked(policy: Policy, state: State, now: int, seen: ReleaseAsked) -> State:
    facts = state.facts
    if facts.asked == seen.revision and facts.fields == seen.fields:
        return state
    return _anew(state, replace(facts, asked=seen.revision, fields=seen.fields))


def _policy_changed(policy: Policy, state: State, now: int, seen: PolicyChanged) -> State:
    new = seen.policy
    if new == policy:
        return state
    facts = state.facts
    if not has_gates(new):
        state = replace(state, exposed=None)
    elif state.exposed is None:
        state = replace(state, exposed=Exposed(facts.asked))
    return _anew(
        state,
        replace(
            facts,
            steps_hash=steps_hash(new.strategy),
            replicas=facts.replicas if new.replicas == policy.replicas else new.replicas,
            paused=facts.paused if new.paused == policy.paused else new.paused,
        ),
    )


def _replicas_wanted(policy: Policy, state: State, now: int, seen: ReplicasWanted) -> State:
    if seen.replicas == state.facts.replicas or seen.replicas < 0:
        return state
    return _anew(state, replace(state.facts, replicas=seen.replicas))


def _status_patched(policy: Policy, state: State, now: int, seen: StatusPatched) -> State:
    needed = approvers_needed(policy, state, seen)
    if needed and seen.actor not in needed and not seen.abort:
        return state
    status = state.status
    count = len(policy.strategy.steps) if isinstance(policy.strategy, Canary) else 0
    patch: dict[str, Any] = {}
    if seen.clear_pauses:
        patch["pauses"] = ()
    if seen.controller_pause is not None:
        patch["controller_pause"] = seen.controller_pause
    if seen.step_index is not None and count:
        patch["step_index"] = max(0, min(seen.step_index, count))
    if seen.abort is not None:
        patch["abort"] = seen.abort
    if seen.promote_full is not None:
        patch["promote_full"] = seen.promote_full
    patched = replace(status, **patch)
    moved = state if patched == status else replace(state, status=patched, dirty=True)
    if seen.spec_paused is not None and seen.spec_paused != state.facts.paused:
        moved = _anew(moved, replace(moved.facts, paused=seen.spec_paused))
    return moved


_FOLDS: dict[type[Any], Callable[[Policy, State, int, Any], State]] = {
    ReleaseAsked: _release_asked,
    PolicyChanged: _policy_changed,
    ReplicasWanted: _replicas_wanted,
    RevisionSeen: _revision_seen,
    ServiceSeen: _service_seen,
    WeightSeen: _weight_seen,
    Measured: fold_measured,
    Failed: _failed,
    StatusPatched: _status_patched,
}
