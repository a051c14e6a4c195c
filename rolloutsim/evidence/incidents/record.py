"""What is known about a published incident: facts, timeline, a model of its fault, counterfactuals.

Every number and every fact carries its `Basis`. A number that was assumed or recalled carries the range
in which it may lie, so that a replay can say how much of its answer rests on it. Shares lie between 0 and
1, times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import field_validator, model_validator
from pydantic.dataclasses import dataclass

from rolloutsim.evidence.incidents.quantity import STRICT, Basis, Quantity, quantities

__all__ = [
    "AsHappened",
    "Channel",
    "Clock",
    "Cohort",
    "Counts",
    "Expectation",
    "Fact",
    "Fault",
    "Incident",
    "Model",
    "Moment",
    "Play",
    "Point",
    "Reach",
    "Reference",
    "Signal",
    "SignalPoint",
    "Source",
]

MOST_RANGES = 6
"""A replay plays every corner of the ranges, two to this power at most."""


class Clock(StrEnum):
    """What a fault's course is counted in."""

    AGE = "age"
    """Seconds since an instance took the change."""
    LOAD = "load"
    """Seconds since then at the load that an instance has in production: half the load, half as fast."""
    REACH = "reach"
    """Share of the population that has the change; the fault hits every request, on either version."""


class Counts(StrEnum):
    """What is hurt."""

    REQUESTS = "requests"
    MACHINES = "machines"
    """Each at most once, and a rollback does not mend it."""


class Reach(StrEnum):
    """Whom a step's weight reaches."""

    EVEN = "even"
    """The same share of every cohort, as a weighted router does."""
    ORDERED = "ordered"
    """Whole units (sites, regions, rings), one cohort after the other."""
    RANDOM = "random"
    """Whole units, drawn from all cohorts."""


class Expectation(StrEnum):
    """What became of the bad change under a policy."""

    CAUGHT_AT_ONCE = "caught-at-first-step"
    """Stopped at the first step that reached anybody whom the fault can hit, at most half of all."""
    CAUGHT = "caught"
    """Stopped at a later step, with at most half of the population reached."""
    LATE = "late"
    """Stopped before the rollout was over, with more than half of the population reached."""
    MISSED = "missed"
    """The rollout went through."""
    HELD = "held"
    """The rollout neither went through nor back: it waits."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Source:
    """Who says so. ``directness`` tells whether it is the organisation's own text."""

    title: str
    organisation: str
    date: str
    address: str
    directness: str = "primary"
    note: str = ""

    @field_validator("title", "organisation", "date")
    @classmethod
    def _given(cls, text: str) -> str:
        if not text:
            raise ValueError("the field is empty; a source has a title, an organisation and a date")
        return text

    @field_validator("address")
    @classmethod
    def _reachable(cls, text: str) -> str:
        if not text.startswith(("https://", "http://")):
            raise ValueError("this is not the address of a page; begin it with https://")
        return text

    @field_validator("directness")
    @classmethod
    def _known(cls, text: str) -> str:
        if text not in ("primary", "primary in part", "secondary"):
            raise ValueError("unknown directness; it is primary, primary in part, or secondary")
        return text


@dataclass(frozen=True, slots=True, config=STRICT)
class Moment:
    """One line of the timeline."""

    at: datetime
    event: str
    basis: Basis
    note: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Fact:
    """A published figure; ``value`` as it is stated."""

    what: str
    value: float | str
    basis: Basis
    unit: str = ""
    note: str = ""


# --- the model ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, config=STRICT)
class Cohort:
    """A part of the population: ``units`` sites, regions or rings that carry ``share`` of the requests.

    ``hit`` is the share of a unit's requests that the fault can hit.
    """

    name: str
    share: Quantity
    hit: Quantity
    units: int = 1000


@dataclass(frozen=True, slots=True, config=STRICT)
class Channel:
    """A way by which something new spreads; only what spreads here is staged by a policy.

    ``dormant_s``: what spreads by this channel does no harm for so long.
    """

    name: str
    what: str
    dormant_s: Quantity | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Point:
    """From ``at`` on (seconds, or a share for the clock reach) this share of the requests fails.

    With ``ramp`` the value is reached linearly at ``at``, from the point before.
    """

    at: float
    failing: Quantity
    ramp: bool = False


@dataclass(frozen=True, slots=True, config=STRICT)
class SignalPoint:
    """From ``at`` on a signal has moved this far, 0 to 1, from healthy to faulty."""

    at: float
    level: Quantity
    ramp: bool = False


@dataclass(frozen=True, slots=True, config=STRICT)
class Signal:
    """A series beside the request counter: what it reads on a healthy and on a failing version.

    ``series`` is its metric name, with the labels ``app_version`` and ``rollouts_pod_template_hash``. A
    counter grows by its value per second. Without a course it moves with the share of failing requests.
    """

    name: str
    series: str
    healthy: Quantity
    faulty: Quantity
    counter: bool = False
    course: tuple[SignalPoint, ...] = ()


