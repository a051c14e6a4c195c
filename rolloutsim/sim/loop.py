"""The loop of the simulated world: SimPy events in, ticks at the lowest priority, actions out.

All that happens at an instant (pods, weights, answers, people) has NORMAL priority or higher; the
engine's tick comes below it, so the engine sees the whole instant. This is the one place that says so. The
engine ticks when its deadline has come and at no other time, as in the loop of the real world, which does
not know of what moved and changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import simpy
from simpy.events import EventPriority

from rolloutsim.engine import (
    Action,
    CreateRevision,
    CreateTemplate,
    Measure,
    Measured,
    Observation,
    Outcome,
    RemoveRevision,
    RemoveRoutes,
    RevisionSeen,
    Role,
    Scale,
    ServiceSeen,
    SetRoute,
    SetService,
    SetWeight,
    WeightSeen,
)
from rolloutsim.session import Session
from rolloutsim.sim.cluster import Cluster, DeploymentController

__all__ = ["TICK", "Extras", "Instrument", "Loop", "Network"]

TICK = EventPriority(2)
"""SimPy priority of a tick: below URGENT (0) and NORMAL (1)."""


class Network(Protocol):
    """What moves traffic. A write is answered at once; traffic follows when it follows."""

    def set_service(self, role: Role, revision: str) -> None: ...

    def set_weight(self, weight: int) -> bool | None:
        """Set the weight; return whether it is verified already (None: the router cannot say)."""


class Extras(Protocol):
    """What plays an experiment's pods and extra routes; a world without one only has the pods."""

    def create_template(self, action: CreateTemplate) -> None: ...

    def set_additional(self, weights: tuple[tuple[str, int], ...]) -> None:
        """Weights of pods beside the two versions."""

    def set_route(self, action: SetRoute) -> None: ...

    def remove_routes(self) -> None: ...


class Instrument(Protocol):
    """What takes measurements."""

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome] | None:
        """Milliseconds until the answer, and the answer; None: it never comes."""


