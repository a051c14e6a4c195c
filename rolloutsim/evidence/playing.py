"""Runs by number, on any executor: what the sequential procedures ask for more of."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from rolloutsim.outcomes import Outcome
from rolloutsim.policy.model import Policy
from rolloutsim.sim.needs import check
from rolloutsim.sim.run import chunk
from rolloutsim.sim.scenario import Scenario

__all__ = ["Player", "Stretch", "players"]

CHUNK = 20
"""Runs of one task: a fraction of a second."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Runs ``first`` to ``last - 1`` of a policy in a scenario."""

    policy: Policy
    scenario: Scenario
    seed: int
    first: int
    last: int


Player = Callable[[Sequence[Stretch]], Iterable[Sequence[Outcome]]]
"""Plays stretches and gives the outcomes of each, in the order in which they were asked for."""


@contextmanager
def players(jobs: int | None = None, executor: Executor | None = None) -> Iterator[Player]:
    """A player on ``jobs`` worker processes (None: one per core), or on an executor that is given.

    What it gives does not depend on which.
    """
    if executor is not None:
        yield _on(executor)
        return
    workers = jobs or os.cpu_count() or 1
    if workers == 1:
        yield lambda stretches: map(_played, stretches)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rolloutsim.sim.run"])
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield _on(pool)


def _on(executor: Executor) -> Player:
    def play_all(stretches: Sequence[Stretch]) -> Iterator[Sequence[Outcome]]:
        tasks = [(index, part) for index, stretch in enumerate(stretches) for part in _parts(stretch)]
        found: list[Outcome] = []
        at = 0
        for (index, _), rows in zip(tasks, executor.map(_played, [part for _, part in tasks]), strict=True):
            if index != at:
                yield found
                found, at = [], index
            found.extend(rows)
        if tasks:
            yield found

    return play_all


def _parts(stretch: Stretch) -> Iterator[Stretch]:
    for first in range(stretch.first, stretch.last, CHUNK):
        last = min(first + CHUNK, stretch.last)
        yield Stretch(stretch.policy, stretch.scenario, stretch.seed, first, last)


def _played(stretch: Stretch) -> list[Outcome]:
    check(stretch.policy, stretch.scenario)
    return chunk((stretch.policy, stretch.scenario, stretch.seed, stretch.first, stretch.last))
