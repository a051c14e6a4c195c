"""The loop of the real world: facts in, ticks when they are due, actions out. One thread decides.

It drives the same `Session` as the simulated world. All facts that wait when it wakes happened, for the
engine, at the moment of waking: they are folded in, and then the engine ticks if its deadline has come. So
the tie rule of the simulated world holds: what happens at an instant comes before that instant's tick.

Three things keep a crash harmless. Each entry is in the journal before it is acted upon. Before the first
write of a decision the state that asks for it is in the cluster; if it cannot be put there the write is
refused. And the state is put there again when the engine has come to rest, so that what was learned is not
asked for twice. Whoever resumes therefore knows of every write that may have been done, and a write states
what should be, so that to do it once more does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from rolloutsim.engine import (
    Action,
    Failed,
    Failure,
    Measure,
    Observation,
    RevisionSeen,
    Role,
    ServiceSeen,
    SetService,
    SetWeight,
    State,
    StatusPatched,
    TerminateMeasurement,
    WeightSeen,
    abort,
    pause,
    promote,
    promote_full,
    resume,
    retry,
    skip_all_steps,
    skip_step,
)
from rolloutsim.errors import ExecutorError
from rolloutsim.live.clock import JUMP_MS, Clock
from rolloutsim.live.complaints import Complaints
from rolloutsim.live.decisions import words_of
from rolloutsim.live.hands import Doings
from rolloutsim.live.inbox import Command, Fact, Inbox, Verb
from rolloutsim.live.journal import Journal
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry, Session

__all__ = ["Loop", "Memory", "NotSaved", "Notes"]

SAVE_AGAIN_MS = 2_000
"""A state that could not be put into the cluster at rest is put there after this time."""

USERS_REACH = (Role.STABLE, Role.ACTIVE)
"""Another Service may select the idle slot, and so another revision as soon as that is filled."""
RATHER = "who did that can promote, pause or abort the rollout instead"

Patch = Callable[[Policy, State, int, str], StatusPatched]
PATCHES: Mapping[Verb, Patch] = {
    Verb.PROMOTE: promote,
    Verb.PROMOTE_FULL: promote_full,
    Verb.SKIP_STEP: skip_step,
    Verb.SKIP_ALL_STEPS: skip_all_steps,
    Verb.PAUSE: pause,
    Verb.RESUME: resume,
    Verb.ABORT: abort,
    Verb.RETRY: retry,
}

Notes = Callable[[str], object]
"""Told, in one sentence for people, what the journal does not hold: a clock that was set, a late save."""


class NotSaved(ExecutorError):
    """The state could not be put into the cluster this time; it may be tried again."""


class Memory(Protocol):
    """Where the state outlives this process."""

    def save(self, state: State, seq: int, obeyed: frozenset[str]) -> None:
        """Keep the state as it is after journal record ``seq``; ``obeyed`` commands are in it.

        Raises
        ------
        NotSaved : it may be tried again.
        ExecutorError : this executor may not write it any more, and has to stop.
        """
        ...


class Loop:
    """Drives one rollout. ``session`` is where it stands.

    ``look`` gives the cluster as it is known now: Services, weight, pods. ``heard`` is told every journal
    entry after it was written: for a live view, events, metrics. ``shared``: others move pods and requests
    too, as is meant; else what somebody else moves is told of.
    """

    def __init__(
        self,
        policy: Policy,
        state: State,
        *,
        clock: Clock,
        inbox: Inbox,
        look: Callable[[], Iterable[Observation]],
        hands: Doings,
        memory: Memory,
        journal: Journal,
        heard: Callable[[Entry], object] = lambda entry: None,
        note: Notes = lambda sentence: None,
        shared: bool = False,
    ) -> None:
        self.session = Session(policy, state, self._record)
        self._clock = clock
        self._inbox = inbox
        self._look = look
        self._hands = hands
        self._memory = memory
        self._journal = journal
        self._heard = heard
        self._note = note
        self._complaints = Complaints(note, clock.now_ms)
        self._shared = shared
        self._unsure: set[Action] = set()
        """Writes of unknown fate, without their ids: what they asked for may show at any time."""
        self.ticked = False
        """Whether the engine's deadline had come in the last turn."""
        self._at = state.now
        self._ahead_ms = clock.ahead_ms()
        self._seq = -1
        self._saved: State | None = None
        self._decided = True
        self._save_at: int | None = None
        self._obeyed: set[str] = set()
        self._kept: frozenset[str] = frozenset()
        """The commands that the last save has taken away."""
        self._told: dict[tuple[str, ...], Observation] = {}
        for seen in _known_facts(state):
            self.know(seen)

    # --- one wake ---------------------------------------------------------------------------------

    def turn(self) -> int | None:
        """Hear what waits, act if it is time; when to come back at the latest (None: for a fact only)."""
        at = self.read_clock()
        self.listen()
        due = self.session.due()
        self.ticked = due is not None and due <= at
        if self.ticked:
            due = self.session.settle(at, self._perform)
        self._rest()
        times = [time for time in (due, self._save_at) if time is not None]
        return min(times, default=None)

    def wait(self, until_ms: int | None) -> None:
        """Wait for a fact, at most until that time."""
        self._clock.wait(self._inbox, until_ms)

    def read_clock(self) -> int:
        """The time of this wake. It never goes back; a clock that was set is told of."""
        ahead_ms = self._clock.ahead_ms()
        if abs(ahead_ms - self._ahead_ms) >= JUMP_MS:
            way = "back" if ahead_ms > self._ahead_ms else "forward"
            self._note(
                f"the machine's clock was set {way} by {abs(ahead_ms - self._ahead_ms) / 1000:.1f} s; "
                "pauses and deadlines keep their true length"
            )
            self._ahead_ms = ahead_ms
        self._at = max(self._at, self._clock.now_ms())
        return self._at

    # --- facts ------------------------------------------------------------------------------------

    def listen(self) -> tuple[Fact, ...]:
        """Hear all that waits, then how the cluster is now; it happened at the time of this wake.

        The simulated world's loop has the same order: weight and pods come last.
        """
        facts = self._inbox.drain()
        for fact in facts:
            self.hear(fact)
        for seen in self._look():
            self.hear(seen)
        return facts

    def hear(self, fact: Fact) -> None:
        """Fold a fact in at the time of this wake; what is known already is not told again."""
        if isinstance(fact, Command):
            self._obey(fact)
            return
        seen = replace(fact, at=self._at)
        key = _level(seen)
        if key is not None:
            before = self._told.get(key)
            if before == replace(seen, at=0):
                return
            self._told[key] = replace(seen, at=0)
            asked = (*self.session.state.unanswered, *self._unsure)
            interfered = "" if self._shared else _interfered(asked, before, seen)
            if interfered:
                self._note(interfered)
        self.session.hear(seen)

    def know(self, seen: Observation) -> None:
        """This much the state knows of the world already; do not tell it again."""
        key = _level(seen)
        if key is not None:
            self._told[key] = replace(seen, at=0)

    def _obey(self, command: Command) -> None:
        if command.id:
            if command.id in self._obeyed:
                return
            self._obeyed.add(command.id)
        session, who = self.session, command.actor or "somebody"
        asked = session.state.facts.asked
        if command.revision not in ("", asked):
            self._note(
                f"the command {command.verb} of {who} was for {command.revision} and is not obeyed, since "
                f"{asked} is rolled out now; give it again if it is still meant"
            )
            return
        try:
            patch = PATCHES[command.verb](session.policy, session.state, self._at, command.actor)
        except ValueError as error:
            self._note(f"the command {command.verb} of {who} changes nothing: {error}")
            return
        session.hear(patch)

    # --- deeds ------------------------------------------------------------------------------------

    def redo(self, actions: Iterable[Action]) -> None:
        """Do actions again that were decided before this process began."""
        for action in actions:
            for answer in self._perform(action):
                self.session.hear(answer)

    def _perform(self, action: Action) -> Iterator[Observation]:
        refused = "" if isinstance(action, Measure | TerminateMeasurement) else self._save_decision()
        if refused:
            yield Failed(self._at, action.id, Failure.REFUSED, refused)
            return
        failed = False
        for answer in self._hands.perform(action, self.session.state, self._at):
            self.know(answer)
            if isinstance(answer, Failed):
                failed = True
                self._told_of_failure(action, answer)
            yield answer
        if not failed:
            self._unsure.discard(replace(action, id=""))
            self._complaints.over(words_of(action), f"done now: {words_of(action)}")

    def _told_of_failure(self, action: Action, answer: Failed) -> None:
        """A write that fails is tried again by itself; people should know of it all the same."""
        if answer.how is Failure.UNKNOWN:
            self._unsure.add(replace(action, id=""))
        words = words_of(action)
        ways = f"it is tried again, or rolloutsim abort {self.session.policy.name}"
        self._complaints.met(words, f"not done yet: {words}: {answer.message}; {ways}")

    # --- keeping ----------------------------------------------------------------------------------

    def _record(self, entry: Entry) -> None:
        self._journal.record(entry)
        self._seq = entry.seq
        self._decided = self._decided or bool(entry.actions)
        self._heard(entry)

    def _save_decision(self) -> str:
        """Put the state of a new decision into the cluster; why that failed, or nothing."""
        if not self._decided:
            return ""
        try:
            self._save()
        except NotSaved as error:
            return str(error)
        return ""

    def _rest(self) -> None:
        """The engine is quiet: what was learned goes into the cluster."""
        self._journal.sync()
        self._save_at = None
        saved, state = self._saved, self.session.state
        same = saved is not None and replace(saved, now=0) == replace(state, now=0)
        if same and not self._decided and self._obeyed == self._kept:
            return
        try:
            self._save()
        except NotSaved as error:
            self._complaints.met("save", str(error))
            self._save_at = self._at + SAVE_AGAIN_MS

    def _save(self) -> None:
        state, obeyed = self.session.state, frozenset(self._obeyed)
        self._memory.save(state, self._seq, obeyed)
        self._saved, self._kept = state, obeyed
        self._complaints.over("save", "the state is saved in the cluster again")
        self._decided = False


