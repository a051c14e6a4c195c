"""Readiness checks while a shared dependency fails: a deep check takes all pods out together."""

from __future__ import annotations

from functools import partial

from rolloutsim.sim.beginning import ORIGIN_MS
from rolloutsim.sim.cluster import Pod, Pool
from rolloutsim.sim.loop import Loop
from rolloutsim.sim.platform import Probe
from rolloutsim.sim.randomness import Stream
from rolloutsim.sim.scenario import Fault, FaultKind, Release

__all__ = ["Probes"]

_FOR_EVER_MS = 10**12


class Probes:
    """Checks of all pods, from the beginning of each dependency's failure until all are ready again.

    Otherwise nothing is checked: pods that started are ready until they go.
    """

    def __init__(self, probe: Probe, release: Release, loop: Loop, draws: Stream) -> None:
        self._probe = probe
        self._faults = [fault for fault in release.faults if fault.kind is FaultKind.DEPENDENCY_BLIP]
        self._loop = loop
        self._draws = draws

    def begin(self) -> None:
        """Arrange for the rounds of checks."""
        for fault in self._faults:
            self._loop.after(fault.onset_ms, partial(self._round, fault))

    def _round(self, fault: Fault) -> None:
        """One check of each pod, each at its own time within the period."""
        end = _FOR_EVER_MS if fault.end_ms is None else fault.end_ms
        over = self._loop.now - ORIGIN_MS >= end
        pools = self._loop.cluster.pools.values()
        out = any(pod.failures for pool in pools for pod in pool.pods)
        if over and not out:
            return
        for number, pool in enumerate(list(pools)):
            for pod in list(pool.pods):
                if pod.ready or pod.failures:
                    phase = self._draws.uniform(10_000 + pod.ordinal, number)
                    wait_ms = int(phase * self._probe.period_ms)
                    self._loop.after(wait_ms, partial(self._check, fault, pool, pod))
        self._loop.after(self._probe.period_ms, partial(self._round, fault))

    def _check(self, fault: Fault, pool: Pool, pod: Pod) -> None:
        now = self._loop.now - ORIGIN_MS
        failing = fault.end_ms is None or now < fault.end_ms
        chance = fault.size * self._probe.coupling if failing else 0.0
        if self._draws.uniform(now, 1_000 + pod.ordinal) >= chance:
            pod.failures = 0
            self._loop.cluster.check(pool.revision, pod, ready=True)
            return
        pod.failures += 1
        if pod.failures >= self._probe.failures:
            self._loop.cluster.check(pool.revision, pod, ready=False)
