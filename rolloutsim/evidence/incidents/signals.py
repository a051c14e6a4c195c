"""Series beside the request counter: probes, restarts, memory, heartbeats, as an incident describes them.

They are scraped when the counters are, become visible as late as they do, and carry the same labels. They
have no noise: a signal reads what it would on average.
"""

from __future__ import annotations

import numpy as np

from rolloutsim.evidence.incidents.exposure import Course, Exposure
from rolloutsim.evidence.incidents.record import Model, Signal
from rolloutsim.promql import SeriesStore
from rolloutsim.sim.beginning import NEW, ORIGIN_MS, STABLE

__all__ = ["Signals"]


class _Series:
    """One signal of one version."""

    def __init__(self, signal: Signal, revision: str, store: SeriesStore, dormant_s: float) -> None:
        labels = {"app_version": revision, "rollouts_pod_template_hash": revision}
        self.id = store.add_series({"__name__": signal.series, **labels})
        self.course = Course.level(signal.course, dormant_s) if signal.course else None
        self.signal = signal
        self.counted = 0.0

    def value(self, level: float, seconds: float) -> float:
        healthy, faulty = self.signal.healthy.value, self.signal.faulty.value
        now = healthy + level * (faulty - healthy)
        if not self.signal.counter:
            return now
        self.counted += now * seconds
        return self.counted


class Signals:
    """The signals of one run, written into its store at every scrape."""

    def __init__(
        self,
        model: Model,
        store: SeriesStore,
        dormant_s: float,
        *,
        start_ms: int,
        phase_ms: int,
        interval_ms: int,
    ) -> None:
        self._store = store
        self._interval = interval_ms
        self._next = start_ms + (phase_ms - start_ms) % interval_ms
        self._lag = round(1000 * model.metric_lag_s.value)
        self._shows = {name: shown.value for name, shown in model.fault.shows.items()}
        self._stable = [_Series(signal, STABLE, store, dormant_s) for signal in model.signals]
        self._new = [_Series(signal, NEW, store, dormant_s) for signal in model.signals]
        self._hidden: list[tuple[int, int, float]] = []

    def advance(self, now_ms: int, exposure: Exposure, since_ms: int) -> None:
        """Scrape up to a time (ms from the release); ``exposure`` stands at ``since_ms`` and is not moved."""
        while self._next <= now_ms:
            seconds = self._interval / 1000.0
            for series in self._stable:
                self._hidden.append((self._next, series.id, series.value(0.0, seconds)))
            if exposure.traffic() > 0.0:
                ahead = max(0, self._next - since_ms) / 1000.0 * exposure.pace
                for series in self._new:
                    level = self._level(series, exposure, ahead)
                    self._hidden.append((self._next, series.id, series.value(level, seconds)))
            self._next += self._interval

    def reveal(self, now_ms: int) -> None:
        """Let queries at a time (ms from the release) see what has arrived by then."""
        for at, series, value in self._hidden:
            if at + self._lag <= now_ms:
                self._store.extend((series,), np.array([at + ORIGIN_MS]), np.array([[value]]))
        self._hidden = [entry for entry in self._hidden if entry[0] + self._lag > now_ms]

    def _level(self, series: _Series, exposure: Exposure, ahead_s: float) -> float:
        return exposure.level(series.course, ahead_s) * self._shows[series.signal.name]
