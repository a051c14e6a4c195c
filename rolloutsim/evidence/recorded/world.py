"""The recorded world: the engine decides again, its queries read what was recorded, its weights go nowhere.

As long as the policy does what was done, when it was done, all that it sees is recorded. With its first
other action the samples that follow are modelled (`whatif`).
"""

from __future__ import annotations

from dataclasses import replace

import simpy

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Measure,
    MeasurementTaken,
    Outcome,
    Promoted,
    ReleaseAsked,
    Role,
    awaits_person,
    promote,
    start,
)
from rolloutsim.engine.counting import count_arms
from rolloutsim.evidence.recorded.bundle import Bundle
from rolloutsim.evidence.recorded.timeline import Did, Move, Timeline
from rolloutsim.evidence.recorded.whatif import WhatIf
from rolloutsim.policy.model import BlueGreen, Canary, GatedCounts, Policy, PrometheusProvider
from rolloutsim.promql import Matrix, evaluate
from rolloutsim.session import Entry, Session
from rolloutsim.sim.answer import found_by
from rolloutsim.sim.beginning import beginning
from rolloutsim.sim.cluster import Cluster
from rolloutsim.sim.loop import Loop

__all__ = ["RecordedWorld"]

ACTOR = "whoever did then"


class RecordedWorld:
    """One policy in one recording. After `play` the attributes say what it did and where the line is.

    ``tolerance_ms``: an action this much earlier or later than the recorded one is the same action.
    """

    def __init__(self, policy: Policy, bundle: Bundle, timeline: Timeline, tolerance_ms: int) -> None:
        self.policy = policy
        self.bundle = bundle
        self.timeline = timeline
        self.what_if = WhatIf(bundle, timeline)
        self.moves: list[Move] = []
        self.measured: list[tuple[int, MeasurementTaken]] = []
        self.line_ms: int | None = None
        self.difference = ""
        self.message = ""
        self._tolerance_ms = tolerance_ms
        self._recorded = timeline.decisions()
        self._matched = 0
        self.env = simpy.Environment(timeline.started_ms)
        self._set_up()

    def _set_up(self) -> None:
        policy, timeline = self.policy, self.timeline
        found = beginning(policy)
        stable = replace(found.revisions[0], id=timeline.stable, created_at=timeline.started_ms)
        services = tuple((role, timeline.stable) for role, _ in found.services)
        world = replace(
            found, at=timeline.started_ms, revisions=(stable,), stable=timeline.stable, services=services
        )
        session = Session(policy, start(policy, world), self._note)
        self.loop = Loop(self.env, session, self, self, after_tick=self._after_tick)
        self.loop.cluster = Cluster(
            self.env, lambda revision, ordinal: timeline.ready_ms, self.loop.pods_changed,
            min_ready_ms=policy.min_ready_ms,
        )  # fmt: skip
        self.loop.cluster.adopt(timeline.stable, policy.replicas)

    def play(self) -> None:
        """Play from the release to the end of the recording."""
        self.loop.hear(ReleaseAsked(self.timeline.started_ms, self.timeline.new))
        for move in self.timeline.moves:
            if move.did is Did.RESUMED and move.at_ms > self.timeline.started_ms:
                self.loop.after(move.at_ms - self.timeline.started_ms, self._resume)
        self.env.run(until=self.bundle.end_ms + 1)
        self._catch_up(self.bundle.end_ms)
        self.what_if.advance(self.bundle.end_ms)

    def same(self) -> int:
        """How many of the recorded decisions it took too, at their times."""
        return self._matched

    # --- the loop's ports -------------------------------------------------------------------------

    def set_service(self, role: Role, revision: str) -> None:
        if role is Role.ACTIVE and isinstance(self.policy.strategy, BlueGreen):
            self._moved(Did.WEIGHT, 1.0 if revision == self.timeline.new else 0.0)

    def set_weight(self, weight: int) -> bool | None:
        strategy = self.policy.strategy
        assert isinstance(strategy, Canary)
        assert strategy.routing is not None
        if not self._ended():
            self._moved(Did.WEIGHT, weight / strategy.routing.max_weight)
        return True if strategy.routing.verifies else None

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        self._catch_up(at)
        self.what_if.advance(at)
        provider = request.provider
        if isinstance(provider, PrometheusProvider):
            return 0, found_by(provider.query, self.what_if.store, at)
        if isinstance(provider, GatedCounts):
            return 0, count_arms(request, at, self._samples)
        return 0, MeasurementPhase.SUCCESSFUL

    def _samples(self, query: str, at: int) -> Matrix:
        answer = evaluate(query, self.what_if.store, at)
        assert isinstance(answer, Matrix)
        return answer

    # --- what was done, and what was done then ----------------------------------------------------

    def _note(self, entry: Entry) -> None:
        for event in entry.events:
            match event:
                case MeasurementTaken():
                    self.measured.append((entry.seen.at, event))
                case Promoted(revision=revision) if revision == self.timeline.new and not self._ended():
                    self._moved(Did.PROMOTED, None, entry.seen.at)
                case Aborted(message=message) if not self._ended():
                    self.message = message
                    self._moved(Did.ABORTED, None, entry.seen.at)

    def _ended(self) -> bool:
        return bool(self.moves) and self.moves[-1].did in (Did.PROMOTED, Did.ABORTED)

    def _moved(self, did: Did, weight: float | None, at: int | None = None) -> None:
        now = self.loop.now if at is None else at
        self._catch_up(now)
        move = Move(now, did, weight)
        if did is Did.WEIGHT and not weight:
            return
        self.moves.append(move)
        if self.line_ms is None:
            self._compare(move)
        if self.line_ms is not None:
            self._go_elsewhere(move)

    def _compare(self, move: Move) -> None:
        """The same action as the next recorded one, or the first other one."""
        wanted = self._recorded[self._matched] if self._matched < len(self._recorded) else None
        if (
            wanted is not None
            and (wanted.did, wanted.weight) == (move.did, move.weight)
            and abs(wanted.at_ms - move.at_ms) <= self._tolerance_ms
        ):
            self._matched += 1
            return
        recorded = f"{wanted.words()} at {self.timeline.offset(wanted.at_ms)}" if wanted else "nothing more"
        earliest = move.at_ms if wanted is None else min(move.at_ms, wanted.at_ms)
        self._draw_line(earliest, f"{move.words()} at {self.timeline.offset(move.at_ms)}", recorded)

    def _catch_up(self, now: int) -> None:
        """A recorded decision that has not been taken by now is a difference too."""
        if self.line_ms is not None or self._matched >= len(self._recorded):
            return
        wanted = self._recorded[self._matched]
        if wanted.at_ms + self._tolerance_ms < now:
            self._draw_line(
                wanted.at_ms, "nothing", f"{wanted.words()} at {self.timeline.offset(wanted.at_ms)}"
            )

    def _draw_line(self, at_ms: int, here: str, recorded: str) -> None:
        self.what_if.advance(at_ms)
        self.what_if.turn(at_ms, self._weight_at(at_ms))
        self.line_ms = at_ms
        self.difference = f"{here}; recorded: {recorded}"

    def _weight_at(self, at_ms: int) -> float:
        """The weight that this policy had set by then."""
        set_by_then = [m.weight for m in self.moves if m.weight is not None and m.at_ms <= at_ms]
        return set_by_then[-1] if set_by_then else 0.0

    def _go_elsewhere(self, move: Move) -> None:
        """Let requests follow this action from now on."""
        self.what_if.advance(move.at_ms)
        weights = {Did.PROMOTED: 1.0, Did.ABORTED: 0.0}
        share = move.weight if move.weight is not None else weights[move.did]
        self.what_if.turn(move.at_ms, share)

    def _after_tick(self) -> None:
        self._catch_up(self.loop.now)

    def _resume(self) -> None:
        session = self.loop.session
        if awaits_person(session.policy, session.state):
            self.loop.hear(promote(session.policy, session.state, self.loop.now, ACTOR))
