"""What a run costs besides failed requests: users, connections, schema, and time with two versions.

Told of every change of the routes and pods, a `Toll` integrates what lies between two changes. All of it
are expectations given the path of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rolloutsim.sim.connections import ConnectionLedger
from rolloutsim.sim.latency import Paces, residual_s
from rolloutsim.sim.scenario import Release, Service
from rolloutsim.sim.schema_state import SchemaState
from rolloutsim.sim.sessions import SessionLedger
from rolloutsim.sim.traffic import expected_per_cell

__all__ = ["Sight", "Toll"]

_NOWHERE = 1e-9
"""A share that finds no pod counts above this: below, it is rounding."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The world at a moment, ms from the release.

    ``shares`` of all requests that the stable and the new version serve; ``weight`` is the nominal share
    of the new one. ``bad`` are the probabilities that a request to either is bad, ``usual`` what it would
    be if nothing but this service and its dependencies were at work. ``pods`` serve, of each version, at
    these ``paces``.
    """

    at_ms: int
    shares: tuple[float, float]
    weight: float
    bad: tuple[float, float]
    usual: float
    pods: tuple[int, int]
    paces: tuple[Paces, Paces]


class Toll:
    """The bill of one run; `close` ends it."""

    def __init__(
        self,
        service: Service,
        release: Release,
        after: Callable[[int, Callable[[], None]], None],
        look: Callable[[], None],
    ) -> None:
        self._service = service
        self._seen: Sight | None = None
        self.connections: ConnectionLedger | None = None
        if service.connections is not None:
            self.connections = ConnectionLedger(service.connections, -service.telemetry.history_ms)
        self.schema: SchemaState | None = None
        if release.schema is not None:
            self.schema = SchemaState(release.schema, after, look)
            self._phase = self.schema.phase
        self.sessions: SessionLedger | None = None
        if service.sessions.requests > 1:
            self.sessions = SessionLedger(service.sessions, service.traffic)
        self.beyond_usual = 0.0
        """Requests that failed on the stable version for reasons that are none of its own."""
        self.cut_in_flight = 0.0
        self.unserved = 0.0
        self.mixed_ms = 0
        self.overlap_ms = 0

    def see(self, sight: Sight) -> None:
        """The world is like this from now on."""
        self._charge(sight.at_ms)
        self._seen = sight
        if self.schema is not None:
            self._phase = self.schema.phase
        if self.connections is not None:
            self.connections.see(sight.at_ms, sight.shares)
        if self.sessions is not None:
            nowhere = max(0.0, 1.0 - sum(sight.shares)) * (1.0 - sight.usual) + sight.bad[0] - sight.usual
            self.sessions.see(sight.at_ms, sight.weight, sight.bad[1] - sight.bad[0], nowhere)

    def deleted(self, now_ms: int, version: int, gone: int, before: int, rate_rps: float) -> None:
        """Ready pods of a version were deleted: what is in flight or open there ends in time, or is cut."""
        if self._seen is None or not before:
            return
        drain = self._service.cluster.drain
        if drain is not None:
            load = rate_rps * self._seen.shares[version] * gone / before
            late_s = drain.grace_ms / 1000.0
            self.cut_in_flight += load * residual_s(self._service.latency, self._seen.paces[version], late_s)
        if self.connections is not None:
            self._charge(now_ms)
            self.connections.deleted(now_ms, version, gone / before)

    def close(self, until_ms: int) -> None:
        """Nothing happens after this time."""
        self._charge(until_ms)

    def _charge(self, now_ms: int) -> None:
        seen = self._seen
        if seen is None or now_ms <= seen.at_ms:
            return
        length = now_ms - seen.at_ms
        if seen.shares[0] > 0.0 and seen.shares[1] > 0.0:
            self.mixed_ms += length
        if seen.pods[0] and seen.pods[1]:
            self.overlap_ms += length
        nowhere = 1.0 - sum(seen.shares)
        if seen.bad[0] > seen.usual or self.schema is not None or nowhere > _NOWHERE:
            cell = np.array([seen.at_ms, now_ms], dtype=np.int64)
            requests = float(expected_per_cell(self._service.traffic, cell)[0])
            self.beyond_usual += requests * (seen.bad[0] - seen.usual)
            self.unserved += requests * (nowhere if nowhere > _NOWHERE else 0.0)
            if self.schema is not None:
                rps = requests * 1000.0 / length
                rates = (rps * seen.shares[0], rps * seen.shares[1])
                self.schema.pass_time(self._phase, now_ms, rates, length)
        self._seen = replace(seen, at_ms=now_ms)
