"""How often a policy would stop the release of nothing, on the user's own data (an A/A check).

The policy is decided by the same engine and asks the same queries as in a real rollout, from many starts in
the history; the canary is made of the service's own requests (`split`). What it rests on:

- The history is that of the service without releases: a start during which two versions got requests is left
  out, and so is one that the history does not cover to its end.
- Requests are routed at random, and a pod keeps its nature. A new version's cold pods are not in it.
- Pods of the canary are ready after ten seconds; who is asked to promote does so after ten minutes; a
  measurement that is no Prometheus query passes.

Starts do not overlap, but those of one day share that day: the interval is one for clusters, with days as
clusters (`clusters`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import simpy

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Measure,
    Outcome,
    Promoted,
    ReleaseAsked,
    Role,
    awaits_person,
    promote,
    start,
)
from rolloutsim.engine.counting import count_arms
from rolloutsim.errors import InputError
from rolloutsim.estimates import Estimate, rate
from rolloutsim.evidence.calibration.clusters import clustered_rate
from rolloutsim.evidence.calibration.reads import quoted
from rolloutsim.evidence.calibration.source import Points, Progress, Source
from rolloutsim.evidence.calibration.split import Arms, Split, versions_of
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.experiment_step import steps_beside
from rolloutsim.policy.model import BlueGreen, Canary, GatedCounts, Metric, Policy, PrometheusProvider
from rolloutsim.policy.reading import LATE, queries_of, reads_of
from rolloutsim.promql import Matrix, evaluate
from rolloutsim.promql.query import SeriesRead
from rolloutsim.session import Entry, Session
from rolloutsim.sim.answer import found_by
from rolloutsim.sim.beginning import beginning
from rolloutsim.sim.cluster import Cluster
from rolloutsim.sim.loop import Loop

__all__ = ["FalseAborts", "false_aborts"]

STABLE, CANARY = "aa-stable", "aa-canary"
READY_MS = 10_000
PERSON_MS = 600_000
HISTORY_MS = 900_000
DAY_MS = 86_400_000
GAP_MS = 300_000
LONGEST_MS = 86_400_000
TRIALS = 5
"""Starts from which is learnt how long a rollout takes."""
ACTOR = "whoever is asked"


@dataclass(frozen=True, slots=True)
class FalseAborts:
    """What became of a policy's rollouts of nothing.

    ``rate`` is the share of ``starts`` that were aborted, with its interval over ``days`` clusters (none for
    fewer than five); ``independent`` is the interval if days had nothing of their own. Starts do not overlap.
    ``released`` more were left out since two versions got requests, ``cut`` since the history ends or has a
    hole. ``pods`` is the largest number from which the canary's were drawn (1: not told apart),
    ``rollout_ms`` how long a rollout takes, ``by`` the labels that were rewritten. ``reasons`` are the
    messages of the aborts and how often each came, ``passing`` the metrics that are no Prometheus query and
    were taken to pass.
    """

    policy: str
    rate: Estimate
    independent: Estimate
    starts: int
    aborted: int
    days: int
    released: int
    cut: int
    pods: int
    rollout_ms: int
    by: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]
    passing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    """One start: ``aborted`` and why, and when it ended (ms); None: it did not end within the history."""

    at_ms: int
    ended_ms: int | None
    aborted: bool
    reason: str
    pods: int


def false_aborts(
    policy: Policy,
    source: Source,
    first_ms: int,
    last_ms: int,
    *,
    by: Sequence[str] = (),
    pod: str = "",
    starts: int = 200,
    seed: int = 1,
    progress: Progress = lambda done, total: None,
) -> FalseAborts:
    """Start a policy at many times of a history (ms since the epoch), spread evenly and never two at once.

    Parameters
    ----------
    by : labels that tell versions apart; empty: those that the policy's queries fill with a pod hash.
    pod : the label that tells pods apart; empty: it is not told.
    starts : at most.
    seed : root of the coins; the same seed gives the same answer.

    Raises
    ------
    InputError : the policy asks Prometheus nothing, or has an experiment; its queries name versions in a way
        that cannot be rewritten; or there is no start that the history covers.
    ExecutorError : the source cannot be asked.
    """
    reads = _reads(policy)
    arms = _arms(reads, tuple(by), policy)
    history = max([HISTORY_MS, *((read.range_ms or 0) + read.offset_ms + 300_000 for read in reads)])
    selectors = tuple(dict.fromkeys(_selector(read, arms) for read in reads))
    lab = _Lab(policy, source, selectors, arms, pod, history, seed)
    first, last = first_ms + history, last_ms
    length = lab.learn(first, last)
    apart = max(length + history, (last - first) // max(1, starts))
    times = list(range(first, last - length + 1, apart))[:starts]
    if not times:
        raise InputError(
            f"a rollout of {policy.name} takes {length / 60_000:.0f} min and the history does not cover one",
            fix="take a longer stretch",
        )
    runs, released, cut = _played(lab, times, 2 * length, last, progress)
    days = [run.at_ms // DAY_MS for run in runs]
    return FalseAborts(
        policy=policy.name,
        rate=clustered_rate([run.aborted for run in runs], days),
        independent=rate(sum(run.aborted for run in runs), len(runs)),
        starts=len(runs),
        aborted=sum(run.aborted for run in runs),
        days=len(set(days)),
        released=released,
        cut=cut,
        pods=max((run.pods for run in runs), default=0),
        rollout_ms=length,
        by=tuple(arms),
        reasons=tuple(Counter(run.reason for run in runs if run.aborted).most_common(5)),
        passing=tuple(dict.fromkeys(one.name for one in _metrics(policy) if not queries_of(one.provider))),
    )


def _played(
    lab: _Lab, times: Sequence[int], most_ms: int, last: int, progress: Progress
) -> tuple[list[_Run], int, int]:
    """Runs that were begun at these times and ended, and how many met a release or no end of their own."""
    runs: list[_Run] = []
    released = cut = 0
    for done, at in enumerate(times):
        progress(done, len(times))
        found = lab.play(at, min(at + most_ms, last))
        if found is None:
            released += 1
        elif found.ended_ms is None:
            cut += 1
        else:
            runs.append(found)
    progress(len(times), len(times))
    return runs, released, cut


def _reads(policy: Policy) -> tuple[SeriesRead, ...]:
    """What a policy asks, if a history can answer all of it."""
    for step in steps_beside(policy):
        raise InputError(
            f"policy {policy.name} has a step {step}, whose requests no history tells apart",
            fix="leave it out of the policy for this question",
        )
    reads = tuple(
        read
        for metric in _metrics(policy)
        for query in queries_of(metric.provider)
        for read in reads_of(query)
        if read.metric is not None
    )
    if not reads:
        raise InputError(f"policy {policy.name} asks Prometheus nothing, so nothing of it can be replayed")
    return reads


def _metrics(policy: Policy) -> Iterator[Metric]:
    for analysis in analyses_of(policy):
        yield from analysis.metrics


def _arms(reads: Sequence[SeriesRead], by: tuple[str, ...], policy: Policy) -> Arms:
    """What to write into which label, so that the policy's queries find the fake versions."""
    asked: dict[str, set[str]] = {label: set() for label in by}
    for matcher in (matcher for read in reads for matcher in read.matchers):
        if LATE in matcher.value or matcher.name in by:
            if matcher.operator != "=":
                raise InputError(
                    f"policy {policy.name} tells versions apart by a pattern on {matcher.name}, and "
                    "a fake version has one value",
                    fix="let its queries ask for a label of versions with podTemplateHashValue",
                )
            asked.setdefault(matcher.name, set()).add(matcher.value)
    arms = {}
    for label, values in sorted(asked.items()):
        if len(values) > 1:
            raise InputError(
                f"policy {policy.name} asks for several values of {label}, so no fake version can have them",
                value=", ".join(sorted(values)),
                fix="let its queries take the version from an argument with podTemplateHashValue",
            )
        value = next(iter(values), LATE)
        arms[label] = (
            (value.replace(LATE, STABLE), value.replace(LATE, CANARY)) if LATE in value else (STABLE, value)
        )
    return arms


