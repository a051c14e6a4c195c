"""A simulated world that a live loop runs in, on virtual time and in lock-step.

The world is the simulator's own: its pods, router, traffic, scrapes and people, on the same SimPy clock. Only
its loop is taken out, and the live one put in its place. Nothing here decides anything: `VirtualClock.wait`
lets the world go on until there is something to hear, and every answer of another thread is waited for before
the next event happens, so that facts arrive in the order in which the world produced them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import simpy

from rolloutsim.engine import (
    Action,
    Measure,
    Measured,
    Observation,
    ReleaseAsked,
    RevisionSeen,
    Role,
    ServiceSeen,
    State,
    WeightSeen,
)
from rolloutsim.live.hands import Doings, Pods
from rolloutsim.live.inbox import Command, Fact, Inbox, Verb
from rolloutsim.live.measure import Instrument, Question
from rolloutsim.policy.model import Policy
from rolloutsim.serve import QueryApi
from rolloutsim.session import Entry, Session
from rolloutsim.sim.beginning import ORIGIN_MS, STABLE
from rolloutsim.sim.cluster import Cluster
from rolloutsim.sim.faults import breakpoints
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.world import OPERATOR, World

ANSWER_S = 20.0
"""Longest wait, in real seconds, for another thread; longer means that it is lost."""


class Horizon(Exception):
    """The run has been looked at for as long as the scenario says."""


class Wire:
    """Stands where the simulator's loop stood: what happens in the world is put on its way to the live loop.

    ``changed`` are the revisions whose pods changed and ``moved`` the weight that reached traffic, since the
    cluster around the world last asked.
    """

    def __init__(self, env: simpy.Environment, inbox: Inbox) -> None:
        self.env = env
        self.inbox = inbox
        self.cluster: Cluster
        self.session: Session
        self.deployment = None
        self.changed: dict[str, None] = {}
        self.moved: WeightSeen | None = None

    @property
    def now(self) -> int:
        return int(self.env.now)

    def hear(self, seen: Observation) -> None:
        if isinstance(seen, WeightSeen):
            self.moved = seen
        else:
            self.inbox.put(seen)

    def pods_changed(self, revision: str) -> None:
        self.changed[revision] = None

    def wake(self, at: int) -> None:
        """The world looks at itself at the end of every instant anyway."""

    def after(self, wait_ms: int, do: Callable[[], None]) -> None:
        timeout = self.env.timeout(wait_ms)
        assert timeout.callbacks is not None
        timeout.callbacks.append(lambda _: do())

    def pods(self, revision: str) -> Pods:
        pool = self.cluster.pools.get(revision)
        if pool is None:
            return Pods()
        return Pods(pool.desired, len(pool.pods), pool.ready, pool.available)


class FedWorld(World):
    """The simulated world around a live loop. ``loop`` is a `Wire`."""

    def __init__(self, policy: Policy, scenario: Scenario, seed: int, inbox: Inbox) -> None:
        self._inbox = inbox
        super().__init__(policy, scenario, seed, 0)

    def _set_up_loop(self) -> None:
        super()._set_up_loop()
        self.wire = Wire(self.env, self._inbox)
        self.wire.cluster = self.loop.cluster
        self.loop = self.wire  # type: ignore[assignment]

    def connect(self, inbox: Inbox) -> None:
        """From now on another executor listens."""
        self._inbox = self.wire.inbox = inbox

    def begin(self) -> None:
        """The world begins; somebody else asks for the release."""
        self._arrange(breakpoints(self._release, None))
        self._watch_the_load()

    @property
    def horizon_ms(self) -> int:
        return ORIGIN_MS + self._service.horizon_ms

    @property
    def query_ms(self) -> int:
        return self._service.telemetry.query_ms

    def command(self, verb: Verb) -> None:
        self._inbox.put(Command(verb, OPERATOR))

    def _promote(self) -> None:
        self._asked = False
        self.command(Verb.PROMOTE)

    def _give_up(self) -> None:
        if self.tally.stopped:
            return
        self.tally.gave_up = self.wire.now
        if self.tally.promoted is None:
            self.command(Verb.ABORT)
        else:
            self._inbox.put(ReleaseAsked(0, STABLE))
            self.wire.after(1, self._skip_the_steps)

    def _skip_the_steps(self) -> None:
        self.command(Verb.PROMOTE_FULL)

    def heard(self, entry: Entry) -> None:
        """The live loop's journal entry: people and tallies of the world read it."""
        self._journal(entry)


class VirtualClock:
    """The live loop's clock. While the loop waits, the world goes on; ``flush`` brings its changes to it.

    ``late_ms``: the loop comes back this long after the time that it asked for.
    """

    def __init__(self, world: FedWorld, flush: Callable[[], None], *, late_ms: int = 0) -> None:
        self._world = world
        self._flush = flush
        self._late_ms = late_ms

    def now_ms(self) -> int:
        return self._world.wire.now

    def ahead_ms(self) -> int:
        return 0

    def wait(self, inbox: Inbox, until_ms: int | None) -> None:
        world = self._world
        if until_ms is not None and until_ms > self.now_ms():
            until_ms += self._late_ms
        world._after_tick()
        while True:
            self.finish_instant()
            if inbox.waiting() or (until_ms is not None and until_ms <= self.now_ms()):
                return
            self._go_to(min(world.env.peek(), float("inf") if until_ms is None else until_ms))

    def finish_instant(self) -> None:
        """All that happens now happens, and the world looks at itself."""
        world = self._world
        self._flush()
        while world.env.peek() <= world.env.now:
            world.env.step()
            self._flush()
        world._refresh()

    def _go_to(self, at: float) -> None:
        if at >= self._world.horizon_ms:
            raise Horizon
        env = self._world.env
        if env.peek() > at:
            env.run(until=at)
        else:
            env.step()


