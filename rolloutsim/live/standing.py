"""How a rollout stands, read from the cluster alone: its ConfigMap, its Lease and its objects.

It needs no executor, no journal and no metrics server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from rolloutsim.engine import RunPhase, State, deadline
from rolloutsim.engine.analysis import RunState
from rolloutsim.engine.pauses import pause_end
from rolloutsim.engine.steps import step_text
from rolloutsim.errors import ExecutorError
from rolloutsim.live.decisions import Judged, threshold
from rolloutsim.live.executor import Ending, ending
from rolloutsim.live.journal import API_VERSION
from rolloutsim.live.memory import command_of
from rolloutsim.live.plan import underway
from rolloutsim.live.port import DEPLOYMENT, LEASE, ApiError, Kubernetes, NotFound, Ref, Refused
from rolloutsim.live.prediction import Prediction, released_ms
from rolloutsim.live.release import Release, release_of
from rolloutsim.live.routers import Routed, router_for
from rolloutsim.live.slots import Objects, holding
from rolloutsim.live.state import OWNER_LABEL, Saved, StateStore
from rolloutsim.live.workload import SlotPair, look
from rolloutsim.policy import digest
from rolloutsim.policy.model import Canary, Policy

__all__ = [
    "Gate",
    "Holder",
    "Pods",
    "Standing",
    "Stands",
    "holder_of",
    "left_over",
    "never_executed",
    "standing",
]

SKEW_MS = 2_000
"""How far two machines' clocks may differ before a Lease looks expired that is not."""


class Stands(StrEnum):
    """How a rollout stands, in one word."""

    PROMOTED = "promoted"
    ABORTED = "aborted"
    WAITING = "waiting"
    """For a person."""
    GOING_ON = "going on"
    INTERRUPTED = "interrupted"
    """Something is left to do and nobody executes it."""
    NOT_BEGUN = "not begun"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the Lease. ``renewed_ms`` is how long ago it was renewed, by this machine's clock."""

    identity: str
    renewed_ms: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Pods:
    """One revision and its pods. ``role`` is stable, canary (or preview), or old."""

    revision: str
    number: int
    role: str
    object: str
    desired: int
    ready: int
    available: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One metric of an analysis run: where it stands, and its last measurements."""

    run: str
    gate: str
    verdict: str
    threshold: str
    successful: int
    failed: int
    inconclusive: int
    errors: int
    failure_limit: int
    last: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """See the module. Times in ms since the epoch; ``weight`` is what the engine last set."""

    rollout: str
    namespace: str
    stands: Stands
    policy_digest: str
    phase: str = ""
    message: str = ""
    steps: int = 0
    step_index: int | None = None
    step: str = ""
    weight: int | None = None
    observed_weight: int | None = None
    max_weight: int = 100
    problem: str = ""
    stable: str = ""
    current: str = ""
    paused_by_person: bool = False
    waits_until: int | None = None
    due: int | None = None
    saved_at: int = 0
    holder: Holder | None = None
    asked: str = ""
    """What somebody asked for and no executor has heard yet."""
    pods: tuple[Pods, ...] = ()
    gates: tuple[Gate, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON for machines."""
        return {"apiVersion": API_VERSION, "kind": "RolloutStatus", **asdict(self)}


def never_executed(name: str, namespace: str, left: Sequence[str] = ()) -> ExecutorError:
    """There is no such rollout; ``left`` are objects that carry its name all the same."""
    if left:
        return ExecutorError(
            f"the state of {name} in the namespace {namespace} was deleted, but {' and '.join(left)} still "
            f"carry its name; begin the same release again with rolloutsim run, then rolloutsim abort {name}"
        )
    return ExecutorError(
        f"no rollout {name} was ever executed in the namespace {namespace}; name another, "
        "or pass -n NAMESPACE"
    )


def left_over(api: Kubernetes, namespace: str, name: str) -> tuple[str, ...]:
    """Deployments that a rollout of this name has marked; none if they cannot be listed."""
    try:
        found = api.list(DEPLOYMENT, namespace, labels=f"{OWNER_LABEL}={name}").items
    except ApiError:
        return ()
    return tuple(str(Ref(DEPLOYMENT, namespace, body["metadata"]["name"])) for body in found)


def holder_of(api: Kubernetes, namespace: str, name: str, now_ms: int) -> Holder | None:
    """Who executes a rollout, or did last; None: nobody. Raises `ApiError`."""
    try:
        spec = api.get(Ref(LEASE, namespace, f"rolloutsim-{name}")).get("spec", {})
    except NotFound:
        return None
    identity = str(spec.get("holderIdentity") or "")
    if not identity:
        return None
    try:
        renewed = datetime.fromisoformat(str(spec.get("renewTime"))).timestamp() * 1000
    except ValueError:
        renewed = 0.0
    ago = int(now_ms - renewed)
    return Holder(identity, ago, ago < int(spec.get("leaseDurationSeconds") or 15) * 1000 + SKEW_MS)


