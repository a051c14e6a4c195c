"""How an executor begins: from what the cluster remembers, or from what it looks like. Both are one path.

A rollout that nobody has executed yet begins with the state of the world as found. One that an executor left,
by whatever end, goes on from the state in the cluster: the world is looked at first, then what had been
decided and may not have been done is done again (it states what should be, so twice is no harm), and the
measurements whose answers were lost are taken again, about now.
"""

from __future__ import annotations

from rolloutsim.engine import (
    Measure,
    Measured,
    Revision,
    Role,
    Snapshot,
    State,
)
from rolloutsim.engine.measurements import answer_timeout_ms, in_flight
from rolloutsim.errors import ExecutorError
from rolloutsim.live.inbox import Command
from rolloutsim.live.loop import Loop
from rolloutsim.live.routers.router import Routed
from rolloutsim.live.slots import Slot
from rolloutsim.policy.model import Canary, Policy

__all__ = ["open_measurements", "snapshot", "take_up"]


def snapshot(policy: Policy, slots: tuple[Slot, Slot], routed: Routed, at: int) -> Snapshot:
    """The world before its first rollout: the slot that users reach is stable, an empty one is no revision.

    Raises
    ------
    ExecutorError : it cannot be told which slot users reach.
    """
    running = [slot for slot in slots if slot.exists and not slot.empty]
    stable = _stable(policy, running, routed)
    revisions = tuple(
        Revision(
            slot.revision,
            number,
            at,
            slot.desired,
            slot.created,
            slot.ready,
            slot.available,
            wanted=policy.replicas,
        )
        for number, slot in enumerate(sorted(running, key=lambda slot: slot.revision == stable), start=1)
    )
    canary = isinstance(policy.strategy, Canary) and policy.strategy.routing is not None
    weight = (routed.weighed.weight or 0) if canary else None
    return Snapshot(at, revisions, stable, routed.services, weight)


def _stable(policy: Policy, running: list[Slot], routed: Routed) -> str:
    services = dict(routed.services)
    selected = services.get(Role.STABLE) or services.get(Role.ACTIVE) or ""
    if selected and any(slot.revision == selected for slot in running):
        return selected
    if not running:
        return ""
    if len(running) == 1:
        return running[0].revision
    names = " and ".join(str(slot.ref) for slot in running)
    raise ExecutorError(
        f"{policy.name}: {names} both have pods, and its Service does not tell which of them is stable; "
        "scale one to 0, or give the Service the label of one"
    )


def open_measurements(state: State) -> list[Measure]:
    """The measurements that were asked for and not answered, as requests."""
    requests = []
    for run in state.runs:
        if run.phase.completed:
            continue
        for metric in run.metrics:
            flight = in_flight(metric)
            if flight is not None:
                name = metric.metric.name
                again = f"again-{run.name}-{name}-{flight.attempt}"
                spans = () if metric.watch is None else metric.watch.spans
                provider = metric.metric.provider
                requests.append(Measure(again, run.name, name, flight.attempt, provider, spans))
    return requests


def take_up(loop: Loop) -> None:
    """Go on from the loop's state in the world as it is now.

    Queries are given their time before the first tick, which would count their old attempt as timed out; a
    person's command is not kept waiting for them.
    """
    now = loop.read_clock()
    loop.listen()
    loop.redo(loop.session.state.unanswered)
    requests = open_measurements(loop.session.state)
    loop.redo(requests)
    timeouts = {
        (request.run, request.metric, request.attempt): answer_timeout_ms(request.provider)
        for request in requests
    }
    awaited = {key: timeout for key, timeout in timeouts.items() if timeout is not None}
    until = now + max(awaited.values(), default=0)
    while awaited and loop.read_clock() < until:
        loop.wait(until)
        loop.read_clock()
        for fact in loop.listen():
            if isinstance(fact, Measured):
                awaited.pop((fact.run, fact.metric, fact.attempt), None)
            elif isinstance(fact, Command):
                return