def _known_facts(state: State) -> Iterable[Observation]:
    """What a state knows of the world, as observations."""
    facts = state.facts
    for revision in facts.revisions:
        counts = (revision.desired, revision.created, revision.ready, revision.available)
        yield RevisionSeen(0, revision.id, *counts)
    for service in facts.services:
        yield ServiceSeen(0, service.role, service.revision)
    if facts.weight is not None:
        yield WeightSeen(0, facts.weight, facts.verified)


def _interfered(asked: Collection[Action], before: Observation | None, seen: Observation) -> str:
    """What somebody else did to the requests, in words; "" if it is as it was, or as was asked for."""
    match before, seen:
        case WeightSeen(weight=was), WeightSeen(weight=now):
            ours = any(isinstance(one, SetWeight) and one.weight == now for one in asked)
            what = f"changed the canary's weight from {was} to {now}"
            same = was == now
        case ServiceSeen(revision=selected), ServiceSeen(role=role, revision=revision) if role in USERS_REACH:
            wish = (role, revision)
            ours = any(isinstance(one, SetService) and (one.role, one.revision) == wish for one in asked)
            what = f"let the {role} Service select {revision or 'nothing of ours'} instead of {selected}"
            same = selected in ("", revision)
        case _:
            return ""
    return "" if same or ours else f"somebody {what}; it is set back; {RATHER}"


def _level(seen: Observation) -> tuple[str, ...] | None:
    """What an observation is about, if it is about how something is now; None: it is an event."""
    match seen:
        case RevisionSeen(revision=revision):
            return "pods", revision
        case ServiceSeen(role=role):
            return "service", role
        case WeightSeen():
            return ("weight",)
    return None
