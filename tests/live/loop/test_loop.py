"""The loop alone: what it hears, what it keeps, and what it does when something cannot be kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rolloutsim.engine import (
    Action,
    Failed,
    Failure,
    Observation,
    ReleaseAsked,
    Revision,
    RevisionSeen,
    Role,
    Scale,
    ServiceSeen,
    Snapshot,
    State,
    StatusPatched,
    WeightSeen,
    start,
)
from rolloutsim.engine import SetWeight as SetWeightAction
from rolloutsim.errors import ExecutorError
from rolloutsim.live import clock as clock_module
from rolloutsim.live.clock import SystemClock
from rolloutsim.live.inbox import Command, Inbox, Verb
from rolloutsim.live.loop import Loop, NotSaved
from rolloutsim.policy.model import BlueGreen, Canary, Pause, Policy, SetWeight
from rolloutsim.session import Entry

POLICY = Policy("api", Canary(steps=(SetWeight(50), Pause())), replicas=2)
BEFORE = Snapshot(5, (Revision("v1", 1, 5, 2, 2, 2, 2, wanted=2),), "v1")


class Hand:
    """A clock that a test sets; it waits for nothing."""

    def __init__(self) -> None:
        self.now = 1_000
        self.ahead = 0

    def now_ms(self) -> int:
        return self.now

    def ahead_ms(self) -> int:
        return self.ahead

    def wait(self, inbox: Inbox, until_ms: int | None) -> None:
        if until_ms is not None:
            self.now = max(self.now, until_ms)


class Paper:
    name = "paper"

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.full = False

    def record(self, entry: Entry) -> None:
        if self.full:
            raise ExecutorError("the disk is full")
        self.entries.append(entry)

    def sync(self) -> None:
        """Nothing."""


class Shelf:
    def __init__(self) -> None:
        self.saves: list[tuple[State, int, frozenset[str]]] = []
        self.down = False

    def save(self, state: State, seq: int, obeyed: frozenset[str]) -> None:
        if self.down:
            raise NotSaved("the cluster cannot be reached")
        self.saves.append((state, seq, obeyed))


class Willing:
    """Does everything at once, and remembers in which order."""

    def __init__(self, shelf: Shelf) -> None:
        self.did: list[tuple[Action, int]] = []
        self._shelf = shelf

    def perform(self, action: Action, state: State, at: int) -> Iterator[Observation]:
        self.did.append((action, len(self._shelf.saves)))
        revision = getattr(action, "revision", "")
        count = action.replicas if isinstance(action, Scale) else 0
        yield RevisionSeen(at, revision, count, count, count, count)


class Setting:
    def __init__(self, policy: Policy = POLICY, *, shared: bool = False) -> None:
        self.clock, self.inbox, self.paper, self.shelf = Hand(), Inbox(), Paper(), Shelf()
        self.hands = Willing(self.shelf)
        self.world: list[Observation] = []
        self.notes: list[str] = []
        self.loop = Loop(
            policy,
            start(policy, BEFORE),
            clock=self.clock,
            inbox=self.inbox,
            look=lambda: tuple(self.world),
            hands=self.hands,
            memory=self.shelf,
            journal=self.paper,
            note=self.notes.append,
            shared=shared,
        )

    def heard(self, kind: type[Observation]) -> list[Observation]:
        return [entry.seen for entry in self.paper.entries if isinstance(entry.seen, kind)]


def test_all_facts_of_one_wake_have_one_time() -> None:
    setting = Setting()
    setting.clock.now = 7_777
    setting.inbox.put(ReleaseAsked(1, "v2"))
    setting.inbox.put(StatusPatched(99_999_999, spec_paused=True))
    setting.loop.turn()
    assert {entry.seen.at for entry in setting.paper.entries} == {7_777}


def test_what_is_known_is_not_told_again() -> None:
    setting = Setting()
    setting.world = [RevisionSeen(0, "v1", 2, 2, 2, 2)]
    setting.loop.turn()
    assert setting.heard(RevisionSeen) == []
    setting.world = [RevisionSeen(0, "v1", 2, 2, 1, 1)]
    setting.loop.turn()
    setting.loop.turn()
    assert setting.heard(RevisionSeen) == [RevisionSeen(1_000, "v1", 2, 2, 1, 1)]


def test_a_decision_is_in_the_cluster_before_its_first_write() -> None:
    setting = Setting()
    setting.inbox.put(ReleaseAsked(0, "v2"))
    setting.loop.turn()
    assert setting.hands.did
    assert all(saves >= 1 for _, saves in setting.hands.did)
    state, seq, _ = setting.shelf.saves[0]
    assert state.unanswered[0] == setting.hands.did[0][0]
    assert setting.paper.entries[seq].actions[0] == setting.hands.did[0][0]


def test_nothing_is_written_that_is_not_in_the_cluster() -> None:
    setting = Setting()
    setting.shelf.down = True
    setting.inbox.put(ReleaseAsked(0, "v2"))
    setting.loop.turn()
    assert setting.hands.did == []
    failures = setting.heard(Failed)
    assert failures
    assert all(isinstance(one, Failed) and one.how is Failure.REFUSED for one in failures)
    setting.shelf.down = False
    for _ in range(10):
        setting.loop.wait(setting.loop.turn())
    assert setting.hands.did


def test_a_state_that_could_not_be_kept_at_rest_is_kept_later() -> None:
    setting = Setting()
    setting.loop.turn()
    before = len(setting.shelf.saves)
    setting.shelf.down = True
    setting.inbox.put(StatusPatched(0, spec_paused=True))
    due = setting.loop.turn()
    assert due is not None
    assert due <= setting.clock.now + 2_000
    assert setting.notes == ["the cluster cannot be reached"]
    setting.shelf.down = False
    setting.loop.wait(due)
    setting.loop.turn()
    assert len(setting.shelf.saves) == before + 1


def test_nothing_is_done_that_is_not_in_the_journal() -> None:
    setting = Setting()
    setting.loop.turn()
    setting.paper.full = True
    setting.inbox.put(ReleaseAsked(0, "v2"))
    with pytest.raises(ExecutorError, match="disk is full"):
        setting.loop.turn()
    assert setting.hands.did == []


def test_a_command_is_obeyed_once() -> None:
    setting = Setting()
    for _ in range(2):
        setting.inbox.put(Command(Verb.PAUSE, "ann", "c1"))
        setting.loop.turn()
    assert len(setting.heard(StatusPatched)) == 1
    assert setting.shelf.saves[-1][2] == {"c1"}


def test_what_somebody_else_did_to_the_weight_is_said() -> None:
    """But not what was asked for here and answered late, and not where others move things, as is meant."""
    for shared, notes in ((False, 1), (True, 0)):
        setting = Setting(shared=shared)
        setting.world = [WeightSeen(0, 0, True)]
        setting.loop.turn()
        setting.world = [WeightSeen(0, 77, True)]
        setting.loop.turn()
        setting.loop.turn()
        assert len(setting.notes) == notes
        assert all("from 0 to 77" in note and "promote, pause or abort" in note for note in setting.notes)
    for role, notes in ((Role.STABLE, 1), (Role.CANARY, 0)):
        setting = Setting()
        for revision in ("v1", "v2"):
            setting.world = [ServiceSeen(0, role, revision)]
            setting.loop.turn()
        assert len(setting.notes) == notes, role
    late = Setting()
    asked = replace(late.loop.session.state, unanswered=(SetWeightAction("w1", 77),))
    late.loop.session.state = asked
    for weight in (0, 77):
        late.world = [WeightSeen(0, weight, True)]
        late.loop.listen()
    assert late.notes == []


def test_a_command_for_another_revision_is_not_obeyed() -> None:
    """Somebody asked for a full promotion of what was aborted since; the next release is another one."""
    setting = Setting()
    setting.inbox.put(ReleaseAsked(0, "v3"))
    setting.loop.turn()
    setting.inbox.put(Command(Verb.PROMOTE_FULL, "ann", "c1", revision="v2"))
    setting.loop.turn()
    assert setting.heard(StatusPatched) == []
    assert setting.shelf.saves[-1][2] == {"c1"}, "it has to go away all the same"
    assert "was for v2 and is not obeyed, since v3 is rolled out now" in setting.notes[0]
    setting.inbox.put(Command(Verb.PROMOTE_FULL, "ann", "c2", revision="v3"))
    setting.loop.turn()
    assert len(setting.heard(StatusPatched)) == 1


def test_a_command_that_does_not_apply_is_a_note() -> None:
    setting = Setting(replace(POLICY, strategy=BlueGreen("api")))
    setting.inbox.put(Command(Verb.SKIP_STEP, "ann", "c1"))
    setting.loop.turn()
    assert setting.heard(StatusPatched) == []
    assert "the strategy has no steps" in setting.notes[0]


def test_time_never_goes_back_and_a_clock_that_was_set_is_told_of() -> None:
    setting = Setting()
    setting.clock.now = 50_000
    assert setting.loop.read_clock() == 50_000
    setting.clock.now, setting.clock.ahead = 40_000, 3_600_000
    assert setting.loop.read_clock() == 50_000
    setting.loop.read_clock()
    assert setting.notes == [
        "the machine's clock was set back by 3600.0 s; pauses and deadlines keep their true length"
    ]


# --- the real clock -------------------------------------------------------------------------------


def test_a_jump_of_the_machines_clock_changes_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, elapsed = [1_000_000], [500]
    monkeypatch.setattr(clock_module, "_wall_ms", lambda: wall[0])
    monkeypatch.setattr(clock_module, "elapsed_ms", lambda: elapsed[0])
    clock = SystemClock()
    assert (clock.now_ms(), clock.ahead_ms()) == (1_000_000, 0)
    elapsed[0] += 60_000
    wall[0] -= 3_600_000
    assert clock.now_ms() == 1_060_000
    assert clock.ahead_ms() == 3_660_000
    wall[0] += 9_000_000
    assert clock.now_ms() == 1_060_000


def test_a_rollout_from_a_machine_whose_clock_was_ahead_goes_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "_wall_ms", lambda: 1_000)
    clock = SystemClock(not_before_ms=9_000)
    assert 9_000 <= clock.now_ms() < 10_000
    assert clock.ahead_ms() >= 8_000


def test_waiting_ends_with_a_fact_a_ring_or_the_time() -> None:
    clock, inbox = SystemClock(), Inbox()
    began = time.monotonic()
    clock.wait(inbox, clock.now_ms() + 60)
    assert 0.05 <= time.monotonic() - began < 1.0
    clock.wait(inbox, clock.now_ms() - 1)
    for put in (lambda: inbox.put(ReleaseAsked(0, "v2")), inbox.ring):
        timer = threading.Timer(0.05, put)
        timer.start()
        clock.wait(inbox, None)
        assert inbox.waiting()
        inbox.drain()
        timer.join()
    assert time.monotonic() - began < 5.0
