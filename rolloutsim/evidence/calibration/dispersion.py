"""How unevenly requests come and fail: the parameters ``dispersion`` and ``error_icc`` of a service.

Both belong to minutes, but a scrape does not know where a minute of the model begins: a cell may straddle
two. So what neighbouring cells have in common is added to what a cell has by itself; the sum does not depend
on where minutes begin (the index of dispersion of counts over long stretches; D. R. Cox, P. A. W. Lewis,
*The Statistical Analysis of Series of Events*, 1966, chapter 4). What is slower than that, the time of day
above all, is taken out hour by hour.

Standard errors are those of ratios of sums over blocks of time (W. G. Cochran, *Sampling Techniques*, 1977,
chapter 6); days where there are enough of them, so that what a day has in common is in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.evidence.calibration.counting import MINUTE_MS, Cells, hours_of

__all__ = ["Known", "correlation_of", "dispersion_of", "error_rate_of", "ratio"]

LEAST_CELLS = 12
"""An hour with fewer valid cells tells nothing about its own scatter."""
LEAST_BLOCKS = 5
FAR = (2, 3, 4)
"""So many cells apart nothing of a minute is shared."""
DAY_MS = 86_400_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """A number, its standard error (None: too little data to say), and how many cells are behind it."""

    value: float
    error: float | None
    cells: int


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> tuple[float, float | None]:
    """The sum of the tops over that of the bottoms, and its standard error; one pair per block."""
    top, bottom = np.asarray(tops), np.asarray(bottoms)
    value = float(top.sum() / bottom.sum())
    n = len(top)
    if n < LEAST_BLOCKS:
        return value, None
    residuals = top - value * bottom
    return value, math.sqrt(n / (n - 1) * float(residuals @ residuals)) / abs(float(bottom.sum()))


def error_rate_of(cells: Cells) -> Known | None:
    """The share of requests that fail; None if there were none."""
    parts = [(float(e.sum()), float(n.sum()), _day(cells, s)) for s, n, e in _stretches(cells)]
    if not parts or sum(n for _, n, _ in parts) <= 0.0:
        return None
    return _known(parts, int(cells.valid.sum()))


def dispersion_of(cells: Cells) -> Known | None:
    """Variance over mean of the requests per minute at the mean rate, 1 for Poisson counts.

    A minute's rate is taken to be its mean times a random factor (a gamma variable in the simulation):
    a count with mean ``m`` then has variance ``m + m^2 v``. ``v`` is found from squares and neighbouring
    products of the residuals from a parabola through each hour, with the factors that the fit leaves of each
    (exact traces, so there is no bias of few degrees of freedom). None if too few cells are valid.
    """
    parts, feedback, count = [], 0.0, 0
    for stretch in hours_of(cells):
        valid = cells.valid[stretch]
        if valid.sum() < LEAST_CELLS:
            continue
        top, bottom, own = _scatter(cells.requests[stretch], valid)
        parts.append((top, bottom, _day(cells, stretch)))
        feedback += own
        count += int(valid.sum())
    whole = sum(bottom for _, bottom, _ in parts)
    if whole <= 0.0:
        return None
    found = _known(parts, count)
    swollen = 1.0
    for _ in range(20):
        # the squared means in the denominator are themselves scattered by the factors
        swollen = max(0.5, 1.0 - max(0.0, found.value) / swollen * feedback / whole)
    # a count's factor: that of a minute, thinned by how many minutes a cell has, which cancels here
    scale = float(cells.requests[cells.valid].mean()) / swollen
    return Known(1.0 + scale * found.value, None if found.error is None else scale * found.error, count)


def correlation_of(cells: Cells) -> Known | None:
    """Intra-class correlation of errors within a minute, 0 for independent ones.

    How much likelier two requests of one minute fail together than two that are a few minutes apart, over
    ``p (1 - p)``: the pairs estimator (M. S. Ridout, C. G. B. Demétrio, D. Firth, Biometrics 55, 1999,
    137-148), with the rate of the minutes around in the place of the overall one, so that of an outage only
    its edges are correlation. None if there are too few errors.
    """
    parts, count = [], 0
    rate = error_rate_of(cells)
    if rate is None or not 0.0 < rate.value < 1.0:
        return None
    for stretch, n, x in _stretches(cells):
        valid = cells.valid[stretch]
        if valid.sum() < LEAST_CELLS:
            continue
        near_x, far_x = _pairs(x * valid, valid)
        near_n, far_n = _pairs(n * valid, valid)
        if far_n <= 0.0 or near_n <= 0.0:
            continue
        own = float((n * (n - 1.0))[valid].sum())
        parts.append((near_x - far_x * near_n / far_n, own, _day(cells, stretch)))
        count += int(valid.sum())
    if not parts or sum(own for _, own, _ in parts) <= 0.0:
        return None
    found = _known(parts, count)
    # two requests of a longer cell are rarely of one minute; one scrape interval has one rate in the model
    scale = cells.length_ms / max(MINUTE_MS, cells.interval_ms) / (rate.value * (1.0 - rate.value))
    return Known(found.value * scale, None if found.error is None else found.error * scale, count)


def _stretches(cells: Cells) -> list[tuple[slice, Floats, Floats]]:
    return [
        (s, np.where(cells.valid[s], cells.requests[s], 0.0), np.where(cells.valid[s], cells.errors[s], 0.0))
        for s in hours_of(cells)
    ]


def _scatter(counts: Floats, valid: NDArray[np.bool_]) -> tuple[float, float, float]:
    """What the counts of an hour scatter beyond Poisson, and what a factor of variance 1 would make of it.

    Third, how much a factor of variance 1 adds to the second by scattering the fitted means.
    """
    size = len(counts)
    places = np.flatnonzero(valid)
    y = counts[places]
    neighbours = (np.abs(places[:, None] - places[None, :]) == 1).astype(np.float64)
    pairs = float(neighbours.sum()) / 2.0
    if pairs == 0.0:
        return 0.0, 0.0, 0.0
    scaled = (places - size / 2) / size
    basis, _ = np.linalg.qr(np.stack([scaled**k for k in range(3)], axis=1))
    fit = basis @ basis.T
    keep = np.eye(len(y)) - fit
    # each product of neighbours stands for those that an unbroken row of cells would have
    weigh = keep @ (np.eye(len(y)) + neighbours * ((len(y) - 1) / pairs)) @ keep
    # a minute begins anywhere in a cell: of its variance 2/3 stay in the cell, 1/6 goes to each neighbour
    spread = np.eye(len(y)) * (2.0 / 3.0) + neighbours / 6.0
    mean = np.maximum(fit @ y, 0.0)
    shared = spread * np.outer(mean, mean)
    by_chance = fit @ np.diag(mean) @ fit
    top = float(y @ weigh @ y) - float(np.diag(weigh) @ mean)
    bottom = float((weigh * (shared - spread * by_chance)).sum())
    return top, bottom, float((weigh * spread * (fit @ shared @ fit)).sum())


def _pairs(x: Floats, valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Pairs within a cell and between neighbours; pairs of cells a little further apart (all twice)."""
    both = valid[:-1] & valid[1:]
    within = float((x * (x - 1.0))[valid].sum())
    between = 2.0 * float((x[:-1] * x[1:])[both].sum())
    far = 2.0 * sum(float((x[:-lag] * x[lag:])[valid[:-lag] & valid[lag:]].sum()) for lag in FAR)
    # as many neighbours as an unbroken row of cells would have
    return within + between * max(0, int(valid.sum()) - 1) / max(1, int(both.sum())), far


def _day(cells: Cells, stretch: slice) -> int:
    return int(cells.ends_ms[stretch][0]) // DAY_MS


def _known(parts: Sequence[tuple[float, float, int]], count: int) -> Known:
    """The ratio, with days as blocks if there are enough of them, else hours."""
    days = sorted({day for *_, day in parts})
    if len(days) >= LEAST_BLOCKS:
        blocks = [
            (sum(t for t, _, d in parts if d == day), sum(b for _, b, d in parts if d == day)) for day in days
        ]
    else:
        blocks = [(top, bottom) for top, bottom, _ in parts]
    value, error = ratio([top for top, _ in blocks], [bottom for _, bottom in blocks])
    return Known(value, error, count)
