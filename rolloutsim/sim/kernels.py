"""Compiled draws of the data plane: keyed Philox, binomial, Poisson, gamma, and whole scrapes of counts.

Everything works on flat arrays, so that it can be replaced as a whole. A variate is addressed by the key
of its stream and a counter (cell, ordinal, variate); its successive uniforms use the last counter word.
Small means are drawn by inversion of a single uniform, which couples two policies monotonically; large
ones by transformed rejection (Hörmann: "The generation of binomial random variates", J. Stat. Comput.
Simul. 46, 1993; "The transformed rejection method for generating Poisson random variables", Insurance:
Mathematics and Economics 12, 1993). Gamma variates: Marsaglia, Tsang, "A simple method for generating
gamma variables", ACM TOMS 26, 2000.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = [
    "account",
    "beta",
    "binomial",
    "cell_ends",
    "fill_columns",
    "fill_counts",
    "gamma",
    "minute_factors",
    "philox",
    "poisson",
    "uniform",
]

_M0 = np.uint64(0xD2E7470EE14C6C93)
_M1 = np.uint64(0xCA5A826395121157)
_W0 = np.uint64(0x9E3779B97F4A7C15)
_W1 = np.uint64(0xBB67AE8584CAA73B)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_11 = np.uint64(11)
_INVERSION_MEAN = 10.0
_NOWHERE = 1e-9
"""A share that finds no pod counts above this: below, it is rounding."""

SHARE, ERROR, SLOPE, WRONG, SLOW = range(5)
"""Columns of the conditions of a pool."""


@njit(cache=True, nogil=True, inline="always")
def _high_product(a, b):  # type: ignore[no-untyped-def]
    """High 64 bits of the 128-bit product of two 64-bit words."""
    a_low, a_high = a & _LOW, a >> _32
    b_low, b_high = b & _LOW, b >> _32
    middle = a_high * b_low + ((a_low * b_low) >> _32)
    cross = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _32) + (cross >> _32)


@njit(cache=True, nogil=True)
def philox(k0, k1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """The four words that Philox4x64-10 gives for a key and a counter."""
    k0, k1 = np.uint64(k0), np.uint64(k1)
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    for _ in range(10):
        high0, low0 = _high_product(_M0, c0), _M0 * c0
        high1, low1 = _high_product(_M1, c2), _M1 * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += _W0
        k1 += _W1
    return c0, c1, c2, c3


@njit(cache=True, nogil=True)
def uniform(k0, k1, cell, ordinal, variate, draw):  # type: ignore[no-untyped-def]
    """Uniform on (0, 1), never an end point, with 53 random bits."""
    word = philox(k0, k1, cell, ordinal, variate, draw)[0]
    return (np.float64(word >> _11) + 0.5) * 1.1102230246251565e-16


@njit(cache=True, nogil=True)
def _stirling_tail(k):  # type: ignore[no-untyped-def]
    """log(k!) minus Stirling's formula in k + 1."""
    if k < 10.0:
        return (
            math.lgamma(k + 1.0) - (k + 0.5) * math.log(k + 1.0) + (k + 1.0) - 0.5 * math.log(2.0 * math.pi)
        )
    square = (k + 1.0) * (k + 1.0)
    return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1.0)


@njit(cache=True, nogil=True)
def _binomial_by_inversion(u, n, p):  # type: ignore[no-untyped-def]
    odds = p / (1.0 - p)
    mass = math.exp(n * math.log1p(-p))
    k = 0
    while u > mass and k < n:
        u -= mass
        k += 1
        mass *= odds * (n - k + 1) / k
    return k


