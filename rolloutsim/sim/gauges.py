"""Series beside requests: memory and CPU of each version's pods, and error classes in the logs.

Names are those of cAdvisor (``container_memory_working_set_bytes``, ``container_cpu_usage_seconds_total``)
and, for logs, what a log pipeline would be made to export: ``log_new_error_classes`` with the label
``hits``, the number of classes that the new version has logged at least so often and the stable version
never.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rolloutsim.promql import SeriesStore
from rolloutsim.sim.faults import demand
from rolloutsim.sim.randomness import Stream
from rolloutsim.sim.scenario import FaultKind, Logs, Release, Resources, Service

__all__ = ["GAUGES", "Gauges", "LogClasses"]

Times = NDArray[np.int64]
Floats = NDArray[np.float64]

GAUGES = (
    "container_memory_working_set_bytes",
    "container_cpu_usage_seconds_total",
    "log_new_error_classes",
)
"""Names of the metrics that exist when a scenario has resources or logs."""

_HITS = (1, 3)
"""A class counts as new at its first hit, or only at its third."""


class Gauges:
    """The series of one run that do not come from the request counters."""

    def __init__(
        self,
        store: SeriesStore,
        service: Service,
        release: Release,
        revisions: tuple[str, str],
        *,
        draws: Stream,
        mean_rps: float,
    ) -> None:
        telemetry = service.telemetry
        self._store = store
        self._resources = telemetry.resources
        self._release = release
        self._logs = LogClasses(telemetry.logs, release, draws, mean_rps) if telemetry.logs else None
        self._began_ms: int | None = None
        common = [{"service": service.name, "rollouts_pod_template_hash": one} for one in revisions]
        self._memory = [store.add_series({"__name__": GAUGES[0], **labels}) for labels in common]
        self._cpu = [store.add_series({"__name__": GAUGES[1], **labels}) for labels in common]
        self._classes = [
            store.add_series({"__name__": GAUGES[2], **common[1], "hits": str(hits)}) for hits in _HITS
        ]

    def began(self, now_ms: int) -> None:
        """The new version's pods start, or start again."""
        self._began_ms = now_ms

    def publish(
        self, times: Times, requests: Floats, alive: Sequence[bool]
    ) -> list[tuple[tuple[int, ...], Times, Floats]]:
        """Samples at these times; ``requests`` : (R, 2) totals of the versions."""
        found: list[tuple[tuple[int, ...], Times, Floats]] = []
        costs = (1.0, demand(self._release))
        if self._resources is not None:
            for version in (0, 1):
                if alive[version]:
                    cpu = requests[:, version] * self._resources.cpu_s * costs[version]
                    memory = self._memory_at(times, self._resources, version)
                    ids = (self._memory[version], self._cpu[version])
                    found.append((ids, times, np.column_stack([memory, cpu])))
        if self._logs is not None and alive[1]:
            found.append((tuple(self._classes), times, self._logs.new_classes(requests)))
        return found

    def _memory_at(self, times: Times, resources: Resources, version: int) -> Floats:
        """Working set of a pod: a leak fills it in proportion to its time."""
        base = np.full(len(times), resources.memory_bytes)
        if version == 0 or self._began_ms is None:
            return base
        room = resources.memory_limit_bytes - resources.memory_bytes
        for fault in self._release.faults:
            if fault.kind is FaultKind.LEAK:
                age = np.maximum(times - self._began_ms, 0) / max(fault.onset_ms + fault.ramp_ms, 1)
                base = base + room * np.minimum(age, 1.0)
        return np.asarray(np.minimum(base, resources.memory_limit_bytes))


class LogClasses:
    """Which error classes have been logged: each by a Poisson process in the number of log lines.

    The chance of an unseen class in new lines is about the number of classes that have been seen once over
    the number of lines (Good, "The population frequencies of species", Biometrika 40, 1953).
    """

    def __init__(self, model: Logs, release: Release, draws: Stream, mean_rps: float) -> None:
        weights = np.arange(1, model.classes + 1, dtype=np.float64) ** -model.exponent
        self._rate = model.rate
        chance = weights / weights.sum()
        self._known_at = _hit_times(draws, 0, model.classes, 1)[0] / chance
        self._new_at = _hit_times(draws, 1, model.classes, max(_HITS)) / chance
        self._baseline = model.rate * mean_rps * model.baseline_ms / 1000.0
        self._stable_before: float | None = None
        self._fault_at = [
            _hit_times(draws, 2 + number, 1, max(_HITS))[:, 0] / (fault.size or math.inf)
            for number, fault in enumerate(release.faults)
            if fault.kind is FaultKind.NEW_LOG_CLASS
        ]

    def new_classes(self, requests: Floats) -> Floats:
        """Classes new to the stable version, by the least number of hits: (R, 2)."""
        if self._stable_before is None:
            self._stable_before = float(requests[0, 0])
        rows = np.empty((len(requests), len(_HITS)))
        for row, (stable, new) in enumerate(requests):
            known = self._known_at <= self._baseline + self._rate * (stable - self._stable_before)
            for column, hits in enumerate(_HITS):
                seen = self._new_at[hits - 1] <= self._rate * new
                extra = sum(at[hits - 1] <= new for at in self._fault_at)
                rows[row, column] = np.count_nonzero(seen & ~known) + extra
        return rows


def _hit_times(draws: Stream, purpose: int, classes: int, hits: int) -> Floats:
    """Times of the first hits of classes of rate 1: (hits, classes)."""
    waits = [
        [-math.log(draws.uniform(number, purpose * 8 + hit)) for number in range(classes)]
        for hit in range(hits)
    ]
    return np.cumsum(np.array(waits), axis=0)
