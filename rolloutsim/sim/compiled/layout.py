"""How a compiled run lies in flat arrays: the kinds of events, and the tuples that its kernels take.

`Plan` is what a course and the policy's queries come to, `World` what a scenario says about requests and
scrapes; both are the same for many runs. `Keys` and `Run` belong to one run. All times are ms from the
release.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADVANCE",
    "ALIVE",
    "ASKING",
    "BEGIN",
    "CHANGE",
    "CONDITIONS",
    "ERROR",
    "FAILED",
    "INCONCLUSIVE",
    "LEFT",
    "MARK",
    "MARKS",
    "MINUTE_MS",
    "NEW_ALIVE",
    "NOW",
    "ORDINAL",
    "QUERIES",
    "QUERY",
    "ROWS",
    "SINCE",
    "STABLE_ALIVE",
    "STOP",
    "SUCCESSFUL",
    "Keys",
    "Plan",
    "Run",
    "Series",
    "World",
]

ADVANCE: Final = 0
"""Requests happen up to a time."""
CHANGE: Final = 1
"""The next conditions hold from now on."""
ALIVE: Final = 2
"""Which versions have a pod to scrape."""
QUERY: Final = 3
"""A measurement, at a time."""
MARK: Final = 4
"""Keep what was exposed so far."""
STOP: Final = 5
"""No query comes any more."""
BEGIN: Final = 6
"""The history begins, with a scrape if it is the time for one."""

MINUTE_MS: Final = 60_000

NOW, SINCE, LEFT, ORDINAL, ROWS, ASKING, CONDITIONS, STABLE_ALIVE, NEW_ALIVE, MARKS, QUERIES = range(11)
"""Places in ``Run.at``."""

SUCCESSFUL, FAILED, INCONCLUSIVE, ERROR = range(4)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class World(NamedTuple):
    """What a scenario says about requests and scrapes.

    ``per_ms`` : requests per ms. ``shape`` : of the gamma factor of a minute, below 0 if there is none.
    ``first_minute`` : of the history.
    """

    interval: int
    per_ms: float
    shape: float
    icc: float
    exact: bool
    lag: int
    missed: float
    from_zero: bool
    left_closed: int
    first_minute: int


class Series(NamedTuple):
    """The series that queries read, and when nothing is scraped.

    Series k is the sum of ``term[terms[k]]`` to before ``term[terms[k + 1]]``: of a pool, from one column of
    its totals to before another. It exists once the same sum over ``birth`` is positive. ``owners`` : (K, 2)
    whether each version's pods export it; if none does, the router. ``gaps`` : (G, 2).
    """

    gaps: Ints
    terms: Ints
    term: Ints
    births: Ints
    birth: Ints
    owners: Ints


class Plan(NamedTuple):
    """A course of events and what is asked and judged in it.

    ``events`` : (E, 3), kind, time, and what the kind needs: whether versions are alive (1 stable, 2 new), or
    the number of the measurement. ``pools`` and ``drawn`` : (C, V, 5) conditions, in the order of the
    changes; in the latter no pool that nobody looks at has errors. ``slots`` : (C, V, B). ``last`` : the
    event of the last measurement. ``asked`` : (Q, 4), for each measurement its query, its counters, its table
    and the verdict that the course prescribes, below 0 for one that changes nothing. ``limits`` : failures
    and inconclusive ones that each counter stands. The rest are the programs of the queries (`formula`) and
    the tables of the conditions (`judgement`), one after the other.
    """

    events: Ints
    pools: Floats
    drawn: Floats
    slots: Floats
    last: int
    asked: Ints
    limits: Ints
    codes: Ints
    code: Ints
    numbers: Floats
    windows: Ints
    members: Ints
    member: Ints
    tables: Ints
    breaks: Floats
    letter: Ints
    phase: Ints


class Keys(NamedTuple):
    """The phase of the scrapes of a run, and the keys of its draws beside those of the counts."""

    phase: int
    dispersion_low: int
    dispersion_high: int
    missed_low: int
    missed_high: int


class Run(NamedTuple):
    """How far a run has come.

    ``at`` : see `NOW` and its neighbours. ``times``, ``values`` and ``published`` have a row for each scrape;
    the last counts the scrapes up to it at which a series was there. ``verdicts`` : of each measurement.
    ``means``, ``rows`` and ``answer`` are room to work in.
    """

    at: Ints
    keys: Ints
    totals: Ints
    carry: Floats
    accounts: Floats
    marks: Floats
    factors: Floats
    exists: Ints
    times: Ints
    values: Floats
    published: Ints
    counters: Ints
    verdicts: Ints
    means: Floats
    rows: Ints
    answer: Floats
