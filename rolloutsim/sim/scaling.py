"""An autoscaler at work in a simulated rollout: what it sees, and who hears what it wants."""

from __future__ import annotations

from collections.abc import Callable

from rolloutsim.engine import ReplicasWanted, Role
from rolloutsim.sim.autoscaler import HorizontalAutoscaler, Load
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE
from rolloutsim.sim.faults import demand
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.router import Router, Routing
from rolloutsim.sim.scenario import Release, Service
from rolloutsim.sim.traffic import rate_rps

__all__ = ["Scaling"]


class Scaling:
    """Scales the workload of a loop. ``wanted`` is how many replicas it has now.

    ``shares`` tells the versions' shares of all requests; ``before`` is called before the number changes.
    """

    def __init__(
        self,
        service: Service,
        release: Release,
        replicas: int,
        loop: Loop,
        router: Router,
        shares: Callable[[], tuple[float, float]],
        before: Callable[[], None],
    ) -> None:
        self.wanted = replicas
        self._service = service
        self._cost = demand(release)
        self._loop = loop
        self._router = router
        self._shares = shares
        self._before = before
        model = service.cluster.autoscaler
        if model is not None:
            self._sync_ms = model.sync_ms
            self._scaler = HorizontalAutoscaler(model, replicas)
            loop.after(self._sync_ms, self._sync)

    def _sync(self) -> None:
        self._loop.after(self._sync_ms, self._sync)
        replicas = self._scaler.look(self._loop.now - ORIGIN_MS, self._loads())
        if replicas == self.wanted:
            return
        self._before()
        self.wanted = replicas
        if self._loop.deployment is not None:
            self._loop.deployment.resize(replicas)
            self._loop.pods_changed(STABLE)
        self._loop.hear(ReplicasWanted(self._loop.now, replicas))

    def _loads(self) -> list[Load]:
        """What it sees: all pods, or of a blue-green Rollout those of the active Service."""
        load = rate_rps(self._service.traffic, self._loop.now - ORIGIN_MS)
        capacity = self._service.cluster.pod_capacity_rps or 1.0
        active = self._router.services.get(Role.ACTIVE)
        found = []
        for revision, share, cost in zip((STABLE, NEW), self._shares(), (1.0, self._cost), strict=True):
            pool = self._loop.cluster.pools.get(revision)
            if pool is not None and (self._router.routing is not Routing.SELECTOR or revision == active):
                found.append(Load(pool.ready, load * share * cost / capacity))
        return found
