"""A service's own series as two fake versions: requests of some pods, drawn at random, are the canary's.

At a canary share ``w`` of ``n`` pods, ``ceil(w n)`` of them, drawn anew for each start, are the canary's
pods, and a coin decides for each of their requests whether the canary got it, so that its share of all is
about ``w``. What all pods have in common, and what one of them has for itself, stays as it was; nothing is
added. Where series do not tell pods apart, all are one pod.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.calibration.source import Points
from rolloutsim.evidence.recorded.bundle import is_counter
from rolloutsim.promql import SeriesStore

__all__ = ["Arms", "Split", "versions_of"]

STABLE, CANARY = 0, 1

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Times = NDArray[np.int64]
Arms = Mapping[str, tuple[str, str]]
"""For each label that tells versions apart: its value on the stable version and on the canary."""


@dataclass(slots=True, eq=False)
class _Counters:
    """Counters that count the same requests: a counter by itself, or the parts of one histogram.

    ``times`` : (R,), ms. ``grown`` : (R, K), by how much each has grown since the row before; buckets come
    first, by rising bound (``buckets`` of them), then other parts. ``there`` : (R, K), what was scraped.
    ``ids`` : (2, K), series of the stable version and of the canary. ``told`` : (2, K), their values.
    """

    pod: str
    times: Times
    grown: Floats
    there: Flags
    names: tuple[str, ...]
    buckets: int
    ids: tuple[tuple[int, ...], tuple[int, ...]]
    told: Floats
    next: int = 0


class Split:
    """The series of one start. ``store`` holds what was scraped up to the time of the last `advance`.

    Parameters
    ----------
    points : raw samples of all series that a policy reads, from before the start on; of one version.
    arms : labels to rewrite; a series that has none of them belongs to both versions and stays as it is.
    pod : the label that tells pods apart, or empty.
    draws : the coins of this start.
    """

    def __init__(self, points: Sequence[Points], arms: Arms, pod: str, draws: np.random.Generator) -> None:
        self.store = SeriesStore()
        self._arms, self._pod, self._draws = arms, pod, draws
        self._turns: list[tuple[int, float]] = [(-(2**62), 0.0)]
        mine = [one for one in points if any(label in one.labels for label in arms) and len(one.times_ms)]
        counters = [one for one in mine if is_counter(one.labels["__name__"])]
        self._gauges = [(one, [0]) for one in mine if not is_counter(one.labels["__name__"])]
        self._shared = [
            (one, [0])
            for one in points
            if not any(label in one.labels for label in arms) and len(one.times_ms)
        ]
        self._groups = [self._group(members) for members in _together(counters).values()]
        names = sorted({one.labels.get(pod, "") for one in mine})
        self._rank = {names[place]: rank for rank, place in enumerate(draws.permutation(len(names)))}

    @property
    def pods(self) -> int:
        """Pods from which the canary's are drawn."""
        return max(1, len(self._rank))

    def turn(self, at_ms: int, share: float) -> None:
        """From a time on the canary gets this share of all requests."""
        if share != self._turns[-1][1]:
            self._turns.append((at_ms, share))

    def advance(self, now_ms: int) -> None:
        """Let all scrapes up to a time happen."""
        for group in self._groups:
            last = int(np.searchsorted(group.times, now_ms, side="right"))
            if last > group.next:
                self._tell(group, last)
                group.next = last
        for one, done in self._shared:
            self._copy(one, done, now_ms, [one.labels])
        for one, done in self._gauges:
            arms = (STABLE, CANARY) if not self._pod else (self._arm_of(one, now_ms),)
            self._copy(one, done, now_ms, [self._labels(one.labels, arm) for arm in arms])

    def _group(self, members: list[Points]) -> _Counters:
        members = sorted(members, key=_order)
        times = np.unique(np.concatenate([one.times_ms for one in members]))
        grown, there = (
            np.zeros((len(times), len(members))),
            np.zeros((len(times), len(members)), dtype=np.bool_),
        )
        first = np.zeros(len(members))
        for k, one in enumerate(members):
            rows = np.searchsorted(times, one.times_ms)
            there[rows, k] = True
            steps = np.diff(one.values, prepend=0.0)
            steps = np.where(steps < 0.0, one.values, steps)  # a counter that falls was reset
            if rows[0] == 0:
                first[k], steps[0] = one.values[0], 0.0
            grown[rows, k] = steps
        names = tuple(one.labels["__name__"] for one in members)
        ids = tuple(
            tuple(self.store.add_series(self._labels(one.labels, arm)) for one in members)
            for arm in (STABLE, CANARY)
        )
        told = np.stack([first, np.zeros(len(members))])
        buckets = sum(name.endswith("_bucket") for name in names)
        pod = members[0].labels.get(self._pod, "")
        return _Counters(pod, times, grown, there, names, buckets, (ids[0], ids[1]), told)

    def _tell(self, group: _Counters, last: int) -> None:
        rows = slice(group.next, last)
        grown = group.grown[rows]
        coins = self._coins(group.pod, group.times, group.next, last)
        got = self._got(group, grown, coins) if coins.any() else np.zeros_like(grown)
        for arm, steps in ((STABLE, grown - got), (CANARY, got)):
            values = group.told[arm] + np.cumsum(steps, axis=0)
            group.told[arm] = values[-1]
            # a client library shows a counter from its first increment on
            begun = np.ones(len(values), dtype=np.bool_) if arm == STABLE else values.max(axis=1) > 0.0
            for k, series in enumerate(group.ids[arm]):
                kept = group.there[rows, k] & begun
                if kept.any():
                    self.store.extend((series,), group.times[rows][kept], values[kept, k][:, None])

    def _got(self, group: _Counters, grown: Floats, coins: Floats) -> Floats:
        """The canary's part of what was counted between scrapes."""
        got = np.zeros_like(grown)
        b = group.buckets
        if b:
            single = np.diff(np.maximum.accumulate(grown[:, :b], axis=1), axis=1, prepend=0.0)
            got[:, :b] = np.cumsum(self._thinned(single, coins), axis=1)
        for k in range(b, len(group.names)):
            if group.names[k].endswith("_sum") and k > 0:
                # the last part before it counts all requests
                counted = grown[:, k - 1]
                share = np.divide(got[:, k - 1], counted, out=np.zeros(len(counted)), where=counted > 0.0)
                got[:, k] = grown[:, k] * share
            elif b and group.names[k].endswith("_count"):
                got[:, k] = got[:, b - 1]
            else:
                got[:, k] = self._thinned(grown[:, k : k + 1], coins)[:, 0]
        return got

    def _thinned(self, counts: Floats, coins: Floats) -> Floats:
        whole = np.rint(counts)
        if np.abs(counts - whole).max(initial=0.0) > 1e-6:
            return counts * coins[:, None]
        return self._draws.binomial(whole.astype(np.int64), coins[:, None]).astype(np.float64)

    def _coins(self, pod: str, times: Times, first: int, last: int) -> Floats:
        """The probability that a request of this pod was the canary's, for each row."""
        coins = np.zeros(last - first)
        for row in range(first, last):
            now, before = int(times[row]), int(times[row - 1]) if row else int(times[row])
            total = 0.0
            for (start, share), (end, _) in zip(self._turns, [*self._turns[1:], (2**62, 0.0)], strict=True):
                length = min(end, now) - max(start, before)
                if length > 0 and share > 0.0:
                    total += self._coin(pod, share) * length
            coins[row - first] = total / (now - before) if now > before else 0.0
        return coins

    def _coin(self, pod: str, share: float) -> float:
        chosen = self._chosen(share)
        return min(1.0, share * self.pods / chosen) if self._rank.get(pod, 0) < chosen else 0.0

    def _chosen(self, share: float) -> int:
        """How many pods are the canary's at a share."""
        return math.ceil(share * self.pods - 1e-9)

    def _arm_of(self, one: Points, now_ms: int) -> int:
        return (
            CANARY if self._rank[one.labels.get(self._pod, "")] < self._chosen(self._turns[-1][1]) else STABLE
        )

    def _copy(self, one: Points, done: list[int], now_ms: int, targets: Sequence[Mapping[str, str]]) -> None:
        last = int(np.searchsorted(one.times_ms, now_ms, side="right"))
        rows = slice(done[0], last)
        if last > done[0]:
            for labels in targets:
                series = self.store.add_series(labels)
                self.store.extend((series,), one.times_ms[rows], one.values[rows][:, None])
            done[0] = last

    def _labels(self, labels: Mapping[str, str], arm: int) -> dict[str, str]:
        return {
            name: self._arms[name][arm] if name in self._arms else value for name, value in labels.items()
        }


