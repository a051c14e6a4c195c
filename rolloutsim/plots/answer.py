"""The answer to a query over time, one line per series."""

from __future__ import annotations

import math
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING

from rolloutsim.plots.style import COLOURS, LINES, MARKERS, figure_or_place, panel, styled
from rolloutsim.promql import METRIC_NAME, Labels, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_answer"]

_SIZE_IN = (10.0, 4.2)
_PLACE = (0.09, 0.14, 0.62, 0.72)
_NAMED = 16
"""Series that the legend names."""


def plot_answer(
    answer: Matrix, *, query: str, unit: str = "", start_ms: int | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a matrix over time: minutes since the release at ``start_ms``, or since the first point.

    ``query`` is the title and ``unit`` that of the values. A line breaks where its series has no value for
    longer than the others' usual step.
    """
    times = sorted({at_ms for one in answer.series for at_ms in one.times_ms})
    origin = start_ms if start_ms is not None else times[0] if times else 0
    gap = 1.5 * min((b - a for a, b in pairwise(times)), default=0)
    with styled():
        figure, place = figure_or_place(ax, _SIZE_IN)
        axes = panel(place, _PLACE, title=textwrap.fill(query, 84, max_lines=2, placeholder=" …"))
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        common = _common(answer)
        for number, one in enumerate(answer.series):
            minutes, values = _broken(one.times_ms, one.values, origin, gap)
            axes.plot(
                minutes,
                values,
                color=COLOURS[number % len(COLOURS)],
                linestyle=LINES[number // len(COLOURS) % len(LINES)],
                marker=MARKERS[number % len(MARKERS)],
                markevery=max(1, len(minutes) // 12),
                markersize=3.5,
                markerfacecolor="white",
                linewidth=1.2,
                label=_label(one.labels, common) if number < _NAMED else "_",
            )
        if not answer.series:
            axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center")
        axes.set_ylabel(unit or "value")
        since = "the release" if start_ms is not None else "the first point"
        axes.set_xlabel(f"minutes since {since}")
        _legend(axes, len(answer.series))
    return figure


def _broken(
    times_ms: tuple[int, ...], values: tuple[float, ...], origin: int, gap: float
) -> tuple[list[float], list[float]]:
    """The points of a line with a NaN, which matplotlib leaves open, where times are missing."""
    minutes: list[float] = []
    shown: list[float] = []
    for index, (at_ms, value) in enumerate(zip(times_ms, values, strict=True)):
        if index and at_ms - times_ms[index - 1] > gap:
            minutes.append((times_ms[index - 1] - origin) / 60_000)
            shown.append(math.nan)
        minutes.append((at_ms - origin) / 60_000)
        shown.append(value if math.isfinite(value) else math.nan)
    return minutes, shown


def _common(answer: Matrix) -> frozenset[tuple[str, str]]:
    """What all series have in common and a legend need not repeat."""
    sets = [frozenset(one.labels.items()) for one in answer.series]
    return frozenset.intersection(*sets) if len(sets) > 1 else frozenset()


def _label(labels: Labels, common: frozenset[tuple[str, str]]) -> str:
    rest = [(name, value) for name, value in labels.items() if (name, value) not in common]
    name = "".join(value for key, value in rest if key == METRIC_NAME)
    pairs = ", ".join(f"{key}={value}" for key, value in rest if key != METRIC_NAME)
    return textwrap.fill(f"{name} {pairs}".strip() or "value", 36)


def _legend(axes: Axes, count: int) -> None:
    if not count:
        return
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=8, borderaxespad=0.0
    )
    if count > _NAMED:
        legend.set_title(f"the first {_NAMED} of {count} series")
