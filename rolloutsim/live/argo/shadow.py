"""Our engine in the shadow of the controller: the same facts, its own decisions, the first difference.

The engine hears of pods, Services, weights and measurements from the controller's objects, and writes
nothing: a write that it decides on is answered when the controller has done the same. The two are compared
where a person would look: the step, the stable revision, the abort, the weight, and the verdict on each
measurement. An experiment's pods and analyses belong to another controller, which is not followed: the
comparison ends where the first experiment begins.

The controller's times are whole seconds and its work takes a moment. So only a difference that lasts for
`GRACE_MS` counts, and what the controller decided (a size, a weight, a Service) waits for `PATIENCE_MS` to be
decided by our engine too. What people do is taken over: a pause that ends early, an abort without a reason,
a retry, a full promotion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Action,
    CreateRevision,
    Measure,
    Measured,
    MeasureError,
    MeasurementTaken,
    Observation,
    Outcome,
    ReleaseAsked,
    RemoveRevision,
    ReplicasWanted,
    Revision,
    RevisionSeen,
    Scale,
    ServiceSeen,
    SetService,
    SetWeight,
    Snapshot,
    StatusPatched,
    WeightSeen,
    awaits_person,
    start,
)
from rolloutsim.live.argo.view import Taken, View
from rolloutsim.policy.model import BlueGreen, Canary, ExperimentStep, Policy
from rolloutsim.session import Entry, Session

__all__ = ["GRACE_MS", "Difference", "Shadow"]

GRACE_MS = 10_000
"""How long the two may disagree before it is a difference."""
PATIENCE_MS = 5_000
"""How long a decision of the controller waits for our engine's."""
BLIND = (
    "from its experiment on the rollout is not compared with our engine: "
    "the experiment's pods and analyses are another controller's"
)
SOMEBODY = "somebody"
"""The actor of a command that was seen in the cluster: the Rollout does not say who sent it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``what`` our engine would have (``ours``) and the controller has (``theirs``), since ``at``."""

    at: int
    what: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.what}: the controller has {self.theirs}, our engine {self.ours}"