class Loop:
    """Drives a `Session` in virtual time.

    ``before_tick`` is called at an instant after all its events and before its tick; ``after_tick`` when
    the engine has come to rest.
    """

    def __init__(
        self,
        env: simpy.Environment,
        session: Session,
        network: Network,
        instrument: Instrument,
        *,
        extras: Extras | None = None,
        before_tick: Callable[[], None] = lambda: None,
        after_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.env = env
        self.session = session
        self.cluster: Cluster
        self.deployment: DeploymentController | None = None
        self._network = network
        self._extras = extras
        self._instrument = instrument
        self._before_tick = before_tick
        self._after_tick = after_tick
        self._unseen: dict[str, None] = {}
        self._weight_seen: WeightSeen | None = None
        self._told: dict[str, tuple[int, int, int, int]] = {}
        self._told_weight: WeightSeen | None = None
        self._wake_at: int | None = None

    @property
    def now(self) -> int:
        """The time on the simulated clock, in ms."""
        return int(self.env.now)

    def hear(self, seen: Observation) -> None:
        """Bring an observation to the engine now; the weight with the pods, before the next tick.

        A weight that reaches traffic when another one is set already is not told: the route says the new one.
        """
        if not isinstance(seen, WeightSeen):
            self.session.hear(seen)
        elif self._told_weight is None or (seen.weight, seen.additional) == (
            self._told_weight.weight,
            self._told_weight.additional,
        ):
            self._weight_seen = seen
        self.wake(self.now)

    def pods_changed(self, revision: str) -> None:
        """The pods of a revision changed; the engine hears of it before the next tick."""
        self._unseen[revision] = None
        self.wake(self.now)

    def wake(self, at: int) -> None:
        """Tick at this time, or earlier if that is already arranged."""
        if self._wake_at is not None and self._wake_at <= at:
            return
        self._wake_at = at
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        event.callbacks = [lambda _: self._tick(at)]
        self.env.schedule(event, priority=TICK, delay=at - self.now)

    def after(self, wait_ms: int, do: Callable[[], None]) -> None:
        """Do something later, before that instant's tick."""
        timeout = self.env.timeout(wait_ms)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: do())

    def _tick(self, at: int) -> None:
        if at != self._wake_at:
            return
        self._wake_at = None
        self._look()
        self._before_tick()
        due = self.session.due()
        if due is not None and due <= at:
            due = self.session.settle(at, self._perform)
        self._after_tick()
        if due is not None:
            self.wake(due)

    def _look(self) -> None:
        """How the cluster is now: the weight, then the pods of each revision, where they changed."""
        if self._weight_seen is not None:
            weight, self._weight_seen = self._weight_seen, None
            told = self._told_weight
            if told is None or replace(told, at=weight.at) != weight:
                self._told_weight = weight
                self.session.hear(weight)
        if not self._unseen:
            return
        if self.deployment is not None:
            self._unseen.update(dict.fromkeys(self.deployment.reconcile()))
        for revision in sorted(self._unseen):
            if self._told.get(revision) != self._counts(revision):
                self.session.hear(self._seen(revision))
        self._unseen.clear()

    def _seen(self, revision: str) -> RevisionSeen:
        """The pods of a revision, to be told now."""
        self._unseen.pop(revision, None)
        counts = self._counts(revision)
        self._told[revision] = counts
        return RevisionSeen(self.now, revision, *counts)

    def _counts(self, revision: str) -> tuple[int, int, int, int]:
        """Pods of a revision: desired, created, ready, available."""
        pool = self.cluster.pools.get(revision)
        return (pool.desired, len(pool.pods), pool.ready, pool.available) if pool else (0, 0, 0, 0)

    def _perform(self, action: Action) -> Iterator[Observation]:
        match action:
            case Measure():
                answer = self._measure(action)
                if answer is not None:
                    yield answer
            case CreateRevision(revision=revision):
                changed = {revision}
                if self.deployment is None:
                    self.cluster.create(revision)
                else:
                    self.deployment.apply(revision)
                    changed |= self.deployment.reconcile()
                for each in sorted(changed):
                    yield self._seen(each)
            case Scale(revision=revision, replicas=replicas):
                self.cluster.scale(revision, replicas)
                yield self._seen(revision)
            case RemoveRevision(revision=revision):
                self.cluster.remove(revision)
                yield self._seen(revision)
            case SetService(role=role, revision=revision):
                self._network.set_service(role, revision)
                yield ServiceSeen(self.now, role, revision)
            case SetWeight(weight=weight, additional=additional):
                yield self._set_weight(weight, additional)
            case CreateTemplate(revision=revision):
                self.cluster.create(revision)
                if self._extras is not None:
                    self._extras.create_template(action)
                yield self._seen(revision)
            case SetRoute() if self._extras is not None:
                self._extras.set_route(action)
            case RemoveRoutes() if self._extras is not None:
                self._extras.remove_routes()
            case _:
                pass

    def _set_weight(self, weight: int, additional: tuple[tuple[str, int], ...]) -> WeightSeen:
        """A weight that the route says already is not written again, so nothing new is on its way."""
        told = self._told_weight
        if self._extras is not None and additional != (() if told is None else told.additional):
            self._extras.set_additional(additional)
        same = told is not None and told.weight == weight
        verified = told.verified if told is not None and same else self._network.set_weight(weight)
        self._told_weight = WeightSeen(self.now, weight, verified, additional)
        return self._told_weight

    def _measure(self, request: Measure) -> Measured | None:
        """The answer if it is there at once; else it is heard later."""
        started = self.now
        answer = self._instrument.measure(request, started)
        if answer is None:
            return None
        wait_ms, outcome = answer
        if wait_ms == 0:
            return _measured(request, started, started, outcome)
        self.after(wait_ms, lambda: self.hear(_measured(request, started, self.now, outcome)))
        return None


def _measured(request: Measure, started: int, finished: int, outcome: Outcome) -> Measured:
    return Measured(finished, request.run, request.metric, request.attempt, started, finished, outcome)
