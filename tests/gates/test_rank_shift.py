"""The judge of Kayenta."""

from __future__ import annotations

import pytest

from rolloutsim.engine.gates.rank_shift import Shift, rank_shift


def test_a_clear_shift_and_its_mirror() -> None:
    """The interval is that of R: wilcox.test(c(10,20,30,40), 1:4, conf.int=TRUE, exact=FALSE)."""
    up = rank_shift([10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0], confidence=0.95)
    assert (up.low, up.estimate, up.high) == (6.0, 22.5, 39.0)
    assert up.shift is Shift.HIGH
    down = rank_shift([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0], confidence=0.95)
    assert (down.low, down.estimate, down.high) == (-39.0, -22.5, -6.0)
    assert down.shift is Shift.LOW


@pytest.mark.parametrize("points", [[1.0, 2.0, 3.0], [5.0]])
def test_equal_samples_pass(points: list[float]) -> None:
    assert rank_shift(points, points[::-1]).shift is Shift.PASS


def test_points_are_needed() -> None:
    with pytest.raises(ValueError, match="needs points"):
        rank_shift([], [1.0])
