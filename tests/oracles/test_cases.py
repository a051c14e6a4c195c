"""What cannot be played is said, and what does not agree fails."""

from __future__ import annotations

import pytest

from tests.oracles.cases import Found, NotPlayed, Oracle, Sampled, adapter, meet


def oracle(expected: float | bool | None = 2.0) -> Oracle:
    return Oracle("X01", {"a": 1, "b": 2}, "value", expected, {})


def found(value: Found) -> None:
    meet(oracle(), (adapter("a b", lambda _: value),))


@pytest.mark.parametrize("value", [2.0, 2.0001, Sampled(2.4, 0.1, 25.0), Sampled(9.0, 0.1, 99.0, of=9.1)])
def test_what_agrees_passes(value: Found) -> None:
    found(value)


@pytest.mark.parametrize(
    "value", [2.001, None, Sampled(2.41, 0.1, 99.0), Sampled(2.0, 0.1, 24.0), Sampled(2.0, 0.1, 99.0, of=3.0)]
)
def test_what_does_not_agree_fails(value: Found) -> None:
    with pytest.raises(AssertionError):
        found(value)


@pytest.mark.parametrize("expected", [True, None])
def test_a_flag_is_no_number(expected: bool | None) -> None:
    with pytest.raises(AssertionError):
        meet(oracle(expected), (adapter("a b", lambda _: 1.0),))


def test_what_is_not_played_is_skipped_with_its_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="value: nobody can"):
        found(NotPlayed("nobody can"))


@pytest.mark.parametrize("inputs", ["a", "a b c", "c d"])
def test_inputs_that_nobody_knows_are_named(inputs: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="inputs a, b"):
        meet(oracle(), (adapter(inputs, lambda _: 2.0),))


def test_some_inputs_may_be_missing() -> None:
    meet(oracle(), (adapter("a", lambda _: 2.0, also="b c"),))