def standing(api: Kubernetes, namespace: str, name: str, now_ms: int) -> Standing:
    """How a rollout stands.

    Raises
    ------
    ExecutorError : it was never executed there, or the cluster cannot be read.
    """
    found = StateStore(api, namespace, name).read()
    if found is None:
        raise never_executed(name, namespace, left_over(api, namespace, name))
    if not found.plan:
        return Standing(name, namespace, Stands.NOT_BEGUN, found.policy_digest, asked=_asked(found))
    release, _ = release_of(found.plan)
    holder = holder_of(api, namespace, name, now_ms)
    if found.state is None:
        digested = digest(release.policy)
        return Standing(name, namespace, Stands.NOT_BEGUN, digested, holder=holder, asked=_asked(found))
    return _standing(api, namespace, found, found.state, release, holder)


def _standing(
    api: Kubernetes,
    namespace: str,
    found: Saved,
    state: State,
    release: Release,
    holder: Holder | None,
) -> Standing:
    policy, status = release.policy, state.status
    slots, router = SlotPair(api, policy, namespace), router_for(api, policy, namespace)
    objects = look(api, tuple(dict.fromkeys((*slots.refs, *router.watches))))
    routed, two = router.read(objects), slots.read(objects)
    problems = [routed.problem]
    if status.stable and holding(two, status.stable) is None:
        names = " nor ".join(str(ref) for ref in slots.refs)
        problems.append(
            f"neither {names} holds the stable revision {status.stable}; apply the one that did as it was"
        )
    if underway(state):
        problems.append(_occupied(slots, objects, state))
        problems.append(_unproved(release, routed, state))
    strategy = policy.strategy
    steps = strategy.steps if isinstance(strategy, Canary) else ()
    index = status.step_index
    routing = strategy.routing if isinstance(strategy, Canary) else None
    roles = {status.current: "canary" if isinstance(strategy, Canary) else "preview", status.stable: "stable"}
    pods = []
    for revision in state.facts.revisions:
        slot = holding(two, revision.id)
        if slot is not None:
            role = roles.get(revision.id, "old")
            counts = (slot.desired, slot.ready, slot.available)
            pods.append(Pods(revision.id, revision.number, role, str(slot.ref), *counts))
    return Standing(
        rollout=policy.name,
        namespace=namespace,
        stands=_stands(policy, state, holder),
        policy_digest=found.policy_digest,
        phase=status.phase.value if status.phase else "",
        message=status.message,
        steps=len(steps),
        step_index=index,
        step=step_text(steps[index]) if index is not None and index < len(steps) else "",
        weight=None if routing is None else (status.weights.canary if status.weights else state.facts.weight),
        observed_weight=routed.weighed.weight,
        max_weight=routing.max_weight if routing else 100,
        problem="; ".join(filter(None, problems)),
        stable=status.stable,
        current=status.current,
        paused_by_person=state.facts.paused,
        waits_until=pause_end(policy, status),
        due=deadline(policy, state),
        saved_at=state.now,
        holder=holder,
        asked=_asked(found),
        pods=tuple(pods),
        gates=tuple(gate for run in state.runs for gate in _gates(run, state, release.prediction)),
    )


def _occupied(slots: SlotPair, objects: Objects, state: State) -> str:
    """Why what is asked for is not in its slot yet, in words."""
    try:
        return slots.occupied(objects, state.facts.asked, state.status.stable)
    except Refused as error:
        return str(error)


def _unproved(release: Release, routed: Routed, state: State) -> str:
    """That the route is as it should be and requests have not borne it out yet."""
    weighed = routed.weighed
    if release.probe is None or not weighed.weight or weighed.verified is False:
        return ""
    if state.facts.weight != weighed.weight or state.facts.verified is not False:
        return ""
    return (
        f"requests to {release.probe.url} have not shown weight {weighed.weight} yet; the executor asks again"
    )


def _stands(policy: Policy, state: State, holder: Holder | None) -> Stands:
    ended = ending(policy, state, deadline(policy, state))
    alive = holder is not None and holder.alive
    if ended is Ending.GOING_ON or (ended is Ending.WAITING and not alive):
        if not alive:
            return Stands.INTERRUPTED
        return Stands.GOING_ON
    if ended is Ending.PROMOTED and underway(state):
        return Stands.INTERRUPTED
    return Stands(ended.value)


def _asked(found: Saved) -> str:
    if found.abort:
        return "abort"
    command = command_of(found.command) if found.command else None
    return command.verb.value if command is not None else ""


def _gates(run: RunState, state: State, prediction: Prediction | None) -> Iterator[Gate]:
    began_ms = released_ms(state)
    for metric in run.metrics:
        name, counts, wanted = metric.metric.name, metric.counters, threshold(metric.metric)
        last = []
        for m in metric.measurements:
            if m.finished is not None:
                band = prediction.of_gate(name, (m.finished - began_ms) / 1000) if prediction else None
                verdict = m.phase.value
                last.append(Judged(name, run.name, m.attempt, m.value, verdict, wanted, m.message, band))
        yield Gate(
            run.name,
            name,
            (metric.phase or RunPhase.PENDING).value,
            wanted,
            counts.successful,
            counts.failed,
            counts.inconclusive,
            counts.error,
            metric.metric.failure_limit,
            tuple(last),
        )
