"""What simulations expect of a rollout, for its plan: the policy played often in one scenario."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rolloutsim.engine import MeasurementTaken, ReleaseAsked, SetWeight, StepCompleted
from rolloutsim.errors import InputError
from rolloutsim.session import Entry

if TYPE_CHECKING:
    from rolloutsim.live.prediction import Band, Expected, Prediction
    from rolloutsim.policy.model import Policy

__all__ = ["forecast"]

BANDS = 120
"""Points in time of a band at most."""

Points = Sequence[tuple[float, float]]
"""(seconds since the release, value), in order."""


def forecast(policy: Policy, scenarios: Sequence[str], runs: int, seed: int) -> Prediction:
    """Play the policy and say what the middle 90 % of the runs had.

    Raises
    ------
    InputError : not exactly one scenario is named.
    """
    from rolloutsim.cli import inputs
    from rolloutsim.live.prediction import Foreseen, GateBand, Prediction, StepTime
    from rolloutsim.sim.needs import check
    from rolloutsim.sim.verdict import outcome
    from rolloutsim.sim.world import World

    found = inputs.scenarios(scenarios)
    if len(found) != 1:
        raise InputError(f"a prediction is made in one scenario, and {len(found)} are named", fix="name one")
    scenario = found[0]
    check(policy, scenario)
    rows, courses = [], []
    for run in range(runs):
        entries: list[Entry] = []
        world = World(policy, scenario, seed, run, record=entries.append)
        world.play()
        rows.append(outcome(world, run))
        courses.append(_Course(entries))
    ends = Counter(row.end.value for row in rows)
    steps = []
    texts = {number: text for course in courses for number, (_, text) in course.steps.items()}
    for number, text in sorted(texts.items()):
        times = [course.steps[number][0] for course in courses if number in course.steps]
        steps.append(StepTime(number, text, len(times) / runs, _expected(times)))
    gates = sorted({gate for course in courses for gate in course.gates})
    return Prediction(
        scenario=scenario.name,
        runs=runs,
        seed=seed,
        healthy=rows[0].healthy,
        foreseen=Foreseen(
            tuple(sorted((name, count / runs) for name, count in ends.items())),
            _expected([row.duration_s for row in rows]),
            _expected([row.bad_requests for row in rows]),
        ),
        steps=tuple(steps),
        weight=_bands([course.weight for course in courses]),
        gates=tuple(GateBand(gate, _bands([c.gates.get(gate, []) for c in courses])) for gate in gates),
    )


class _Course:
    """What one run did over time."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.weight: list[tuple[float, float]] = [(0.0, 0.0)]
        self.gates: dict[str, list[tuple[float, float]]] = {}
        self.steps: dict[int, tuple[float, str]] = {}
        released: int | None = None
        for entry in entries:
            if released is None and isinstance(entry.seen, ReleaseAsked):
                released = entry.seen.at
            if released is not None:
                self._take(entry, (entry.seen.at - released) / 1000)

    def _take(self, entry: Entry, at_s: float) -> None:
        from rolloutsim.live.prediction import number_in

        for action in entry.actions:
            if isinstance(action, SetWeight):
                self.weight.append((at_s, float(action.weight)))
        for event in entry.events:
            if isinstance(event, StepCompleted):
                self.steps.setdefault(event.index, (at_s, event.step))
            elif isinstance(event, MeasurementTaken):
                number = number_in(event.value)
                if number is not None:
                    self.gates.setdefault(event.metric, []).append((at_s, number))


def _bands(curves: Sequence[Points]) -> tuple[Band, ...]:
    """The middle 90 % of step curves, at the times at which one of them changes."""
    from rolloutsim.live.prediction import Band

    times = sorted({round(t, 1) for curve in curves for t, _ in curve})
    if len(times) > BANDS:
        times = [times[index * (len(times) - 1) // (BANDS - 1)] for index in range(BANDS)]
    bands: list[Band] = []
    for t in times:
        values = list(_at(curves, t))
        if not values:
            continue
        low, high = _quantile(values, 0.05), _quantile(values, 0.95)
        if not bands or (bands[-1].low, bands[-1].high) != (low, high):
            bands.append(Band(t, low, high))
    return tuple(bands)


def _at(curves: Sequence[Points], t: float) -> Iterator[float]:
    for curve in curves:
        before = [value for at, value in curve if at <= t + 0.05]
        if before:
            yield before[-1]


def _expected(values: Sequence[float]) -> Expected:
    from rolloutsim.live.prediction import Expected

    known = [value for value in values if not math.isnan(value)] or [0.0]
    return Expected(*(round(_quantile(known, q), 3) for q in (0.05, 0.5, 0.95)))


def _quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share ``q`` of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]
