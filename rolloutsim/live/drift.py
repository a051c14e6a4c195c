"""What somebody else changed while nobody executed a rollout: said before it goes on.

A write that was asked for and not answered may have happened or not, so either is as expected.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolloutsim.engine import CreateRevision, RemoveRevision, Scale, SetService, SetWeight, State
from rolloutsim.live.port import Kubernetes
from rolloutsim.live.routers import router_for
from rolloutsim.live.routers.router import Routed
from rolloutsim.live.slots import Slot, holding
from rolloutsim.live.workload import SlotPair, look
from rolloutsim.policy.model import Policy

__all__ = ["drift"]


def drift(api: Kubernetes, policy: Policy, namespace: str, state: State) -> tuple[str, ...]:
    """How the cluster differs from the state that was left, one sentence each. Raises `ApiError`."""
    slots, router = SlotPair(api, policy, namespace), router_for(api, policy, namespace)
    objects = look(api, tuple(dict.fromkeys((*slots.refs, *router.watches))))
    two = slots.read(objects)
    return (*_pods(two, state), *_requests(two, router.read(objects), state))


def _pods(slots: tuple[Slot, Slot], state: State) -> Iterator[str]:
    for one in slots:
        if one.edited:
            yield f"the pod template of {one.ref} was changed by somebody else"
    for revision in state.facts.revisions:
        slot = holding(slots, revision.id)
        wanted = {revision.desired} | {
            action.replicas
            for action in state.unanswered
            if isinstance(action, Scale) and action.revision == revision.id
        }
        if any(isinstance(a, RemoveRevision) and a.revision == revision.id for a in state.unanswered):
            wanted.add(0)
        if slot is None:
            created = any(isinstance(a, CreateRevision) for a in state.unanswered)
            if revision.desired and not created:
                yield f"no Deployment holds {revision.id} any more, which had {revision.desired} pods"
        elif slot.desired not in wanted:
            yield f"{slot.ref} was scaled from {revision.desired} to {slot.desired} by somebody else"


def _requests(slots: tuple[Slot, Slot], routed: Routed, state: State) -> Iterator[str]:
    weights = {state.facts.weight} | {a.weight for a in state.unanswered if isinstance(a, SetWeight)}
    weight = routed.weighed.weight
    if state.facts.weight is not None and weight not in weights:
        shown = "unreadable" if weight is None else str(weight)
        yield f"the canary's weight was {state.facts.weight} and is {shown} now"
    services = dict(routed.services)
    for known in state.facts.services:
        if known.revision and holding(slots, known.revision) is None:
            # it selects a slot, and that slot has been filled with another revision
            continue
        wanted = {known.revision} | {
            a.revision for a in state.unanswered if isinstance(a, SetService) and a.role is known.role
        }
        if services.get(known.role, "") not in wanted:
            yield (
                f"the {known.role} Service selected {known.revision or 'nothing'} and selects "
                f"{services.get(known.role) or 'nothing of ours'} now"
            )
