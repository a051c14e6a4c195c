"""What would have been scraped had the requests gone elsewhere: recorded samples, and then modelled ones.

Until the line between the two, samples are those that were recorded. After it each version behaves as it
was recorded to behave, request for request; only how many requests it gets is another share of the same
total. Where a version got none at that time, it behaves as in the last minutes in which it got some.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.recorded.bundle import Bundle, is_counter
from rolloutsim.evidence.recorded.timeline import Timeline
from rolloutsim.policy.reading import STATUS
from rolloutsim.promql import SeriesStore, is_stale

__all__ = ["Flow", "WhatIf", "bad_requests", "is_bad", "tells_failures"]

SHARE_MS = 60_000
"""Over how long a recorded share of the requests is taken."""
HELD_MS = 300_000
"""From how long a time a version's behaviour is taken when it gets no requests now."""

Times = NDArray[np.int64]
Floats = NDArray[np.float64]


def is_bad(labels: dict[str, str]) -> bool:
    """Whether a series of the request counter counts failures: status 5xx, or Linkerd's failure."""
    return any(labels.get(name, "").startswith("5") for name in STATUS) or (
        labels.get("classification") == "failure"
    )


def tells_failures(store: SeriesStore, requests: str) -> bool:
    """Whether the series of this counter say which requests failed: without that none seems to."""
    every = (store.labels(index) for index in range(len(store)))
    return any(
        {*STATUS, "classification"} & labels.keys() for labels in every if labels["__name__"] == requests
    )


class Flow:
    """Requests, and bad ones, of one version: cumulated over the times of all its scrapes."""

    def __init__(self, store: SeriesStore, requests: str, label: str, value: str, interval_ms: int) -> None:
        mine = [
            index
            for index in range(len(store))
            if store.labels(index)["__name__"] == requests and store.labels(index).get(label) == value
        ]
        first_ms = min(
            (store.samples(i)[0][0] for i in range(len(store)) if store.records[i].last()), default=0
        )
        series = [
            (dict(store.labels(index)), *_grown(*store.samples(index), int(first_ms), interval_ms))
            for index in mine
        ]
        times = [part for _, part, _ in series] or [np.empty(0, np.int64)]
        self.times: Times = np.unique(np.concatenate(times))
        self.total = self._sum([(t, v) for _, t, v in series])
        self.bad = self._sum([(t, v) for labels, t, v in series if is_bad(labels)])

    def _sum(self, series: list[tuple[Times, Floats]]) -> Floats:
        total = np.zeros(len(self.times))
        for times, values in series:
            if len(times):
                total += np.interp(self.times, times, values)
        return total

    def between(self, after_ms: int, until_ms: int) -> tuple[float, float]:
        """Requests and bad requests of a stretch, interpolated between scrapes."""
        if not len(self.times):
            return 0.0, 0.0
        edges = np.array([after_ms, until_ms], dtype=np.float64)
        total = np.interp(edges, self.times, self.total)
        bad = np.interp(edges, self.times, self.bad)
        return float(total[1] - total[0]), float(bad[1] - bad[0])


def _grown(times: Times, values: Floats, first_ms: int, interval_ms: int) -> tuple[Times, Floats]:
    """How much a counter has grown, over its resets; one that began during the recording began at 0."""
    alive = ~np.isnan(values)
    times, values = times[alive], values[alive]
    if not len(values):
        return times, values
    if born_late(int(times[0]), first_ms, interval_ms):
        times = np.concatenate(([times[0] - interval_ms], times))
        values = np.concatenate(([0.0], values))
    steps = np.diff(values)
    steps = np.where(steps < 0.0, values[1:], steps)
    return times, np.concatenate(([0.0], np.cumsum(steps)))


def born_late(time_ms: int, first_ms: int, interval_ms: int) -> bool:
    """Whether a series that has its first sample then began to exist during the recording."""
    return time_ms > first_ms + 2 * interval_ms


def bad_requests(stable: Flow, new: Flow, start_ms: int, end_ms: int) -> float:
    """Failures of the new version beyond those that the stable one would have had on the same requests."""
    requests, bad = new.between(start_ms, end_ms)
    other, other_bad = stable.between(start_ms - HELD_MS, end_ms)
    rate = other_bad / other if other > 0.0 else 0.0
    return max(0.0, bad - rate * requests)


@dataclass(slots=True)
class _Series:
    """One recorded series and how far it has been told."""

    id: int
    arm: int | None
    times: Times
    values: Floats
    next: int = 0
    last: float = float("nan")
    told: float = 0.0
    recent: list[tuple[int, float]] = field(default_factory=list)


