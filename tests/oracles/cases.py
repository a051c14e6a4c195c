"""The cases of an oracle file, expected value by expected value, and what it takes to meet one.

An adapter plays a case in the simulated world and returns what it found for one key: a number or a flag,
which has to agree to 1e-4; a `Sampled` number, which has to agree within 4 standard errors; `NotPlayed` with
the reason, which is reported as a skipped test; None stands for what never happens. Adapters are chosen by
the inputs that a case has, never by its id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RELATIVE = 1e-4
STANDARD_ERRORS = 4.0
FEWEST_EVENTS = 25.0


@dataclass(frozen=True, slots=True)
class Oracle:
    """One expected value of a case.

    ``key`` is its path in ``expected``, joined by slashes; ``beside`` holds the values that stand beside it.
    """

    case: str
    inputs: Mapping[str, Any]
    key: str
    expected: Any
    beside: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A mean over runs, its standard error, and the events that it rests on, expected or seen.

    ``of`` is what it estimates, if that is not the oracle's value but follows from it.
    """

    value: float
    error: float
    events: float
    of: float | None = None


@dataclass(frozen=True, slots=True)
class NotPlayed:
    """Why this world cannot say anything about a value."""

    reason: str


Found = float | list[float] | Sampled | NotPlayed | None
Play = Callable[[Oracle], Found]


@dataclass(frozen=True, slots=True)
class Adapter:
    """Plays the cases that have exactly these inputs; those of ``also`` may be missing."""

    inputs: frozenset[str]
    play: Play
    also: frozenset[str] = frozenset()

    def fits(self, given: Mapping[str, Any]) -> bool:
        return self.inputs <= set(given) <= self.inputs | self.also


def adapter(inputs: str, play: Play, also: str = "") -> Adapter:
    """An adapter whose inputs are named in one text, separated by spaces."""
    return Adapter(frozenset(inputs.split()), play, frozenset(also.split()))


def oracles(file: Path, group: str) -> Iterator[Oracle]:
    """The expected values of all cases of a group."""
    for case in json.loads(file.read_text(encoding="utf-8"))["cases"]:
        if case["group"] == group:
            for key, value, beside in _flat(case["expected"]):
                yield Oracle(case["id"], case["inputs"], key, value, beside)


def meet(oracle: Oracle, adapters: tuple[Adapter, ...]) -> None:
    """Play a case and compare; skip what cannot be played, with the reason."""
    fitting = [one for one in adapters if one.fits(oracle.inputs)]
    if not fitting:
        pytest.skip(f"no adapter for a case with the inputs {', '.join(sorted(oracle.inputs))}")
    found = fitting[0].play(oracle)
    if isinstance(found, NotPlayed):
        pytest.skip(f"{oracle.key}: {found.reason}")
    if isinstance(found, Sampled):
        assert found.events >= FEWEST_EVENTS, f"only {found.events:.1f} events"
        expected = oracle.expected if found.of is None else found.of
        agrees = abs(found.value - expected) <= STANDARD_ERRORS * found.error
    elif oracle.expected is None or isinstance(oracle.expected, bool):
        agrees = found is oracle.expected
    else:
        agrees = found == pytest.approx(oracle.expected, rel=RELATIVE, abs=0.0)
    assert agrees, f"found {found}, expected {oracle.expected}"


def unknown(oracle: Oracle) -> NotPlayed:
    return NotPlayed(f"the adapter for these inputs knows no value of this name ({oracle.key})")


def _flat(expected: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for name, value in expected.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}/")
        else:
            yield path + name, value, expected
