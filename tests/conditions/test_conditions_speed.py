"""A repeated evaluation costs only the closures."""

from __future__ import annotations

import timeit

import pytest

from rolloutsim.conditions import VectorResult, compile_condition

LIMIT_S = 10e-6


@pytest.mark.parametrize("text", ["result[0] < 0.05", "len(result) == 0 || result[0] < 0.05"])
def test_an_evaluation_takes_at_most_ten_microseconds(text: str) -> None:
    condition = compile_condition(text)
    result = VectorResult((0.01,))
    assert condition.evaluate(result)
    number = 2_000
    best = min(timeit.repeat(lambda: condition.evaluate(result), number=number, repeat=7)) / number
    assert best <= LIMIT_S
