"""Who has the change, for how long, and what fails of it: the truth that a replay counts.

A *slice* is a part of a cohort that took the change at one moment and has aged since. All that fails is a
sum over slices of share times course, integrated in closed form; nothing here is random but the order of
units under `Reach.RANDOM`, which is drawn from a keyed stream.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rolloutsim.evidence.incidents.record import Clock, Cohort, Model, Play, Point, Reach, SignalPoint
from rolloutsim.sim.randomness import Stream

__all__ = ["LONGEST_S", "Course", "Exposure", "Population", "Slice"]

_ROUNDING = 1e-9
LONGEST_S = 8 * 3600.0
"""How long a rollout may take; it is looked at no longer."""


@dataclass(frozen=True, slots=True)
class Course:
    """A piecewise linear function of age: ``values[i]`` from ``starts[i]``, changing by ``slopes[i]``."""

    starts: tuple[float, ...]
    values: tuple[float, ...]
    slopes: tuple[float, ...]

    @classmethod
    def of(cls, points: Sequence[tuple[float, float, bool]], dormant: float = 0.0) -> Course:
        """From (at, value, ramp) in order, beginning at 0; all of it ``dormant`` later."""
        starts, values, slopes = [0.0], [0.0], [0.0]
        if not dormant:
            starts, values, slopes = [], [], []
        for at, value, ramp in points:
            if ramp:
                slopes[-1] = (value - values[-1]) / (at + dormant - starts[-1])
            starts.append(at + dormant)
            values.append(value)
            slopes.append(0.0)
        return cls(tuple(starts), tuple(values), tuple(slopes))

    @classmethod
    def failing(cls, points: Iterable[Point], dormant: float = 0.0, repeats: float | None = None) -> Course:
        """The share that fails; with ``repeats`` the points begin anew after so many seconds."""
        once = [(point.at, point.failing.value, point.ramp) for point in points]
        begins = [0.0] if repeats is None else np.arange(0.0, LONGEST_S, repeats).tolist()
        return cls.of([(begin + at, value, ramp) for begin in begins for at, value, ramp in once], dormant)

    @classmethod
    def level(cls, points: Iterable[SignalPoint], dormant: float = 0.0) -> Course:
        """How far a signal has moved."""
        return cls.of([(p.at, p.level.value, p.ramp) for p in points], dormant)

    def at(self, age: float) -> float:
        index = bisect_right(self.starts, age + _ROUNDING) - 1
        return self.values[index] + self.slopes[index] * max(0.0, age - self.starts[index])

    def slope(self, age: float) -> float:
        return self.slopes[bisect_right(self.starts, age + _ROUNDING) - 1]

    def next_bend(self, age: float) -> float | None:
        """The next age at which the course bends."""
        index = bisect_right(self.starts, age + _ROUNDING)
        return self.starts[index] if index < len(self.starts) else None

    def integral(self, start: float, end: float) -> float:
        """The integral between two ages."""
        total, age = 0.0, start
        while age < end:
            bend = self.next_bend(age)
            until = end if bend is None else min(bend, end)
            total += (until - age) * (self.at(age) + 0.5 * self.slope(age) * (until - age))
            age = until
        return total

    def largest(self, age: float) -> float:
        """The largest value up to an age."""
        return max([self.at(age), *(v for s, v in zip(self.starts, self.values, strict=True) if s <= age)])


class Population:
    """How much of each cohort a step's weight reaches."""

    def __init__(self, cohorts: Sequence[Cohort], play: Play, draws: Stream) -> None:
        by_name = {cohort.name: cohort for cohort in cohorts}
        self.cohorts = tuple(by_name[name] for name in play.cohorts) or tuple(cohorts)
        self._reach = play.reach
        self._order = self._in_order(draws) if play.reach is not Reach.EVEN else ()

    def _in_order(self, draws: Stream) -> tuple[int, ...]:
        """The cohort of each unit, in the order in which units are reached."""
        units = [index for index, cohort in enumerate(self.cohorts) for _ in range(cohort.units)]
        if self._reach is Reach.RANDOM:
            key = [draws.uniform(number) for number in range(len(units))]
            return tuple(units[number] for number in sorted(range(len(units)), key=key.__getitem__))
        return tuple(units)

    def reached(self, weight: float) -> tuple[float, ...]:
        """Share of each cohort that a weight (0..1) reaches: whole units, at least one."""
        if self._reach is Reach.EVEN:
            return (weight,) * len(self.cohorts)
        taken = self._order[: math.ceil(weight * len(self._order) - _ROUNDING)]
        return tuple(taken.count(index) / cohort.units for index, cohort in enumerate(self.cohorts))

    def traffic(self, weight: float) -> float:
        """Share of all requests that a weight (0..1) reaches."""
        pairs = zip(self.cohorts, self.reached(weight), strict=True)
        return sum(cohort.share.value * reached for cohort, reached in pairs)


