"""One rollout in the simulated world: traffic, faults, pods, router, scrapes and people around the loop.

The world has two versions: `STABLE`, which has been running for long, and `NEW`, which is asked for at
time 0 of the scenario (`ORIGIN_MS` on the simulated clock, so that a trace reads like production).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import simpy
from numpy.typing import NDArray

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
    approvers_needed,
    awaits_person,
    promote,
    promote_full,
    start,
)
from rolloutsim.policy.experiment_step import steps_beside
from rolloutsim.policy.model import Canary, Policy, Recreate, RollingUpdate
from rolloutsim.session import Entry, Session
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE, beginning
from rolloutsim.sim.beside import Beside
from rolloutsim.sim.cluster import Cluster, DeploymentController
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.exposition import Pool
from rolloutsim.sim.faults import (
    Moment,
    as_readiness_sees,
    breakpoints,
    crash_times,
    demand,
    new_conditions,
    pods_never_ready,
    stable_conditions,
    strained,
)
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.metrics import Metrics
from rolloutsim.sim.operators import People
from rolloutsim.sim.pod_start import PodStarts
from rolloutsim.sim.probes import Probes
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.requests.model import Fidelity
from rolloutsim.sim.requests.need import fidelity_of
from rolloutsim.sim.router import Router, routing_of
from rolloutsim.sim.scaling import Scaling
from rolloutsim.sim.scenario import FaultKind, Scenario
from rolloutsim.sim.sessions import StickyShare
from rolloutsim.sim.toll import Sight, Toll
from rolloutsim.sim.traffic import rate_rps
from rolloutsim.telemetry import PRESETS
from rolloutsim.trace import Truth

__all__ = ["NEW", "ORIGIN_MS", "STABLE", "World"]

POOLS = (Pool(0, STABLE, False), Pool(1, NEW, True), Pool(1, NEW, False))
"""The stable version; the new one by way of the canary Service; the new one by any other way."""
OPERATOR = "simulated operator"
PIECE_MS = 600_000
"""A run whose requests are played is played in pieces of this length, so that somebody can look on."""
Floats = NDArray[np.float64]
NO_PODS: Mapping[str, int] = MappingProxyType({})
NOWHERE = 1e-9
"""A share that finds no pod counts above this: below, it is rounding."""
STREAMS = ("pods", "crash", "router", "people", "readiness", "endpoints")


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
        self._draws = {name: stream(seed, run, name) for name in STREAMS}
        self._service = scenario.service
        self._release = as_readiness_sees(
            scenario.release, scenario.service, self._draws["readiness"].uniform
        )
        self._never_ready = pods_never_ready(self._release, self._service)
        self.router = _router(policy, scenario)
        self._beside = Beside(
            policy, self._service, self._release, len(POOLS), lambda: self.router, self._move
        )
        self._by_hash = _by_hash(policy)
        self._subsets = STABLE, STABLE
        self._moves = 0
        self._moved_at = ORIGIN_MS
        self._looks = 0
        self._looked_at: tuple[int, int] | None = None
        self._conditions: tuple[Conditions, ...] = ()
        self._shares = self._all_shares = (1.0, 0.0)
        self._pods_seen: tuple[tuple[tuple[int, ...], int], ...] = ()
        self._new_began: int | None = None
        self.env = simpy.Environment(ORIGIN_MS)
        self._set_up_loop()
        self._set_up_hard_cases()
        self._set_up_traffic(seed, run, latency)
        self.people = People(
            self._service.operators,
            self._draws["people"],
            self.loop.after,
            promote=self._promote,
            give_up=self._give_up,
            now=lambda: self.loop.now - ORIGIN_MS,
        )
        self._asked = False
        self.peak_pods = policy.replicas
        self.extra_pod_ms = 0
        self._pods_since = ORIGIN_MS
        self._pods = policy.replicas
        self.onset: int | None = None
        self.mitigated: int | None = None
        self.restored: int | None = None
        self.exposed_until_over: float | None = None
        self.over_ms: int | None = None
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
            self.env,
            session,
            self,
            self,
            extras=self._beside,
            before_tick=self._refresh,
            after_tick=self._after_tick,
        )
        model = self._service.cluster
        self.loop.cluster = Cluster(
            self.env,
            self._pod_start,
            self._pods_changed,
            min_ready_ms=policy.min_ready_ms,
            drain=model.drain,
            controller=model.controller,
            linger=self._linger,
            ending=self._pods_end,
        )
        self.loop.cluster.adopt(STABLE, policy.replicas)
        if isinstance(policy.strategy, RollingUpdate | Recreate):
            self.loop.deployment = DeploymentController(
                self.loop.cluster,
                policy.strategy,
                policy.replicas,
                sync_ms=model.controller.sync_ms if model.controller else 0,
                after=self.loop.after,
            )

    def _set_up_hard_cases(self) -> None:
        """What a scenario asks for beyond requests, pods and weights; without it nothing is done."""
        service = self._service
        model = service.cluster
        self.toll = Toll(service, self._release, self.loop.after, self._look)
        self._tolls = bool(
            self.toll.connections or self.toll.schema or self.toll.sessions or model.pod_capacity_rps
        )
        self._sticky = StickyShare(service.sessions)
        self._starts = PodStarts(model, self._draws["pods"])
        self._scaling = Scaling(
            service,
            self._release,
            self.policy.replicas,
            self.loop,
            self.router,
            lambda: self._shares,
            self._count_pods,
        )
        self._probes: Probes | None = None
        if model.probe is not None and model.probe.coupling > 0.0:
            self._probes = Probes(model.probe, self._release, self.loop, self._draws["readiness"])
            self._probes.begin()

    def _set_up_traffic(self, seed: int, run: int, latency: bool) -> None:
        service = self._service
        telemetry = service.telemetry
        phase = telemetry.scrape_phase_ms
        if phase is None:
            phase = int(stream(seed, run, "scrape").uniform(0) * telemetry.scrape_interval_ms)
        preset = PRESETS[telemetry.preset]
        pools = POOLS + self._beside.pools
        versions = [pool.version for pool in pools]
        bounds_s = preset.bounds_s if latency else ()
        start_ms = -telemetry.history_ms
        beside = bool(steps_beside(self.policy))
        self.fidelity, _ = fidelity_of(self.scenario, self.policy.replicas, beside=beside)
        self._played: RequestDataPlane | None = None
        if self.fidelity is Fidelity.REQUEST:
            self._played = RequestDataPlane(
                service,
                seed,
                run,
                versions,
                bounds_s,
                start_ms=start_ms,
                phase_ms=phase,
                by_router=preset.by_router,
                demand=demand(self._release),
            )
            self._played.set_pods(0, range(self.policy.replicas))
        self.plane = self._played or DataPlane(
            service,
            seed,
            run,
            versions,
            bounds_s,
            start_ms=start_ms,
            phase_ms=phase,
            copies=self._beside.copies,
        )
        self.plane.change((Conditions(1.0, service.error_rate), *(Conditions(),) * (len(pools) - 1)))
        self.metrics = Metrics(
            service,
            self._release,
            self.plane,
            pools,
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

        self._move(move)

    def set_weight(self, weight: int) -> bool | None:
        strategy = self.policy.strategy
        verifies = isinstance(strategy, Canary) and strategy.routing is not None and strategy.routing.verifies

        def move() -> None:
            self.router.weight = weight
            if verifies:
                additional = tuple(self.router.additional.items())
                self.loop.hear(WeightSeen(self.loop.now, weight, True, additional))

        self._move(move)
        return False if verifies else None

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        return self.metrics.measure(request, at)

    def _move(self, move: Callable[[], None]) -> None:
        """Let a change of the routes reach traffic after its delay, and not before an earlier one."""
        self._moves += 1
        wait_ms = self._draws["router"].delay_ms(self._service.cluster.router_delay, self._moves)
        self._moved_at = max(self._moved_at, self.loop.now + wait_ms)

        def moved() -> None:
            move()
            self._look()

        self.loop.after(self._moved_at - self.loop.now, moved)

    def _pod_start(self, revision: str, ordinal: int) -> int | None:
        which, lane = self._beside.version(revision), self._beside.lane(revision)
        if which and self._draws["crash"].uniform(ordinal, lane) < self._never_ready:
            return None
        wait_ms = self._starts.ready_ms(ordinal, which, lane)
        if which and self.toll.schema is not None:
            wait_ms += self.toll.schema.wait_ms(self.loop.now - ORIGIN_MS)
        return wait_ms

    def _linger(self, deletion: int) -> int:
        """How long routers send requests to pods that are deleted now."""
        drain = self._service.cluster.drain
        return self._draws["endpoints"].delay_ms(drain.endpoints, deletion) if drain else 0

    def _pods_end(self, revision: str, gone: int, before: int) -> None:
        now = self.loop.now - ORIGIN_MS
        if revision not in (STABLE, NEW):
            return  # an experiment's pods: too few requests for what is in flight to count
        which = (STABLE, NEW).index(revision)
        self.toll.deleted(now, which, gone, before, rate_rps(self._service.traffic, now))

    def _pods_changed(self, revision: str) -> None:
        if revision == NEW and self._new_began is None:
            self._new_began = self.loop.now - ORIGIN_MS
            self._arrange(breakpoints(self._release, self._new_began))
            for time in crash_times(self._release, self._new_began, self._service.horizon_ms):
                self.loop.after(time - self._new_began, self._crash)
        elif revision not in (STABLE, NEW):
            self._template_pods(revision)
        self.loop.pods_changed(revision)

    def _template_pods(self, revision: str) -> None:
        """The faults of an experiment's pods count from their own first one."""
        now = self.loop.now - ORIGIN_MS
        if self._beside.began(revision, now):
            self._arrange(breakpoints(self._release, now))
            for time in crash_times(self._release, now, self._service.horizon_ms):
                self.loop.after(time - now, lambda: self._crash(revision))

    def _crash(self, revision: str = NEW) -> None:
        """All pods of a revision with the new spec crash, start again, and count from zero."""
        pool = self.loop.cluster.pools.get(revision)
        if pool is not None and pool.ready:
            self.metrics.restart(self.loop.now - ORIGIN_MS, self._beside.counted_as(revision))
            self.loop.cluster.restart(revision)

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
        serving, refusing = ready, NO_PODS
        if cluster.lingers:
            serving = {name: pool.serving for name, pool in cluster.pools.items()}
            refusing = {name: pool.refusing for name, pool in cluster.pools.items()}
            weights = self.router.shares(STABLE, NEW, serving, refusing)
        else:
            weights = self.router.shares(STABLE, NEW, ready)
        beside = self._beside.shares(self.router, serving, refusing)
        stable, canary, new = weights
        if self._sticky.matters:
            stable, canary, new = self._sticky.shares(now, weights)
        self._shares = (stable, canary + new)
        reached = canary + new + beside.copied
        rate = rate_rps(self._service.traffic, now)
        moment = Moment(now, self._new_began, reached + beside.new, rate)
        conditions: tuple[Conditions, ...] = (
            stable_conditions(self._service, self._release, stable, moment),
            new_conditions(self._service, self._release, canary, moment),
            new_conditions(self._service, self._release, new, moment),
        )
        usual = conditions[0]
        broken = self.toll.schema.broken if self.toll.schema is not None else (0.0, 0.0)
        if self._tolls:
            capacity = self._service.cluster.pod_capacity_rps
            pods = (serving.get(STABLE, 0), serving.get(NEW, 0))
            load = (moment.rate_rps * stable, moment.rate_rps * reached * demand(self._release))
            conditions = strained(conditions, broken, load, pods, capacity)
        if self._beside.pools:
            conditions += self._beside.conditions(beside, conditions[1], moment, serving, broken)
        self._count_pods()
        alive = (ready.get(STABLE, 0) > 0, ready.get(NEW, 0) > 0, *self._beside.alive(ready))
        pods_moved = self._played is not None and self._pods_moved()
        if conditions == self._conditions and not pods_moved and not self.metrics.alive_differs(alive):
            return
        self.metrics.advance(now)
        if self._played is not None:
            for version, (ordinals, lingering) in enumerate(self._pods_seen):
                self._played.set_pods(version, ordinals, lingering)
        self._conditions = conditions
        self.plane.change(conditions)
        self.metrics.alive(alive)
        extra = max(0.0, conditions[0].error_rate - usual.error_rate)
        bad = self.plane.bad_rates(now)
        bads = float(bad[0]), float(bad[1])
        if beside.new:
            bads = bads[0], self._beside.mean_bad(beside, bad, canary + new)
        self._all_shares = (stable + beside.stable, canary + new + beside.new)
        self._look_for_harm(bads, *self._all_shares, extra)
        weight = weights[1] + weights[2] + beside.new
        self._see_toll(now, bads, weight, extra, (ready.get(STABLE, 0), ready.get(NEW, 0)))
        if self._truth is not None:
            self._tell_truth(conditions, moment.rate_rps)

    def _pods_moved(self) -> bool:
        """Whether other pods are there than when this was last asked; `_pods_seen` are those that are."""
        pools = [self.loop.cluster.pools.get(revision) for revision in (STABLE, NEW)]
        seen = tuple(
            (tuple(pod.ordinal for pod in pool.pods if pod.ready), pool.lingering) if pool else ((), 0)
            for pool in pools
        )
        moved = seen != self._pods_seen
        self._pods_seen = seen
        return moved

    def _see_toll(
        self, now: int, bad: tuple[float, float], weight: float, extra: float, pods: tuple[int, int]
    ) -> None:
        wrong = self._beside.wrong_rate(self._conditions)
        bads = (bad[0], 1.0 - (1.0 - bad[1]) * (1.0 - wrong))
        paces = (self._conditions[0].paces, self._conditions[1].paces)
        self.toll.see(Sight(now, self._all_shares, weight, bads, bad[0] - extra, pods, paces))

    def _look_for_harm(self, bad: tuple[float, float], stable: float, new: float, extra: float) -> None:
        worse, nowhere = bad[1] - bad[0], max(0.0, 1.0 - stable - new)
        self.people.see(new * worse + nowhere * (1.0 - bad[0]) + extra)
        touched = (
            new > 0.0 and (worse > 0.0 or self._beside.wrong_rate(self._conditions) > 0.0)
        ) or extra > 0.0
        if self.onset is None and (touched or nowhere > 0.0):
            self.onset = self.loop.now
        decided = self.aborted is not None or self.gave_up is not None
        if decided and self.restored is None and new == extra == 0.0 and nowhere <= NOWHERE:
            self.restored = self.loop.now
        if decided and self.mitigated is None and new == 0.0:
            self.mitigated = self.loop.now
            self._rollout_over()

    def _rollout_over(self) -> None:
        """Nothing that happens from now on counts as exposure."""
        self._catch_up()
        if self.exposed_until_over is None:
            self.over_ms = self.loop.now
            self.exposed_until_over = self.exposed()

    def exposed(self) -> float:
        """Requests that reached pods of the new version so far, also in an experiment."""
        per_pool = self.plane.exposed
        return float(per_pool[1 : len(POOLS)].sum()) + self._beside.exposed(per_pool)

    @property
    def load_most(self) -> float:
        """The most work offered to a version's pods, as a multiple of what they can do; 0: not looked at."""
        return 0.0 if self._played is None else self._played.offered_most

    def _count_pods(self) -> None:
        now, pods = self.loop.now, self.loop.cluster.total()
        self.extra_pod_ms += max(0, self._pods - self._scaling.wanted) * (now - self._pods_since)
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
        latency_s = self._service.latency.median_s
        for told in self._beside.truths(conditions, self.loop, rate, latency_s):
            self._truth(told)

    # --- journal and people -----------------------------------------------------------------------

    def _journal(self, entry: Entry) -> None:
        for event in entry.events:
            match event:
                case Promoted(revision=revision) if revision == NEW and self.promoted is None:
                    self.promoted = self.loop.now
                    if self.toll.schema is not None:
                        self.toll.schema.promoted(self.loop.now - ORIGIN_MS)
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

    def _move_subsets(self, strategy: Canary) -> None:
        """Where no Service is named the router selects pods by hash, as Istio's DestinationRule does."""
        state = self.loop.session.state
        stable, canary = subsets = state.status.stable or STABLE, state.facts.asked or STABLE
        if subsets == self._subsets:
            return
        self._subsets = subsets

        def move() -> None:
            if not strategy.stable_service:
                self.router.services[Role.STABLE] = stable
            if not strategy.canary_service:
                self.router.services[Role.CANARY] = canary

        self._move(move)

    def _after_tick(self) -> None:
        if self._by_hash is not None:
            self._move_subsets(self._by_hash)
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
        patch = promote(session.policy, session.state, self.loop.now, OPERATOR)
        approvers = approvers_needed(session.policy, session.state, patch)
        if approvers:  # whoever a gate names is who is asked
            patch = replace(patch, actor=min(approvers))
        self.loop.hear(patch)

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

    def play(self, progress: Callable[[int, int], object] | None = None) -> None:
        """Ask for the release and play to the horizon; ``progress`` hears of (minutes played, in all)."""
        horizon = ORIGIN_MS + self._service.horizon_ms
        self._arrange(breakpoints(self._release, None))
        self._watch_the_load()
        self.loop.hear(ReleaseAsked(ORIGIN_MS, NEW))
        while self._played is not None and self.env.now + PIECE_MS < horizon:
            self.env.run(until=int(self.env.now) + PIECE_MS)
            self._catch_up()
            if progress is not None:
                progress((int(self.env.now) - ORIGIN_MS) // 60_000, self._service.horizon_ms // 60_000)
        self.env.run(until=horizon)
        self._count_pods()
        self._catch_up()
        self.toll.close(self._service.horizon_ms)

    def _watch_the_load(self) -> None:
        """What depends on the load, or changes by itself, is looked at from time to time."""
        limited = self._service.cluster.pod_capacity_rps is not None
        if limited or any(fault.above_rps > 0.0 for fault in self._release.faults):
            self._arrange(list(range(60_000, self._service.horizon_ms, 60_000)))
        if self._sticky.matters:
            self._arrange(list(range(0, self._service.horizon_ms, self._sticky.step_ms)))
        if any(fault.kind is FaultKind.COLD_START for fault in self._release.faults):
            self._arrange(list(range(0, self._service.horizon_ms, 15_000)))


def _by_hash(policy: Policy) -> Canary | None:
    """The strategy, if its router lacks a Service for one of the versions."""
    strategy = policy.strategy
    if not isinstance(strategy, Canary) or strategy.routing is None or strategy.ping_pong is not None:
        return None
    return None if strategy.stable_service and strategy.canary_service else strategy


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
