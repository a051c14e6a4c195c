"""Where a service's history is: a Prometheus server, or series in memory. Both are asked PromQL.

Range queries are cut into pieces, so that two weeks at a step of a minute stay below the server's limits on
points, on samples and on time; raw samples are asked for by the hour and only where a window needs them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx
import numpy as np
from numpy.typing import NDArray

from rolloutsim.errors import InputError
from rolloutsim.evidence.recorded import Recorder
from rolloutsim.promql import Matrix, PromQLError, Query, Series, SeriesStore, compile_query, is_stale
from rolloutsim.promql.catalog import time_range

__all__ = ["Points", "Progress", "ServerSource", "Source", "StoreSource"]

PIECE = 1_440
"""Steps of one range query; a server allows 11,000."""
HOUR_MS = 3_600_000
QUERY_MS = 120_000

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """One series of an answer: its labels, times in ms and values."""

    labels: Mapping[str, str]
    times_ms: Times
    values: Floats


class Source(Protocol):
    """Answers queries about the past. ``shown`` names it and holds no secret."""

    @property
    def shown(self) -> str: ...

    @property
    def left_closed(self) -> bool | None:
        """Whether windows hold samples at their very start (Prometheus 2); None: not known."""

    def over(self, query: str, first_ms: int, last_ms: int, step_ms: int) -> list[Points]:
        """The answers at ``first_ms`` and every ``step_ms`` until ``last_ms``.

        Raises
        ------
        ExecutorError : the server cannot be asked, or cannot answer.
        InputError : the query is none.
        """

    def raw(self, selector: str, start_ms: int, end_ms: int) -> list[Points]:
        """All samples with start < time <= end, as they were scraped."""


class StoreSource:
    """Series in memory, read from a file or made by a simulation."""

    left_closed: bool | None = None

    def __init__(self, store: SeriesStore, shown: str = "recorded samples") -> None:
        self.store = store
        self.shown = shown

    def span(self) -> tuple[int, int]:
        """Times (ms) of the first and the last sample.

        Raises
        ------
        InputError : there is none.
        """
        span = time_range(self.store)
        if span is None:
            raise InputError(f"{self.shown}: there are no samples")
        return span

    def over(self, query: str, first_ms: int, last_ms: int, step_ms: int) -> list[Points]:
        compiled = compile_query(query)
        return _joined(
            series
            for first, last in _pieces(first_ms, last_ms, step_ms)
            for series in self._answers(compiled, first, last, step_ms)
        )

    def _answers(
        self, query: Query, first_ms: int, last_ms: int, step_ms: int
    ) -> Iterator[tuple[Series, ...]]:
        """The answers of a piece, in halves where it would be too much reading at once."""
        try:
            yield query.evaluate_range(self.store, first_ms, last_ms, step_ms).series
        except PromQLError as error:
            half = (last_ms - first_ms) // step_ms // 2 * step_ms
            if error.kind != "unsupported" or last_ms - first_ms < step_ms:
                raise
            yield from self._answers(query, first_ms, first_ms + half, step_ms)
            yield from self._answers(query, first_ms + half + step_ms, last_ms, step_ms)

    def raw(self, selector: str, start_ms: int, end_ms: int) -> list[Points]:
        answer = compile_query(f"{selector}[{end_ms - start_ms}ms]").evaluate(self.store, end_ms)
        assert isinstance(answer, Matrix)
        return _joined([answer.series])


class ServerSource:
    """A Prometheus server. Nothing on it is changed."""

    def __init__(self, client: Recorder, shown: str) -> None:
        self._client = client
        self.shown = shown
        self._version: str | None = None

    @property
    def left_closed(self) -> bool | None:
        major = self.version.split(".")[0]
        return major == "2" if major in ("2", "3") else None

    @property
    def version(self) -> str:
        """The server's version; empty if it does not say."""
        if self._version is None:
            try:
                status, text = self._client._exchange("GET", "api/v1/status/buildinfo", 10.0)
                self._version = str(json.loads(text)["data"]["version"]) if status == 200 else ""
            except (httpx.HTTPError, KeyError, TypeError, ValueError):
                self._version = ""
        return self._version

    def over(self, query: str, first_ms: int, last_ms: int, step_ms: int) -> list[Points]:
        pieces = (
            _series(self._client.series(query, first, last, step_ms, QUERY_MS))
            for first, last in _pieces(first_ms, last_ms, step_ms)
        )
        return _joined(pieces)

    def raw(self, selector: str, start_ms: int, end_ms: int) -> list[Points]:
        pieces = (
            _series(self._client.raw(selector, first, min(first + HOUR_MS, end_ms)))
            for first in range(start_ms, end_ms, HOUR_MS)
        )
        return _joined(pieces)


def _pieces(first_ms: int, last_ms: int, step_ms: int) -> Iterator[tuple[int, int]]:
    length = PIECE * step_ms
    for first in range(first_ms, last_ms + 1, length):
        yield first, min(first + length - step_ms, last_ms)


def _series(store: SeriesStore) -> list[Series]:
    found = []
    for index in range(len(store)):
        times, values = store.samples(index)
        found.append(Series(store.labels(index), tuple(times.tolist()), tuple(values.tolist())))
    return found


def _joined(
    pieces: Iterator[tuple[Series, ...]] | Iterator[list[Series]] | list[tuple[Series, ...]],
) -> list[Points]:
    """The pieces of each series, one after another, without the markers of their ends."""
    times: dict[frozenset[tuple[str, str]], list[int]] = {}
    values: dict[frozenset[tuple[str, str]], list[float]] = {}
    for piece in pieces:
        for one in piece:
            key = frozenset(one.labels.items())
            times.setdefault(key, []).extend(one.times_ms)
            values.setdefault(key, []).extend(one.values)
    found = []
    for key in sorted(times, key=sorted):
        column = np.array(values[key])
        kept = np.array([not is_stale(value) for value in values[key]], dtype=np.bool_)
        found.append(Points(dict(key), np.array(times[key], dtype=np.int64)[kept], column[kept]))
    return found
