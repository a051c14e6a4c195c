"""One rollout in the simulated world: traffic, faults, pods, router, scrapes and people around the loop.

The world has two versions: `STABLE`, which has been running for long, and `NEW`, which is asked for at
time 0 of the scenario (`ORIGIN_MS` on the simulated clock, so that a trace reads like production).
"""

from __future__ import annotations

from collections.abc import Callable

import simpy

from rolloutsim.engine import (
    Aborted,
    Measure,
    MeasurementTaken,
    Outcome,
    Phase,
    PhaseChanged,
    Promoted,
    ReleaseAsked,
    Role,
    WeightSeen,
    abort,
    awaits_person,
    promote,
    promote_full,
    start,
)
from rolloutsim.policy.model import Canary, Policy, Recreate, RollingUpdate
from rolloutsim.session import Entry, Session
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE, beginning
from rolloutsim.sim.cluster import Cluster, DeploymentController
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.exposition import Pool
from rolloutsim.sim.faults import Moment, breakpoints, new_conditions, pods_never_ready, stable_conditions
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.metrics import Metrics
from rolloutsim.sim.operators import People
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.router import Router, routing_of
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.traffic import rate_rps
from rolloutsim.telemetry import PRESETS
from rolloutsim.trace import Truth

__all__ = ["NEW", "ORIGIN_MS", "STABLE", "World"]

POOLS = (Pool(0, STABLE, False), Pool(1, NEW, True), Pool(1, NEW, False))
"""The stable version; the new one by way of the canary Service; the new one by any other way."""
OPERATOR = "simulated operator"