@njit(cache=True, nogil=True)
def _binomial_by_rejection(k0, k1, cell, ordinal, variate, n, p):  # type: ignore[no-untyped-def]
    """Hörmann's BTRS, for n p >= 10 and p <= 1/2."""
    spread = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    centre = n * p + 0.5
    v_r = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    mode = math.floor((n + 1) * p)
    draw = 0
    while True:
        u = uniform(k0, k1, cell, ordinal, variate, draw) - 0.5
        v = uniform(k0, k1, cell, ordinal, variate, draw + 1)
        draw += 2
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + centre)
        if us >= 0.07 and v <= v_r:
            return np.int64(k)
        if k < 0.0 or k > n:
            continue
        v = math.log(v * alpha / (a / (us * us) + b))
        bound = (
            (mode + 0.5) * math.log((mode + 1.0) / (p / (1.0 - p) * (n - mode + 1.0)))
            + (n + 1.0) * math.log((n - mode + 1.0) / (n - k + 1.0))
            + (k + 0.5) * math.log(p / (1.0 - p) * (n - k + 1.0) / (k + 1.0))
            + _stirling_tail(mode)
            + _stirling_tail(n - mode)
            - _stirling_tail(k)
            - _stirling_tail(n - k)
        )
        if v <= bound:
            return np.int64(k)


@njit(cache=True, nogil=True)
def binomial(k0, k1, cell, ordinal, variate, n, p):  # type: ignore[no-untyped-def]
    """Number of successes in ``n`` trials of probability ``p``."""
    if n <= 0 or p <= 0.0:
        return np.int64(0)
    if p >= 1.0:
        return np.int64(n)
    q = min(p, 1.0 - p)
    if n * q < _INVERSION_MEAN:
        u = uniform(k0, k1, cell, ordinal, variate, 0)
        k = np.int64(_binomial_by_inversion(u if p <= 0.5 else 1.0 - u, n, q))
    else:
        k = _binomial_by_rejection(k0, k1, cell, ordinal, variate, n, q)
    return k if p <= 0.5 else n - k


@njit(cache=True, nogil=True)
def poisson(k0, k1, cell, ordinal, variate, mean):  # type: ignore[no-untyped-def]
    """A Poisson count; Hörmann's PTRS above a mean of 10."""
    if mean <= 0.0:
        return np.int64(0)
    if mean < _INVERSION_MEAN:
        u = uniform(k0, k1, cell, ordinal, variate, 0)
        mass = math.exp(-mean)
        k = 0
        while u > mass and k < 1000:
            u -= mass
            k += 1
            mass *= mean / k
        return np.int64(k)
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    draw = 0
    while True:
        u = uniform(k0, k1, cell, ordinal, variate, draw) - 0.5
        v = uniform(k0, k1, cell, ordinal, variate, draw + 1)
        draw += 2
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return np.int64(k)
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        left = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if left <= -mean + k * math.log(mean) - math.lgamma(k + 1.0):
            return np.int64(k)


@njit(cache=True, nogil=True)
def gamma(k0, k1, cell, ordinal, variate, shape):  # type: ignore[no-untyped-def]
    """A gamma variate of this shape and scale 1."""
    boost = 1.0
    draw = 0
    if shape < 1.0:
        boost = uniform(k0, k1, cell, ordinal, variate, draw) ** (1.0 / shape)
        draw += 1
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        radius = math.sqrt(-2.0 * math.log(uniform(k0, k1, cell, ordinal, variate, draw)))
        x = radius * math.cos(2.0 * math.pi * uniform(k0, k1, cell, ordinal, variate, draw + 1))
        u = uniform(k0, k1, cell, ordinal, variate, draw + 2)
        draw += 3
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v


@njit(cache=True, nogil=True)
def beta(k0, k1, cell, ordinal, variate, a, b):  # type: ignore[no-untyped-def]
    """A beta variate, from two gamma variates (``variate`` and ``variate + 1``)."""
    x = gamma(k0, k1, cell, ordinal, variate, a)
    y = gamma(k0, k1, cell, ordinal, variate + 1, b)
    return x / (x + y)


@njit(cache=True, nogil=True)
def minute_factors(k0, k1, first_minute, count, shape):  # type: ignore[no-untyped-def]
    """Gamma factors of mean 1 for ``count`` minutes from ``first_minute`` on."""
    factors = np.empty(count)
    for j in range(count):
        factors[j] = gamma(k0, k1, first_minute + j, 0, 0, shape) / shape
    return factors


