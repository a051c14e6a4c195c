"""One rollout twice: as the simulator plays it, and by the live loop in the same world."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rolloutsim.engine import ReleaseAsked, State, start
from rolloutsim.lab import Server as Lab
from rolloutsim.live.executor import Executor
from rolloutsim.live.hands import Doings, Hands
from rolloutsim.live.inbox import Verb
from rolloutsim.live.journal import FileJournal
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.loop import PATCHES, Loop
from rolloutsim.live.measure import Measurer
from rolloutsim.live.port import Kubernetes
from rolloutsim.live.queries import PrometheusQueries
from rolloutsim.live.release import Release
from rolloutsim.live.surroundings import Surroundings
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import Policy, PrometheusProvider
from rolloutsim.prometheus import Server
from rolloutsim.serve import QueryServer
from rolloutsim.session import Entry
from rolloutsim.sim.beginning import NEW
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.world import OPERATOR, World
from rolloutsim.trace import entry_records, read_trace
from tests.parity.fed_cluster import NAMESPACE, FedCluster, connection, template
from tests.parity.virtual import (
    BareCluster,
    Delayed,
    FedWorld,
    Horizon,
    InStep,
    SimulatedPrometheus,
    VirtualClock,
    WatchedInbox,
)

QUERY_MS = 40
"""How long a query takes. No live loop has an answer in no time, so the parity worlds have none either."""
ADDRESS = "http://prometheus:9090"

Record = Mapping[str, Any]
POD_FAILS = "a pod fails"


@dataclass(frozen=True)
class Deed:
    """Something that happens at an exact time after the release: a person's command, or a pod that fails."""

    at_ms: int
    what: Verb | str


def with_queries(scenario: Scenario, query_ms: int = QUERY_MS) -> Scenario:
    service = scenario.service
    telemetry = replace(service.telemetry, query_ms=query_ms)
    return replace(scenario, service=replace(service, telemetry=telemetry))


# --- the simulator --------------------------------------------------------------------------------


def simulated(policy: Policy, scenario: Scenario, seed: int, deeds: Sequence[Deed] = ()) -> list[Record]:
    """The journal records of the simulator."""
    entries: list[Entry] = []
    world = World(policy, scenario, seed, 0, record=entries.append)

    def command(verb: Verb) -> None:
        session = world.loop.session
        world.loop.hear(PATCHES[verb](session.policy, session.state, world.loop.now, OPERATOR))

    _arrange(world, deeds, command)
    world.play()
    return records_of(entries)


def _arrange(world: World, deeds: Sequence[Deed], command: Callable[[Verb], object]) -> None:
    def do(deed: Deed) -> None:
        if isinstance(deed.what, Verb):
            command(deed.what)
        elif NEW in world.loop.cluster.pools:
            world.loop.cluster.fail(NEW, 1)

    for deed in deeds:
        world.loop.after(deed.at_ms, lambda deed=deed: do(deed))


def records_of(entries: Sequence[Entry]) -> list[Record]:
    return [record for entry in entries for record in entry_records(entry)]


def difference(left: Sequence[Record], right: Sequence[Record]) -> str:
    """The first record that differs, in words; empty: the journals are equal."""
    for number, (one, other) in enumerate(zip_longest(left, right)):
        if one != other:
            return f"record {number}: {one} is not {other}"
    return ""


# --- the live loop without an API -----------------------------------------------------------------


class MemoryJournal:
    """A journal in memory."""

    name = "memory"

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, entry: Entry) -> None:
        self.entries.append(entry)

    def sync(self) -> None:
        """Nothing to do."""


class NoMemory:
    def save(self, state: State, seq: int, obeyed: frozenset[str]) -> None:
        """Kept nowhere."""


class NoSecrets:
    def read(self, secret: str, key: str) -> str:
        raise AssertionError("no metric here has secrets")


