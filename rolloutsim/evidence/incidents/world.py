"""The simulated world of a rollout in which an incident's fault acts on the cohorts that have the change.

It is `rolloutsim.sim.World` with three things put in: the router reaches cohorts, what a version does to
its requests follows the incident's course, and the incident's own signals are scraped beside the
counters. Pods, scrapes, queries, conditions and decisions are those of every simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, cast

from rolloutsim.engine import Aborted, Measure, MeasurementTaken, Outcome, Promoted
from rolloutsim.evidence.incidents.exposure import Course, Exposure, Population
from rolloutsim.evidence.incidents.record import Clock, Model, Play
from rolloutsim.evidence.incidents.signals import Signals
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry
from rolloutsim.sim.beginning import NEW, ORIGIN_MS
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.router import Router
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.world import World

__all__ = ["IncidentWorld", "Measured"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement that a gate took: seconds from the release, metric, its phase and its value."""

    at_s: float
    metric: str
    phase: str
    value: str


@dataclass
class _CohortRouter(Router):
    """A router whose weight reaches cohorts: their share of the requests may differ from the weight."""

    population: Population = field(kw_only=True)
    weighed: float = 0.0

    def shares(self, *args: Any) -> tuple[float, float, float]:
        stable, canary, new = super().shares(*args)
        self.weighed = canary + new
        if self.weighed <= 0.0:
            return stable, canary, new
        scale = self.population.traffic(self.weighed) / self.weighed
        return stable + (canary + new) * (1.0 - scale), canary * scale, new * scale


class _Plane:
    """The data plane, with other conditions than the world thinks."""

    def __init__(self, plane: Any, world: IncidentWorld) -> None:
        self._plane = plane
        self._world = world

    def change(self, conditions: tuple[Conditions, ...]) -> None:
        self._plane.change(self._world.as_the_fault_has_it(conditions))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