class Shadow:
    """Our engine beside a controller whose Rollout is at rest when it begins.

    ``first`` is the first difference, None while there is none. ``record`` receives the journal. ``blind``
    says why nothing is compared any more, "" while it is.
    """

    def __init__(self, policy: Policy, view: View, at: int, record: Callable[[Entry], object]) -> None:
        self.first: Difference | None = None
        self.blind = ""
        self._record = record
        snapshot = Snapshot(at, view.revisions, view.stable, view.services, view.weight)
        self.session = Session(policy, start(policy, snapshot), self._heard)
        self._view = view
        self._aborted = view.abort
        self._held: dict[str, int] = {}
        self._looked: set[str] = set()
        self._seen: set[tuple[str, str, int]] = set()
        self._judged: dict[tuple[str, str, int], MeasurementPhase] = {}
        self._disagreed: dict[str, tuple[int, str, str]] = {}

    def look(self, view: View, at: int) -> int | None:
        """Take in what the controller has now; when to look again at the latest."""
        self._view = view
        if self.blind:
            return None
        self._looked.clear()
        for seen in self._facts(view, at):
            self.session.hear(seen)
        self._held = {what: since for what, since in self._held.items() if what in self._looked}
        due = self.session.due()
        if due is not None and due <= at:
            due = self.session.settle(at, lambda action: self._answers(action, at))
        if self._at_experiment():
            self.blind = BLIND
            return None
        self._compare(at)
        later = [since + PATIENCE_MS for since in self._held.values()]
        later += [since + GRACE_MS for since, _, _ in self._disagreed.values()]
        times = [] if due is None else [due]
        return min([*times, *(time for time in later if time > at)], default=None)

    def _at_experiment(self) -> bool:
        """Whether an experiment is the current step of our engine or of the controller."""
        strategy, step = self.session.policy.strategy, self._view.step_index
        if self.session.state.experiments:
            return True
        if not isinstance(strategy, Canary) or self._view.asked == self._view.stable:
            return False
        return step is not None and any(
            isinstance(s, ExperimentStep) for s in strategy.steps[step : step + 1]
        )

    # --- facts ------------------------------------------------------------------------------------

    def _facts(self, view: View, at: int) -> Iterator[Observation]:
        """What is new to our engine. What the controller decided waits until our engine decides it too."""
        facts = self.session.state.facts
        if view.asked and view.asked != facts.asked and not (view.at_rest and not facts.asked):
            yield ReleaseAsked(at, view.asked)
        if view.replicas != facts.replicas:
            yield ReplicasWanted(at, view.replicas)
        yield from self._commands(view, at)
        there = {revision.id: revision for revision in view.revisions}
        for known in facts.revisions:
            now = there.get(known.id)
            if _counts(now) == _counts(known):
                continue
            resized = now is None or now.desired != known.desired
            if not resized or self._overdue(f"pods of {known.id}", at):
                yield RevisionSeen(at, known.id, *_counts(now))
        for role, selected in view.services:
            told = any(fact.role is role and fact.revision == selected for fact in facts.services)
            if not told and self._overdue(f"service {role}", at):
                yield ServiceSeen(at, role, selected)
        moved = (view.weight, view.verified) != (facts.weight, facts.verified)
        if view.weight is not None and moved:  # noqa: SIM102 - the second condition starts a clock
            if view.weight == facts.weight or self._overdue("weight", at):
                yield WeightSeen(at, view.weight, view.verified)
        yield from self._measured(view.taken, at)

    def _overdue(self, what: str, at: int) -> bool:
        """Has our engine had its time to decide this too?"""
        self._looked.add(what)
        return at - self._held.setdefault(what, at) >= PATIENCE_MS

    def _commands(self, view: View, at: int) -> Iterator[Observation]:
        """What somebody did to the Rollout; the controller does not do these things by itself."""
        state = self.session.state
        status = state.status
        if view.paused != state.facts.paused:
            yield StatusPatched(at, spec_paused=view.paused, actor=SOMEBODY)
        if view.asked != status.current:
            return
        aborted, self._aborted = self._aborted, view.abort
        if view.promote_full and not status.promote_full:
            yield StatusPatched(at, promote_full=True, actor=SOMEBODY)
        if view.abort and not status.abort and not _has_reason(view.message):
            yield StatusPatched(at, abort=True, actor=SOMEBODY)
        if status.abort and aborted and not view.abort:
            yield StatusPatched(at, abort=False, actor=SOMEBODY)
        resumed = status.pauses and not view.pauses and not view.abort
        if resumed and (awaits_person(self.session.policy, state) or self._overdue("pause", at)):
            yield StatusPatched(at, clear_pauses=True, actor=SOMEBODY)

    def _measured(self, taken: Iterable[Taken], at: int) -> Iterator[Observation]:
        """The measurements that our engine waits for; one that it has not asked for yet has to wait."""
        for one in taken:
            if (one.run, one.metric, one.attempt) not in self._seen and self._awaits(one):
                self._seen.add((one.run, one.metric, one.attempt))
                yield _answer(one, at)

    def _awaits(self, one: Taken) -> bool:
        for run in self.session.state.runs:
            for metric in run.metrics if run.name == one.run else ():
                last = metric.measurements[-1] if metric.measurements else None
                if metric.metric.name == one.metric and last is not None and last.finished is None:
                    return last.attempt == one.attempt
        return False

    def _answers(self, action: Action, at: int) -> Iterator[Observation]:
        """What is so already answers the write that would make it so."""
        view = self._view
        revisions = {revision.id: revision for revision in view.revisions}
        match action:
            case CreateRevision(revision=name) if name in revisions:
                yield _pods(revisions[name], at)
            case Scale(revision=name, replicas=n) if name in revisions and revisions[name].desired == n:
                yield _pods(revisions[name], at)
            case RemoveRevision(revision=name) if name not in revisions:
                yield RevisionSeen(at, name, 0, 0, 0, 0)
            case SetService(role=role, revision=name) if (role, name) in view.services:
                yield ServiceSeen(at, role, name)
            case SetWeight(weight=weight) if view.weight == weight:
                yield WeightSeen(at, weight, view.verified)
            case Measure():
                yield from self._measured(view.taken, at)

    def _heard(self, entry: Entry) -> None:
        for event in entry.events:
            if isinstance(event, MeasurementTaken):
                self._judged[event.run, event.metric, event.attempt] = event.phase
        self._record(entry)

    # --- comparison -------------------------------------------------------------------------------

    def _compare(self, at: int) -> None:
        disagreed = {what: (ours, theirs) for what, ours, theirs in self._pairs() if ours != theirs}
        for what in self._disagreed.keys() - disagreed.keys():
            del self._disagreed[what]
        for what, (ours, theirs) in disagreed.items():
            since, *were = self._disagreed.get(what, (at, ours, theirs))
            if were != [ours, theirs]:
                since = at
            self._disagreed[what] = (since, ours, theirs)
            if self.first is None and at - since >= GRACE_MS:
                self.first = Difference(since, what, ours, theirs)

    def _pairs(self) -> Iterator[tuple[str, str, str]]:
        """What is compared: its name, how our engine has it, how the controller has it."""
        view, status, policy = self._view, self.session.state.status, self.session.policy
        yield "stable revision", status.stable, view.stable
        yield "aborted", str(status.abort), str(view.abort)
        if isinstance(policy.strategy, Canary) and policy.strategy.steps:
            yield "step", str(status.step_index), str(view.step_index)
        if isinstance(policy.strategy, Canary) and policy.strategy.routing is not None:
            ours = status.weights.canary if status.weights else self.session.state.facts.weight
            yield "weight", str(ours), str(view.weight)
        if isinstance(policy.strategy, BlueGreen):
            yield "pauses", str(sorted(pause.reason for pause in status.pauses)), str(sorted(view.pauses))
        for one in view.taken:
            ours_judged = self._judged.get((one.run, one.metric, one.attempt))
            if ours_judged is not None:
                name = f"measurement {one.attempt} of {one.metric} in {one.run}"
                yield name, ours_judged, one.phase


def _pods(revision: Revision, at: int) -> RevisionSeen:
    return RevisionSeen(at, revision.id, *_counts(revision))


def _counts(revision: Revision | None) -> tuple[int, int, int, int]:
    if revision is None:
        return 0, 0, 0, 0
    return revision.desired, revision.created, revision.ready, revision.available


def _answer(one: Taken, at: int) -> Measured:
    outcome: Outcome
    if one.phase is MeasurementPhase.ERROR:
        outcome = MeasureError(one.message)
    else:
        outcome = one.phase if one.result is None else one.result
    return Measured(at, one.run, one.metric, one.attempt, one.started, one.finished, outcome)


def _has_reason(message: str) -> bool:
    """An abort by an analysis or a deadline says why: ``... aborted update to revision 2: REASON``."""
    _, _, rest = message.partition("aborted update to revision ")
    return ":" in rest
