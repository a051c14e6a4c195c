"""One rollout as it went: weight, errors, latency, verdicts, pauses and the decision."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolloutsim.plots.reading import Line, Timeline, read_timeline
from rolloutsim.plots.style import COLOURS, GREY, SHADE, figure_or_place, panel, styled
from rolloutsim.trace import Trace, read_trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["plot_timeline"]

_SIZE_IN = (10.0, 8.0)
_RIGHT = 0.775
_BOTTOM, _TOP, _GAP = 0.07, 0.955, 0.03
_STABLE, _NEW = COLOURS[1], COLOURS[2]

_VERDICTS = {
    "Successful": ("o", "#009e73"),
    "Failed": ("X", "#d55e00"),
    "Inconclusive": ("D", "#e69f00"),
    "Error": ("^", "#000000"),
}


TraceSource = Trace | tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]] | str | Path
"""A trace, its manifest and records (as ``trace_run`` gives them), or the file of one."""


def plot_timeline(trace: TraceSource, ax: Axes | None = None) -> Figure:
    """Draw one rollout from its trace, whichever world wrote it.

    From top to bottom: weight wanted and observed, with pauses shaded and the decision; error rate and
    latency by version; one row of verdicts per metric. Time is minutes since the release was asked for.
    """
    timeline = read_timeline(_read(trace))
    metrics = list(dict.fromkeys(mark.what for mark in timeline.verdicts))
    with styled():
        figure, place = figure_or_place(ax, _SIZE_IN)
        left = max(0.095, min(0.25, 0.02 + 0.0085 * max(map(len, metrics), default=0)))
        width = _RIGHT - left
        strip = 0.03 + 0.03 * max(len(metrics), 1)
        each = (_TOP - _BOTTOM - strip - 3 * _GAP) / 3.0
        weight = panel(place, (left, _TOP - each, width, each), title=timeline.title)
        errors = panel(place, (left, _TOP - 2 * each - _GAP, width, each), below=weight)
        latency = panel(place, (left, _TOP - 3 * each - 2 * _GAP, width, each), below=weight)
        verdicts = panel(place, (left, _BOTTOM, width, strip), below=weight)
        _draw_weight(weight, timeline)
        _draw_versions(errors, timeline, timeline.true_errors, timeline.scraped_errors, 100.0)
        errors.set_ylabel("failed requests (%)")
        _draw_versions(latency, timeline, timeline.true_latency, timeline.scraped_p95, 1000.0)
        latency.set_ylabel("latency (ms)")
        _draw_verdicts(verdicts, timeline, metrics)
        for axes in (weight, errors, latency, verdicts):
            _frame(axes, timeline)
        _legends((weight, errors, latency, verdicts), timeline)
        for axes in (weight, errors, latency):
            axes.tick_params(labelbottom=False)
        verdicts.set_xlabel("minutes since the release was asked for")
    return figure


def _read(source: TraceSource) -> Trace:
    match source:
        case Trace():
            return source
        case (manifest, records):
            return Trace(manifest, tuple(records))
        case str() | Path():
            return read_trace(source)


def _frame(axes: Axes, timeline: Timeline) -> None:
    """What all panels share: the time axis, pauses and the moments of decision."""
    axes.set_xlim(min(-0.5, -0.02 * timeline.last_minute), timeline.last_minute)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    for pause in timeline.pauses:
        axes.axvspan(pause.first_minute, pause.last_minute, color=SHADE, zorder=0, linewidth=0)
    for end in timeline.ends:
        axes.axvline(end.minute, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)))


def _draw_weight(axes: Axes, timeline: Timeline) -> None:
    _steps(axes, timeline.wanted, timeline.last_minute, color=COLOURS[0], linestyle="--", linewidth=1.2)
    _steps(axes, timeline.observed, timeline.last_minute, color=_NEW, linestyle="-", linewidth=1.8)
    axes.set_ylim(-4, 104)
    axes.set_ylabel("new version (%)")
    for number, end in enumerate(timeline.ends):
        late = end.minute > 0.5 * timeline.last_minute
        axes.annotate(
            f"{end.what} after {end.minute:.1f} min\n" + textwrap.fill(end.text, 44, max_lines=4),
            (end.minute, 96 - 34 * number),
            xytext=(-5 if late else 5, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
        )


def _draw_versions(
    axes: Axes, timeline: Timeline, true: Mapping[str, Line], scraped: Mapping[str, Line], scale: float
) -> None:
    looks = ((timeline.versions[0], _STABLE, "--", "s"), (timeline.versions[1], _NEW, "-", "o"))
    for version, colour, dashes, marker in looks:
        if version in true:
            _steps(
                axes,
                true[version],
                timeline.last_minute,
                scale,
                color=colour,
                linestyle=dashes,
                linewidth=1.4,
            )
        if version in scraped:
            line = scraped[version]
            axes.plot(
                line.minutes,
                [scale * value for value in line.values],
                color=colour,
                marker=marker,
                markersize=3.5,
                markerfacecolor="white",
                linewidth=0.5,
                alpha=0.9,
            )
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)


def _steps(axes: Axes, line: Line, last: float, scale: float = 1.0, **look: Any) -> None:
    """A step line that holds its last value to the end of the picture."""
    if not line.minutes:
        return
    minutes = (*line.minutes, max(last, line.minutes[-1]))
    values = [scale * value for value in (*line.values, line.values[-1])]
    axes.step(minutes, values, where="post", **look)


def _draw_verdicts(axes: Axes, timeline: Timeline, metrics: Sequence[str]) -> None:
    for phase, (marker, colour) in _VERDICTS.items():
        marks = [mark for mark in timeline.verdicts if mark.text == phase]
        axes.plot(
            [mark.minute for mark in marks],
            [metrics.index(mark.what) for mark in marks],
            marker=marker,
            color=colour,
            linestyle="none",
            markersize=6,
        )
    if not metrics:
        axes.text(
            0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center", va="center", color=GREY
        )
    axes.set_yticks(range(len(metrics)), metrics)
    axes.set_ylim(max(len(metrics), 1) - 0.4, -0.6)


def _legends(panels: Sequence[Axes], timeline: Timeline) -> None:
    """A legend to the right of each panel."""
    from matplotlib.patches import Patch

    weight, errors, latency, verdicts = panels
    shares = [
        _handle("wanted", COLOURS[0], "--"),
        _handle("observed", _NEW, "-"),
        Patch(facecolor=SHADE, label="paused"),
        _handle("decided", GREY, "--"),
    ]
    _outside(weight, shares)
    _outside(
        errors, _version_handles(timeline, timeline.true_errors, timeline.scraped_errors, "true", "scraped")
    )
    _outside(
        latency,
        _version_handles(timeline, timeline.true_latency, timeline.scraped_p95, "true median", "scraped p95"),
    )
    seen = {mark.text for mark in timeline.verdicts}
    _outside(
        verdicts,
        [
            _handle(phase, colour, "none", marker)
            for phase, (marker, colour) in _VERDICTS.items()
            if phase in seen
        ],
    )


def _version_handles(
    timeline: Timeline, true: Mapping[str, Line], scraped: Mapping[str, Line], is_true: str, is_scraped: str
) -> list[Line2D]:
    handles = []
    roles = (("stable", _STABLE, "--", "s"), ("new", _NEW, "-", "o"))
    for version, (role, colour, dashes, marker) in zip(timeline.versions, roles, strict=True):
        if version in true:
            handles.append(_handle(f"{role} {version}, {is_true}", colour, dashes))
        if version in scraped:
            handles.append(_handle(f"{role} {version}, {is_scraped}", colour, "-", marker))
    return handles


def _handle(label: str, colour: str, line: Any, marker: str = "") -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        color=colour,
        linestyle=line,
        marker=marker,
        markerfacecolor=colour if line == "none" else "white",
        markersize=6 if line == "none" else 3.5,
        linewidth=0.5 if marker else 1.4,
        label=label,
    )


def _outside(axes: Axes, handles: Sequence[object]) -> None:
    if handles:
        axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.01, 1.02),
            frameon=False,
            fontsize=8,
            borderaxespad=0.0,
        )