@njit(cache=True, nogil=True)
def _spread(key, cell, ordinal, variate, count, slots, into):  # type: ignore[no-untyped-def]
    """Add ``count`` requests to their latency buckets (a multinomial draw, bucket by bucket)."""
    rest, mass = count, 1.0
    for b in range(slots.shape[0]):
        if rest == 0:
            return
        if b == slots.shape[0] - 1 or slots[b] >= mass:
            in_bucket = rest
        else:
            in_bucket = binomial(key[0], key[1], cell, ordinal, variate + b, rest, slots[b] / mass)
        into[b] += in_bucket
        rest -= in_bucket
        mass -= slots[b]


@njit(cache=True, nogil=True, inline="always")
def _failing(pool, ms):  # type: ignore[no-untyped-def]
    """Probability that a request of a pool fails, this long after its conditions began."""
    return min(1.0, max(0.0, pool[ERROR] + pool[SLOPE] * ms))


@njit(cache=True, nogil=True)
def cell_ends(now, until, phase, interval):  # type: ignore[no-untyped-def]
    """``now``, the scrapes after it up to ``until``, and ``until`` if it is none: int64 (P + 1,)."""
    first = now + interval - (now - phase) % interval
    scrapes = (until - first) // interval + 1 if until >= first else 0
    last = first + (scrapes - 1) * interval
    edges = np.empty(1 + scrapes + (1 if scrapes == 0 or last < until else 0), dtype=np.int64)
    edges[0] = now
    for j in range(scrapes):
        edges[1 + j] = first + j * interval
    edges[-1] = until
    return edges


@njit(cache=True, nogil=True)
def account(edges, since, means, pools, accounts, copies=0):  # type: ignore[no-untyped-def]
    """Add what is expected of successive pieces of time.

    ``accounts`` : (V + 1, 2), for each pool the requests that reached it, and the bad ones among them
    beyond what pool 0 would have had; last, the requests that found no pod and pool 0 would have served.
    The last ``copies`` pools get copies of requests, which count for nothing here.
    """
    for j in range(means.shape[0]):
        middle = 0.5 * (edges[j] + edges[j + 1]) - since
        nowhere, stable = 1.0, 0.0
        for v in range(pools.shape[0] - copies):
            pool = pools[v]
            bad = 1.0 - (1.0 - _failing(pool, middle)) * (1.0 - pool[WRONG]) * (1.0 - pool[SLOW])
            if v == 0:
                stable = bad
            accounts[v, 0] += means[j] * pool[SHARE]
            accounts[v, 1] += means[j] * pool[SHARE] * (bad - stable)
            nowhere -= pool[SHARE]
        if nowhere > _NOWHERE:
            accounts[-1, 0] += means[j] * nowhere * (1.0 - stable)


