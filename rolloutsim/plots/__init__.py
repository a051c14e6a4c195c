"""Figures of traces and results.

Functions return a `matplotlib.figure.Figure`, never touch pyplot or global settings, and read nothing
but what they are given; all numbers are computed in `rolloutsim.tables`. With ``ax`` they draw inside
that Axes. Figures can be read in grey: versions and policies differ in marker and line, not only in
colour. ``figure.savefig(path)`` writes PNG, SVG or PDF.
"""

from __future__ import annotations

from rolloutsim.plots.comparison import plot_comparison
from rolloutsim.plots.timeline import plot_timeline

__all__ = ["plot_comparison", "plot_timeline"]
