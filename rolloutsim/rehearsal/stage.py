"""The world of a test: the simulated cluster and loop without chance, and a router that moves at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import simpy

from rolloutsim.engine import (
    Measure,
    Outcome,
    Phase,
    ReleaseAsked,
    Role,
    State,
    StatusPatched,
    abort,
    pause,
    promote,
    promote_full,
    resume,
    retry,
    skip_all_steps,
    skip_step,
    start,
)
from rolloutsim.engine.counting import count_arms
from rolloutsim.policy.model import Canary, GatedCounts, Policy, PrometheusProvider, Recreate, RollingUpdate
from rolloutsim.promql import Matrix, SeriesStore, evaluate
from rolloutsim.rehearsal.answers import metrics_of
from rolloutsim.rehearsal.case import NEW, STABLE, Case, Command, Deed, End
from rolloutsim.rehearsal.story import Happening, Moment, Story
from rolloutsim.session import Entry, Session
from rolloutsim.sim.answer import found_by
from rolloutsim.sim.beginning import ORIGIN_MS, beginning
from rolloutsim.sim.cluster import Cluster, DeploymentController
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.router import Router, Routing, routing_of

__all__ = ["ORIGIN_MS", "play"]

ACTOR = "test"

Patch = Callable[[Policy, State, int, str], StatusPatched]
DEEDS: Mapping[Deed, Patch] = {
    Deed.PROMOTE: promote,
    Deed.PROMOTE_FULL: promote_full,
    Deed.SKIP_STEP: skip_step,
    Deed.SKIP_ALL_STEPS: skip_all_steps,
    Deed.PAUSE: pause,
    Deed.RESUME: resume,
    Deed.ABORT: abort,
    Deed.RETRY: retry,
}


def play(case: Case) -> Story:
    """Play a test to its end."""
    stage = _Stage(case)
    stage.play()
    return stage.story


class _Stage:
    def __init__(self, case: Case) -> None:
        self.case = case
        policy = case.policy
        self.story = Story(metrics_of(policy))
        self.newest = NEW
        strategy = policy.strategy
        routing = strategy.routing if isinstance(strategy, Canary) else None
        self.router = Router(routing_of(strategy), max_weight=routing.max_weight if routing else 100)
        self.router.services = dict.fromkeys(Role, STABLE)
        self.verifies = True if routing is not None and routing.verifies else None
        self.store = _store(case)
        self.taken: Counter[str] = Counter()
        self.env = simpy.Environment(ORIGIN_MS)
        session = Session(policy, start(policy, beginning(policy)), self._record)
        self.loop = Loop(self.env, session, self, self, after_tick=self._look)
        self.loop.cluster = Cluster(
            self.env, self._pod_start, self.loop.pods_changed, min_ready_ms=policy.min_ready_ms
        )
        self.loop.cluster.adopt(STABLE, policy.replicas)
        if isinstance(strategy, RollingUpdate | Recreate):
            self.loop.deployment = DeploymentController(self.loop.cluster, strategy, policy.replicas)

    def play(self) -> None:
        self._look()
        self.loop.hear(ReleaseAsked(ORIGIN_MS, NEW, self.case.fields))
        for command in self.case.commands:
            self._arrange(command)
        # what happens at the very end belongs to the test
        self.env.run(until=ORIGIN_MS + self.case.until_ms + 1)
        self.story.end = self._end()

    @property
    def _since(self) -> int:
        return self.loop.now - ORIGIN_MS

    # --- people -----------------------------------------------------------------------------------

    def _arrange(self, command: Command) -> None:
        self.loop.after(command.at_ms, lambda: self._do(command))

    def _do(self, command: Command) -> None:
        self.story.happenings.append(Happening(self._since, command))
        session, now = self.loop.session, self.loop.now
        if command.do is Deed.RELEASE:
            self.newest = command.revision
            self.loop.hear(ReleaseAsked(now, command.revision, self.case.fields))
        else:
            self.loop.hear(DEEDS[command.do](session.policy, session.state, now, ACTOR))

    # --- the loop's ports -------------------------------------------------------------------------

    def set_service(self, role: Role, revision: str) -> None:
        self.router.services[role] = revision

    def set_weight(self, weight: int) -> bool | None:
        self.router.weight = weight
        return self.verifies

    def _pod_start(self, revision: str, ordinal: int) -> int | None:
        return 0 if revision == STABLE else self.case.ready_after_ms

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome] | None:
        given = self.case.measurements.get(request.metric)
        if given is None:
            return 0, self._query(request, at)
        outcome = given[min(self.taken[request.metric], len(given) - 1)]
        self.taken[request.metric] += 1
        return None if outcome is None else (0, outcome)

    def _query(self, request: Measure, at: int) -> Outcome:
        if isinstance(request.provider, GatedCounts):
            return count_arms(request, at, self._samples)
        assert isinstance(request.provider, PrometheusProvider)
        return found_by(request.provider.query, self.store, at)

    def _samples(self, query: str, at: int) -> Matrix:
        answer = evaluate(query, self.store, at)
        assert isinstance(answer, Matrix)
        return answer

    # --- what happens -----------------------------------------------------------------------------

    def _record(self, entry: Entry) -> None:
        self.story.happenings += [Happening(self._since, event) for event in entry.events]

    def _look(self) -> None:
        status = self.loop.session.state.status
        pool = self.loop.cluster.pools.get(self.newest)
        moment = Moment(
            self._since,
            100.0 * self._share(),
            status.phase,
            status.message,
            status.step_index,
            pool.available if pool else 0,
        )
        moments = self.story.moments
        if moments and moments[-1].at_ms == moment.at_ms:
            moments.pop()
        moments.append(moment)

    def _share(self) -> float:
        """Share of the requests that the newest version gets."""
        router, new = self.router, self.newest
        if router.routing is Routing.PODS:
            pods = {name: pool.available for name, pool in self.loop.cluster.pools.items()}
            return pods.get(new, 0) / max(1, sum(pods.values()))
        if router.routing is Routing.SELECTOR:
            return float(router.services[Role.ACTIVE] == new)
        weight = router.weight / router.max_weight
        shares = ((Role.CANARY, weight), (Role.STABLE, 1.0 - weight))
        return sum(share for role, share in shares if router.services[role] == new)

    def _end(self) -> End:
        status = self.loop.session.state.status
        if status.stable == self.newest:
            return End.PROMOTED
        if status.abort:
            return End.ABORTED
        ends = {Phase.PAUSED: End.PAUSED, Phase.DEGRADED: End.DEGRADED}
        return End.PROGRESSING if status.phase is None else ends.get(status.phase, End.PROGRESSING)


def _store(case: Case) -> SeriesStore:
    samples = []
    for series in case.series:
        first = ORIGIN_MS + series.start_ms
        present = [
            (first + index * series.interval_ms, value)
            for index, value in enumerate(series.values)
            if value is not None
        ]
        times, values = [time for time, _ in present], [value for _, value in present]
        samples.append((dict(series.labels), times, values))
    return SeriesStore.from_series(samples)
