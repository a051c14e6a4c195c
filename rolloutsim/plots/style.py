"""How figures look: one set of sizes, colours, markers and lines.

The first colours differ in lightness and for the colour-blind (after M. Okabe and K. Ito, "Color
universal design", 2008); markers and lines differ as well, so that nothing rests on colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "GREY", "LINES", "MARKERS", "SHADE", "figure_or_place", "panel", "styled"]

COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
GREY = "#666666"
SHADE = "#e8e8e8"

_SIZES = {"small": 8, "normal": 9, "title": 10}


@contextmanager
def styled() -> Iterator[None]:
    """Build a figure inside; matplotlib's settings are as before afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(
        {"font.size": _SIZES["normal"], "svg.hashsalt": "rolloutsim", "axes.unicode_minus": True}
    ):
        yield


def figure_or_place(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The figure to return and the Axes to draw panels in; a new figure of ``size`` inches without ``ax``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if ax is None:
        figure = Figure(figsize=size, dpi=110)
        FigureCanvasAgg(figure)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    root = ax.figure
    return (root if isinstance(root, Figure) else root.figure), ax  # a SubFigure knows its Figure


def panel(place: Axes, bounds: Sequence[float], *, title: str = "", below: Axes | None = None) -> Axes:
    """A panel inside ``place`` at (left, bottom, width, height) in shares; ``below`` shares its x axis."""
    left, bottom, width, height = bounds
    axes: Axes = place.inset_axes((left, bottom, width, height), sharex=below)
    axes.set_title(title, loc="left", fontsize=_SIZES["title"])
    axes.tick_params(labelsize=_SIZES["small"], length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    return axes
