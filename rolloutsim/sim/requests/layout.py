"""Where everything stands in the flat arrays of the request kernels.

The kernels know nothing but these arrays, so that they can be replaced as a whole. Times are float
milliseconds from the release. A *lane* is a way of reaching a version and has its own counts; a *route* is
what the router chooses; the last lane counts requests that found no pod.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rules", "State", "Tables"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

BLOCK_MS = 5_000.0
"""Arrivals are drawn anew in each block of this length; the rate is constant within a block."""
MOST_SLOTS = 128
"""Slots of a pod up to which the faster kernel keeps them in order."""
CHUNK = 1_024
"""Arrivals that are drawn at a time."""

ID, TRY, POD, LANE, STATUS, BEFORE, AFTER, NEXT = range(8)
"""Columns of a record (integers): request, attempt, where it is, its neighbours in time and in the queue."""
SINCE, WORK, CHANCE, BORN = range(4)
"""Columns of a record (floats): start of the attempt, work in ms, draw of the outcome, first attempt."""
WAITING, SERVED, GONE = range(3)
"""Status of a record: in a queue; in a slot; in a slot while its client has given up."""

BUSY, QUEUED, FIRST, LAST, SLOTS, LIMIT, VERSION, ALIVE = range(8)
"""Columns of a pod (integers)."""
FACTOR, READY, COLD, WARM_MS = range(4)
"""Columns of a pod (floats): time factor; ready since; extra time factor when cold, and how it decays."""

N_BUSY, N_RETRY, FREE, N_FREE, OLDEST, NEWEST, TAPE_AT, TAPE_END, BLOCK, PLACE = range(10)
TAPE_FIRST, SESSIONS, SESSIONS_EXPOSED, SESSIONS_HARMED, REQUESTS = range(10, 15)
INTEGERS = 15
"""Places of the integers that change."""
SUM, TOKENS = range(2)
"""Places of the floats that change: unit gaps in this block so far, tokens of the retry budget."""

STARTED, TIMED_OUT, REJECTED, CUT, LOST, BAD, DENIED = range(7)
"""Columns of the counts of a lane: attempts begun; attempts that ended without an answer, by cause;
requests lost after the last attempt; good answers that were wrong or late; retries beyond the budget."""
OUTCOMES = 7

WAITED = 2
"""Column of summed times: before the requests began; columns 0 and 1 are those of good and bad answers."""

FAIL, FAIL_PER_MS, FAIL_SINCE, WRONG = range(4)
"""Columns of the conditions of a lane."""
UPTO, TIMES = range(2)
"""Columns of a tail of a lane: the cumulated share of its requests, and what multiplies their work."""
LAW, MEAN, SIGMA = range(3)
"""Law, mean (ms) and sigma of the logarithm, of a lane's work for an endpoint class."""
EXPONENTIAL, DETERMINISTIC, LOGNORMAL = range(3)
RANDOM, ROUND_ROBIN, LEAST, TWO_CHOICES = range(4)
"""Balancers."""

DONE, MORE_RECORDS = range(2)
"""Why a kernel returned."""


class Rules(NamedTuple):
    """What stays the same during a stretch of time."""

    timeout: float
    retries: int
    backoff: float
    budget: float
    """Retry tokens that each request brings; infinite: no budget."""
    tokens_most: float
    balancing: int
    exact: bool
    users: int
    session_end: float
    """Probability that a session is over before its next request."""
    slow: float
    wide: bool
    """Something is to be chosen: a route, a pod or an endpoint class."""
    full: bool
    """The records may not become more: what finds none is lost."""
    bound_shift: int
    bound_base: int


class State(NamedTuple):
    """Everything that is in flight, and where the arrivals are."""

    n: Ints
    x: Floats
    tape_times: Floats
    tape_words: Words
    records_i: Ints
    records_f: Floats
    busy_times: Floats
    busy_records: Ints
    retry_times: Floats
    retry_records: Ints
    pods_i: Ints
    pods_f: Floats
    cursors: Ints
    owed: Floats
    cookies: NDArray[np.uint8]
    counts: Ints
    hist: Ints
    waits: Ints
    time_ns: Ints


class Tables(NamedTuple):
    """What a stretch of time looks like: arrivals, routes, pods of each route, lanes, work, buckets."""

    key: Words
    rates: Floats
    """Requests per ms in the blocks from ``first_block`` on."""
    first_block: int
    trace: Floats
    """Given times of arrival; empty: Poisson."""
    shares: Floats
    """Cumulated shares of the routes."""
    keeps: NDArray[np.bool_]
    """Which routes a session stays on."""
    members: Ints
    sizes: Ints
    lanes: Ints
    """Lane of each route and version."""
    fails: Floats
    work: Floats
    """(L, C, 3)"""
    tails: Floats
    """(L, T, 2); 0 where there is none."""
    classes: Floats
    """Cumulated shares of the endpoint classes."""
    bounds: Floats
    bound_first: Ints
