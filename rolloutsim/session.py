"""The one mutable object around the engine: it journals, decides, and only then lets others act.

Every world (simulated, recorded, real) drives the engine through a `Session`, so that the order of
things inside an instant is written in one place: all that happens at an instant is folded before that
instant's tick; a tick is repeated while the engine's deadline has come (within a bound); what an action
brings back at once is folded before the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rolloutsim.engine import (
    Action,
    Decision,
    Event,
    Observation,
    PolicyChanged,
    State,
    Tick,
    deadline,
    decide,
)
from rolloutsim.engine.construction import built_fast
from rolloutsim.errors import ReplayDivergence
from rolloutsim.policy.model import Canary, Policy

__all__ = ["PASSES_PER_INSTANT", "Entry", "Session", "Unsettled", "replay"]

PASSES_PER_INSTANT = 64
"""Bound on reconcile passes in which nothing outside moves; the busiest real controller trace needs 36."""
PASSES_PER_STEP = 8
"""More of them for each step of a canary: all may be over at once. A pause of 0 s needs 4 passes."""


class Unsettled(RuntimeError):
    """The engine still wanted to act after the most passes that one instant may need: a defect."""


@built_fast
@dataclass(frozen=True, slots=True)
class Entry:
    """One journal record: what was seen, and what was decided upon it."""

    seq: int
    seen: Observation
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()


class Session:
    """A rollout in progress: a policy, a state, and the journal of all that was seen and decided.

    ``record`` receives each `Entry` before its actions are performed; a writer that fails therefore
    stops the rollout before the world is touched.
    """

    def __init__(self, policy: Policy, state: State, record: Callable[[Entry], object]) -> None:
        self.policy = policy
        self.state = state
        self._record = record
        self._seq = 0
        self._due_of: State | None = None
        self._due: int | None = None

    def hear(self, seen: Observation) -> Decision:
        """Fold one observation; journal it with what was decided; return the decision."""
        decision = decide(self.policy, self.state, seen)
        if isinstance(seen, PolicyChanged):
            self.policy = seen.policy
        state, actions, events = decision
        self._record(Entry(self._seq, seen, actions, events))
        self._seq += 1
        self.state = state
        return decision

    def due(self) -> int | None:
        """The time in ms at which the engine wants its next tick; None: done, or waiting for a person."""
        if self._due_of is not self.state:
            self._due_of, self._due = self.state, deadline(self.policy, self.state)
        return self._due

    def settle(self, at: int, perform: Callable[[Action], Iterable[Observation]]) -> int | None:
        """Tick at ``at`` until the engine is quiet; return when it is `due` then.

        ``perform`` does one action and returns the answers that are known at once; later answers are
        brought to `hear` by the world when they arrive.
        """
        strategy = self.policy.strategy
        steps = len(strategy.steps) if isinstance(strategy, Canary) else 0
        passes = PASSES_PER_INSTANT + PASSES_PER_STEP * steps
        for _ in range(passes):
            for action in self.hear(Tick(at)).actions:
                for answer in perform(action):
                    self.hear(answer)
            due = self.due()
            if due is None or due > at:
                return due
        raise Unsettled(f"no rest after {passes} passes at {at} ms")


def replay(policy: Policy, state: State, entries: Iterable[Entry]) -> State:
    """Decide a journal again, record by record, and return the last state.

    Raises
    ------
    ReplayDivergence : at the first record whose actions or events differ.
    """
    for entry in entries:
        decision = decide(policy, state, entry.seen)
        if isinstance(entry.seen, PolicyChanged):
            policy = entry.seen.policy
        decided = (decision.actions, decision.events)
        if decided != (entry.actions, entry.events):
            raise ReplayDivergence(entry.seq, (entry.actions, entry.events), decided)
        state = decision.state
    return state
