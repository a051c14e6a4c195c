"""The nearest passing change: what could be moved so that a policy that failed would pass.

A search over a small grid (`rolloutsim.evidence.changes`), one change, then two. Candidates are screened
with few runs of another seed; those that look right are vetted in full, the nearest first, with the seed of
the vetting: the numbers of a suggestion are not those that it was chosen for. It is no more than a
suggestion: the grid is coarse, and the numbers hold for this suite on this service. It ends after so many
runs, not after so much time: the same seed gives the same suggestion on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from rolloutsim.evidence.bars import Bar
from rolloutsim.evidence.changes import Change, apply, small_changes
from rolloutsim.evidence.playing import Player, Stretch
from rolloutsim.evidence.suite import Suite
from rolloutsim.evidence.verdict import Verdict
from rolloutsim.evidence.vet import Vetting, vet_with
from rolloutsim.outcomes import Outcome
from rolloutsim.policy.model import Policy
from rolloutsim.sim.scenario import Scenario

__all__ = ["Search", "nearest_passing"]

SCREENED = 40
"""Runs of a candidate in a scenario."""
GLANCED = 20
"""After so many a candidate is left that misses a bar by much and is little better than the policy."""
_FAR = 0.25
_LITTLE = 0.15
PAIRS = 32
"""Pairs of changes that are screened at most."""
CONFIRMED = 3
"""Candidates that are vetted in full at most."""
MOST_RUNS = 4000
"""After so many runs nothing more is begun."""
_OTHER_SEED = 1_000_003
_SLACK = 0.03
"""How much a candidate may miss a bar by in so few runs and still be taken on."""
_HELPS = 0.05
"""How much nearer to its bars a change alone has to bring a policy to be tried together with another."""

_Changes = tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found: the changes and the vetting of the policy that has them, or neither.

    ``tried`` candidates were played, ``vetted`` of them in full. ``complete``: the whole grid was looked at;
    else the search ended at one of its bounds.
    """

    changes: tuple[Change, ...]
    vetting: Vetting | None
    tried: int
    vetted: int
    complete: bool


def nearest_passing(
    player: Player, policy: Policy, suite: Suite, vetting: Vetting, *, max_runs: int
) -> Search:
    """The nearest change with which ``policy`` passes the bars that count in its vetting."""
    counted = [result for result in vetting.results if not result.waiver]
    bars = [result.bar for result in counted]
    missed = [result.bar for result in counted if result.verdict is not Verdict.PASSED]
    held = [bar for bar in bars if bar not in missed]
    played = _Counted(player)
    screen = _Screen(played, policy, suite.fitted(policy)[0], vetting.seed + _OTHER_SEED)
    kept = suite.only([bar.scenario for bar in bars])
    tried = vetted = 0
    complete = True
    before = sum(_short(result.bar, result.value) for result in counted)
    helping: list[Change] = []
    for candidates in (_singles(policy), _pairs(policy, helping)):
        grid = list(candidates)
        listed = grid[: max(0, MOST_RUNS - played.runs) // screen.runs(missed)]
        tried += len(listed)
        complete = complete and len(listed) == len(grid)
        shortfalls = screen(listed, missed, before)
        helping += [
            change[0]
            for change, short in zip(listed, shortfalls, strict=True)
            if sum(short) < before - _HELPS and len(change) == 1
        ]
        fitting = [one for one, short in zip(listed, shortfalls, strict=True) if max(short) <= _SLACK]
        for one in fitting:
            if vetted == CONFIRMED or played.runs >= MOST_RUNS:
                return Search((), None, tried, vetted, complete=False)
            (others,) = screen([one], held, 0.0)
            if max(others, default=0.0) > _SLACK:
                continue
            vetted += 1
            changed = apply(policy, one)
            found = vet_with(
                played, changed, kept, bars, seed=vetting.seed, max_runs=max_runs, to_the_end=False
            )
            if found.verdict is Verdict.PASSED:
                return Search(one, found, tried, vetted, complete)
    return Search((), None, tried, vetted, complete)


class _Counted:
    """A player, and how many runs it was asked for."""

    def __init__(self, player: Player) -> None:
        self.runs = 0
        self._player = player

    def __call__(self, stretches: Sequence[Stretch]) -> Iterable[Sequence[Outcome]]:
        self.runs += sum(one.last - one.first for one in stretches)
        return self._player(stretches)


@dataclass(frozen=True, slots=True)
class _Screen:
    """Plays candidates a few times."""

    player: Player
    policy: Policy
    suite: Suite
    seed: int

    def __call__(
        self, candidates: Sequence[_Changes], bars: Sequence[Bar], before: float
    ) -> list[list[float]]:
        """By how much each candidate misses each bar: infinitely much if it is left after a glance.

        ``before`` is by how much the policy itself misses them all together.
        """
        rows = self._rows(candidates, bars, 0, GLANCED)
        glanced = [_shortfalls(bars, one) for one in rows]
        close = [
            index
            for index, short in enumerate(glanced)
            if max(short, default=0.0) <= _FAR or sum(short) < before - _LITTLE
        ]
        found = [[math.inf] * len(bars) for _ in candidates]
        more = self._rows([candidates[index] for index in close], bars, GLANCED, SCREENED)
        for index, later in zip(close, more, strict=True):
            both = {name: [*first, *later[name]] for name, first in rows[index].items()}
            found[index] = _shortfalls(bars, both)
        return found

    def _rows(
        self, candidates: Sequence[_Changes], bars: Sequence[Bar], first: int, last: int
    ) -> list[dict[str, Sequence[Outcome]]]:
        """Some runs of each candidate in each scenario."""
        scenarios = self._scenarios(bars)
        stretches = [
            Stretch(apply(self.policy, changes), scenario, self.seed, first, last)
            for changes in candidates
            for scenario in scenarios
        ]
        played = iter(self.player(stretches))
        return [{scenario.name: next(played) for scenario in scenarios} for _ in candidates]

    def runs(self, bars: Sequence[Bar]) -> int:
        """How many runs one candidate takes at most."""
        return SCREENED * len(self._scenarios(bars))

    def _scenarios(self, bars: Sequence[Bar]) -> Sequence[Scenario]:
        return self.suite.only([bar.scenario for bar in bars]).scenarios


def _shortfalls(bars: Sequence[Bar], rows: Mapping[str, Sequence[Outcome]]) -> list[float]:
    return [_short(bar, bar.value(rows[bar.scenario])) for bar in bars]


def _short(bar: Bar, value: float) -> float:
    """By how much a value misses a bar: of a share in points, of a total in parts of the bound."""
    short = max(0.0, bar.bound - value if bar.at_least else value - bar.bound)
    return short if bar.measure.startswith("p_") else short / max(abs(bar.bound), 1e-9)


def _singles(policy: Policy) -> Iterator[_Changes]:
    for change in sorted(small_changes(policy), key=lambda one: one.distance):
        yield (change,)


def _pairs(policy: Policy, helping: Sequence[Change]) -> Iterator[_Changes]:
    """Pairs in which one change helps alone, the nearest first; read after the singles were screened."""
    names = {str(change) for change in helping}
    pairs = [
        pair
        for pair in combinations(small_changes(policy), 2)
        if pair[0].what != pair[1].what and names & {str(change) for change in pair}
    ]
    yield from islice(sorted(pairs, key=lambda pair: pair[0].distance + pair[1].distance), PAIRS)