def versions_of(points: Sequence[Points], labels: Sequence[str]) -> set[tuple[str, ...]]:
    """The versions that got requests: values of the labels on counters that grew."""
    return {
        tuple(one.labels.get(label, "") for label in labels)
        for one in points
        if is_counter(one.labels["__name__"])
        and any(label in one.labels for label in labels)
        and len(one.values) > 1
        and (np.diff(one.values) != 0.0).any()
    }


def _together(points: Sequence[Points]) -> dict[tuple[str, ...], list[Points]]:
    """Parts of one histogram of one target together, any other counter by itself."""
    histograms = {
        one.labels["__name__"].removesuffix("_bucket")
        for one in points
        if one.labels["__name__"].endswith("_bucket")
    }
    # a sum of seconds follows its count, also where nobody reads buckets
    histograms |= {
        one.labels["__name__"].removesuffix("_sum")
        for one in points
        if one.labels["__name__"].endswith("_sum")
    }
    groups: dict[tuple[str, ...], list[Points]] = {}
    for one in points:
        name = one.labels["__name__"]
        base = next((name[: -len(part)] for part in ("_bucket", "_count", "_sum") if name.endswith(part)), "")
        rest = {k: v for k, v in one.labels.items() if k not in ("__name__", "le")}
        key = (base if base in histograms else name, *(f"{k}={v}" for k, v in sorted(rest.items())))
        groups.setdefault(key, []).append(one)
    return groups


def _order(one: Points) -> tuple[int, float]:
    name = one.labels["__name__"]
    if name.endswith("_bucket"):
        return 0, float(one.labels["le"])
    return (2, 0.0) if name.endswith("_sum") else (1, 0.0)