@contextmanager
def prometheus(world: FedWorld) -> Iterator[Delayed]:
    """The simulated Prometheus behind its HTTP API, and the executor's own client as an instrument."""
    left_closed = world.scenario.service.telemetry.left_closed
    server = QueryServer(SimulatedPrometheus(world, left_closed=left_closed), 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Delayed(PrometheusQueries({ADDRESS: Server(server.url)}))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lived_bare(
    policy: Policy,
    scenario: Scenario,
    seed: int,
    deeds: Sequence[Deed] = (),
    *,
    inbox: WatchedInbox | None = None,
    late_ms: int = 0,
) -> list[Record]:
    """The journal of the live loop, whose hands are in the simulated world itself."""
    inbox = inbox or WatchedInbox()
    world = FedWorld(policy, scenario, seed, inbox)
    _arrange(world, deeds, world.command)
    cluster = BareCluster(world)
    clock = VirtualClock(world, cluster.flush, late_ms=late_ms)
    journal = MemoryJournal()
    with prometheus(world) as instrument:
        measurer = Measurer(
            inbox, clock, {PrometheusProvider: instrument, GatedCounts: instrument}, NoSecrets()
        )
        loop = Loop(
            policy,
            start(policy, world.snapshot),
            clock=clock,
            inbox=inbox,
            look=lambda: tuple(cluster.facts()),
            hands=InStep(Hands(cluster, cluster, measurer), world, inbox, instrument),
            memory=NoMemory(),
            journal=journal,
            heard=world.heard,
        )
        world.wire.session = loop.session
        world.begin()
        loop.hear(ReleaseAsked(0, NEW))
        due = loop.read_clock()
        try:
            while True:
                loop.wait(due)
                due = loop.turn()
        except Horizon:
            return records_of(journal.entries)


# --- the live executor over HTTP ------------------------------------------------------------------


class Steady(Executor):
    """An executor whose measurements keep step with virtual time."""

    def __init__(self, stage: Stage, api: Kubernetes, around: Surroundings, inbox: WatchedInbox) -> None:
        super().__init__(api, NAMESPACE, stage.policy.name, around)
        self._stage = stage
        self._watched = inbox

    def _hands(self, *parts: Any) -> Doings:
        return InStep(super()._hands(*parts), self._stage.world, self._watched, self._stage.instrument)


class Stage:
    """The simulated world with a Kubernetes API and a Prometheus API, for one executor after another."""

    def __init__(
        self,
        policy: Policy,
        scenario: Scenario,
        seed: int,
        lab: Lab,
        deeds: Sequence[Deed] = (),
        *,
        late_ms: int = 0,
    ) -> None:
        self.policy = policy
        self.lab = lab
        self._connections: list[HttpKubernetes] = []
        first = WatchedInbox()
        self.world = FedWorld(policy, scenario, seed, first)
        self.cluster = FedCluster(lab, policy, self.world, first)
        _arrange(self.world, deeds, lambda verb: self.cluster.command(verb))
        self.clock = VirtualClock(self.world, self.cluster.flush, late_ms=late_ms)
        self.instrument: Delayed
        self.world.begin()

    def executor(
        self,
        journal: Path,
        *,
        holder: str = "first",
        api: Kubernetes | None = None,
        inbox: WatchedInbox | None = None,
        lease_s: int = 7 * 24 * 3600,
        note: Callable[[str], object] = lambda sentence: None,
        record: Callable[[FileJournal], Any] = lambda journal: journal,
    ) -> Steady:
        """An executor of its own: inbox, connection, journal. The world tells it of all from now on."""
        inbox = inbox or WatchedInbox()
        self.world.connect(inbox)
        self.cluster.connect(inbox)
        around = Surroundings(
            clock=lambda not_before_ms: self.clock,
            elapsed_ms=self.clock.now_ms,
            journal=lambda manifest: record(FileJournal(journal, manifest)),
            instruments={PrometheusProvider: self.instrument, GatedCounts: self.instrument},
            holder=holder,
            inbox=inbox,
            heard=self.world.heard,
            note=note,
            lease_s=lease_s,
        )
        return Steady(self, api or self.connect(), around, inbox)

    def begin(self, executor: Steady, *, patience_ms: int = 0) -> None:
        """Take the Lease and begin; what the world does at this very instant comes before the first tick."""
        executor.take(patience_ms)
        executor.begin(Release(self.policy, NEW, {NEW: template(NEW)}))
        self.world.wire.session = executor.loop.session
        self.cluster.observer = executor.observer
        self.clock.finish_instant()

    def run(self, executor: Steady) -> None:
        """Execute to the horizon."""
        try:
            executor.run(lambda policy, state, due: False)
        except Horizon:
            return

    def live(self, executor: Steady) -> None:
        """Begin, and execute to the horizon."""
        self.begin(executor)
        self.run(executor)

    def connect(self) -> HttpKubernetes:
        """One more connection to the cluster; all are closed in the end."""
        self._connections.append(connection(self.lab))
        return self._connections[-1]

    def close(self) -> None:
        self.cluster.close()
        for one in self._connections:
            one.close()


@contextmanager
def staged(
    policy: Policy, scenario: Scenario, seed: int, deeds: Sequence[Deed] = (), *, late_ms: int = 0
) -> Iterator[Stage]:
    with Lab() as lab:
        stage = Stage(policy, scenario, seed, lab, deeds, late_ms=late_ms)
        with prometheus(stage.world) as instrument:
            stage.instrument = instrument
            try:
                yield stage
            finally:
                stage.close()


def lived(
    policy: Policy,
    scenario: Scenario,
    seed: int,
    folder: Path,
    deeds: Sequence[Deed] = (),
    *,
    inbox: WatchedInbox | None = None,
    late_ms: int = 0,
) -> list[Record]:
    """The journal file of an executor that speaks HTTP to both APIs."""
    path = folder / "journal.jsonl"
    path.unlink(missing_ok=True)
    with staged(policy, scenario, seed, deeds, late_ms=late_ms) as stage:
        executor = stage.executor(path, inbox=inbox)
        stage.begin(executor)
        stage.run(executor)
        executor.close()
    return list(read_trace(path).records)


__all__ = [
    "POD_FAILS",
    "Deed",
    "Stage",
    "difference",
    "lived",
    "lived_bare",
    "simulated",
    "staged",
    "with_queries",
]