def _selector(read: SeriesRead, arms: Arms) -> str:
    """A selector of all versions of what a query reads."""
    exact = sorted(
        f"{m.name}={quoted(m.value)}"
        for m in read.matchers
        if m.operator == "=" and m.name != "__name__" and m.name not in arms
    )
    return f"{read.metric}{{{', '.join(exact)}}}" if exact else f"{read.metric}"


class _Lab:
    """Plays a policy at one time of a history after another."""

    def __init__(
        self,
        policy: Policy,
        source: Source,
        selectors: tuple[str, ...],
        arms: Arms,
        pod: str,
        history_ms: int,
        seed: int,
    ) -> None:
        self._policy, self._source, self._selectors = policy, source, selectors
        self._arms, self._pod, self._history, self._seed = arms, pod, history_ms, seed

    def learn(self, first_ms: int, last_ms: int) -> int:
        """How long a rollout takes that is not stopped, in ms; the longest of a few."""
        found: list[_Run] = []
        for k in range(TRIALS):
            at = first_ms + (last_ms - first_ms) * k // TRIALS
            length = 3_600_000
            while True:
                run = self.play(at, min(at + length, last_ms))
                if run is None or run.ended_ms is not None:
                    break
                if at + length >= last_ms or length >= LONGEST_MS:
                    break
                length *= 2
            if run is not None and run.ended_ms is not None:
                found.append(run)
            if sum(not one.aborted for one in found) == 2:
                break
        if not found:
            raise InputError(
                f"no rollout of {self._policy.name} ends within the history, or without one of your own",
                fix="take a longer stretch, or one without releases",
            )
        promoted = [one for one in found if not one.aborted]
        return max(int(one.ended_ms or 0) - one.at_ms for one in promoted or found)

    def play(self, at_ms: int, until_ms: int) -> _Run | None:
        """One rollout; None if two versions got requests in the meantime."""
        points: list[Points] = []
        for selector in self._selectors:
            points += self._source.raw(selector, at_ms - self._history, until_ms)
        if len(versions_of(points, tuple(self._arms))) > 1:
            return None
        if not self._covered(points, at_ms, until_ms):
            return _Run(at_ms, None, False, "", 0)
        draws = np.random.Generator(np.random.Philox(key=[self._seed, at_ms]))
        rollout = _Rollout(self._policy, Split(points, self._arms, self._pod, draws), at_ms, self._source)
        return rollout.play(until_ms)

    def _covered(self, points: Sequence[Points], at_ms: int, until_ms: int) -> bool:
        """Whether the service was there all the time."""
        times = [one.times_ms for one in points if len(one.times_ms)]
        if not times:
            return False
        seen = np.unique(np.concatenate([*times, np.array([at_ms - self._history, until_ms])]))
        return bool(np.diff(seen).max() <= GAP_MS)