@dataclass(slots=True)
class Slice:
    """``share`` of all requests took the change together; the fault can hit ``hit`` of them."""

    cohort: int
    reached: float
    share: float
    hit: float
    age_s: float = 0.0


class Exposure:
    """The truth of one run, advanced in seconds. ``faulty`` False: the same rollout of a good release."""

    def __init__(self, model: Model, population: Population, dormant_s: float, *, faulty: bool) -> None:
        self.model = model
        self.population = population
        repeats = model.fault.repeats_s
        self.course = Course.failing(
            model.fault.course, dormant_s, None if repeats is None else repeats.value
        )
        self.every = model.fault.clock is Clock.REACH
        self.slices: list[Slice] = []
        self.weight = 0.0
        self.pace = 1.0
        self.faulty = faulty
        self.failed_s = 0.0
        self.hurt = 0.0
        self._gone = 0.0
        self._now_s = 0.0

    def advance(self, now_s: float) -> None:
        """Let time pass, with everybody ageing."""
        passed, self._now_s = now_s - self._now_s, now_s
        if passed <= 0.0:
            return
        if self.every:
            self.failed_s += self.failing() * passed
        for part in self.slices:
            older = part.age_s + passed * self.pace
            if not self.every and self.faulty and self.pace > 0.0:
                failed = self.course.integral(part.age_s, older) / self.pace
                self.failed_s += part.share * part.hit * failed
            part.age_s = older
        self.hurt = max(self.hurt, self._gone + self._hurt())

    def reach(self, weight: float) -> None:
        """The change has now this weight (0..1); whoever takes it now begins to age."""
        if weight == self.weight:
            return
        self.weight = weight
        self._gone = self._gone + self._hurt() if weight == 0.0 else self._gone
        for index, wanted in enumerate(self.population.reached(weight)):
            cohort = self.population.cohorts[index]
            mine = [part for part in self.slices if part.cohort == index]
            have = sum(part.reached for part in mine)
            if wanted > have + _ROUNDING:
                more = wanted - have
                share = more * cohort.share.value
                self.slices.append(Slice(index, more, share, cohort.hit.value))
            elif wanted < have - _ROUNDING:
                self._give_back(mine, have - wanted)

    def _give_back(self, mine: list[Slice], less: float) -> None:
        """Whoever took the change last gives it back first."""
        for part in reversed(mine):
            kept = max(0.0, part.reached - less)
            less -= part.reached - kept
            part.share *= kept / part.reached
            part.reached = kept
        self.slices = [part for part in self.slices if part.reached > _ROUNDING]

    def _hurt(self) -> float:
        """Share of the population that has ever failed, among those that have the change."""
        if not self.faulty:
            return 0.0
        return sum(part.share * part.hit * self.course.largest(part.age_s) for part in self.slices)

    def traffic(self) -> float:
        """Share of all requests that reach the new version."""
        return sum(part.share for part in self.slices)

    def failing(self) -> float:
        """Share of all requests that fail now."""
        if not self.faulty:
            return 0.0
        if self.every:
            return self.course.at(self.weight)
        return sum(part.share * part.hit * self.course.at(part.age_s) for part in self.slices)

    def failing_slope(self) -> float:
        """Its change per second."""
        if not self.faulty or self.every:
            return 0.0
        slopes = (part.share * part.hit * self.course.slope(part.age_s) for part in self.slices)
        return self.pace * sum(slopes)

    def level(self, course: Course | None, older_s: float = 0.0) -> float:
        """Mean over the new version, ``older_s`` older, of a course (None: of the failing share)."""
        total = self.traffic()
        if not self.faulty or total <= 0.0:
            return 0.0
        if course is None and self.every:
            return self.failing()
        moved = self.course if course is None else course
        return sum(part.share * part.hit * moved.at(part.age_s + older_s) for part in self.slices) / total

    def next_bend_s(self) -> float | None:
        """Seconds until what fails bends for some slice."""
        if self.every or self.pace <= 0.0:
            return None
        bends = [(self.course.next_bend(part.age_s), part.age_s) for part in self.slices]
        waits = [(bend - age) / self.pace for bend, age in bends if bend is not None]
        return min(waits) if waits else None

    def can_be_hit(self) -> bool:
        """Whether the change has reached anybody whom the fault can hit."""
        return any(part.hit > 0.0 for part in self.slices)
