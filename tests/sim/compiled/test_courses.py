"""The fast path gives the rows of the ordinary path, to the last bit."""

from __future__ import annotations

from collections import Counter

import pytest

from rolloutsim.outcomes import Outcome
from rolloutsim.sim.compiled import Courses
from rolloutsim.sim.run import play
from tests.sim.compiled.made_up import case

FEW, MANY, RUNS = 30, 1_600, 4
"""About two thirds of the cases are of a kind that the fast path knows."""


def fast(number: int) -> list[Outcome] | None:
    """The rows of a case; None if it is left to the ordinary path."""
    courses = Courses(*case(number))
    rows = [courses.play(number, run) for run in range(RUNS)]
    return None if courses.refused else [row for row in rows if row is not None]


def compare(numbers: range) -> Counter[str]:
    """How many cases were compared, and how their runs ended; fails at the first difference."""
    seen: Counter[str] = Counter()
    for number in numbers:
        rows = fast(number)
        if rows is None:
            continue
        seen["compared"] += 1
        policy, scenario = case(number)
        for run, row in enumerate(rows):
            expected = play(policy, scenario, seed=number, run=run)
            # repr writes floats exactly, and NaN equals itself
            assert repr(row) == repr(expected), f"case {number}, run {run}"
            seen[str(row.end)] += 1
            seen[f"caught by {row.caught_by}"] += 1
    return seen


def test_rows_are_equal_in_a_few_cases() -> None:
    assert compare(range(FEW))["compared"] > FEW / 2


@pytest.mark.slow
def test_rows_are_equal_in_a_thousand_cases() -> None:
    seen = compare(range(1_000_000, 1_000_000 + MANY))
    assert seen["compared"] >= 1_000
    for kind in ("promoted", "aborted", "held", "caught by analysis", "caught by person"):
        assert seen[kind] > 20
