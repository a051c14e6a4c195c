"""How often a service is scraped, and how often that fails: from the times of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rolloutsim.evidence.calibration.reads import Reads, quoted
from rolloutsim.evidence.calibration.source import Points, Source

__all__ = ["Scraping", "scraping"]

WINDOWS = 12
WINDOW_MS = 1_800_000
SERIES = 3
GAP_MS = 300_000
"""A longer silence is a gap and no missed scrape."""


@dataclass(frozen=True, slots=True)
class Scraping:
    """The interval in ms, the share of scrapes that were missed, and how many were looked at.

    ``phase_ms`` is when one of the targets is scraped, after a multiple of the interval.
    """

    interval_ms: int
    phase_ms: int
    missed: float
    scrapes: int


def scraping(source: Source, reads: Reads, first_ms: int, last_ms: int) -> Scraping | None:
    """Look at the raw samples of a few series in windows spread over the stretch; None without any.

    Raises
    ------
    ExecutorError : the source cannot be asked.
    """
    found = list(_samples(source, reads, first_ms, last_ms))
    apart = [np.diff(one.times_ms) for one in found]
    steps = np.concatenate(apart) if apart else np.empty(0, dtype=np.int64)
    steps = steps[(steps > 0) & (steps <= GAP_MS)]
    if not len(steps):
        return None
    interval = _whole(float(np.median(steps)))
    expected = np.maximum(1, np.rint(steps / interval)).sum()
    phase = int(found[0].times_ms[-1]) % interval
    return Scraping(interval, phase, float(1.0 - len(steps) / expected), int(expected))


def _samples(source: Source, reads: Reads, first_ms: int, last_ms: int) -> Iterator[Points]:
    """Samples of series that stand for different targets."""
    length = min(WINDOW_MS, last_ms - first_ms)
    for k in range(WINDOWS):
        end = last_ms - (last_ms - first_ms - length) * k // WINDOWS
        seen: set[bytes] = set()
        # the largest counters: no choice by how many samples there are, which would hide missed scrapes
        for one in source.over(f"topk({SERIES}, {reads.requests})", end, end, 1000):
            matchers = ", ".join(
                f"{name}={quoted(value)}" for name, value in sorted(one.labels.items()) if name != "__name__"
            )
            name = reads.requests.partition("{")[0].strip()
            for found in source.raw(f"{name}{{{matchers}}}", end - length, end):
                times = found.times_ms.tobytes()
                if times not in seen:
                    seen.add(times)
                    yield found
        if length < WINDOW_MS:
            return


def _whole(interval_ms: float) -> int:
    """Whole seconds, where a median is that but for jitter."""
    seconds = round(interval_ms / 1000.0)
    near = seconds > 0 and abs(interval_ms - 1000.0 * seconds) <= 0.02 * interval_ms
    return 1000 * seconds if near else round(interval_ms)
