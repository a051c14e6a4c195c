"""Series and their samples in memory: append-only, in time order, as a Prometheus head block keeps them."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import isnan
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rolloutsim.promql.labels import Labels, LabelSet, label_set

__all__ = ["STALE_NAN", "Block", "Record", "SeriesStore", "is_stale"]

_STALE_BITS = 0x7FF0000000000002
STALE_NAN: float = struct.unpack("<d", struct.pack("<Q", _STALE_BITS))[0]
"""The value that marks the end of a series: a NaN of its own (Prometheus, model/value/value.go)."""

_MAX_SEGMENTS = 4


def is_stale(value: float) -> bool:
    """Whether a value is the stale marker and not an ordinary NaN."""
    return value != value and struct.unpack("<Q", struct.pack("<d", value))[0] == _STALE_BITS


class Block:
    """Samples of series that share their times: ``values`` has a row per scrape and a column per series.

    Only the first ``rows`` rows of ``values`` are in use; ``times`` (ms) has exactly that many items.
    """

    __slots__ = ("members", "rows", "times", "values")

    def __init__(self, members: tuple[int, ...], capacity: int) -> None:
        self.members = members
        self.times = array("q")
        self.values: NDArray[np.float64] = np.empty((capacity, len(members)))
        self.rows = 0

    def append(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        end = self.rows + len(times)
        if end > len(self.values):
            grown = np.empty((max(end, self.rows + self.rows // 2 + 16), len(self.members)))
            grown[: self.rows] = self.values[: self.rows]
            self.values = grown
        self.values[self.rows : end] = values
        self.times.frombytes(times.tobytes())
        self.rows = end


class Record:
    """One series: its labels and the (block, column) pairs that hold its samples, oldest first."""

    __slots__ = ("labels", "segments")

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.segments: list[tuple[Block, int]] = []

    def last(self) -> tuple[int, float] | None:
        """Time and value of the newest sample."""
        for block, column in reversed(self.segments):
            if block.rows:
                return block.times[-1], block.values.item(block.rows - 1, column)
        return None

    def window(self, after: int, until: int) -> tuple[list[int], list[float]]:
        """Samples with ``after < time <= until``, without stale markers."""
        times: list[int] = []
        values: list[float] = []
        for block, column in self.segments:
            low = bisect_right(block.times, after)
            high = bisect_right(block.times, until, low)
            if low < high:
                times += block.times[low:high]
                values += block.values[low:high, column].tolist()
        if isnan(sum(values)):  # also where infinities of both signs are: then there is only more to look at
            alive = [not is_stale(value) for value in values]
            times = [time for time, stays in zip(times, alive, strict=True) if stays]
            values = [value for value, stays in zip(values, alive, strict=True) if stays]
        return times, values

    def newest(self, after: int, until: int) -> tuple[int, float] | None:
        """The newest entry with ``after < time <= until``, be it a stale marker."""
        for block, column in reversed(self.segments):
            row = bisect_right(block.times, until) - 1
            if row >= 0:
                time = block.times[row]
                return (time, block.values.item(row, column)) if time > after else None
        return None


class SeriesStore:
    """A growing set of series, each a growing list of samples (time in ms, float value).

    Series scraped together are stored together, so one `extend` for a whole scrape costs about as much as
    for one series. Times of a series increase: a sample at the newest time with the same value is ignored,
    with another value it is refused, and so is an older one (ValueError), as Prometheus does on ingestion.
    A call that is refused changes nothing.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.layout = 0
        """Changes when a series gets a new block: what was worked out from segments is then out of date."""
        self.resolved: dict[Hashable, Any] = {}
        """What the selectors of queries have found here; theirs to keep."""
        self._ids: dict[LabelSet, int] = {}
        self._open: dict[tuple[int, ...], Block] = {}

    @classmethod
    def from_series(cls, series: Iterable[tuple[Mapping[str, str], ArrayLike, ArrayLike]]) -> Self:
        """A store of whole series: triples of labels (``__name__`` among them), times in ms, values."""
        store = cls()
        parts: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for labels, times_ms, values in series:
            times, column = _times(times_ms), np.asarray(values, dtype=np.float64)
            if times.shape != column.shape:
                raise ValueError(f"series {dict(labels)} has {times.size} times and {column.size} values")
            identity = store.add_series(labels)
            if identity in parts:
                earlier = parts[identity]
                times, column = np.concatenate((earlier[0], times)), np.concatenate((earlier[1], column))
            parts[identity] = times, column
        shared: dict[bytes, list[int]] = {}
        for identity, (times, _) in parts.items():
            shared.setdefault(times.tobytes(), []).append(identity)
        for ids in shared.values():
            store.extend(ids, parts[ids[0]][0], np.stack([parts[identity][1] for identity in ids], axis=1))
        return store

    def __len__(self) -> int:
        return len(self.records)

    def add_series(self, labels: Mapping[str, str]) -> int:
        """The id of the series with these labels; it is registered if it is new."""
        key = label_set(labels)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.records)
            self.records.append(Record(key))
        return found

    def append(self, labels: Mapping[str, str], at_ms: int, value: float) -> None:
        """Add one sample to the series with these labels."""
        self.extend((self.add_series(labels),), np.array([at_ms], dtype=np.int64), np.array([[value]]))

    def extend(self, ids: Sequence[int], times_ms: ArrayLike, values: ArrayLike) -> None:
        """Add scrapes that several series share.

        ids : k ids, each at most once. Pass the same tuple again and again: it names the block to write to.
        times_ms : n times in ms, increasing.
        values : n × k values; `STALE_NAN` ends a series.
        """
        members = ids if type(ids) is tuple else tuple(ids)
        times = times_ms if type(times_ms) is np.ndarray and times_ms.dtype == np.int64 else _times(times_ms)
        rows = (
            values if type(values) is np.ndarray and values.dtype == np.float64 else np.asarray(values, float)
        )
        if rows.shape != (len(times), len(members)):
            raise ValueError(
                f"values have shape {rows.shape}, not (times, series) = {len(times), len(members)}"
            )
        if not len(times) or not members:
            return
        block = self._open.get(members)
        newest = block.times[-1] if block is not None else self._newest(members)
        if times[0] <= newest or (len(times) > 1 and (times[1:] <= times[:-1]).any()):
            self._extend_singly(members, times, rows)
            return
        if block is None:
            block = self._open_block(members, len(times))
        block.append(times, rows)

    def labels(self, identity: int) -> Labels:
        """The labels of a series, its name as ``__name__``."""
        return Labels(self.records[identity].labels)

    def samples(self, identity: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All samples of a series as arrays of times (ms) and values, stale markers included."""
        segments = self.records[identity].segments
        times = [np.array(block.times, dtype=np.int64) for block, _ in segments]
        values = [block.values[: block.rows, column] for block, column in segments]
        if not segments:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return np.concatenate(times), np.concatenate(values)

    def _newest(self, members: tuple[int, ...]) -> int:
        if len(set(members)) != len(members):
            raise ValueError("a series is named twice in one scrape")
        latest = [last[0] for member in members if (last := self.records[member].last()) is not None]
        return max(latest, default=-(2**63))

    def _open_block(self, members: tuple[int, ...], capacity: int) -> Block:
        block = Block(members, capacity)
        for column, member in enumerate(members):
            record = self.records[member]
            if record.segments:
                self._open.pop(record.segments[-1][0].members, None)
                _merge_small(record, member)
            record.segments.append((block, column))
        self._open[members] = block
        self.layout += 1
        return block

    def _extend_singly(
        self, members: tuple[int, ...], times: NDArray[np.int64], rows: NDArray[np.float64]
    ) -> None:
        """The careful path: samples at or before the newest time, checked before anything is written."""
        fresh = [
            _fresh(self.records[member], times, rows[:, column]) for column, member in enumerate(members)
        ]
        for column, (member, new) in enumerate(zip(members, fresh, strict=True)):
            if new:
                self.extend((member,), times[new], rows[new, column][:, None])


def _fresh(record: Record, times: NDArray[np.int64], values: NDArray[np.float64]) -> list[int]:
    """Which samples are new; raises ValueError for those that Prometheus refuses."""
    last = record.last()
    new: list[int] = []
    for index, (time, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
        if last is not None and time <= last[0]:
            name = repr(Labels(record.labels))
            if time < last[0]:
                raise ValueError(
                    f"sample of {name} at {time} ms is out of order: the newest is at {last[0]} ms"
                )
            if struct.pack("<d", value) != struct.pack("<d", last[1]):
                raise ValueError(
                    f"sample of {name} at {time} ms is a duplicate of another value: {last[1]}, now {value}"
                )
            continue
        new.append(index)
        last = (time, value)
    return new


def _merge_small(record: Record, member: int) -> None:
    """Join short runs of a series that changes company often, so that it has few segments."""
    while len(record.segments) > _MAX_SEGMENTS:
        (first, left), (second, right) = record.segments[-2:]
        if first.rows > 2 * second.rows:
            return
        joined = Block((member,), first.rows + second.rows)
        for block, column in ((first, left), (second, right)):
            times = np.array(block.times, dtype=np.int64)
            joined.append(times, block.values[: block.rows, column][:, None])
        record.segments[-2:] = [(joined, 0)]


def _times(times_ms: ArrayLike) -> NDArray[np.int64]:
    times = np.asarray(times_ms)
    if times.size and times.dtype.kind not in "iu":
        raise ValueError(f"times are integer milliseconds, not {times.dtype}")
    return times.astype(np.int64)
