"""One rollout in the simulated world: traffic, faults, pods, router, scrapes and people around the loop.

The world has two versions: `STABLE`, which has been running for long, and `NEW`, which is asked for at
time 0 of the scenario (`ORIGIN_MS` on the simulated clock, so that a trace reads like production).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

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
    abort,
    approvers_needed,
    awaits_person,
    promote,
    promote_full,
    start,
)
from rolloutsim.policy.experiment_step import steps_beside
from rolloutsim.policy.model import Policy, Recreate, RollingUpdate
from rolloutsim.session import Entry, Session
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE, beginning
from rolloutsim.sim.beside import Beside
from rolloutsim.sim.cluster import Cluster, DeploymentController
from rolloutsim.sim.dataplane import Conditions
from rolloutsim.sim.exposition import Pool
from rolloutsim.sim.faults import as_readiness_sees, breakpoints
from rolloutsim.sim.flow import Flow, FlowModel, truths
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.metrics import Metrics
from rolloutsim.sim.operators import People
from rolloutsim.sim.planes import Plane, PodsOfVersions, plane, pods_of
from rolloutsim.sim.pod_life import PodLife
from rolloutsim.sim.probes import Probes
from rolloutsim.sim.randomness import Stream, stream
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.requests.need import fidelity_of
from rolloutsim.sim.routes import Routes
from rolloutsim.sim.scaling import Scaling
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.sessions import StickyShare
from rolloutsim.sim.tally import Tally
from rolloutsim.sim.toll import Sight, Toll
from rolloutsim.trace import Truth

__all__ = ["NEW", "ORIGIN_MS", "STABLE", "World"]

POOLS = (Pool(0, STABLE, False), Pool(1, NEW, True), Pool(1, NEW, False))
"""The stable version; the new one by way of the canary Service; the new one by any other way."""
OPERATOR = "simulated operator"
PIECE_MS = 600_000
"""A run whose requests are played is played in pieces of this length, so that somebody can look on."""
NOWHERE = 1e-9
"""A share that finds no pod counts above this: below, it is rounding."""
STREAMS = ("pods", "crash", "router", "people", "readiness", "endpoints")


class World:
    """One run. `play` plays it to the horizon; ``tally`` and ``toll`` then say what happened, and its cost.

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
        self.plane: Plane
        self._record = record
        self._truth = truth
        self._draws = self._streams(seed, run)
        self._service = scenario.service
        self._release = as_readiness_sees(
            scenario.release, scenario.service, self._draws["readiness"].uniform
        )
        self.env = simpy.Environment(ORIGIN_MS)
        self.tally = Tally(policy.replicas)
        self.routes = Routes(policy, self._service, self._draws["router"], self._look)
        self._beside = Beside(policy, self._service, self._release, len(POOLS), self.routes)
        self.pods = PodLife(self._service, self._release, self._draws, self._beside, self._arrange)
        self._looks = 0
        self._looked_at: tuple[int, int] | None = None
        self._conditions: tuple[Conditions, ...] = ()
        self._shares = self._all_shares = (1.0, 0.0)
        self._pods_seen: PodsOfVersions = ()
        self._asked = False
        self._set_up_loop()
        self.routes.loop = self.pods.loop = self.loop
        self._set_up_hard_cases()
        self._set_up_traffic(seed, run, latency)
        self.pods.metrics = self.metrics
        self.people = People(
            self._service.operators,
            self._draws["people"],
            self.loop.after,
            promote=self._promote,
            give_up=self._give_up,
            now=lambda: self.loop.now - ORIGIN_MS,
        )

    # --- set-up -----------------------------------------------------------------------------------

    def _streams(self, seed: int, run: int) -> dict[str, Stream]:
        """The draws of all that is no request."""
        return {name: stream(seed, run, name) for name in STREAMS}

    def _set_up_loop(self) -> None:
        policy = self.policy
        self.snapshot = beginning(policy)
        self.loop = Loop(
            self.env,
            Session(policy, start(policy, self.snapshot), self._journal),
            self.routes,
            self,
            extras=self._beside,
            before_tick=self._refresh,
            after_tick=self._after_tick,
        )
        model = self._service.cluster
        self.loop.cluster = Cluster(
            self.env,
            self.pods.start_ms,
            self.pods.change,
            min_ready_ms=policy.min_ready_ms,
            drain=model.drain,
            controller=model.controller,
            linger=self.pods.linger_ms,
            ending=self.pods.end,
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
        service, release = self._service, self._release
        probe = service.cluster.probe
        self.toll = self.pods.toll = Toll(service, release, self.loop.after, self._look)
        sticky = StickyShare(service.sessions)
        self._flows = FlowModel(service, release, self.routes, self.pods, self._beside, self.toll, sticky)
        self._scaling = Scaling(
            service,
            release,
            self.policy.replicas,
            self.loop,
            self.routes.router,
            lambda: self._shares,
            self._count_pods,
        )
        if probe is not None and probe.coupling > 0.0:
            Probes(probe, release, self.loop, self._draws["readiness"]).begin()

    def _set_up_traffic(self, seed: int, run: int, latency: bool) -> None:
        policy, service = self.policy, self._service
        beside = bool(steps_beside(policy))
        self.fidelity, _ = fidelity_of(self.scenario, policy.replicas, beside=beside)
        pools = POOLS + self._beside.pools
        self.plane = plane(
            self.fidelity,
            service,
            self._release,
            pools,
            seed,
            run,
            latency=latency,
            replicas=policy.replicas,
            copies=self._beside.copies,
        )
        self._played = self.plane if isinstance(self.plane, RequestDataPlane) else None
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

    # --- what the loop asks for -------------------------------------------------------------------

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        """Take a measurement, as an `Instrument`."""
        return self.metrics.measure(request, at)

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
        moved = (self.loop.cluster.changes, self._looks)
        if moved == self._looked_at:
            return
        self._looked_at = moved
        now = self.loop.now - ORIGIN_MS
        flow = self._flows.at(now)
        self._shares = (flow.stable, flow.new)
        self._count_pods()
        pods_moved = self._played is not None and self._pods_moved()
        as_before = flow.conditions == self._conditions and not self.metrics.alive_differs(flow.alive)
        if as_before and not pods_moved:
            return
        self.metrics.advance(now)
        if self._played is not None:
            for version, (ordinals, lingering) in enumerate(self._pods_seen):
                self._played.set_pods(version, ordinals, lingering)
        self._conditions = flow.conditions
        self.plane.change(flow.conditions)
        self.metrics.alive(flow.alive)
        self._all_shares = (flow.stable + flow.beside.stable, flow.new + flow.beside.new)
        self._see(flow, now)
        if self._truth is not None:
            for told in truths(flow, self._service.latency, self._beside, self.loop):
                self._truth(told)

    def _pods_moved(self) -> bool:
        """Whether other pods are there than when this was last asked; `_pods_seen` are those that are."""
        before, self._pods_seen = self._pods_seen, pods_of(self.loop.cluster)
        return self._pods_seen != before

    def _see(self, flow: Flow, now: int) -> None:
        """People, tally and toll see how requests fare from now on."""
        extra = max(0.0, flow.conditions[0].error_rate - flow.usual_error_rate)
        found = self.plane.bad_rates(now)
        bad = float(found[0]), float(found[1])
        if flow.beside.new:
            bad = bad[0], self._beside.mean_bad(flow.beside, found, flow.new)
        wrong = self._beside.wrong_rate(flow.conditions)
        self._look_for_harm(bad, wrong, extra)
        self.toll.see(
            Sight(
                now,
                self._all_shares,
                flow.weight,
                (bad[0], 1.0 - (1.0 - bad[1]) * (1.0 - wrong)),
                bad[0] - extra,
                (flow.ready.get(STABLE, 0), flow.ready.get(NEW, 0)),
                (flow.conditions[0].paces, flow.conditions[1].paces),
            )
        )

    def _look_for_harm(self, bad: tuple[float, float], wrong: float, extra: float) -> None:
        stable, new = self._all_shares
        worse, nowhere = bad[1] - bad[0], max(0.0, 1.0 - stable - new)
        self.people.see(new * worse + nowhere * (1.0 - bad[0]) + extra)
        by_new = new > 0.0 and (worse > 0.0 or wrong > 0.0)
        gone = self.tally.see(
            self.loop.now,
            touched=by_new or extra > 0.0 or nowhere > 0.0,
            reached=new != 0.0,
            well=extra == 0.0 and nowhere <= NOWHERE,
        )
        if gone:
            self._rollout_over()

    def _rollout_over(self) -> None:
        """Nothing that happens from now on counts as exposure."""
        self._catch_up()
        if self.tally.exposed_until_over is None:
            self.tally.over = self.loop.now
            self.tally.exposed_until_over = self.exposed()

    def exposed(self) -> float:
        """Requests that reached pods of the new version so far, also in an experiment."""
        per_pool = self.plane.exposed
        return float(per_pool[1 : len(POOLS)].sum()) + self._beside.exposed(per_pool)

    @property
    def load_most(self) -> float:
        """The most work offered to a version's pods, as a multiple of what they can do; 0: not looked at."""
        return 0.0 if self._played is None else self._played.offered_most

    def _count_pods(self) -> None:
        self.tally.count_pods(self.loop.now, self.loop.cluster.total(), self._scaling.wanted)

    # --- journal and people -----------------------------------------------------------------------

    def _journal(self, entry: Entry) -> None:
        tally, now = self.tally, entry.seen.at
        for event in entry.events:
            match event:
                case MeasurementTaken():
                    tally.measurements += 1
                case Promoted(revision=revision) if revision == NEW and tally.promoted is None:
                    tally.promoted = now
                    if self.toll.schema is not None:
                        self.toll.schema.promoted(now - ORIGIN_MS)
                    if self._release.healthy:
                        self._rollout_over()
                case Aborted(message=message) if tally.aborted is None:
                    tally.aborted = (now, message)
                case PhaseChanged(phase=Phase.DEGRADED, message=message) if tally.degraded is None:
                    tally.degraded = (now, message)
        if self._record is not None:
            self._record(entry)

    def _catch_up(self) -> None:
        self.metrics.advance(self.loop.now - ORIGIN_MS)

    def _after_tick(self) -> None:
        session = self.loop.session
        self.routes.follow(session.state)
        self._refresh()
        waits = awaits_person(session.policy, session.state)
        if waits and not self._asked:
            self.people.asked(lambda: awaits_person(session.policy, session.state))
        self._asked = waits
        decided = self.tally.promoted is not None or self.tally.aborted is not None
        if self._truth is None and decided:
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
        if self.tally.stopped:
            return
        self.tally.gave_up = self.loop.now
        session, now = self.loop.session, self.loop.now
        if self.tally.promoted is None:
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
        for times in self._flows.looks():
            self._arrange(times)
