"""Policies side by side: what they catch, what they let through, what they stop for nothing, how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolloutsim.estimates import Estimate
from rolloutsim.plots.style import COLOURS, MARKERS, figure_or_place, panel, styled
from rolloutsim.tables import Results, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]

_WIDTH_IN = 10.0
_ROW_IN = 0.17
"""Height of one interval; a scenario takes one per policy and a gap."""
_GAP_ROWS = 0.9
_FURNITURE_IN = 0.85
"""Title and axis of one row of panels."""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One panel: its title and axis, and how a summary row gives its number."""

    title: str
    unit: str
    of: Callable[[Summary], Estimate | None]
    scale: float = 1.0
    top: float | None = None
    wide: bool = False
    """Values spread over decades."""


_CAUGHT = _Quantity("Bad releases stopped", "share of runs (%)", lambda row: row.p_detect, 100.0, 100.0)
_LOST = _Quantity(
    "Bad requests per release", "requests beyond stable's own", lambda row: row.bad_requests, wide=True
)
_FALSE = _Quantity("Good releases stopped", "share of runs (%)", lambda row: row.p_false_abort, 100.0, 100.0)
_TIME = _Quantity(
    "Time of a good release", "minutes until promoted or aborted", lambda row: row.duration_s, 1 / 60
)


def plot_comparison(results: Results, ax: Axes | None = None) -> Figure:
    """Rates, bad requests and durations with their 95 % intervals, by scenario and policy.

    Above: bad releases (share stopped, requests lost); below: good ones (share stopped, time). A side
    without scenarios is left out.
    """
    policies = list(dict.fromkeys(row.policy for row in results.rows))
    bad = [row for row in results.rows if not row.healthy]
    good = [row for row in results.rows if row.healthy]
    sides = [side for side in ((bad, (_CAUGHT, _LOST)), (good, (_FALSE, _TIME))) if side[0]]
    heights = [_FURNITURE_IN + _rows_of(rows, len(policies)) * _ROW_IN for rows, _ in sides]
    legend_in = 0.25 * ((len(policies) + 3) // 4) + 0.1
    total_in = sum(heights) + legend_in
    with styled():
        figure, place = figure_or_place(ax, (_WIDTH_IN, total_in))
        top = 1.0 - legend_in / total_in
        left = 0.02 + 0.0085 * max((len(row.scenario) for row in results.rows), default=0)
        for (rows, quantities), height in zip(sides, heights, strict=True):
            share = height / total_in
            _side(
                place,
                rows,
                quantities,
                policies,
                (min(left, 0.35), top - share, share, _FURNITURE_IN / height),
            )
            top -= share
        _legend(place, policies)
    return figure


def _rows_of(rows: Sequence[Summary], policies: int) -> float:
    return len({row.scenario for row in rows}) * (policies + _GAP_ROWS)


def _side(
    place: Axes,
    rows: Sequence[Summary],
    quantities: Sequence[_Quantity],
    policies: Sequence[str],
    where: tuple[float, float, float, float],
) -> None:
    """Two panels over the same scenarios; ``where``: left, bottom, height, share taken by furniture."""
    left, bottom, height, furniture = where
    width = (0.97 - left - 0.04) / 2.0
    for number, quantity in enumerate(quantities):
        bounds = (
            left + number * (width + 0.04),
            bottom + height * furniture * 0.6,
            width,
            height * (1.0 - furniture),
        )
        axes = panel(place, bounds, title=quantity.title)
        _draw(axes, rows, quantity, policies)
        if number:
            axes.set_yticklabels([])


def _draw(axes: Axes, rows: Sequence[Summary], quantity: _Quantity, policies: Sequence[str]) -> None:
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    step = len(policies) + _GAP_ROWS
    ends = [0.0]
    for row in rows:
        estimate = quantity.of(row)
        if estimate is None or estimate.value is None:
            continue
        number = policies.index(row.policy)
        y = scenarios.index(row.scenario) * step + number
        value = estimate.value * quantity.scale
        low = value if estimate.low is None else estimate.low * quantity.scale
        high = value if estimate.high is None else estimate.high * quantity.scale
        ends += [low, high]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axes.plot((low, high), (y, y), color=colour, linewidth=1.4, solid_capstyle="butt")
        axes.plot(value, y, marker=marker, color=colour, markersize=5, linestyle="none", clip_on=False)
    _name_rows(axes, scenarios, step)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_xlabel(quantity.unit, fontsize=8)
    _scale(axes, quantity, ends[1:] or ends)


def _name_rows(axes: Axes, scenarios: Sequence[str], step: float) -> None:
    """Names of scenarios beside their rows, and a line between one and the next."""
    edge = (1 + _GAP_ROWS) / 2
    axes.set_yticks([index * step + step / 2 - edge for index in range(len(scenarios))], scenarios)
    for index in range(1, len(scenarios)):
        axes.axhline(index * step - edge, color="#dddddd", linewidth=0.8)
    axes.set_ylim(len(scenarios) * step - edge, -edge)
    axes.tick_params(axis="y", length=0)


def _scale(axes: Axes, quantity: _Quantity, ends: Sequence[float]) -> None:
    """The x axis: rates from 0 to 100, totals from 0, or over the decades they need."""
    least, most = min(ends), max(ends)
    if quantity.top is not None:
        axes.set_xlim(-0.02 * quantity.top, 1.02 * quantity.top)
    elif not quantity.wide:
        axes.set_xlim(min(0.0, 1.05 * least), max(1.05 * most, 1.0))
    elif least >= 1.0:
        axes.set_xscale("log")
        axes.set_xlim(10.0 ** math.floor(math.log10(least)), 1.5 * most)
    else:
        smallest = min((abs(end) for end in ends if abs(end) >= 1.0), default=1.0)
        linear = max(1.0, 10.0 ** (math.floor(math.log10(smallest)) - 1))
        axes.set_xscale("symlog", linthresh=linear)
        axes.set_xlim(min(-0.1 * linear, 1.5 * least), max(1.5 * most, linear))


def _legend(place: Axes, policies: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linewidth=1.4,
        )
        for i in range(len(policies))
    ]
    place.legend(
        handles,
        policies,
        loc="upper left",
        ncols=4,
        frameon=False,
        fontsize=9,
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.3,
    )