class WhatIf:
    """A store that fills up as time passes, with what was scraped or would have been.

    ``held_ms`` and ``wider_ms`` are the first times (ms) at which the model had to hold a version's last
    behaviour, and at which the new version got more than it ever got in the recording.
    """

    def __init__(self, bundle: Bundle, timeline: Timeline) -> None:
        self.store = SeriesStore()
        self._turns: list[tuple[int, float]] = []
        self.held_ms: int | None = None
        self.wider_ms: int | None = None
        self.flows = tuple(
            Flow(bundle.store, bundle.requests, bundle.label, value, bundle.interval_ms)
            for value in (timeline.stable, timeline.new)
        )
        self._series = [self._one(bundle, timeline, index) for index in range(len(bundle.store))]
        self._first_ms = min((int(part.times[0]) for part in self._series if len(part.times)), default=0)
        grid = [part.times for part in self._series]
        self._grid: list[int] = np.unique(np.concatenate(grid)).tolist()
        self._at = 0
        self._pace_ms = bundle.interval_ms
        self.widest = self._widest(timeline.started_ms, bundle.end_ms)

    def _one(self, bundle: Bundle, timeline: Timeline, index: int) -> _Series:
        labels = bundle.store.labels(index)
        times, values = bundle.store.samples(index)
        arms = {timeline.stable: 0, timeline.new: 1}
        arm = arms.get(labels.get(bundle.label, "")) if is_counter(labels["__name__"]) else None
        return _Series(self.store.add_series(labels), arm, times, values)

    def _widest(self, start_ms: int, end_ms: int) -> float:
        """The largest share that the new version ever got."""
        shares = [self.recorded_share(at, None) for at in range(start_ms + SHARE_MS, end_ms, SHARE_MS // 2)]
        return max(shares, default=0.0)

    def recorded_share(self, at_ms: int, after_ms: int | None) -> float:
        """The share of the requests that the new version got in the last minute, or since ``after_ms``."""
        since = at_ms - SHARE_MS if after_ms is None else after_ms
        stable, new = (flow.between(since, at_ms)[0] for flow in self.flows)
        return new / (stable + new) if stable + new > 0.0 else 0.0

    def turn(self, at_ms: int, share: float) -> None:
        """From now on the new version gets this share of all requests."""
        self._turns.append((at_ms, share))

    def advance(self, now_ms: int) -> None:
        """Let all scrapes up to a time happen."""
        end = bisect_right(self._grid, now_ms)
        for at in self._grid[self._at : end]:
            if self._turns and self._turns[-1][1] > self.widest + 0.02 and self.wider_ms is None:
                self.wider_ms = at
            for series in self._series:
                self._tell(series, at)
        self._at = max(self._at, end)

    def _wanted(self, after_ms: int, at_ms: int) -> float:
        """Mean share of the requests that the new version should get; as recorded before the first turn."""
        ends = [*(at for at, _ in self._turns[1:]), at_ms]
        total = 0.0
        for (start, share), end in zip(self._turns, ends, strict=True):
            total += share * max(0, min(end, at_ms) - max(start, after_ms))
        before = max(0, min(self._turns[0][0], at_ms) - after_ms)
        if before:
            total += before * self.recorded_share(after_ms + before, after_ms)
        return total / (at_ms - after_ms)

    def _tell(self, series: _Series, at: int) -> None:
        """One series at one time: as it was, or with the requests that it would have got."""
        modelled = bool(self._turns) and series.arm is not None
        if series.next >= len(series.times) or series.times[series.next] != at:
            if modelled and self._gone(series, at):
                self._hold(series, at)
            return
        value = float(series.values[series.next])
        series.next += 1
        if modelled:
            if not is_stale(value):
                self._grow(series, at, value)
            return
        self.store.extend((series.id,), np.array([at]), np.array([[value]]))
        if not is_stale(value):
            series.recent.append((at, self._step(series, value)))
            series.told = series.last = value

    def _step(self, series: _Series, value: float) -> float:
        """How much a counter has grown since its last sample."""
        if series.last != series.last:
            return value if born_late(int(series.times[0]), self._first_ms, self._pace_ms) else 0.0
        return value - series.last if value >= series.last else value

    def _grow(self, series: _Series, at: int, value: float) -> None:
        """By as much as was recorded, times the requests that the version gets over those that it got."""
        before = int(series.times[series.next - 2]) if series.next > 1 else at - self._pace_ms
        step = self._step(series, value)
        series.last = value
        got = self._of_arm(series, self.recorded_share(at, before))
        if got <= 1e-6:
            self._hold(series, at)
            return
        series.recent.append((at, step))
        self._add(series, at, step * self._of_arm(series, self._wanted(before, at)) / got)

    def _hold(self, series: _Series, at: int) -> None:
        """Grow as in the last minutes in which the version got requests."""
        last = self.store.records[series.id].last()
        since = last[0] if last is not None else at - self._pace_ms
        share = self._of_arm(series, self._wanted(since, at))
        if share <= 0.0:
            if last is not None:
                self._add(series, at, 0.0)
            return
        recent = [(t, step) for t, step in series.recent if t > series.recent[-1][0] - HELD_MS]
        if len(recent) < 2:
            return
        if self.held_ms is None:
            self.held_ms = at
        assert series.arm is not None
        requests = self.flows[series.arm].between(recent[0][0], recent[-1][0])[0]
        total = sum(flow.between(since, at)[0] for flow in self.flows)
        if requests > 0.0:
            self._add(series, at, sum(step for _, step in recent[1:]) / requests * total * share)

    def _add(self, series: _Series, at: int, more: float) -> None:
        series.told += more
        self.store.extend((series.id,), np.array([at]), np.array([[series.told]]))

    def _of_arm(self, series: _Series, share: float) -> float:
        """The share of the series' version, from that of the new one."""
        return share if series.arm == 1 else 1.0 - share

    def _gone(self, series: _Series, at: int) -> bool:
        """Whether the version is no longer scraped then, and it is time for another sample of it."""
        later = series.next < len(series.times) and series.times[series.next] - at < HELD_MS
        last = self.store.records[series.id].last()
        return not later and last is not None and at - last[0] >= self._pace_ms