class IncidentWorld(World):
    """One run. After `play` the attributes say what was decided, when, and what it cost until then.

    ``faulty`` False plays the same rollout, with the same draws, of a release without the fault.
    """

    def __init__(
        self,
        policy: Policy,
        scenario: Scenario,
        model: Model,
        play: Play,
        seed: int,
        run: int,
        *,
        latency: bool,
        faulty: bool = True,
    ) -> None:
        super().__init__(policy, scenario, seed, run, latency=latency, record=self._note)
        channel = next(channel for channel in model.channels if channel.name == play.channel)
        population = Population(model.cohorts, play, stream(seed, run, "cohorts"))
        self.model = model
        dormant_s = channel.dormant_s.value if channel.dormant_s is not None else 0.0
        self.exposure = Exposure(model, population, dormant_s, faulty=faulty)
        self._slower = Course.level(model.fault.slower, dormant_s) if model.fault.slower else None
        self.measured: list[Measured] = []
        self.decided: tuple[float, str] | None = None
        self.first_reached_s: float | None = None
        self.first_hit_s: float | None = None
        self.first_hit_weight = 0.0
        self._since_ms = 0
        self._thought: tuple[Conditions, ...] = ()
        self._bends = 0
        router = {one.name: getattr(self.routes.router, one.name) for one in fields(self.routes.router)}
        self.routes.router = _CohortRouter(**router, population=population)
        self.signals = self._signals(scenario, dormant_s)
        self.plane = cast(DataPlane, _Plane(self.plane, self))

    def _signals(self, scenario: Scenario, dormant_s: float) -> Signals:
        telemetry = scenario.service.telemetry
        return Signals(
            self.model,
            self.metrics.store,
            dormant_s,
            start_ms=-telemetry.history_ms,
            phase_ms=self.plane.last_scrape_ms(0) % telemetry.scrape_interval_ms,
            interval_ms=telemetry.scrape_interval_ms,
        )

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        self._scrape_signals()
        self.signals.reveal(at - ORIGIN_MS)
        return super().measure(request, at)

    # --- the fault --------------------------------------------------------------------------------

    def as_the_fault_has_it(self, conditions: tuple[Conditions, ...]) -> tuple[Conditions, ...]:
        """What the versions really do, now that shares are these."""
        self._thought = conditions
        self._follow()
        return tuple(self._bent(c, pool) for pool, c in enumerate(conditions))

    def _follow(self) -> None:
        """Bring the truth up to now, with the weight that the router has now."""
        now_ms = self.loop.now - ORIGIN_MS
        self._scrape_signals()
        exposure = self.exposure
        exposure.advance(now_ms / 1000.0)
        self._since_ms = now_ms
        weight = cast(_CohortRouter, self.routes.router).weighed
        exposure.reach(weight)
        exposure.pace = self._pace(exposure.traffic())
        if weight > 0.0 and self.first_reached_s is None:
            self.first_reached_s = now_ms / 1000.0
        if self.first_hit_s is None and exposure.can_be_hit():
            self.first_hit_s, self.first_hit_weight = now_ms / 1000.0, weight
        self._wait_for_bend()

    def _scrape_signals(self) -> None:
        self.signals.advance(self.loop.now - ORIGIN_MS, self.exposure, self._since_ms)

    def _pace(self, traffic: float) -> float:
        """How fast instances age: the load on one of the new version, against what one has in production."""
        if self.model.fault.clock is not Clock.LOAD or traffic <= 0.0:
            return 1.0
        pool = self.loop.cluster.pools.get(NEW)
        ready = pool.ready if pool is not None else 0
        return traffic * self.policy.replicas / ready if ready else 0.0

    def _wait_for_bend(self) -> None:
        self._bends += 1
        number, wait_s = self._bends, self.exposure.next_bend_s()

        def bend() -> None:
            if number == self._bends:
                self.metrics.advance(self.loop.now - ORIGIN_MS)
                self.plane.change(self._thought)

        if wait_s is not None:
            self.loop.after(max(1, round(1000 * wait_s)), bend)

    def _bent(self, conditions: Conditions, pool: int) -> Conditions:
        exposure, fault = self.exposure, self.model.fault
        total = 1.0 if exposure.every else exposure.traffic()
        if total <= 0.0 or (pool == 0 and not exposure.every):
            return conditions
        failing = min(1.0, exposure.failing() / total)
        slope = exposure.failing_slope() / total / 1000.0
        shown = fault.shows["status_5xx"].value
        return Conditions(
            conditions.share,
            min(1.0, conditions.error_rate + shown * failing),
            shown * slope,
            (1.0 - shown) * failing,
            1.0 + self._longer(),
        )

    def _longer(self) -> float:
        """By how much longer than usual a request takes."""
        if self._slower is None or not self.exposure.faulty:
            return 0.0
        if self.exposure.every:
            return self._slower.at(self.exposure.weight)
        return self.exposure.level(self._slower)

    # --- the decision -----------------------------------------------------------------------------

    def _note(self, entry: Entry) -> None:
        at_s = (entry.seen.at - ORIGIN_MS) / 1000.0
        for event in entry.events:
            match event:
                case MeasurementTaken():
                    self.measured.append(Measured(at_s, event.metric, str(event.phase), event.value))
                case Promoted(revision=revision) if revision == NEW and self.decided is None:
                    self._decide(at_s, "")
                case Aborted(message=message) if self.decided is None:
                    self._decide(at_s, message)

    def _decide(self, at_s: float, message: str) -> None:
        """It is over; if it was stopped, the way back takes its time, and nothing moves meanwhile."""
        self.exposure.advance(at_s)
        self.decided = (at_s, message)
        self.decided_weight = self.exposure.weight
        if message:
            self.exposure.advance(at_s + self.model.way_back_s.value)
        self.failed_s, self.hurt = self.exposure.failed_s, self.exposure.hurt
