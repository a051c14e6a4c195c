"""How many requests came, and how many of them failed, in each cell of time: exact counts, no extrapolation.

A cell is as long as the least multiple of the scrape interval that is at least a minute. A counter's value
at the end of a cell minus that at its beginning is what was counted between two scrapes, so that a rate's
extrapolation (which makes counts look more variable than they are) does not come in. A cell counts only if
every series was scraped on time at both of its ends, none was reset within it, and none began or ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.calibration.reads import Reads
from rolloutsim.evidence.calibration.scrapes import Scraping
from rolloutsim.evidence.calibration.source import Points, Progress, Source

__all__ = ["Cells", "count_cells", "hours_of"]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Successive cells of ``length_ms``, scraped every ``interval_ms``: ends in ms, requests, failed ones.

    ``valid`` : the counts are those of the whole cell and nothing else. ``seen`` : anything was scraped.
    """

    length_ms: int
    interval_ms: int
    ends_ms: Times
    requests: Floats
    errors: Floats
    valid: Flags
    seen: Flags

    def gaps(self, least_ms: int) -> list[tuple[int, int]]:
        """Stretches (start, end in ms) between samples without any other that are at least so long."""
        seen = np.flatnonzero(self.seen)
        found = []
        for before, last in zip(seen[:-1].tolist(), seen[1:].tolist(), strict=True):
            first = before + 1
            start, end = int(self.ends_ms[first]) - self.length_ms, int(self.ends_ms[last - 1])
            if end - start >= least_ms:
                found.append((start, end))
        return found


def count_cells(
    source: Source, reads: Reads, first_ms: int, last_ms: int, scrapes: Scraping, progress: Progress
) -> Cells:
    """Count the requests of all cells between two times.

    Raises
    ------
    ExecutorError : the source cannot be asked.
    """
    interval = scrapes.interval_ms
    length = interval * -(-MINUTE_MS // interval)
    # half-way between two scrapes of a target, so that a late scrape and a missed one are not confused
    first = first_ms + (scrapes.phase_ms + interval // 2 - first_ms) % interval
    ends = np.arange(first + length, last_ms + 1, length, dtype=np.int64)
    grid = np.concatenate((ends[:1] - length, ends)) if len(ends) else ends
    selector, before = reads.requests, f"offset {length}ms"
    queries = {
        "requests": f"sum({selector} - {selector} {before})",
        "resets": f"sum({selector} < bool ({selector} {before}))",
        "series": f"count({selector})",
        "stayed": f"count({selector} - {selector} {before})",
        "age": f"max(time() - timestamp({selector}))",
    }
    if reads.errors:
        queries["errors"] = f"sum({reads.errors} - {reads.errors} {before})"
    columns: dict[str, Floats] = {}
    for done, (name, query) in enumerate(queries.items()):
        progress(done, len(queries))
        found = source.over(query, int(grid[0]), int(grid[-1]), length) if len(grid) else []
        columns[name] = _column(found, grid)
    progress(len(queries), len(queries))
    series = np.nan_to_num(columns["series"])
    stayed = np.nan_to_num(columns["stayed"][1:])
    fresh = columns["age"] < interval / 1000.0
    valid = (
        fresh[:-1]
        & fresh[1:]
        & (stayed == series[1:])
        & (stayed == series[:-1])
        & (stayed > 0)
        & (np.nan_to_num(columns["resets"][1:]) == 0)
    )
    errors = np.nan_to_num(columns["errors"][1:]) if reads.errors else np.zeros(len(ends))
    requests = np.nan_to_num(columns["requests"][1:])
    return Cells(length, interval, ends, requests, errors, valid & (errors <= requests), series[1:] > 0)


def hours_of(cells: Cells) -> Iterator[slice]:
    """Successive stretches of an hour, or of all there is if that is less."""
    size = max(8, HOUR_MS // cells.length_ms)
    count = max(1, len(cells.ends_ms) // size)
    bounds = np.linspace(0, len(cells.ends_ms), count + 1).astype(int).tolist()
    yield from (slice(first, last) for first, last in pairwise(bounds))


def _column(found: list[Points], grid: Times) -> Floats:
    """The values of the only series on the grid; NaN where there is none."""
    column = np.full(len(grid), np.nan)
    for one in found:
        places = np.searchsorted(grid, one.times_ms)
        column[places] = one.values
    return column
