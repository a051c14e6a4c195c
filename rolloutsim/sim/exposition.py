"""Which series the pools of a run export, and how their totals add up to them.

Two pools whose label sets are equal are one series, as they are in Prometheus; a metric that cannot tell
versions apart therefore cannot do so here either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rolloutsim.telemetry import PRESETS, Histogram, Labels, RequestSeries, request_series

__all__ = ["Exposition", "Pool", "exposition"]


@dataclass(frozen=True, slots=True)
class Pool:
    """A version (its number and its revision) reached in one way."""

    version: int
    revision: str
    canary: bool


@dataclass(frozen=True, slots=True, eq=False)
class Exposition:
    """The series of a run.

    ``labels`` : S label sets. ``adds`` : (V * C, S), what each raw column of each pool adds to each series;
    the C columns of a pool are successes and errors, and with latency for successes, then for errors, the
    cumulated buckets, the time in seconds, and the count. ``counts`` : (S,) the series whose value tells
    whether a series exists already (itself, or the count of its histogram). ``owners`` : the versions
    whose pods export each series; empty for one that the router exports.
    """

    labels: tuple[Labels, ...]
    adds: NDArray[np.float64]
    counts: NDArray[np.int64]
    owners: tuple[frozenset[int], ...]


@lru_cache(maxsize=64)
def exposition(
    preset_name: str, service: str, extra: Labels, pools: tuple[Pool, ...], latency: bool
) -> Exposition:
    """The series of these pools under a preset; the same object for the same arguments."""
    preset = PRESETS[preset_name]
    labels: dict[Labels, int] = {}
    counts: dict[int, int] = {}
    owners: dict[int, set[int]] = {}
    entries: list[tuple[int, int, float]] = []
    column = 0
    for pool in pools:
        series = request_series(preset, service, pool.revision, extra, canary=pool.canary)
        for one, existence, factor in _columns(series, preset.unit_per_s, latency):
            index = labels.setdefault(one, len(labels))
            counts[index] = labels.setdefault(existence, len(labels))
            owners.setdefault(index, set()).add(pool.version)
            entries.append((column, index, factor))
            column += 1
    adds = np.zeros((column, len(labels)))
    for row, index, factor in entries:
        adds[row, index] = factor
    return Exposition(
        tuple(labels),
        adds,
        np.array([counts[index] for index in range(len(labels))], dtype=np.int64),
        tuple(frozenset() if preset.by_router else frozenset(owners[index]) for index in range(len(labels))),
    )


def _columns(
    series: RequestSeries, unit_per_s: float, latency: bool
) -> Iterator[tuple[Labels, Labels, float]]:
    """Label set, label set that tells its existence, and unit, of each column of a pool."""
    yield series.success, series.success, 1.0
    yield series.error, series.error, 1.0
    if latency:
        for outcome in (0, 1):
            yield from _histogram(series.durations, outcome, unit_per_s)


def _histogram(
    durations: Sequence[Histogram], outcome: int, unit_per_s: float
) -> Iterator[tuple[Labels, Labels, float]]:
    histogram = durations[min(outcome, len(durations) - 1)]
    for bucket in histogram.buckets:
        yield bucket, histogram.count, 1.0
    yield histogram.sum, histogram.count, unit_per_s
    yield histogram.count, histogram.count, 1.0
