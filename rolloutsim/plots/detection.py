"""Detection curves: how often, how soon and at what cost a worse release is caught, by effect and traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolloutsim.estimates import Estimate
from rolloutsim.plots.style import COLOURS, GREY, LINES, MARKERS, figure_or_place, panel, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Detection", "plot_detection"]

_COLUMN_IN = 4.6
_HEIGHT_IN = 7.2


@dataclass(frozen=True, slots=True)
class Detection:
    """One point: in which panel, at which traffic and ratio of bad requests, and what was found there."""

    panel: str
    traffic_rps: float
    ratio: float
    caught: Estimate
    minutes: Estimate
    bad_requests: Estimate


def plot_detection(points: Sequence[Detection], ax: Axes | None = None) -> Figure:
    """A column per panel: the share caught, the minutes until then, the bad requests; a line per traffic."""
    names = list(dict.fromkeys(point.panel for point in points))
    traffic = sorted({point.traffic_rps for point in points})
    with styled():
        figure, place = figure_or_place(ax, (_COLUMN_IN * max(len(names), 1) + 0.4, _HEIGHT_IN))
        width = 0.96 / len(names)
        for number, name in enumerate(names):
            own = [point for point in points if point.panel == name]
            left, wide = 0.02 + number * width + 0.16 * width, width * 0.8
            caught = panel(place, (left, 0.69, wide, 0.24), title=name)
            minutes = panel(place, (left, 0.38, wide, 0.24), below=caught)
            cost = panel(place, (left, 0.07, wide, 0.24), below=caught)
            _lines(caught, own, traffic, "caught", 100.0)
            _lines(minutes, own, traffic, "minutes", 1.0)
            _lines(cost, own, traffic, "bad_requests", 1.0)
            _scales(caught, minutes, cost, own)
        _legend(place, traffic)
    return figure


def _lines(axes: Axes, points: Sequence[Detection], traffic: Sequence[float], what: str, unit: float) -> None:
    for index, level in enumerate(traffic):
        found = [(p.ratio, getattr(p, what)) for p in points if p.traffic_rps == level]
        if what != "caught":  # a good release is not detected and costs nothing
            found = [(ratio, estimate) for ratio, estimate in found if ratio > 1.0]
        known = [(ratio, e) for ratio, e in found if e.value is not None]
        if not known:
            continue
        x = [ratio for ratio, _ in known]
        y = [unit * e.value for _, e in known]
        low = [unit * (e.value - (e.value if e.low is None else e.low)) for _, e in known]
        high = [unit * ((e.value if e.high is None else e.high) - e.value) for _, e in known]
        style = index % len(COLOURS)
        axes.errorbar(
            x,
            y,
            yerr=[[max(v, 0.0) for v in low], [max(v, 0.0) for v in high]],
            color=COLOURS[style],
            marker=MARKERS[style],
            linestyle=LINES[style % len(LINES)],
            markersize=5,
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
        )


def _scales(caught: Axes, minutes: Axes, cost: Axes, points: Sequence[Detection]) -> None:
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

    ratios = sorted({point.ratio for point in points})
    for axes in (caught, minutes, cost):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(ratios))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{ratio:g}×" for ratio in ratios])
        axes.grid(color="#dddddd", linewidth=0.6)
    caught.set_ylim(-3.0, 103.0)
    caught.axvline(1.0, color=GREY, linewidth=0.6)
    caught.set_ylabel("caught (% of releases)")
    minutes.set_ylim(bottom=0.0)
    minutes.set_ylabel("minutes until caught")
    cost.set_yscale("log", nonpositive="clip")
    cost.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    cost.yaxis.set_major_formatter(StrMethodFormatter("{x:,.4g}"))
    cost.yaxis.set_minor_locator(NullLocator())
    cost.set_ylim(bottom=1.0)
    cost.set_ylabel("bad requests a release")
    cost.set_xlabel("bad requests, times stable's (1×: good release)")


def _legend(place: Axes, traffic: Sequence[float]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            ls=LINES[index % len(LINES)],
            markersize=5,
            label=f"{level:,.3g} requests/s",
        )
        for index, level in enumerate(traffic)
    ]
    place.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(handles),
        frameon=False,
        title="",
        fontsize=8,
    )