@dataclass(frozen=True, slots=True, config=STRICT)
class Fault:
    """What the change does, and which share of the failures a signal shows (0: blind, 1: all).

    ``slower``: by how much longer than usual a request takes (9: ten times as long), on the same clock.
    ``repeats_s``: after so many seconds the course begins anew, for faults that come and go (not with the
    clock reach); where chance decides about each round, its points hold the mean.
    """

    clock: Clock
    course: tuple[Point, ...]
    shows: Mapping[str, Quantity]
    slower: tuple[SignalPoint, ...] = ()
    repeats_s: Quantity | None = None

    @model_validator(mode="after")
    def _in_rounds(self) -> Fault:
        if self.repeats_s is not None:
            least = min(self.repeats_s.value, self.repeats_s.low or self.repeats_s.value)
            if self.clock is Clock.REACH or least < max(1.0, self.course[-1].at):
                raise ValueError("repeats_s is shorter than the course, or the clock is reach; lengthen it")
        return self

    @field_validator("course")
    @classmethod
    def _rising(cls, course: tuple[Point, ...]) -> tuple[Point, ...]:
        times = [point.at for point in course]
        if not times or times[0] != 0.0 or sorted(times) != times or course[0].ramp:
            raise ValueError("the course does not begin with a point at 0; put its points in order")
        return course

    @field_validator("shows")
    @classmethod
    def _counted(cls, shows: Mapping[str, Quantity]) -> Mapping[str, Quantity]:
        if "status_5xx" not in shows:
            raise ValueError("status_5xx is missing; every gate on error rates reads it")
        return shows


@dataclass(frozen=True, slots=True, config=STRICT)
class Model:
    """The incident as something that can be played.

    ``requests_per_s``: the rate that the gates' metrics see. ``counted``: unit in which the result is
    told; with requests and ``published_rate`` the results are requests, else seconds of all traffic.
    ``metric_lag_s``: from a scrape to its sample in a query. ``way_back_s``: from the decision to the
    last request on the bad version. ``usual_errors``: share of the requests that fails anyway, on either
    version (without it 0.1 %, the customary objective); what the fault does comes on top.
    """

    counts: Counts
    requests_per_s: Quantity
    cohorts: tuple[Cohort, ...]
    channels: tuple[Channel, ...]
    fault: Fault
    metric_lag_s: Quantity
    way_back_s: Quantity
    signals: tuple[Signal, ...] = ()
    usual_errors: Quantity | None = None
    published_rate: bool = False
    machines: Quantity | None = None

    @model_validator(mode="after")
    def _whole(self) -> Model:
        if not self.cohorts or not self.channels:
            raise ValueError("a model has cohorts and channels; give one of each, named all and change")
        total = sum(cohort.share.value for cohort in self.cohorts)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares of the cohorts add up to {total:g}; they should add up to 1")
        if self.counts is Counts.MACHINES and self.machines is None:
            raise ValueError("machines are counted, and nobody says how many; add machines")
        for name in {signal.name for signal in self.signals} - set(self.fault.shows):
            raise ValueError(f"the signal {name} is missing in fault.shows; say what share it shows")
        ranged = sum(one.low is not None for _, one in quantities(self))
        if ranged > MOST_RANGES:
            raise ValueError(
                f"{ranged} numbers of the model have a range; keep the {MOST_RANGES} that matter"
            )
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class AsHappened:
    """What it did cost: the share of all requests that failed, from the onset on; then nothing.

    ``if_missed_s``: how long it lasts when nothing stops it, where something did.
    """

    course: tuple[Point, ...]
    until_s: Quantity
    if_missed_s: Quantity | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Reference:
    """A result of an independent fluid model, to compare a replay with."""

    failed_s: float | None = None
    machines: float | None = None
    detected_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Play:
    """A counterfactual: a shipped policy on one of the channels, and the verdict that is expected.

    ``cohorts``: those that the rollout covers, in order; empty means all.
    """

    name: str
    policy: str
    channel: str
    expected: Expectation | None = None
    reach: Reach = Reach.EVEN
    cohorts: tuple[str, ...] = ()
    reference: Reference | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, config=STRICT)
class Incident:
    """One incident. ``quality``: A minute-level times from the organisation itself, B partly, C summaries."""

    id: str
    title: str
    organisation: str
    date: str
    quality: str
    changed: str
    rolled_out: str
    sources: tuple[Source, ...]
    timeline: tuple[Moment, ...]
    facts: tuple[Fact, ...]
    lesson: str
    model: Model
    as_happened: AsHappened
    plays: tuple[Play, ...]

    @field_validator("sources")
    @classmethod
    def _sourced(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        if not sources:
            raise ValueError("an incident without sources; name title, organisation, date and address")
        return sources

    @model_validator(mode="after")
    def _named(self) -> Incident:
        channels = {channel.name for channel in self.model.channels}
        cohorts = {cohort.name for cohort in self.model.cohorts}
        for play in self.plays:
            if play.channel not in channels:
                raise ValueError(
                    f"play {play.name}: no channel {play.channel}; name one of {sorted(channels)}"
                )
            if unknown := set(play.cohorts) - cohorts:
                raise ValueError(
                    f"play {play.name}: no cohort {min(unknown)}; name some of {sorted(cohorts)}"
                )
        return self

    def play(self, name: str) -> Play:
        """The counterfactual of this name; KeyError when there is none."""
        return {play.name: play for play in self.plays}[name]
