"""One test of a policy as plain data. Times are milliseconds since the release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import Outcome, Phase, RunPhase
from rolloutsim.errors import Position
from rolloutsim.policy.model import Policy
from rolloutsim.sim.beginning import NEW, STABLE

__all__ = ["NEW", "STABLE", "Case", "Command", "Deed", "End", "Expectation", "GivenSeries", "Happens"]


class Deed(StrEnum):
    """What a person, or a pipeline, can do."""

    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    SKIP_STEP = "skip-step"
    SKIP_ALL_STEPS = "skip-all-steps"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    RELEASE = "release"


class Happens(StrEnum):
    """Events that can be expected by name."""

    ABORTED = "aborted"
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    STEP_COMPLETED = "step-completed"
    STEPS_SKIPPED = "steps-skipped"


class End(StrEnum):
    """How a rollout stands when a test is over."""

    PROMOTED = "promoted"
    ABORTED = "aborted"
    PAUSED = "paused"
    DEGRADED = "degraded"
    PROGRESSING = "progressing"


@dataclass(frozen=True, slots=True)
class GivenSeries:
    """A series and its samples, one per interval; None is a sample that is missing."""

    labels: tuple[tuple[str, str], ...]
    start_ms: int
    interval_ms: int
    values: tuple[float | None, ...]

    @property
    def end_ms(self) -> int:
        """Time of the last sample."""
        return self.start_ms + self.interval_ms * (len(self.values) - 1)


@dataclass(frozen=True, slots=True)
class Command:
    """``revision`` is for a release: which version is wanted."""

    at_ms: int
    do: Deed
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What has to happen, or never may.

    Everything that is set has to hold at ``at_ms``, or else at some time up to ``by_ms`` (None: the end).
    ``weight`` is the share of the requests that the newest version gets, in percent; ``step`` the number of
    completed steps; ``pods`` the available pods of the newest version. ``value`` is a number or the value as
    it is shown.
    """

    where: Position
    at_ms: int | None = None
    by_ms: int | None = None
    event: Happens | None = None
    message: str = ""
    metric: str = ""
    verdict: MeasurementPhase | None = None
    value: float | str | None = None
    analysis: RunPhase | None = None
    weight: float | None = None
    phase: Phase | None = None
    step: int | None = None
    pods: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A test. ``ready_after_ms`` None: new pods never become ready.

    ``measurements`` are the outcomes of a metric, one after the other, the last one for ever; None is an
    answer that never comes. Metrics without them are queries over ``series``.
    """

    name: str
    where: Position
    policy: Policy
    until_ms: int
    ready_after_ms: int | None = 0
    series: tuple[GivenSeries, ...] = ()
    measurements: Mapping[str, tuple[Outcome | None, ...]] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    commands: tuple[Command, ...] = ()
    expect: tuple[Expectation, ...] = ()
    never: tuple[Expectation, ...] = ()
    outcome: End | None = None
