"""A figure of what each policy would have let through, with its range, beside what did happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rolloutsim.report.page import Picture, picture

__all__ = ["Cost", "cost_picture"]

_WIDTH_IN, _ROW_IN, _FURNITURE_IN = 8.0, 0.34, 0.9


@dataclass(frozen=True, slots=True)
class Cost:
    """One row: a policy and what it cost, between ``low`` and ``high``."""

    name: str
    value: float
    low: float
    high: float


def cost_picture(heading: str, costs: Sequence[Cost], happened: float, unit: str) -> Picture:
    """Rows from above in the order given, on an axis that is logarithmic above 1 and reaches 0."""
    from rolloutsim.plots.style import COLOURS, GREY, MARKERS, figure_or_place, panel, styled

    height = _FURNITURE_IN + _ROW_IN * len(costs)
    with styled():
        figure, place = figure_or_place(None, (_WIDTH_IN, height))
        longest = max(len(cost.name) for cost in costs)
        left = min(0.45, 0.03 + 0.0085 * longest)
        axes = panel(place, (left, 0.55 / height, 0.96 - left, 1.0 - _FURNITURE_IN / height))
        for row, cost in enumerate(costs):
            axes.plot([cost.low, cost.high], [row, row], color=COLOURS[1], linewidth=2)
            axes.plot([cost.value], [row], marker=MARKERS[0], color=COLOURS[1], linestyle="none")
        axes.axvline(happened, color=GREY, linestyle="--", linewidth=1)
        axes.text(
            happened, -0.9, "as it happened", color=GREY, fontsize=8, ha="right" if happened else "left"
        )
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_xlim(0.0, 2.0 * max(1.0, happened, *(cost.high for cost in costs)))
        axes.set_ylim(len(costs) - 0.4, -0.6)
        axes.set_yticks(range(len(costs)), [cost.name for cost in costs])
        axes.set_xlabel(unit, fontsize=8)
        return picture(
            heading,
            figure,
            f"What each policy would have cost in {unit}, with its range, and what did happen as a dashed "
            "line; the table above holds the same numbers.",
        )