@njit(cache=True, nogil=True)
def fill_counts(  # type: ignore[no-untyped-def]
    keys,  # int64 (2 + 2 V, 2): arrivals, routing, errors of each pool, latency of each pool
    edges,  # int64 (P + 1,): ends of the pieces; all but perhaps the last are scrapes
    phase,  # int: a scrape happens at phase plus any multiple of interval
    interval,  # int: length of a cell
    ordinal,  # int: how many pieces of the first cell came before
    since,  # int: when the conditions began
    means,  # float64 (P,): expected requests of each piece
    rest,  # float: expected requests from the last piece's start to the end of its cell
    closing,  # bool: the last piece ends with a scrape
    left,  # int: requests that remain of the cell that is open, if ordinal is not 0
    pools,  # float64 (V, 5): SHARE of the requests, ERROR, SLOPE of the error rate, WRONG, SLOW
    exact,  # bool: the router splits by weighted round robin and not at random
    carry,  # float64 (V,): what an exact split still owes each pool; changed
    icc,  # float: intra-class correlation of errors within a minute
    slots,  # float64 (V, B): probability of each latency bucket; B is 0 when nobody reads latency
    totals,  # int64 (V, 2 + 2 B): successes, errors, bucket counts of each so far; changed
    rows,  # int64 (R, V, 2 + 2 B): totals at each scrape; filled
    copies=0,  # int: so many of the last pools get copies of requests beside the others
):
    """Draw the requests of successive pieces of time; return what remains of the last cell.

    The number of requests of a cell is drawn once, from the cell alone, and then split over its pieces,
    pools, outcomes and latency buckets, so that it is the same whatever the policy does inside it.
    """
    last = means.shape[0] - 1
    versions, buckets = pools.shape[0], slots.shape[1]
    for j in range(last + 1):
        cell = (edges[j] - phase) // interval
        closes = closing or j < last
        if ordinal == 0:
            left = poisson(keys[0, 0], keys[0, 1], cell, 0, 0, means[j] if closes else rest)
        if closes or rest <= 0.0:
            count = left
        else:
            count = binomial(keys[0, 0], keys[0, 1], cell, ordinal, 1, left, min(1.0, means[j] / rest))
        left -= count
        unrouted, share_left = count, 1.0
        middle = 0.5 * (edges[j] + edges[j + 1])
        for v in range(versions - 1, -1, -1):
            share = pools[v, SHARE]
            copied = v >= versions - copies
            left_of, whole = (count, 1.0) if copied else (unrouted, share_left)
            if exact:
                carry[v] += count * share
                n = min(left_of, np.int64(math.floor(carry[v] + 1e-9)))
                carry[v] -= n
            elif share >= whole:
                n = left_of
            else:
                n = binomial(keys[1, 0], keys[1, 1], cell, ordinal, v, left_of, share / whole)
            if not copied:
                unrouted -= n
                share_left -= share
            if n == 0:
                continue
            key = keys[2 + v]
            p = _failing(pools[v], middle - since)
            if icc > 0.0 and 0.0 < p < 1.0:
                weight = 1.0 / icc - 1.0
                minute = np.int64(math.floor(edges[j] / 60_000))
                p = beta(key[0], key[1], minute, 2**40, 1, p * weight, (1.0 - p) * weight)
            failed = binomial(key[0], key[1], cell, ordinal, 0, n, p)
            totals[v, 0] += n - failed
            totals[v, 1] += failed
            key = keys[2 + versions + v]
            _spread(key, cell, ordinal, 0, n - failed, slots[v], totals[v, 2 : 2 + buckets])
            _spread(key, cell, ordinal, buckets, failed, slots[v], totals[v, 2 + buckets :])
        ordinal += 1
        if closes:
            rows[j] = totals
            ordinal = 0
    return left


@njit(cache=True, nogil=True)
def fill_columns(  # type: ignore[no-untyped-def]
    totals,  # int64 (R, V, 2 + 2 B): successes, errors, bucket counts of each, at each scrape
    mean_s,  # float64 (V,): mean time of a request since the scrape before the first of these
    counted,  # int64 (V, 2): successes and errors at that scrape; changed to those at the last one
    seconds,  # float64 (V, 2): summed time of each until then; changed likewise
    columns,  # float64 (R, V, 6 + 2 B): filled
):
    """What the pools export: successes, errors, and of each its cumulated buckets, time and count."""
    scrapes, pools, width = totals.shape
    buckets = (width - 2) // 2
    for pool in range(pools):
        for fate in range(2):
            first = 2 + fate * (buckets + 2)
            took, count = seconds[pool, fate], counted[pool, fate]
            for scrape in range(scrapes):
                count = totals[scrape, pool, fate]
                took = seconds[pool, fate] + (count - counted[pool, fate]) * mean_s[pool]
                cumulated = 0
                for bucket in range(buckets):
                    cumulated += totals[scrape, pool, 2 + fate * buckets + bucket]
                    columns[scrape, pool, first + bucket] = cumulated
                columns[scrape, pool, fate] = columns[scrape, pool, first + buckets + 1] = count
                columns[scrape, pool, first + buckets] = took
            seconds[pool, fate], counted[pool, fate] = took, count