# --- measurements ---------------------------------------------------------------------------------


class WatchedInbox(Inbox):
    """An inbox in which what another thread puts can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()
        self._counts: Counter[Any] = Counter()

    def put(self, fact: Fact) -> None:
        super().put(fact)
        with self._came:
            self._counts[_mark(fact)] += 1
            self._came.notify_all()

    def count(self, fact: Any) -> int:
        """How often a fact, or an answer to a measurement (run, metric, attempt), has come."""
        with self._came:
            return self._counts[_mark(fact)]

    def await_fact(self, fact: Any, before: int) -> None:
        """Wait until it has come more often than ``before``."""
        with self._came:
            if not self._came.wait_for(lambda: self._counts[_mark(fact)] > before, ANSWER_S):
                raise AssertionError(f"{fact} did not come")


def _mark(fact: Any) -> Any:
    return (fact.run, fact.metric, fact.attempt) if isinstance(fact, Measured) else fact


class Delayed:
    """An instrument whose answer is there at once, and is handed on when virtual time says so."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._changed = threading.Condition()
        self._taken: dict[tuple[str, str, int], int] = {}
        self._handed: dict[tuple[str, str, int], int] = {}

    def __call__(self, question: Question) -> Any:
        outcome = self._instrument(question)
        key = (question.request.run, question.request.metric, question.request.attempt)
        with self._changed:
            turn = self._taken[key] = self._taken.get(key, 0) + 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._handed.get(key, 0) >= turn, ANSWER_S)
        return outcome

    def await_taken(self, key: tuple[str, str, int], count: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken.get(key, 0) >= count, ANSWER_S):
                raise AssertionError(f"the measurement {key} was not taken")

    def taken(self, key: tuple[str, str, int]) -> int:
        with self._changed:
            return self._taken.get(key, 0)

    def hand_on(self, key: tuple[str, str, int]) -> None:
        with self._changed:
            self._handed[key] = self._taken.get(key, 0)
            self._changed.notify_all()


class InStep:
    """Hands that wait until a measurement was taken, and let its answer come after the query's time."""

    def __init__(self, hands: Doings, world: FedWorld, inbox: WatchedInbox, delayed: Delayed) -> None:
        self._hands = hands
        self._world = world
        self._inbox = inbox
        self._delayed = delayed

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        if not isinstance(action, Measure):
            yield from self._hands.perform(action, state, at)
            return
        key = (action.run, action.metric, action.attempt)
        before = self._inbox.count(key)
        count = self._delayed.taken(key) + 1
        yield from self._hands.perform(action, state, at)
        self._delayed.await_taken(key, count)

        def hand_on() -> None:
            self._delayed.hand_on(key)
            self._inbox.await_fact(key, before)

        self._world.wire.after(self._world.query_ms, hand_on)


class SimulatedPrometheus(QueryApi):
    """The simulated world's series as a Prometheus server: what has been scraped by the time asked about."""

    def __init__(self, world: FedWorld, *, left_closed: bool) -> None:
        super().__init__(world.metrics.store, left_closed=left_closed)
        self._world = world

    def answer(self, path: str, parameters: Any) -> Any:
        if path == "/api/v1/query":
            now = round(float(parameters["time"][0]) * 1000) - ORIGIN_MS
            metrics = self._world.metrics
            metrics.advance(metrics._plane.last_scrape_ms(now))
            metrics._reveal(now)
        return super().answer(path, parameters)


# --- a cluster without an API ---------------------------------------------------------------------


class BareCluster:
    """Workload and traffic straight in the simulated world, without any API between."""

    def __init__(self, world: FedWorld) -> None:
        self._world = world
        snapshot = world.snapshot
        self._services = dict(snapshot.services)
        self._weight = None if snapshot.weight is None else WeightSeen(0, snapshot.weight, None)

    def create(self, revision: str) -> Pods:
        self._world.wire.cluster.create(revision)
        return self._world.wire.pods(revision)

    def scale(self, revision: str, replicas: int) -> Pods:
        self._world.wire.cluster.scale(revision, replicas)
        return self._world.wire.pods(revision)

    def remove(self, revision: str) -> Pods:
        self._world.wire.cluster.remove(revision)
        return self._world.wire.pods(revision)

    def set_service(self, role: Role, revision: str) -> None:
        self._services[role] = revision
        self._world.routes.set_service(role, revision)

    def set_weight(self, weight: int) -> bool | None:
        if self._weight is None or self._weight.weight != weight:
            self._weight = WeightSeen(0, weight, self._world.routes.set_weight(weight))
        return self._weight.verified

    def set_route(self, name: str, route_json: str) -> None:
        raise AssertionError("no policy here sets header routes")

    def remove_routes(self) -> None:
        raise AssertionError("no policy here sets header routes")

    def flush(self) -> None:
        """Ring if anything changed."""
        wire = self._world.wire
        if wire.moved is not None and self._weight is not None and wire.moved.weight == self._weight.weight:
            self._weight = replace(wire.moved, at=0)
        if wire.moved is not None or wire.changed:
            wire.moved = None
            wire.changed.clear()
            wire.inbox.ring()

    def facts(self) -> Iterator[Observation]:
        """The cluster as it is now."""
        for role, revision in self._services.items():
            yield ServiceSeen(0, role, revision)
        if self._weight is not None:
            yield self._weight
        for revision in self._world.wire.cluster.pools:
            pods = self._world.wire.pods(revision)
            yield RevisionSeen(0, revision, pods.desired, pods.created, pods.ready, pods.available)
