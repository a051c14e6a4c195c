"""An executor that dies at any point of a rollout, and another one that goes on.

Virtual time; the process is killed inside the loop, before and after every journal record, after every save
and after every write. What the cluster keeps is text, as in a ConfigMap: nothing else survives. In the end
the rollout stands where one without a crash stands, no step was done twice, and no weight was ever set that
the policy does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.engine import (
    Action,
    Measure,
    Observation,
    ReleaseAsked,
    SetWeight,
    State,
    StepCompleted,
    from_json,
    start,
    to_json,
)
from rolloutsim.live.hands import Doings, Hands
from rolloutsim.live.inbox import Command, Verb
from rolloutsim.live.journal import joined
from rolloutsim.live.loop import Loop
from rolloutsim.live.measure import Measurer, Question
from rolloutsim.live.recovery import take_up
from rolloutsim.policy.model import Policy, PrometheusProvider
from rolloutsim.session import Entry
from rolloutsim.sim.answer import found_by
from rolloutsim.sim.beginning import NEW, ORIGIN_MS
from rolloutsim.sim.scenario import Scenario
from rolloutsim.trace import read_trace
from tests.parity.play import MemoryJournal, NoSecrets, staged
from tests.parity.test_live_parity import POLICIES, WORLDS
from tests.parity.virtual import BareCluster, Delayed, FedWorld, Horizon, InStep, VirtualClock, WatchedInbox

BEFORE_RECORD, AFTER_RECORD, AFTER_SAVE, AFTER_WRITE = (
    "before record",
    "after record",
    "after save",
    "after write",
)
POINTS = (BEFORE_RECORD, AFTER_RECORD, AFTER_SAVE, AFTER_WRITE)
HORIZON_MS = 1_500_000


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Doom:
    """Kills the process when ``point`` is reached for the ``number``-th time (from 0)."""

    point: str = ""
    number: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def reached(self, point: str) -> None:
        count = self.seen.get(point, 0)
        self.seen[point] = count + 1
        if point == self.point and count == self.number:
            raise Crash


class DoomedJournal(MemoryJournal):
    def __init__(self, doom: Doom) -> None:
        super().__init__()
        self._doom = doom

    def record(self, entry: Entry) -> None:
        self._doom.reached(BEFORE_RECORD)
        super().record(entry)
        self._doom.reached(AFTER_RECORD)


class Kept:
    """What outlives a process: the state as text, and what people asked for and nobody has obeyed."""

    def __init__(self) -> None:
        self.text = ""
        self.seq = -1
        self.asked: list[Command] = []
        self.doom = Doom()

    def save(self, state: State, seq: int, obeyed: frozenset[str]) -> None:
        self.text, self.seq = json.dumps(to_json(state)), seq
        self.asked = [command for command in self.asked if command.id not in obeyed]
        self.doom.reached(AFTER_SAVE)

    def load(self) -> State | None:
        return from_json(State, json.loads(self.text)) if self.text else None


class DoomedHands:
    def __init__(self, hands: Doings, doom: Doom, weights: list[int]) -> None:
        self._hands = hands
        self._doom = doom
        self._weights = weights

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        for answer in tuple(self._hands.perform(action, state, at)):
            if isinstance(action, SetWeight):
                self._weights.append(action.weight)
            self._doom.reached(AFTER_WRITE)
            yield answer


class Rollout:
    """One rollout in one world, executed by one process after another."""

    def __init__(self, policy: Policy, scenario: Scenario) -> None:
        self.policy = policy
        service = replace(scenario.service, horizon_ms=HORIZON_MS)
        self.world = FedWorld(policy, replace(scenario, service=service), 1, WatchedInbox())
        self.world.command = self._command  # type: ignore[method-assign]
        self.cluster = BareCluster(self.world)
        self.clock = VirtualClock(self.world, self.cluster.flush)
        self.kept = Kept()
        self.journals: list[tuple[int, list[Entry]]] = []
        self.weights: list[int] = []
        self.ended: State | None = None
        self.commands = 0
        self.world.begin()

    def _command(self, verb: Verb) -> None:
        self.commands += 1
        command = Command(verb, "somebody", f"command {self.commands}")
        self.kept.asked.append(command)
        self.world.wire.inbox.put(command)

    def execute(self, doom: Doom) -> None:
        """One process, to the horizon or to its end."""
        inbox = WatchedInbox()
        self.world.connect(inbox)
        self.kept.doom = doom
        instrument = Delayed(self._asked)
        measurer = Measurer(inbox, self.clock, {PrometheusProvider: instrument}, NoSecrets())
        saved = self.kept.load()
        state = saved or start(self.policy, replace(self.world.snapshot, at=self.clock.now_ms()))
        journal = DoomedJournal(doom)
        self.journals.append((self.kept.seq, journal.entries))
        for command in self.kept.asked:
            inbox.put(command)
        hands = InStep(Hands(self.cluster, self.cluster, measurer), self.world, inbox, instrument)
        loop = Loop(
            self.policy,
            state,
            clock=self.clock,
            inbox=inbox,
            look=lambda: tuple(self.cluster.facts()),
            hands=DoomedHands(hands, doom, self.weights),
            memory=self.kept,
            journal=journal,
            heard=self.world.heard,
        )
        self.world.wire.session = loop.session
        try:
            if saved is None:
                for seen in self.cluster.facts():
                    loop.know(seen)
            take_up(loop)
            if loop.session.state.facts.asked != NEW:
                loop.hear(ReleaseAsked(0, NEW))
            due: int | None = loop.read_clock()
            while True:
                loop.wait(due)
                due = loop.turn()
        except Horizon:
            self.ended = loop.session.state

    def _asked(self, question: Question) -> Any:
        metrics, now = self.world.metrics, question.at_ms - ORIGIN_MS
        metrics.advance(metrics._plane.last_scrape_ms(now))
        metrics._reveal(now)
        provider = question.request.provider
        assert isinstance(provider, PrometheusProvider)
        return found_by(provider.query, metrics.store, question.at_ms)

    def lineage(self) -> list[Entry]:
        """The records that the state in the cluster includes, in order, of all processes."""
        entries: list[Entry] = []
        for index, (_, journal) in enumerate(self.journals):
            last = index == len(self.journals) - 1
            until = len(journal) if last else self.journals[index + 1][0] + 1
            entries += journal[:until]
        return entries

    def steps(self) -> list[int]:
        return [
            event.index
            for entry in self.lineage()
            for event in entry.events
            if isinstance(event, StepCompleted)
        ]

    def stands(self) -> dict[str, Any]:
        """Where the rollout stands in the end, in the engine and in the world."""
        assert self.ended is not None
        status = self.ended.status
        pools = self.world.wire.cluster.pools.items()
        router = self.world.routes.router
        return {
            "stable": status.stable,
            "step": status.step_index,
            "phase": status.phase,
            "abort": status.abort,
            "pods": {name: (pool.desired, pool.ready) for name, pool in pools},
            "weight": router.weight,
            "services": {role: router.services[role] for role, _ in self.world.snapshot.services},
        }


def _uncrashed(policy: str, world: str) -> Rollout:
    rollout = Rollout(POLICIES[policy], WORLDS[world])
    rollout.execute(Doom())
    return rollout


def _distinct(weights: list[int]) -> list[int]:
    return [weight for index, weight in enumerate(weights) if index == 0 or weights[index - 1] != weight]


def _survives(policy: str, world: str, doom: Doom, expected: Rollout) -> None:
    rollout = Rollout(POLICIES[policy], WORLDS[world])
    with pytest.raises(Crash):
        rollout.execute(doom)
    rollout.execute(Doom())
    assert rollout.stands() == expected.stands()
    assert rollout.steps() == expected.steps()
    assert _distinct(rollout.weights) == _distinct(expected.weights)


CASES = [("two-thresholds", "healthy"), ("two-thresholds", "broken"), ("blue-green", "errors")]


@pytest.mark.parametrize(("policy", "world"), CASES)
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_here_and_there(policy: str, world: str, point: str) -> None:
    expected = _uncrashed(policy, world)
    count = _count(policy, world, point)
    for number in range(0, count, max(1, count // 2)):
        _survives(policy, world, Doom(point, number), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "world"), CASES)
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_every_record(policy: str, world: str, point: str) -> None:
    expected = _uncrashed(policy, world)
    for number in range(_count(policy, world, point)):
        _survives(policy, world, Doom(point, number), expected)


def _count(policy: str, world: str, point: str) -> int:
    doom = Doom()
    Rollout(POLICIES[policy], WORLDS[world]).execute(doom)
    return doom.seen[point]


def test_the_rollouts_of_these_tests_do_something() -> None:
    healthy, bad = _uncrashed("two-thresholds", "healthy"), _uncrashed("two-thresholds", "broken")
    assert healthy.stands()["stable"] == NEW
    assert healthy.steps() == [1, 2, 3, 4, 5, 6, 7]
    assert _distinct(healthy.weights) == [10, 50, 100, 0]
    assert bad.stands()["abort"] is True
    assert _distinct(bad.weights) == [10, 0]
    assert _uncrashed("blue-green", "errors").stands()["abort"] is True


def test_two_crashes_and_a_promotion_that_nobody_was_there_to_hear() -> None:
    """A command that is left while no executor runs is obeyed once, by the next one."""
    policy, scenario = POLICIES["article-on-slots"], WORLDS["healthy"]
    operators = replace(scenario.service.operators, promote=None)
    rollout = Rollout(policy, replace(scenario, service=replace(scenario.service, operators=operators)))
    with pytest.raises(Crash):
        rollout.execute(Doom(AFTER_SAVE, 9))
    rollout._command(Verb.PROMOTE_FULL)
    with pytest.raises(Crash):
        rollout.execute(Doom(AFTER_WRITE, 2))
    rollout.execute(Doom())
    assert rollout.stands()["stable"] == NEW
    assert rollout.kept.asked == []
    patches = [entry for entry in rollout.lineage() if type(entry.seen).__name__ == "StatusPatched"]
    assert len(patches) == 1


# --- another machine, over HTTP -------------------------------------------------------------------


class DoomedApi:
    """A connection to the cluster that dies with the ``number``-th write: before it, or after it."""

    def __init__(self, api: Any, number: int, *, after: bool) -> None:
        self._api = api
        self._left = number
        self._after = after

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._api, name)
        if name not in ("create", "merge_patch", "json_patch", "apply", "replace", "delete"):
            return call

        def write(*args: Any, **wishes: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Crash
            answer = call(*args, **wishes)
            if self._left == 0:
                raise Crash
            return answer

        return write


MANY = [
    pytest.param(number, after, marks=pytest.mark.slow) for number in range(2, 30) for after in (False, True)
]


@pytest.mark.parametrize(("number", "after"), [(5, True), (9, False), *MANY])
def test_another_machine_goes_on_over_http(number: int, after: bool, tmp_path: Path) -> None:
    """The first executor dies at a write; the second waits for its Lease, resumes, and ends the rollout."""
    policy, scenario = POLICIES["two-thresholds"], WORLDS["healthy"]
    expected = _uncrashed("two-thresholds", "healthy")
    service = replace(scenario.service, horizon_ms=HORIZON_MS)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    with staged(policy, replace(scenario, service=service), 1) as stage:
        dying = stage.executor(first, api=DoomedApi(stage.connect(), number, after=after), lease_s=15)
        with pytest.raises(Crash):
            stage.live(dying)
        began = stage.clock.now_ms()
        successor = stage.executor(second, holder="second", lease_s=15)
        stage.begin(successor, patience_ms=60_000)
        assert 10_000 <= stage.clock.now_ms() - began <= 20_000
        stage.run(successor)
        for reflector in dying._reflectors:
            reflector.stop()
        successor.close()
        state = successor.loop.session.state
        objects = stage.cluster.finish()
    assert (state.status.stable, state.status.step_index, state.status.abort) == (NEW, 7, False)
    pods = {one["metadata"]["name"]: one["spec"]["replicas"] for one in objects["Deployment"]}
    wanted = {name: desired for name, (desired, _) in expected.stands()["pods"].items()}
    assert pods == {"api-a": wanted["v1"], "api-b": wanted["v2"]}
    continues = read_trace(second).manifest["after"] is not None
    records = joined([first, second] if continues else [second])
    steps = [r["value"]["index"] for r in records if r["value"]["kind"] == "StepCompleted"]
    assert steps == [1, 2, 3, 4, 5, 6, 7]


def test_open_measurements_are_taken_again() -> None:
    """A crash while a query is on its way costs no measurement: the next executor asks again."""
    rollout = Rollout(POLICIES["two-thresholds"], WORLDS["healthy"])
    expected = _uncrashed("two-thresholds", "healthy")
    entries = expected.journals[0][1]
    asked = next(i for i, e in enumerate(entries) if any(isinstance(a, Measure) for a in e.actions))
    with pytest.raises(Crash):
        rollout.execute(Doom(AFTER_RECORD, asked + 1))
    rollout.execute(Doom())
    errors = [
        event
        for entry in rollout.lineage()
        for event in entry.events
        if getattr(event, "phase", None) == "Error"
    ]
    assert errors == []
    assert rollout.stands() == expected.stands()
