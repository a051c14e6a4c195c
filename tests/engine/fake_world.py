"""A small perfect world for the engine: it answers everything at once, and pods take their time.

Pods become available 5 s after their creation; the router applies every weight and cannot verify
it; Services follow at once; measurements come out as letters say (S, F, I, E; R never ends by itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Action,
    CreateRevision,
    CreateTemplate,
    Measure,
    Measured,
    MeasureError,
    Observation,
    Outcome,
    RemoveRevision,
    RevisionSeen,
    Scale,
    ServiceSeen,
    SetService,
    SetWeight,
    Snapshot,
    TerminateMeasurement,
    WeightSeen,
    start,
)
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry, Session

READY_MS = 5_000
"""From the creation of a pod to its availability."""
PHASES = {
    "S": MeasurementPhase.SUCCESSFUL,
    "F": MeasurementPhase.FAILED,
    "I": MeasurementPhase.INCONCLUSIVE,
}


@dataclass
class Pod:
    available_at: int | None


@dataclass
class FakeWorld:
    """``letters`` are the outcomes of each metric; ``most_pods`` the largest size of each revision so far."""

    policy: Policy
    letters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    now: int = 0
    pods: dict[str, list[Pod]] = field(default_factory=dict)
    seen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    most_pods: dict[str, int] = field(default_factory=dict)
    journal: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = start(self.policy, Snapshot())
        self.session = Session(self.policy, self.first, self.journal.append)

    def journal_weight(self, before: int) -> int:
        """The weight that was asked for last in the first ``before`` records."""
        asked = [a.weight for e in self.journal[:before] for a in e.actions if isinstance(a, SetWeight)]
        return asked[-1] if asked else 0

    # --- time -------------------------------------------------------------------------------------

    def run(self, until: int, script: Iterable[tuple[int, Callable[[], object]]] = ()) -> None:
        """Play until ``until`` ms (exclusive); ``script`` holds (time, deed), in the order of time."""
        waiting = sorted(script, key=lambda item: item[0])
        while True:
            times = [at for at, _ in waiting[:1]] + self._pod_times()
            due = self.session.due()
            if due is not None:
                times.append(due)
            if not times or min(times) >= until:
                return
            self.now = min(times)
            while waiting and waiting[0][0] <= self.now:
                waiting.pop(0)[1]()
            self.look()
            self.session.settle(self.now, self.perform)

    def look(self) -> None:
        """Tell the engine about every revision whose pods changed."""
        for revision in self.pods:
            if self._counts(revision) != self.seen.get(revision):
                self.hear(self._pods_seen(revision))

    def hear(self, seen: Observation) -> None:
        self.session.hear(seen)

    def _pod_times(self) -> list[int]:
        return [
            pod.available_at
            for pods in self.pods.values()
            for pod in pods
            if pod.available_at is not None and pod.available_at > self.now
        ]

    # --- pods -------------------------------------------------------------------------------------

    def _counts(self, revision: str) -> tuple[int, ...]:
        pods = self.pods[revision]
        available = sum(pod.available_at is not None and pod.available_at <= self.now for pod in pods)
        return (len(pods), len(pods), available, available)

    def _pods_seen(self, revision: str) -> RevisionSeen:
        self.seen[revision] = self._counts(revision)
        return RevisionSeen(self.now, revision, *self.seen[revision])

    def _scale(self, revision: str, count: int) -> None:
        pods = self.pods[revision]
        self.most_pods[revision] = max(count, self.most_pods.get(revision, 0))
        while len(pods) < count:
            pods.append(Pod(self.now + READY_MS))
        # Pods that are not available go first, then those that became available last.
        pods.sort(key=lambda pod: (pod.available_at is None, pod.available_at or 0))
        del pods[count:]

    def break_pods(self, revision: str, count: int) -> None:
        """Make ``count`` available pods (0: all) unavailable for good."""
        good = [p for p in self.pods[revision] if p.available_at is not None and p.available_at <= self.now]
        for pod in good[: count or None]:
            pod.available_at = None

    # --- deeds ------------------------------------------------------------------------------------

    def perform(self, action: Action) -> Iterable[Observation]:
        match action:
            case CreateRevision(_, revision) | CreateTemplate(_, revision):
                self.pods.setdefault(revision, [])
                yield self._pods_seen(revision)
            case Scale(_, revision, replicas):
                self._scale(revision, replicas)
                yield self._pods_seen(revision)
            case RemoveRevision(_, revision):
                del self.pods[revision]
                yield RevisionSeen(self.now, revision, 0, 0, 0, 0)
            case SetService(_, role, revision):
                yield ServiceSeen(self.now, role, revision)
            case SetWeight(_, weight, additional):
                yield WeightSeen(self.now, weight, additional=additional)
            case Measure(_, run, metric, attempt) if (outcome := self._outcome(metric, attempt)) is not None:
                yield Measured(self.now, run, metric, attempt, self.now, self.now, outcome)
            case TerminateMeasurement(_, run, metric, attempt):
                outcome = MeasurementPhase.INCONCLUSIVE
                yield Measured(self.now, run, metric, attempt, self.now, self.now, outcome)

    def _outcome(self, metric: str, attempt: int) -> Outcome | None:
        letters = self.letters.get(metric) or ["S"]
        letter = letters[min(attempt, len(letters)) - 1]
        if letter == "E":
            return MeasureError("boom")
        return PHASES.get(letter)
