"""A bundle: the series of a past rollout, as one trace of a manifest and samples.

The manifest says where they are from, between which times, by which label versions differ, which counter
counts requests, where scrapes are missing, and which labels were taken out because they may be secrets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rolloutsim.errors import InputError, Position
from rolloutsim.promql import SeriesStore, is_stale
from rolloutsim.promql.intake import rfc3339_text, value_of
from rolloutsim.trace import Trace, read_trace

__all__ = ["Bundle", "BundleError", "Gap", "gaps_of", "is_counter", "names_of", "read_bundle"]

COUNTERS = ("_total", "_count", "_sum", "_bucket")
MISSED = 2.5
"""Scrapes further apart than this many usual intervals have a gap between them."""
DAY_MS = 86_400_000
FIRST_MS = 946_684_800_000
"""2000-01-01: a time before it was not meant in milliseconds."""


class BundleError(InputError):
    """A bundle is wrong, or has not what a policy asks of it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """No scrape between two times (ms since the epoch)."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What was recorded. ``label`` tells versions apart, ``requests`` names the counter of requests.

    ``start_ms`` and ``end_ms`` (ms since the epoch) are the stretch that was asked for; samples may begin
    earlier, so that the first queries have their windows.
    """

    name: str
    label: str
    requests: str
    start_ms: int
    end_ms: int
    interval_ms: int
    gaps: tuple[Gap, ...]
    store: SeriesStore
    trace: Trace

    def values(self) -> tuple[str, ...]:
        """The values of the label, sorted."""
        found = {self.store.labels(index).get(self.label) for index in range(len(self.store))}
        return tuple(sorted(value for value in found if value))


def is_counter(name: str) -> bool:
    """Whether a metric of this name only grows."""
    return name.endswith(COUNTERS)


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle.

    Raises
    ------
    BundleError : the file is no bundle, or its samples are on several clocks, out of order or not numbers,
        or none has the label; with the line and what to do.
    """
    file = str(path)
    try:
        trace = read_trace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"the file cannot be read: {error}", at=Position(file)) from error
    manifest = trace.manifest
    label, requests = _text(manifest, "by", file), _text(manifest, "requests", file)
    start_ms, end_ms = _time(manifest, "from", file), _time(manifest, "to", file)
    store = _store(trace, file, start_ms, end_ms)
    _check_label(store, label, requests, file)
    interval_ms, gaps = gaps_of(store, requests)
    return Bundle(Path(path).stem, label, requests, start_ms, end_ms, interval_ms, gaps, store, trace)


def gaps_of(store: SeriesStore, requests: str) -> tuple[int, tuple[Gap, ...]]:
    """The usual interval of the scrapes of the request counter, in ms, and where they are missing."""
    times = np.unique(
        np.concatenate(
            [np.empty(0, np.int64)]
            + [store.samples(i)[0] for i in range(len(store)) if store.labels(i)["__name__"] == requests]
        )
    )
    if len(times) < 2:
        return 0, ()
    apart = np.diff(times)
    # two versions are scraped at two phases: the times of one series tell the interval
    single = max((store.samples(i)[0] for i in range(len(store))), key=len)
    usual = int(np.median(np.diff(single))) if len(single) > 1 else int(np.median(apart))
    wide = np.flatnonzero(apart > MISSED * usual)
    return usual, tuple(Gap(int(times[index]), int(times[index + 1])) for index in wide)


def _store(trace: Trace, file: str, start_ms: int, end_ms: int) -> SeriesStore:
    """The samples, each checked."""
    store = SeriesStore()
    newest: dict[int, int] = {}
    for line, record in _samples(trace):
        at = Position(file, line)
        labels, time, value = _sample(record, at)
        if time < FIRST_MS or not start_ms - DAY_MS <= time <= end_ms + 60_000:
            raise BundleError(
                f"the sample is of {_when(time)}, and the bundle runs from {_when(start_ms)} to "
                f"{_when(end_ms)}: two clocks are mixed",
                at=at,
                value=time,
                fix="times are milliseconds since 1970, all of one server",
            )
        if math.isnan(value) and not is_stale(value) and is_counter(labels["__name__"]):
            raise BundleError(
                f"the counter {labels['__name__']} is not a number here",
                at=at,
                fix="a counter is never NaN: record the series of the exporter, not those of a rule",
            )
        series = store.add_series(labels)
        if time <= newest.get(series, -1):
            raise BundleError(
                "the sample is not later than the one before it of its series",
                at=at,
                fix="record the bundle again; do not join two",
            )
        newest[series] = time
        store.append(labels, time, value)
    if not newest:
        raise BundleError(
            "the bundle holds no samples",
            at=Position(file),
            fix="record it again, with --match for what to take",
        )
    return store


def _samples(trace: Trace) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return (
        (line, record) for line, record in enumerate(trace.records, start=2) if record["kind"] == "sample"
    )


def _sample(record: Mapping[str, Any], at: Position) -> tuple[dict[str, str], int, float]:
    try:
        labels, time, value = record["labels"], record["at"], record["value"]
        if type(time) is not int or not isinstance(labels, dict) or not labels.get("__name__"):
            raise ValueError("it has no labels with a name, or no whole time")
        return labels, time, value_of(value) if isinstance(value, str) else float(value)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"this is no sample: {error}", at=at, fix="is the file a complete trace?") from None


def _check_label(store: SeriesStore, label: str, requests: str, file: str) -> None:
    series = [store.labels(index) for index in range(len(store))]
    if not any(label in one for one in series):
        names = sorted({name for one in series for name in one if name != "__name__"})
        raise BundleError(
            f"no series has the label {label!r}, so versions cannot be told apart",
            at=Position(file, 1),
            fix=f"record it again with --by one of: {', '.join(names)}",
        )
    if not any(one["__name__"] == requests for one in series):
        raise BundleError(
            f"the counter of requests, {requests}, is not in the bundle",
            at=Position(file, 1),
            fix=f"record it again with --match '{requests}', or name yours with --requests",
        )


def _text(manifest: Mapping[str, Any], field: str, file: str) -> str:
    found = manifest.get(field)
    if isinstance(found, str) and found:
        return found
    raise BundleError(
        f"the manifest has no {field!r}",
        at=Position(file, 1),
        fix="a bundle is what rolloutsim record writes",
    )


def _time(manifest: Mapping[str, Any], field: str, file: str) -> int:
    found = manifest.get(field)
    if type(found) is int:
        return found
    raise BundleError(
        f"the manifest has no time {field!r}",
        at=Position(file, 1),
        fix="a bundle is what rolloutsim record writes",
    )


def _when(time_ms: int) -> str:
    try:
        return rfc3339_text(time_ms)
    except (OverflowError, ValueError):
        return f"{time_ms} ms"


def names_of(store: SeriesStore) -> Iterable[str]:
    """The names of the metrics of a store."""
    return {store.labels(index)["__name__"] for index in range(len(store))}
