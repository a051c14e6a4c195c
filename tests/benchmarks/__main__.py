"""``python -m tests.benchmarks [--only NAME]``: measure, and print a table.

A number is the median of its rounds, with the lowest and the highest. All of it takes about half an hour,
the goals alone two thirds of that. They need gcc and the extra ``bench``; what is missing is said.
"""

from __future__ import annotations

import argparse
import os
import platform
from statistics import median

import numpy as np

from . import goals, processes, rollouts
from .measure import SIZES, Row

__all__ = ["BENCHMARKS", "line", "main"]

BENCHMARKS = {
    "article": rollouts.article,
    "gated": rollouts.gated,
    "start": processes.start,
    "compare": processes.compare,
    "memory": processes.memory,
    "goals": goals.goals,
}
WIDTHS = "{:<46} {:>9} {:>19} {:<10} {:>6} {:<4}"


def line(row: Row) -> str:
    """A row of the table."""
    if not row.samples:
        return f"{row.name:<46} not measured: its peer is not installed"
    middle = median(row.samples)
    spread = f"{_number(min(row.samples))} .. {_number(max(row.samples))}" if len(row.samples) > 1 else "once"
    goal, met = "", ""
    if row.goal is not None:
        goal = f"{'>=' if row.goal.at_least else '<='}{row.goal.bound:g}"
        met = "met" if row.goal.met(middle) else "MISS"
    return WIDTHS.format(row.name, _number(middle), spread, row.unit, goal, met).rstrip()


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Measure and print a table."
    )
    parser.add_argument("--only", choices=BENCHMARKS, help="measure this alone")
    only = parser.parse_args().only
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores; {_load()}")
    print(WIDTHS.format("", "median", "lowest .. highest", "", "goal", "").rstrip())
    for name in (only,) if only else BENCHMARKS:
        for row in BENCHMARKS[name](SIZES):
            print(line(row), flush=True)
    print(f"at the end: {_load()}")


def _load() -> str:
    return "load average {:.2f} {:.2f} {:.2f}".format(*os.getloadavg())


if __name__ == "__main__":
    main()