class World:
    """One run. `play` plays it to the horizon; what happened is then in its attributes.

    ``latency``: somebody reads latency histograms, so they are drawn too; that changes no other draw.
    ``record`` receives every journal entry, ``truth`` every change of what really is; both may be None.
    """

    def __init__(
        self,
        policy: Policy,
        scenario: Scenario,
        seed: int,
        run: int,
        *,
        latency: bool = True,
        record: Callable[[Entry], object] | None = None,
        truth: Callable[[Truth], object] | None = None,
    ) -> None:
        self.policy = policy
        self.scenario = scenario
        self.metrics: Metrics
        self._record = record
        self._truth = truth
        self._draws = {name: stream(seed, run, name) for name in ("pods", "crash", "router", "people")}
        self._service, self._release = scenario.service, scenario.release
        self._never_ready = pods_never_ready(self._release, self._service)
        self.env = simpy.Environment(ORIGIN_MS)
        self.router = _router(policy, scenario)
        self._moves = 0
        self._moved_at = ORIGIN_MS
        self._looks = 0
        self._looked_at: tuple[int, int] | None = None
        self._conditions: tuple[Conditions, ...] = ()
        self._new_began: int | None = None
        self._set_up_loop()
        self._set_up_traffic(seed, run, latency)
        self.people = People(
            self._service.operators,
            self._draws["people"],
            self.loop.after,
            promote=self._promote,
            give_up=self._give_up,
        )
        self._asked = False
        self.peak_pods = policy.replicas
        self.extra_pod_ms = 0
        self._pods_since = ORIGIN_MS
        self._pods = policy.replicas
        self.onset: int | None = None
        self.mitigated: int | None = None
        self.exposed_until_over: float | None = None
        self.promoted: int | None = None
        self.aborted: tuple[int, str] | None = None
        self.gave_up: int | None = None
        self.degraded: tuple[int, str] | None = None
        self.measurements = 0

    # --- set-up -----------------------------------------------------------------------------------

    def _set_up_loop(self) -> None:
        policy = self.policy
        self.snapshot = beginning(policy)
        state = start(policy, self.snapshot)
        session = Session(policy, state, self._journal)
        self.loop = Loop(
            self.env, session, self, self, before_tick=self._refresh, after_tick=self._after_tick
        )
        self.loop.cluster = Cluster(
            self.env, self._pod_start, self._pods_changed, min_ready_ms=policy.min_ready_ms
        )
        self.loop.cluster.adopt(STABLE, policy.replicas)
        if isinstance(policy.strategy, RollingUpdate | Recreate):
            self.loop.deployment = DeploymentController(self.loop.cluster, policy.strategy, policy.replicas)

    def _set_up_traffic(self, seed: int, run: int, latency: bool) -> None:
        service = self._service
        telemetry = service.telemetry
        phase = telemetry.scrape_phase_ms
        if phase is None:
            phase = int(stream(seed, run, "scrape").uniform(0) * telemetry.scrape_interval_ms)
        preset = PRESETS[telemetry.preset]
        self.plane = DataPlane(
            service,
            seed,
            run,
            [pool.version for pool in POOLS],
            preset.bounds_s if latency else (),
            start_ms=-telemetry.history_ms,
            phase_ms=phase,
        )
        self.plane.change((Conditions(1.0, service.error_rate), Conditions(), Conditions()))
        self.metrics = Metrics(
            service,
            self._release,
            self.plane,
            POOLS,
            origin_ms=ORIGIN_MS,
            seed=seed,
            run=run,
            latency=latency,
        )
        self.metrics.advance(0)

    # --- the loop's ports -------------------------------------------------------------------------

    def set_service(self, role: Role, revision: str) -> None:
        def move() -> None:
            self.router.services[role] = revision
            self._look()

        self._move(move)

    def set_weight(self, weight: int) -> bool | None:
        strategy = self.policy.strategy
        verifies = isinstance(strategy, Canary) and strategy.routing is not None and strategy.routing.verifies

        def move() -> None:
            self.router.weight = weight
            if verifies:
                self.loop.hear(WeightSeen(self.loop.now, weight, True))
            self._look()

        self._move(move)
        return False if verifies else None

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        return self.metrics.measure(request, at)

    def _move(self, move: Callable[[], None]) -> None:
        """Let a change of the routes reach traffic after its delay, and not before an earlier one."""
        self._moves += 1
        wait_ms = self._draws["router"].delay_ms(self._service.cluster.router_delay, self._moves)
        self._moved_at = max(self._moved_at, self.loop.now + wait_ms)
        self.loop.after(self._moved_at - self.loop.now, move)

    def _pod_start(self, revision: str, ordinal: int) -> int | None:
        which = (STABLE, NEW).index(revision)
        if revision == NEW and self._draws["crash"].uniform(ordinal) < self._never_ready:
            return None
        return self._draws["pods"].delay_ms(self._service.cluster.pod_ready, ordinal, which)

    def _pods_changed(self, revision: str) -> None:
        if revision == NEW and self._new_began is None:
            self._new_began = self.loop.now - ORIGIN_MS
            self._arrange(breakpoints(self._release, self._new_began))
        self.loop.pods_changed(revision)

    def _arrange(self, times: list[int]) -> None:
        """Look at the world again at these times (ms from the release)."""
        now = self.loop.now - ORIGIN_MS
        for time in times:
            if time > now:
                self.loop.after(time - now, self._look)

    def _look(self) -> None:
        """Something moved: look at the whole world at the end of this instant."""
        self._looks += 1
        self.loop.wake(self.loop.now)

    # --- traffic and truth ------------------------------------------------------------------------

    def _refresh(self) -> None:
        """If anything moved, bring the data plane up to now, and let new conditions hold from now on."""
        cluster = self.loop.cluster
        moved = (cluster.changes, self._looks)
        if moved == self._looked_at:
            return
        self._looked_at = moved
        now = self.loop.now - ORIGIN_MS
        ready = {name: pool.ready for name, pool in cluster.pools.items()}
        stable, canary, new = self.router.shares(STABLE, NEW, ready)
        moment = Moment(now, self._new_began, canary + new, rate_rps(self._service.traffic, now))
        conditions = (
            stable_conditions(self._service, self._release, stable, moment),
            new_conditions(self._service, self._release, canary, moment),
            new_conditions(self._service, self._release, new, moment),
        )
        self._count_pods()
        alive = (ready.get(STABLE, 0) > 0, ready.get(NEW, 0) > 0)
        if conditions == self._conditions and not self.metrics.alive_differs(alive):
            return
        self.metrics.advance(now)
        self._conditions = conditions
        self.plane.change(conditions)
        self.metrics.alive(alive)
        self._look_for_harm(now, stable, canary + new)
        if self._truth is not None:
            self._tell_truth(conditions, moment.rate_rps)

    def _look_for_harm(self, now: int, stable: float, new: float) -> None:
        bad = self.plane.bad_rates(now)
        worse, nowhere = float(bad[1] - bad[0]), max(0.0, 1.0 - stable - new)
        self.people.see(new * worse + nowhere * (1.0 - float(bad[0])))
        touched = new > 0.0 and (worse > 0.0 or self._conditions[1].wrong_rate > 0.0)
        if self.onset is None and (touched or nowhere > 0.0):
            self.onset = self.loop.now
        decided = self.aborted is not None or self.gave_up is not None
        if decided and self.mitigated is None and new == 0.0:
            self.mitigated = self.loop.now
            self._rollout_over()

    def _rollout_over(self) -> None:
        """Nothing that happens from now on counts as exposure."""
        self._catch_up()
        if self.exposed_until_over is None:
            self.exposed_until_over = float(self.plane.exposed[1:].sum())

    def _count_pods(self) -> None:
        now, pods = self.loop.now, self.loop.cluster.total()
        self.extra_pod_ms += max(0, self._pods - self.policy.replicas) * (now - self._pods_since)
        self._pods_since, self._pods = now, pods
        self.peak_pods = max(self.peak_pods, pods)

    def _tell_truth(self, conditions: tuple[Conditions, ...], rate: float) -> None:
        assert self._truth is not None
        shares = (conditions[0].share, conditions[1].share + conditions[2].share)
        for revision, share, c in zip((STABLE, NEW), shares, conditions, strict=False):
            pool = self.loop.cluster.pools.get(revision)
            self._truth(
                Truth(
                    at=self.loop.now,
                    revision=revision,
                    share=share,
                    rate_rps=rate,
                    error_rate=c.error_rate,
                    latency_median_s=self._service.latency.median_s * c.latency_factor,
                    pods=len(pool.pods) if pool else 0,
                )
            )

    # --- journal and people -----------------------------------------------------------------------

    def _journal(self, entry: Entry) -> None:
        for event in entry.events:
            match event:
                case Promoted(revision=revision) if revision == NEW and self.promoted is None:
                    self.promoted = self.loop.now
                    if self._release.healthy:
                        self._rollout_over()
                case Aborted(message=message) if self.aborted is None:
                    self.aborted = (self.loop.now, message)
                case PhaseChanged(phase=Phase.DEGRADED, message=message) if self.degraded is None:
                    self.degraded = (self.loop.now, message)
        self.measurements += sum(type(event) is MeasurementTaken for event in entry.events)
        if self._record is not None:
            self._record(entry)

    def _catch_up(self) -> None:
        self.metrics.advance(self.loop.now - ORIGIN_MS)

    def _after_tick(self) -> None:
        self._refresh()
        session = self.loop.session
        waits = awaits_person(session.policy, session.state)
        if waits and not self._asked:
            self.people.asked(lambda: awaits_person(session.policy, session.state))
        self._asked = waits
        if self._truth is None and (self.promoted is not None or self.aborted is not None):
            self.metrics.nobody_will_ask()

    def _promote(self) -> None:
        self._asked = False
        session = self.loop.session
        self.loop.hear(promote(session.policy, session.state, self.loop.now, OPERATOR))

    def _give_up(self) -> None:
        """Abort what is in progress; roll back what was promoted."""
        if self.gave_up is not None or self.aborted is not None:
            return
        self.gave_up = self.loop.now
        session, now = self.loop.session, self.loop.now
        if self.promoted is None:
            self.loop.hear(abort(session.policy, session.state, now, OPERATOR))
        else:
            self.loop.hear(ReleaseAsked(now, STABLE))
            self.loop.after(1, self._skip_the_steps)

    def _skip_the_steps(self) -> None:
        session = self.loop.session
        self.loop.hear(promote_full(session.policy, session.state, self.loop.now, OPERATOR))

    # --- play -------------------------------------------------------------------------------------

    def play(self) -> None:
        """Ask for the release and play to the horizon."""
        horizon = ORIGIN_MS + self._service.horizon_ms
        self._arrange(breakpoints(self._release, None))
        self._watch_the_load()
        self.loop.hear(ReleaseAsked(ORIGIN_MS, NEW))
        self.env.run(until=horizon)
        self._count_pods()
        self._catch_up()

    def _watch_the_load(self) -> None:
        """Faults that depend on the load are looked at every minute."""
        if any(fault.above_rps > 0.0 for fault in self._release.faults):
            self._arrange(list(range(60_000, self._service.horizon_ms, 60_000)))


def _router(policy: Policy, scenario: Scenario) -> Router:
    strategy = policy.strategy
    routing = strategy.routing if isinstance(strategy, Canary) else None
    router = Router(
        routing_of(strategy),
        max_weight=routing.max_weight if routing else 100,
        granularity=scenario.service.cluster.weight_granularity,
    )
    router.services = dict.fromkeys(Role, STABLE)
    return router