class _Rollout:
    """One rollout of nothing."""

    def __init__(self, policy: Policy, split: Split, at_ms: int, source: Source) -> None:
        self._policy, self._split, self._at = policy, split, at_ms
        self._left_closed = bool(source.left_closed)
        self._ended: tuple[int, str | None] | None = None
        self._asked = False
        self.env = simpy.Environment(at_ms)
        found = beginning(policy)
        stable = replace(found.revisions[0], id=STABLE, created_at=at_ms)
        services = tuple((role, STABLE) for role, _ in found.services)
        world = replace(found, at=at_ms, revisions=(stable,), stable=STABLE, services=services)
        session = Session(policy, start(policy, world), self._note)
        self.loop = Loop(self.env, session, self, self, after_tick=self._after_tick)
        self.loop.cluster = Cluster(
            self.env,
            lambda revision, ordinal: READY_MS,
            self.loop.pods_changed,
            min_ready_ms=policy.min_ready_ms,
        )
        self.loop.cluster.adopt(STABLE, policy.replicas)

    def play(self, until_ms: int) -> _Run:
        self.loop.hear(ReleaseAsked(self._at, CANARY))
        while self._ended is None and self.env.peek() <= until_ms:
            self.env.step()
        ended, reason = self._ended or (None, None)
        return _Run(self._at, ended, reason is not None, reason or "", self._split.pods)

    def set_service(self, role: Role, revision: str) -> None:
        if role is Role.ACTIVE and isinstance(self._policy.strategy, BlueGreen):
            self._turn(1.0 if revision == CANARY else 0.0)

    def set_weight(self, weight: int) -> bool | None:
        strategy = self._policy.strategy
        assert isinstance(strategy, Canary)
        assert strategy.routing is not None
        self._turn(weight / strategy.routing.max_weight)
        return True if strategy.routing.verifies else None

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        self._split.advance(at)
        provider = request.provider
        if isinstance(provider, PrometheusProvider):
            return 0, found_by(provider.query, self._split.store, at, left_closed=self._left_closed)
        if isinstance(provider, GatedCounts):
            return 0, count_arms(request, at, self._samples)
        return 0, MeasurementPhase.SUCCESSFUL

    def _samples(self, query: str, at: int) -> Matrix:
        answer = evaluate(query, self._split.store, at, left_closed=self._left_closed)
        assert isinstance(answer, Matrix)
        return answer

    def _turn(self, share: float) -> None:
        self._split.advance(self.loop.now)
        self._split.turn(self.loop.now, share)

    def _note(self, entry: Entry) -> None:
        for event in entry.events:
            match event:
                case Promoted(revision=revision) if revision == CANARY and self._ended is None:
                    self._ended = entry.seen.at, None
                case Aborted(message=message) if self._ended is None:
                    self._ended = entry.seen.at, message

    def _after_tick(self) -> None:
        strategy = self._policy.strategy
        if not isinstance(strategy, BlueGreen) and not (isinstance(strategy, Canary) and strategy.routing):
            ready = {name: pool.ready for name, pool in self.loop.cluster.pools.items()}
            self._turn(ready.get(CANARY, 0) / max(1, sum(ready.values())))
        session = self.loop.session
        if not self._asked and awaits_person(session.policy, session.state):
            self._asked = True
            self.loop.after(PERSON_MS, self._promote)

    def _promote(self) -> None:
        self._asked = False
        session = self.loop.session
        if self._ended is None and awaits_person(session.policy, session.state):
            self.loop.hear(promote(session.policy, session.state, self.loop.now, ACTOR))
