"""What becomes of the pods of a simulated rollout: when they are ready and crash, and what their end cuts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE
from rolloutsim.sim.beside import Beside
from rolloutsim.sim.faults import breakpoints, crash_times, pods_never_ready
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.metrics import Metrics
from rolloutsim.sim.pod_start import PodStarts
from rolloutsim.sim.randomness import Stream
from rolloutsim.sim.scenario import Release, Service
from rolloutsim.sim.toll import Toll
from rolloutsim.sim.traffic import rate_rps

__all__ = ["PodLife"]


class PodLife:
    """Answers and hears a `Cluster`. Times in ms from the release.

    ``arrange`` lets somebody look at the world at some times. Whoever makes ``loop``, ``toll`` and
    ``metrics`` sets them.
    """

    def __init__(
        self,
        service: Service,
        release: Release,
        draws: Mapping[str, Stream],
        beside: Beside,
        arrange: Callable[[list[int]], None],
    ) -> None:
        self.loop: Loop
        self.toll: Toll
        self.metrics: Metrics
        self.new_began: int | None = None
        """When the first pod of the new version came."""
        self.never_ready = pods_never_ready(release, service)
        self._service = service
        self._release = release
        self._crash_draws, self._endpoint_draws = draws["crash"], draws["endpoints"]
        self._starts = PodStarts(service.cluster, draws["pods"])
        self._beside = beside
        self._arrange = arrange

    @property
    def _now(self) -> int:
        return self.loop.now - ORIGIN_MS

    def start_ms(self, revision: str, ordinal: int) -> int | None:
        """How long a pod takes until it is ready; None: for ever."""
        which, lane = self._beside.version(revision), self._beside.lane(revision)
        if which and self._crash_draws.uniform(ordinal, lane) < self.never_ready:
            return None
        wait_ms = self._starts.ready_ms(ordinal, which, lane)
        if which and self.toll.schema is not None:
            wait_ms += self.toll.schema.wait_ms(self._now)
        return wait_ms

    def linger_ms(self, deletion: int) -> int:
        """How long routers send requests to pods that are deleted now."""
        drain = self._service.cluster.drain
        return self._endpoint_draws.delay_ms(drain.endpoints, deletion) if drain else 0

    def end(self, revision: str, gone: int, before: int) -> None:
        """Ready pods of a revision are deleted: so many of so many."""
        if revision not in (STABLE, NEW):
            return  # an experiment's pods: too few requests for what is in flight to count
        which = (STABLE, NEW).index(revision)
        self.toll.deleted(self._now, which, gone, before, rate_rps(self._service.traffic, self._now))

    def change(self, revision: str) -> None:
        """The pods of a revision changed; with the first new one the faults begin to count."""
        if revision == NEW and self.new_began is None:
            self.new_began = self._now
            self._arrange([self._now + self._service.telemetry.discovery_ms])
            self._begin_faults(NEW)
        elif revision not in (STABLE, NEW) and self._beside.began(revision, self._now):
            self._arrange([self._now + self._service.telemetry.discovery_ms])
            if self._beside.version(revision):
                self._begin_faults(revision)
        self.loop.pods_changed(revision)

    def _begin_faults(self, revision: str) -> None:
        """The faults of pods with the new spec count from the first one, also in an experiment."""
        now = self._now
        self._arrange(breakpoints(self._release, now))
        for time in crash_times(self._release, now, self._service.horizon_ms):
            self.loop.after(time - now, lambda: self._crash(revision))

    def _crash(self, revision: str) -> None:
        """All pods of a revision with the new spec crash, start again, and count from zero."""
        pool = self.loop.cluster.pools.get(revision)
        if pool is not None and pool.ready:
            self.metrics.restart(self._now, self._beside.counted_as(revision))
            self.loop.cluster.restart(revision)
