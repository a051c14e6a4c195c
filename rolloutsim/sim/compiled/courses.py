"""All courses that a policy can take in a scenario, rehearsed when the first run takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rolloutsim.outcomes import Outcome
from rolloutsim.policy.experiment_step import steps_beside
from rolloutsim.policy.model import Policy
from rolloutsim.sim.compiled import kernel, layout
from rolloutsim.sim.compiled.expected import Timetable
from rolloutsim.sim.compiled.formula import DEPTH, formula
from rolloutsim.sim.compiled.plan import MARKS, MOST_COUNTERS, MOST_MEASUREMENTS, plan
from rolloutsim.sim.compiled.refusal import NotCompiled
from rolloutsim.sim.compiled.rehearsal import Rehearsal
from rolloutsim.sim.compiled.telemetry import SeriesRead, flat
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.metrics import DAY_S
from rolloutsim.sim.platform import Split
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.requests.model import Fidelity
from rolloutsim.sim.requests.need import fidelity_of
from rolloutsim.sim.scenario import ConstantRate, Scenario
from rolloutsim.sim.traffic import minute_shape
from rolloutsim.sim.verdict import outcome
from rolloutsim.sim.world import POOLS
from rolloutsim.telemetry import PRESETS

__all__ = ["Courses", "courses_of"]

MOST_COURSES = 512
"""Courses that are kept. A rehearsal costs about as much as a run by the ordinary path."""
PATIENCE = 16
"""Courses more than every second run has that do not mean that it is not worth while."""
COUNTED = (
    "arrivals",
    "routing",
    *(f"{what}/{pool.version}" for what in ("errors", "latency") for pool in POOLS),
)
"""The streams of the counts, in the order of the data plane."""
STREAMS = tuple(dict.fromkeys(COUNTED))
KEPT = 8
"""Pairs of policy and scenario whose courses are kept."""


@dataclass(slots=True, eq=False)
class Course:
    """One course: its rehearsal, and the courses that branch off from it at an event with a verdict.

    ``plan`` is for the kernel, worked out when ``series`` series were known.
    """

    rehearsal: Rehearsal
    verdicts: Mapping[int, int]
    plan: layout.Plan | None = None
    series: int = 0
    branches: dict[tuple[int, int], Course] = field(default_factory=dict)


class Courses:
    """The courses of a policy in a scenario; `play` gives the rows of runs.

    A course is the same for all replications as long as chance does not move the control plane (pods, routes,
    people); one that chance moves is rehearsed for its own run alone. ``refused`` says why this policy and
    scenario are left to the ordinary path, once that is known.
    """

    def __init__(self, policy: Policy, scenario: Scenario) -> None:
        self._policy, self._scenario = policy, scenario
        service = scenario.service
        telemetry, rate = service.telemetry, service.traffic.rate
        self.refused = _refusal(policy, scenario)
        shape = minute_shape(service.traffic)
        self._world = layout.World(
            interval=telemetry.scrape_interval_ms,
            per_ms=rate.rate_rps / 1000.0 if isinstance(rate, ConstantRate) else 0.0,
            shape=-1.0 if shape is None else shape,
            icc=service.error_icc,
            exact=service.cluster.split is Split.EXACT,
            lag=telemetry.lag_ms,
            missed=telemetry.missed,
            from_zero=telemetry.counters_from_zero,
            left_closed=int(telemetry.left_closed),
            first_minute=-telemetry.history_ms // layout.MINUTE_MS - 1,
        )
        self._read = SeriesRead(service)
        self._series: layout.Series | None = None
        self._totals = self._at_the_beginning(0)
        self._root: Course | None = None
        self._courses = self._runs = 0

    def play(self, seed: int, run: int) -> Outcome | None:
        """The row of one replication; None if it is left to the ordinary path."""
        if self.refused:
            return None
        try:
            if self._root is None:
                self._root = self._rehearsed(seed, run, {})
                if self._root.rehearsal.drawn:
                    raise NotCompiled("a control plane that chance moves")
            row = None
            while row is None:
                row = self._follow(self._root, seed, run)
        except NotCompiled as refusal:
            self.refused = str(refusal)
            return None
        self._runs += 1
        return row

    def _follow(self, course: Course, seed: int, run: int) -> Outcome | None:
        """The row; None if a new course reads series that were not followed from the beginning."""
        known = len(self._read)
        world, series, keys = self._world, self._series_now(), self._keys(seed, run)
        state = self._fresh(seed, run)
        first = 0
        while True:
            left = int(kernel.follow(world, series, self._plan(course), keys, state, first))
            if left < 0:
                break
            course = self._branch(course, left, state, seed, run)
            if len(self._read) != known:
                return None
            first = left + 1
        return self._row(course, state, run)

    def prescribed(self, verdicts: Mapping[int, int]) -> tuple[Rehearsal, Outcome]:
        """The course on which measurements have these verdicts, all others being successful, and its row.

        The row is that of every run which takes the course, but for its number, unless the rehearsal has
        ``drawn`` something or the traffic is dispersed.

        Raises
        ------
        NotCompiled : this policy and scenario are left to the ordinary path.
        """
        if self.refused:
            raise NotCompiled(self.refused)
        course = Course(self._rehearsal(0, 0, verdicts), verdicts)
        series, state, keys = self._series_now(), self._fresh(0, 0), self._keys(0, 0)
        asked = self._plan(course)
        events = asked.events.copy()
        for event in np.flatnonzero(events[:, 0] == layout.QUERY):
            # nothing is asked, but time passes up to the last scrape before the question
            events[event, 0] = layout.ADVANCE
            events[event, 1] -= (events[event, 1] - keys.phase) % self._world.interval
        kernel.follow(self._world, series, asked._replace(events=events, last=-1), keys, state, 0)
        return course.rehearsal, self._row(course, state, 0)

    def timetable(self, rehearsal: Rehearsal) -> Timetable:
        """What a course of this policy and scenario shows its measurements, in expectation.

        Raises
        ------
        NotCompiled : a query that is not understood.
        """
        return Timetable(rehearsal, self._read, self._world.per_ms)

    def _row(self, course: Course, state: layout.Run, run: int) -> Outcome:
        """The row of a run that has come to the end of its course."""
        played = course.rehearsal
        played.ledger.settle(state.accounts)
        if played.tally.exposed_until_over is not None:
            played.tally.exposed_until_over = float(state.marks[0, 1:].sum())
        return outcome(played, run)

    # --- courses ----------------------------------------------------------------------------------

    def _rehearsal(self, seed: int, run: int, verdicts: Mapping[int, int]) -> Rehearsal:
        rehearsal = Rehearsal(self._policy, self._scenario, seed, run, verdicts)
        rehearsal.rehearse()
        for asked in rehearsal.asked:
            for sum_ in formula(asked.query).sums:
                self._read.select(sum_.selector)
        return rehearsal

    def _rehearsed(self, seed: int, run: int, verdicts: Mapping[int, int]) -> Course:
        self._courses += 1
        if self._courses > min(MOST_COURSES, PATIENCE + self._runs // 2):
            raise NotCompiled("runs that all take courses of their own")
        return Course(self._rehearsal(seed, run, verdicts), verdicts)

    def _branch(self, course: Course, event: int, state: layout.Run, seed: int, run: int) -> Course:
        """The course that the verdict of a measurement leads to."""
        ordinal = course.rehearsal.events[event][2]
        verdict = int(state.verdicts[ordinal])
        known = course.branches.get((event, verdict))
        if known is not None:
            return known
        asked = course.rehearsal.asked
        this = asked[ordinal]
        phase = this.judgement.phases[verdict]
        verdicts = dict(course.verdicts)
        verdicts[ordinal] = verdict
        if phase != layout.ERROR:
            # Whatever else they were, earlier verdicts of the kind fill up the metric's limit.
            for earlier in range(ordinal):
                one, letter = asked[earlier], int(state.verdicts[earlier])
                same = (one.run, one.metric.name) == (this.run, this.metric.name)
                if same and one.judgement.phases[letter] == phase:
                    verdicts[earlier] = letter
        branch = self._rehearsed(seed, run, verdicts)
        begun, other = course.rehearsal.events[: event + 1], branch.rehearsal.events[: event + 1]
        if begun != other:
            raise NotCompiled("a course that changes before the verdict that changes it")
        if not branch.rehearsal.drawn:
            course.branches[event, verdict] = branch
        return branch

    # --- what the kernel needs --------------------------------------------------------------------

    def _plan(self, course: Course) -> layout.Plan:
        if course.plan is None or course.series != len(self._read):
            course.plan = plan(course.rehearsal, course.verdicts, self._read)
            course.series = len(self._read)
        return course.plan

    def _series_now(self) -> layout.Series:
        """The series that are known now."""
        if self._series is not None and len(self._series.owners) == len(self._read):
            return self._series
        telemetry = self._scenario.service.telemetry
        terms, births = flat(self._read.values), flat(self._read.births)
        self._series = layout.Series(
            gaps=np.array([(gap.start_ms, gap.end_ms) for gap in telemetry.gaps], np.int64).reshape(-1, 2),
            terms=terms[0],
            term=terms[1],
            births=births[0],
            birth=births[1],
            owners=self._read.owners,
        )
        buckets = len(PRESETS[telemetry.preset].bounds_s) + 1 if self._read.reads_latency else 0
        self._totals = self._at_the_beginning(buckets)
        return self._series

    def _at_the_beginning(self, buckets: int) -> NDArray[np.int64]:
        """The totals of the pools when the history begins."""
        service = self._scenario.service
        telemetry = service.telemetry
        bounds_s = PRESETS[telemetry.preset].bounds_s if buckets else ()
        versions = [pool.version for pool in POOLS]
        plane = DataPlane(service, 0, 0, versions, bounds_s, start_ms=-telemetry.history_ms, phase_ms=0)
        plane.change((Conditions(1.0, service.error_rate), Conditions(), Conditions()))
        if not telemetry.counters_from_zero:
            requests = math.floor(plane.mean_rate_rps * DAY_S)
            errors = math.floor(requests * service.error_rate)
            plane.seed_totals(0, requests - errors, errors)
        totals: NDArray[np.int64] = plane.now().totals[0]
        return totals

    def _keys(self, seed: int, run: int) -> layout.Keys:
        telemetry = self._scenario.service.telemetry
        phase = telemetry.scrape_phase_ms
        if phase is None:
            phase = int(stream(seed, run, "scrape").uniform(0) * telemetry.scrape_interval_ms)
        dispersion, missed = stream(seed, run, "dispersion"), stream(seed, run, "missed")
        return layout.Keys(phase, dispersion.low, dispersion.high, missed.low, missed.high)

    def _fresh(self, seed: int, run: int) -> layout.Run:
        """A run before its history begins."""
        words = {name: stream(seed, run, name) for name in STREAMS}
        keys = np.array([(words[name].low, words[name].high) for name in COUNTED], dtype=np.int64)
        service = self._scenario.service
        start, end = -service.telemetry.history_ms, service.horizon_ms
        rows = (end - start) // service.telemetry.scrape_interval_ms + 3
        series, pools = len(self._read), len(POOLS)
        at = np.zeros(layout.QUERIES + 1, dtype=np.int64)
        at[layout.NOW] = at[layout.SINCE] = start
        at[layout.ASKING] = 1
        at[layout.CONDITIONS] = -1
        return layout.Run(
            at=at,
            keys=keys,
            totals=self._totals.copy(),
            carry=np.zeros(pools),
            accounts=np.zeros((pools + 1, 2)),
            marks=np.zeros((MARKS, pools)),
            factors=np.full((end - start) // layout.MINUTE_MS + 4, np.nan),
            exists=np.zeros(series, dtype=np.bool_),
            times=np.empty(rows, dtype=np.int64),
            values=np.empty((rows, series)),
            published=np.empty((rows, series), dtype=np.int64),
            counters=np.zeros((MOST_COUNTERS, 2), dtype=np.int64),
            verdicts=np.empty(MOST_MEASUREMENTS, dtype=np.int64),
            means=np.empty(rows),
            rows=np.empty((rows, *self._totals.shape), dtype=np.int64),
            answer=np.empty((2, DEPTH)),
        )


courses_of = lru_cache(maxsize=KEPT)(Courses)
"""The courses of a policy in a scenario, as far as runs of this process have taken them."""


def _refusal(policy: Policy, scenario: Scenario) -> str:
    """What the fast path does not know; empty if nothing is seen yet."""
    service = scenario.service
    telemetry = service.telemetry
    if steps_beside(policy):
        return "an experiment or a mirror route"
    if not isinstance(service.traffic.rate, ConstantRate):
        return "traffic that is not constant"
    if telemetry.resources is not None or telemetry.logs is not None:
        return "series beside requests"
    if telemetry.unlabelled or telemetry.mislabelled:
        return "requests that are counted elsewhere"
    if service.cluster.phases is None and service.cluster.pod_ready.sigma:
        return "a control plane that chance moves"
    if service.cluster.probe is not None:
        return "readiness that depends on answers"
    if fidelity_of(scenario, policy.replicas)[0] is not Fidelity.AGGREGATE:
        return "requests that are played one by one"
    return ""
