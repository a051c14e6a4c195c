"""How things are measured: CPU time of this process, resources of child processes, and rows of results.

Rates are per core, from CPU time: wall time on a shared machine says little. Contestants take turns within
one run, and ratios are formed turn by turn, so that a slow spell of the machine hits both sides.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ROOT",
    "SIZES",
    "Child",
    "Contestant",
    "Goal",
    "Rate",
    "Row",
    "Sizes",
    "least",
    "most",
    "python",
    "rates",
    "ratio",
    "turns",
]

ROOT = Path(__file__).parents[2]
Rate = Callable[[int], float]
"""Seed -> requests per CPU second."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each benchmark plays. ``memory_runs`` are the two sizes whose peaks are compared."""

    rounds: int
    article_rollouts: int
    gated_rollouts: int
    compare_runs: int
    memory_runs: tuple[int, int]
    pool_s: int
    """Simulated seconds of the pool, for loops that are compiled."""
    balanced_s: int
    peer_s: int
    """Simulated seconds, for peers in plain Python."""
    memory_s: int
    tasks: int
    same_runs: int
    same_played: int
    pairs: int


SIZES = Sizes(
    rounds=5,
    article_rollouts=100,
    gated_rollouts=16,
    compare_runs=400,
    memory_runs=(400, 4000),
    pool_s=3600,
    balanced_s=1800,
    peer_s=30,
    memory_s=3600,
    tasks=2000,
    same_runs=64,
    same_played=6,
    pairs=200,
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a median."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def least(bound: float) -> Goal:
    """The median has to reach this."""
    return Goal(bound, at_least=True)


def most(bound: float) -> Goal:
    """The median must not pass this."""
    return Goal(bound, at_least=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; the median of ``samples`` is what counts. None: it could not be measured."""

    name: str
    unit: str
    samples: tuple[float, ...]
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that plays ``count`` rollouts when it is called with this number."""

    name: str
    play: Callable[[int], object]
    count: int


def rates(contestants: Sequence[Contestant], rounds: int) -> list[tuple[float, ...]]:
    """Per contestant: rollouts per second of CPU time in each round; one more round warms up."""
    found: list[list[float]] = [[] for _ in contestants]
    for each in contestants:
        each.play(1)
    for _ in range(rounds):
        for each, samples in zip(contestants, found, strict=True):
            start = time.process_time()
            each.play(each.count)
            samples.append(each.count / (time.process_time() - start))
    return [tuple(samples) for samples in found]


def turns(contestants: Mapping[str, Rate | None], rounds: int) -> dict[str, tuple[float, ...]]:
    """Each contestant's rate in each round; a first round warms up and is lost. Who is None has no rates."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, rate in contestants.items():
            if rate is None:
                continue
            sample = rate(turn + 1)
            if turn:
                found[name].append(sample)
    return {name: tuple(samples) for name, samples in found.items()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Quotients of samples that were taken in the same round; none where one side was not measured."""
    if not ours or not theirs:
        return ()
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))


@dataclass(frozen=True, slots=True)
class Child:
    """A child process that has ended well: seconds, and what it printed."""

    cpu_s: float
    wall_s: float
    printed: str


def python(code: str, *arguments: str, cache: Path | None = None) -> Child:
    """Run Python code in a fresh interpreter, in the root of the clone.

    ``cpu_s`` is user and system time of the child and of those of its children that it waited for. Byte
    code may be written, as it is on a user's machine: otherwise a start would measure the compiler.
    ``cache`` is a folder for compiled kernels, instead of the usual one.

    Raises
    ------
    subprocess.CalledProcessError : the child failed.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    before, start = _children_s(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    wall_s = time.perf_counter() - start
    return Child(_children_s() - before, wall_s, done.stdout)


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
