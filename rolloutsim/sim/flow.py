"""Where the requests of a simulated rollout go at a moment, and what becomes of them there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from rolloutsim.sim.beginning import NEW, STABLE
from rolloutsim.sim.beside import Beside, Shares
from rolloutsim.sim.dataplane import Conditions
from rolloutsim.sim.faults import Moment, demand, new_conditions, stable_conditions, strained
from rolloutsim.sim.latency import Paces, slower_than
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.pod_life import PodLife
from rolloutsim.sim.routes import Routes
from rolloutsim.sim.scenario import FaultKind, Latency, Release, Service
from rolloutsim.sim.sessions import StickyShare
from rolloutsim.sim.toll import Toll
from rolloutsim.sim.traffic import rate_rps
from rolloutsim.trace import Truth

__all__ = ["Flow", "FlowModel", "truths"]

_PRECISION = 1e-12
_NO_PODS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Flow:
    """The requests of a moment.

    ``stable`` and ``new`` are the shares of all requests that the two versions serve, ``weight`` the nominal
    one of the new version. ``conditions`` hold for each pool; ``usual_error_rate`` would be the stable
    version's if its pods were enough and the schema fitted. ``ready`` pods stand behind it, by revision, and
    ``alive`` says which version has one to scrape.
    """

    rate_rps: float
    stable: float
    new: float
    weight: float
    beside: Shares
    conditions: tuple[Conditions, ...]
    usual_error_rate: float
    ready: Mapping[str, int]
    alive: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class FlowModel:
    """All that a `Flow` depends on: routes, pods, users, faults, and the limits of pods and schema."""

    service: Service
    release: Release
    routes: Routes
    pods: PodLife
    beside: Beside
    toll: Toll
    sticky: StickyShare

    def at(self, now_ms: int) -> Flow:
        """The flow at a time from the release, which is now."""
        cluster, router = self.routes.loop.cluster, self.routes.router
        ready = {name: pool.ready for name, pool in cluster.pools.items()}
        serving, refusing = ready, _NO_PODS
        if cluster.lingers:
            serving = {name: pool.serving for name, pool in cluster.pools.items()}
            refusing = {name: pool.refusing for name, pool in cluster.pools.items()}
        weights = router.shares(STABLE, NEW, serving, refusing)
        beside = self.beside.shares(router, serving, refusing)
        stable, canary, new = weights
        if self.sticky.matters:
            stable, canary, new = self.sticky.shares(now_ms, weights)
        reached = canary + new + beside.copied
        rate = rate_rps(self.service.traffic, now_ms)
        moment = Moment(now_ms, self.pods.new_began, reached + beside.new, rate)
        usual = (
            stable_conditions(self.service, self.release, stable, moment),
            new_conditions(self.service, self.release, canary, moment),
            new_conditions(self.service, self.release, new, moment),
        )
        return Flow(
            rate_rps=rate,
            stable=stable,
            new=canary + new,
            weight=weights[1] + weights[2] + beside.new,
            beside=beside,
            conditions=self._conditions(usual, reached, moment, beside, serving),
            usual_error_rate=usual[0].error_rate,
            ready=ready,
            alive=self._alive(ready, now_ms - self.service.telemetry.discovery_ms),
        )

    def _alive(self, ready: Mapping[str, int], known_ms: int) -> tuple[bool, ...]:
        """Which versions are scraped: those with ready pods whose first one was created by ``known_ms``."""
        began = self.pods.new_began
        new = ready.get(NEW, 0) > 0 and began is not None and began <= known_ms
        return (ready.get(STABLE, 0) > 0, new, *self.beside.alive(ready, known_ms))

    def looks(self) -> Iterator[list[int]]:
        """When to look again since it depends on the load or changes by itself: ms from the release."""
        until = self.service.horizon_ms
        faults = self.release.faults
        if self.service.cluster.pod_capacity_rps is not None or any(one.above_rps > 0.0 for one in faults):
            yield list(range(60_000, until, 60_000))
        if self.sticky.matters:
            yield list(range(0, until, self.sticky.step_ms))
        if any(one.kind is FaultKind.COLD_START for one in faults):
            yield list(range(0, until, 15_000))

    def _conditions(
        self,
        usual: tuple[Conditions, ...],
        reached: float,
        moment: Moment,
        beside: Shares,
        serving: Mapping[str, int],
    ) -> tuple[Conditions, ...]:
        """What the pools do to their requests, under this load and with this schema."""
        found = usual
        capacity = self.service.cluster.pod_capacity_rps
        broken = self.toll.schema.broken if self.toll.schema is not None else (0.0, 0.0)
        if capacity is not None or self.toll.schema is not None:
            pods = (serving.get(STABLE, 0), serving.get(NEW, 0))
            load = (
                moment.rate_rps * usual[0].share,
                moment.rate_rps * reached * demand(self.release),
            )
            found = strained(found, broken, load, pods, capacity)
        if self.beside.pools:
            found += self.beside.conditions(beside, found[1], moment, serving, broken)
        return found


def truths(flow: Flow, latency: Latency, beside: Beside, loop: Loop) -> Iterator[Truth]:
    """What really is of each version, and of the pods of experiments."""
    conditions = tuple(
        replace(one, latency_factor=_median_factor(latency, one.paces)) if one.tails else one
        for one in flow.conditions
    )
    for revision, share, one in zip((STABLE, NEW), (flow.stable, flow.new), conditions, strict=False):
        pool = loop.cluster.pools.get(revision)
        yield Truth(
            at=loop.now,
            revision=revision,
            share=share,
            rate_rps=flow.rate_rps,
            error_rate=one.error_rate,
            latency_median_s=latency.median_s * one.latency_factor,
            pods=len(pool.pods) if pool else 0,
        )
    yield from beside.truths(conditions, loop, flow.rate_rps, latency.median_s)


def _median_factor(latency: Latency, paces: Paces) -> float:
    """By what the median time is multiplied where some requests are slower than others, by bisection."""
    low, high = min(factor for _, factor in paces), max(factor for _, factor in paces)
    while high / low > 1.0 + _PRECISION:
        middle = math.sqrt(low * high)
        if slower_than(latency, paces, latency.median_s * middle) > 0.5:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
