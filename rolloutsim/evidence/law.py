"""The law of a policy in a scenario, without playing: every course it can take, and how likely each is.

That is possible for one threshold on the share of failing requests, judged on Poisson counts, where what the
gate reads is exactly what happened: scrapes at the instants of the queries, at a known phase, counters that
exist from zero, ranges closed on the left, pods that take a fixed time. Then the bad requests, the duration
and so on of a course are the same for all its runs, and the chance of each course is a sum over windows
(`rolloutsim.evidence.windows`).

Elsewhere the same sum over an idealised stream, in which a window holds exactly what fell into it, still
tells how seldom counts alone kill a good release: where no run of thousands has shown it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rolloutsim.estimates import Estimate
from rolloutsim.evidence.rare import rare_kills
from rolloutsim.evidence.stream import Look, Rule, Stream
from rolloutsim.evidence.windows import NotExact, kill_chances
from rolloutsim.outcomes import Outcome
from rolloutsim.policy.model import Policy
from rolloutsim.sim.compiled import Courses, NotCompiled, Reading, Timetable, Window
from rolloutsim.sim.scenario import Delay, Scenario, Split

__all__ = ["ByCounts", "Law", "by_counts", "law"]

Ints = NDArray[np.int64]

_SUCCESSFUL, _FAILED = 0, 1
_NEGLIGIBLE = 1e-12
_SHARE_OF = 10_000, 100_000
"""Requests among which the threshold is looked for."""
_FEW, _MANY = 200, 1_000
_SAMPLES = 60_000
_SELDOM_EMPTY = 28.0
"""A window with so many requests on average is empty once in 1e12 times."""


@dataclass(frozen=True, slots=True)
class Law:
    """What can become of a rollout, and the chance of each; they sum up to 1."""

    rows: tuple[Outcome, ...]
    chances: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ByCounts:
    """How often counts alone kill a release; ``effective_events`` is None where that is exact."""

    chance: Estimate
    effective_events: float | None


def law(policy: Policy, scenario: Scenario) -> Law:
    """The law of ``policy`` in ``scenario``.

    Raises
    ------
    NotExact : chance moves more than counts, or what is read is not what happened; the text says what.
    """
    courses = Courses(policy, scenario)
    try:
        root, promoted = courses.prescribed({})
        timetable = courses.timetable(root)
        _check_exact(scenario, timetable)
        stream = _stream(timetable)
        chances = kill_chances(stream)
        rows, weights = [promoted], [1.0 - float(chances.sum())]
        drawn = [root.drawn]
        for at in np.flatnonzero(chances > _NEGLIGIBLE):
            course, row = courses.prescribed(_failing(timetable.windows, stream, int(at)))
            killed = timetable.windows[at].asked.run
            if sum(one.run == killed for one in course.asked) != _ordinal_in_run(timetable.windows, int(at)):
                raise NotExact("a failure that does not stop the analysis")
            rows.append(row)
            weights.append(float(chances[at]))
            drawn.append(course.drawn)
    except NotCompiled as refusal:
        raise NotExact(str(refusal)) from refusal
    if any(one and weight > _NEGLIGIBLE for one, weight in zip(drawn, weights, strict=True)):
        raise NotExact("a control plane that chance moves")
    return Law(tuple(rows), tuple(max(weight, 0.0) for weight in weights))


def by_counts(policy: Policy, scenario: Scenario, seed: int) -> ByCounts:
    """How often counts alone kill this release: independent requests, no scrapes, pods ready in median time.

    Raises
    ------
    NotExact : the policy or the scenario has no such stream.
    TooFewEvents : the windows overlap, and the samples hold too few events for an estimate.
    """
    stream, chance = _counted(policy, scenario)
    if chance is None:
        found = rare_kills(stream, samples=_SAMPLES, seed=seed)
        return ByCounts(found.probability, found.effective_events)
    return ByCounts(Estimate(chance, chance, chance, 0, "exact"), None)


@lru_cache(maxsize=8)
def _counted(policy: Policy, scenario: Scenario) -> tuple[Stream, float | None]:
    """The idealised stream, and the exact chance that it kills if the windows allow for it."""
    courses = Courses(policy, _idealised(scenario))
    try:
        root, _ = courses.prescribed({})
        stream = _stream(courses.timetable(root))
    except NotCompiled as refusal:
        raise NotExact(str(refusal)) from refusal
    try:
        return stream, float(kill_chances(stream).sum())
    except NotExact:
        return stream, None


def _idealised(scenario: Scenario) -> Scenario:
    service = scenario.service
    cluster, people, telemetry = service.cluster, service.operators, service.telemetry
    return replace(
        scenario,
        service=replace(
            service,
            traffic=replace(service.traffic, dispersion=1.0),
            error_icc=0.0,
            telemetry=replace(telemetry, gaps=(), missed=0.0, resources=None, logs=None),
            operators=replace(
                people,
                promote=None if people.promote is None else _steady(people.promote),
                respond=_steady(people.respond),
            ),
            cluster=replace(
                cluster,
                pod_ready=_steady(cluster.pod_ready),
                router_delay=_steady(cluster.router_delay),
            ),
        ),
    )


def _steady(delay: Delay) -> Delay:
    return replace(delay, sigma=0.0)


# --- when it is exact -------------------------------------------------------------------------------


def _check_exact(scenario: Scenario, timetable: Timetable) -> None:
    service = scenario.service
    telemetry = service.telemetry
    if service.traffic.dispersion > 1.0 or service.error_icc or service.cluster.split is Split.EXACT:
        raise NotExact("counts that are not Poisson")
    if telemetry.scrape_phase_ms is None or telemetry.lag_ms or telemetry.missed or telemetry.gaps:
        raise NotExact("scrapes at a random phase, late or missing")
    if not telemetry.counters_from_zero or not telemetry.left_closed:
        raise NotExact("counters that appear late, or ranges that are open on the left")
    interval, phase = telemetry.scrape_interval_ms, telemetry.scrape_phase_ms
    for window in timetable.windows:
        length = window.end_ms - window.begin_ms
        if length < interval or length % interval or (window.end_ms - phase) % interval:
            raise NotExact("windows that do not end with scrapes")
        if window.begin_ms < -telemetry.history_ms:
            raise NotExact("windows that begin before the history")
        if window.begin_ms <= window.scraped_from_ms:
            first = window.scraped_from_ms + interval - (window.scraped_from_ms - phase) % interval
            unseen = timetable.expected(window.pools, np.array([window.begin_ms, first], np.int64))
            if first > window.end_ms - interval or unseen[0][0] + unseen[1][0] > 0.0:
                raise NotExact("requests to pods that were not scraped yet")
        if not timetable.steady(window.pools):
            raise NotExact("errors that rise by and by")


# --- from a timetable to a stream -------------------------------------------------------------------


def _stream(timetable: Timetable) -> Stream:
    windows = timetable.windows
    if not windows:
        return Stream(np.zeros(0), np.zeros(0), (), Rule(0.5, _never))
    first = windows[0]
    if any((one.reading, one.pools) != (first.reading, first.pools) for one in windows):
        raise NotExact("several metrics")
    runs = list(dict.fromkeys(one.asked.run for one in windows))
    order = [runs.index(one.asked.run) for one in windows]
    names = {(one.asked.run, one.asked.metric.name) for one in windows}
    if len(names) > len(runs) or any(before > after for before, after in pairwise(order)):
        raise NotExact("several metrics")
    edges = np.unique([edge for one in windows for edge in (one.begin_ms, one.end_ms)]).astype(np.int64)
    bad, good = timetable.expected(first.pools, edges)
    place = {int(edge): at for at, edge in enumerate(edges)}
    looks = tuple(
        Look(place[one.begin_ms], place[one.end_ms], run, one.asked.metric.failure_limit)
        for one, run in zip(windows, order, strict=True)
    )
    least = min(float((bad + good)[look.first : look.end].sum()) for look in looks)
    return Stream(bad, good, looks, _rule(first.reading, least))


def _rule(reading: Reading, least_requests: float) -> Rule:
    """The rule of a reading; that it is a threshold on the share of bad requests is tried out."""

    def fails(bad: Ints, good: Ints) -> NDArray[np.bool_]:
        failing: NDArray[np.bool_] = reading.phases(bad, good) == _FAILED
        return failing

    thresholds = [_threshold(fails, total) for total in _SHARE_OF]
    if (
        thresholds[0] is None
        or thresholds[1] is None
        or abs(thresholds[0] - thresholds[1]) > 2 / _SHARE_OF[0]
    ):
        raise NotExact("a condition that is no threshold on the share of failing requests")
    bad, good = np.meshgrid(np.arange(_FEW), np.arange(_MANY), indexing="ij")
    phases = reading.phases(bad, good)
    if least_requests > _SELDOM_EMPTY:
        phases[0, 0] = _SUCCESSFUL
    failing = phases == _FAILED
    if np.any(phases > _FAILED) or np.any(failing[:, 1:] & ~failing[:, :-1]):
        raise NotExact("a condition that is no threshold on the share of failing requests")
    return Rule(thresholds[1], fails)


def _threshold(fails: Callable[[Ints, Ints], NDArray[np.bool_]], total: int) -> float | None:
    bad = np.arange(1, total, dtype=np.int64)
    failing = np.flatnonzero(fails(bad, total - bad))
    return float(bad[failing[0]]) / total if failing.size else None


def _never(bad: Ints, good: Ints) -> NDArray[np.bool_]:
    return np.zeros(np.broadcast(bad, good).shape, dtype=np.bool_)


def _failing(windows: tuple[Window, ...], stream: Stream, at: int) -> dict[int, int]:
    """The verdicts with which the look kills: as many failures as it takes, the last ones."""
    of_run = [other for other in range(at + 1) if stream.looks[other].run == stream.looks[at].run]
    failures = of_run[-stream.looks[at].limit - 1 :]
    return {
        windows[other].ordinal: windows[other].asked.judgement.phases.index(_FAILED) for other in failures
    }


def _ordinal_in_run(windows: tuple[Window, ...], at: int) -> int:
    return sum(one.asked.run == windows[at].asked.run for one in windows[: at + 1])
