"""What happened in a test: events, commands and the state of the rollout, and how people read them.

Times are milliseconds since the release.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Event,
    ExperimentChanged,
    MeasurementTaken,
    Paused,
    Phase,
    PhaseChanged,
    Promoted,
    Resumed,
    RunChanged,
    StepCompleted,
    StepsSkipped,
)
from rolloutsim.policy.export_yaml import duration_text
from rolloutsim.policy.model import GatedCounts, Metric
from rolloutsim.rehearsal.case import Command, End

__all__ = ["Happening", "Moment", "Story", "percent_text", "time_text"]

MESSAGE = 60


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the engine, or a command."""

    at_ms: int
    what: Event | Command


@dataclass(frozen=True, slots=True)
class Moment:
    """How the rollout stood from ``at_ms`` on; ``step`` None: no steps."""

    at_ms: int
    weight: float
    phase: Phase | None
    message: str
    step: int | None
    pods: int

    def __str__(self) -> str:
        message = f" ({_cut(self.message)})" if self.message else ""
        parts = [f"weight {percent_text(self.weight)}", f"phase {self.phase}{message}"]
        if self.step is not None:
            parts.append(f"{self.step} steps done" if self.step != 1 else "1 step done")
        parts.append(f"{self.pods} new pods" if self.pods != 1 else "1 new pod")
        return ", ".join(parts)


@dataclass(slots=True)
class Story:
    """A test as it went; ``metrics`` are the policy's, for their conditions."""

    metrics: Mapping[str, Metric]
    happenings: list[Happening] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    end: End = End.PROGRESSING

    def moment(self, at_ms: int) -> Moment:
        """How the rollout stood once all that happens at this time had happened."""
        index = bisect_right(self.moments, at_ms, key=lambda moment: moment.at_ms)
        return self.moments[max(0, index - 1)]

    def around(self, times: Iterable[int], before: int = 7, after: int = 2) -> Iterator[tuple[int, str]]:
        """Times and texts of what happened last up to each of these times, and next after it."""
        lines = list(self.lines())
        shown: set[int] = set()
        for time in times:
            cut = bisect_right(lines, time, key=lambda line: line[0])
            shown.update(range(max(0, cut - before), min(len(lines), cut + after)))
        last = -1
        for index in sorted(shown):
            if (left_out := index - last - 1) and last >= 0:
                yield lines[last + 1][0], f"… {left_out} more"
            yield lines[index]
            last = index

    def lines(self) -> Iterator[tuple[int, str]]:
        """Times and texts of all that happened, in order; weights where they change."""
        timed = [(one.at_ms, 0, self.told(one.what)) for one in self.happenings]
        weight = 0.0
        for moment in self.moments:
            if moment.weight != weight:
                weight = moment.weight
                timed.append((moment.at_ms, 1, f"weight {percent_text(weight)}"))
        yield from ((at_ms, text) for at_ms, _, text in sorted(timed, key=lambda line: line[:2]))

    def told(self, what: Event | Command) -> str:
        """One line about an event or a command."""
        match what:
            case Command(do=do, revision=revision):
                return f"command {do} {revision}".rstrip()
            case MeasurementTaken():
                return self._measured(what)
            case PhaseChanged(phase=phase, message=message):
                return f"phase {phase}" + (f": {_cut(message)}" if message else "")
            case StepCompleted(index=index, total=total, step=step):
                return f"step {index}/{total} done: {step}"
            case Paused(reason=reason):
                return f"paused: {reason}"
            case Resumed():
                return "resumed"
            case StepsSkipped(reason=reason):
                return f"steps skipped: {reason}"
            case RunChanged(run=run, phase=phase, message=message):
                return f"analysis {run} {phase}" + (f": {message}" if message else "")
            case ExperimentChanged(experiment=name, phase=phase, message=message):
                return f"experiment {name} {phase}" + (f": {message}" if message else "")
            case Aborted(message=message):
                return f"aborted: {message}"
            case Promoted(revision=revision, reason=reason):
                return f"promoted {revision}: {reason}"

    def _measured(self, taken: MeasurementTaken) -> str:
        value = f", value {taken.value}" if taken.value else ""
        why = taken.message or _why(taken.phase, self.metrics.get(taken.metric))
        return f"{taken.metric} #{taken.attempt} {taken.phase}{value}" + (f": {why}" if why else "")


def _why(phase: MeasurementPhase, metric: Metric | None) -> str:
    """Which conditions led to the phase of a measurement that had a value."""
    if metric is None or isinstance(metric.provider, GatedCounts):
        return ""
    success, failure = metric.success_condition, metric.failure_condition
    if phase is MeasurementPhase.FAILED:
        return f"failureCondition {failure} holds" if failure else f"successCondition {success} does not hold"
    if phase is MeasurementPhase.SUCCESSFUL:
        return f"successCondition {success} holds" if success else ""
    if phase is MeasurementPhase.INCONCLUSIVE and success and failure:
        return f"neither successCondition {success} nor failureCondition {failure} holds"
    return ""


def _cut(message: str) -> str:
    """The beginning of a phase's message, which repeats an event's."""
    return message if len(message) <= MESSAGE else message[: MESSAGE - 1] + "…"


def percent_text(share: float) -> str:
    """A share in percent: ``5``, ``9.1``."""
    return f"{round(share, 1):g}"


def time_text(at_ms: int) -> str:
    """``5m``; before the release ``-5m``."""
    return f"-{duration_text(-at_ms)}" if at_ms < 0 else duration_text(at_ms)
