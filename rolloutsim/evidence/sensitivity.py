"""Which assumed inputs move the verdict most: each is halved and doubled, and the same runs are played.

A verdict is how often a policy stops a release; where no input moves that, the bad requests decide. Runs are
few and paired with those of the scenario as it stands (common random numbers), so that what differs is
the input and not luck.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from rolloutsim.errors import RolloutsimError
from rolloutsim.policy.model import Policy
from rolloutsim.sim.overlay import at_path
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import Basis, Input, Scenario
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.tables import Results

__all__ = ["Influence", "alternatives", "most_influential", "sensitivity", "with_sensitivity"]

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "service.error_icc": ("0.005",),
        "service.traffic.dispersion": ("4.6", "7"),
        "service.telemetry.lag": ("15s",),
        "service.telemetry.missed": ("5%",),
        "service.cluster.readiness": ("deep",),
    }
)
"""What else an input could be where half and double say nothing; 4.6 and 7 are those of NASA-HTTP 1995."""

_NO_WORLD = ("horizon", "slo", "slo_period", "telemetry.history")
"""Inputs that say how a run is looked at, not what the world is like."""

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+)\s*(%|ms|s|m|h|)")
_RUNS = 24


@dataclass(frozen=True, slots=True)
class Influence:
    """What a change of one input does to one policy in one scenario.

    ``before`` and ``after`` are shares of runs in which the release was stopped, and mean bad requests.
    """

    path: str
    value: str
    changed_to: str
    policy: str
    scenario: str
    stopped: tuple[float, float]
    bad_requests: tuple[float, float]

    @property
    def weight(self) -> tuple[float, float]:
        """How far the verdict moves: share of runs first, then the logarithm of the bad requests' ratio."""
        before, after = self.bad_requests
        return abs(self.stopped[1] - self.stopped[0]), abs(math.log((after + 1.0) / (before + 1.0)))

    def __str__(self) -> str:
        text = f"{self.path} {self.value} -> {self.changed_to}: {self.policy} in {self.scenario} "
        if self.stopped[0] != self.stopped[1]:
            return text + f"stops {100 * self.stopped[0]:.0f} % -> {100 * self.stopped[1]:.0f} % of its runs"
        return text + f"has {self.bad_requests[0]:.3g} -> {self.bad_requests[1]:.3g} bad requests"


def alternatives(given: Input) -> tuple[str, ...]:
    """What an input is changed to: half and double, or other words; nothing where neither has a meaning."""
    if given.path in _WORDS:
        return tuple(other for other in _WORDS[given.path] if other != given.value)
    if given.path.removeprefix("service.") in _NO_WORLD:
        return ()
    match = _NUMBER.fullmatch(given.value)
    if match is None or float(match.group(1)) == 0.0:
        return ()
    number, unit = float(match.group(1)), match.group(2)
    return tuple(f"{number * factor:g}{unit}" for factor in (0.5, 2.0))


def sensitivity(
    policies: Sequence[Policy],
    scenarios: Sequence[str],
    *,
    runs: int = _RUNS,
    seed: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Influence, ...]:
    """Every change of an assumed input and what it does, the strongest first.

    Parameters
    ----------
    scenarios : files, as `load_scenario` takes them.
    """
    plain = [(file, load_scenario(file)) for file in scenarios]
    tasks = [
        (file, scenario, given, other)
        for file, scenario in plain
        for given in scenario.inputs
        if given.basis is Basis.ASSUMED
        for other in alternatives(given)
    ]
    before = {
        (policy.name, scenario.name): _verdict(policy, scenario, runs, seed)
        for _, scenario in plain
        for policy in policies
    }
    found: list[Influence] = []
    for done, (file, scenario, given, other) in enumerate(tasks):
        found += _influences(
            policies, scenario, _changed(file, given, other), given, other, before, runs, seed
        )
        if progress is not None:
            progress(done + 1, len(tasks))
    return tuple(sorted(found, key=lambda one: one.weight, reverse=True))


def most_influential(found: Sequence[Influence], count: int = 3) -> list[Influence]:
    """The strongest change of each of the ``count`` inputs that move the verdict most."""
    first: dict[str, Influence] = {}
    for one in found:
        if one.weight > (0.0, 0.0):
            first.setdefault(one.path, one)
    return list(first.values())[:count]


def with_sensitivity(
    results: Results,
    policies: Sequence[Policy],
    scenarios: Sequence[str],
    *,
    seed: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> Results:
    """The results with notes and a part of the model card that say which assumed inputs move them most."""
    strongest = most_influential(sensitivity(policies, scenarios, seed=seed, progress=progress))
    said = [f"moves the verdict: {one}" for one in strongest] or ["no assumed input moves the verdict"]
    card = {**results.card, "movesTheVerdict": [str(one) for one in strongest]}
    return replace(results, notes=(*results.notes, *said), card=card)


def _influences(
    policies: Sequence[Policy],
    scenario: Scenario,
    changed: Scenario | None,
    given: Input,
    other: str,
    before: Mapping[tuple[str, str], tuple[float, float]],
    runs: int,
    seed: int,
) -> Iterator[Influence]:
    if changed is None:
        return
    for policy in policies:
        stopped, bad = before[policy.name, scenario.name]
        now = _verdict(policy, changed, runs, seed)
        yield Influence(
            given.path, given.value, other, policy.name, scenario.name, (stopped, now[0]), (bad, now[1])
        )


def _changed(file: str, given: Input, other: str) -> Scenario | None:
    """The scenario with one input changed; None where the change does not fit its other fields."""
    number = float(other) if re.fullmatch(r"[0-9]*\.?[0-9]+", other) else other
    try:
        return load_scenario(file, at_path(given.path, number))
    except RolloutsimError:
        return None


def _verdict(policy: Policy, scenario: Scenario, runs: int, seed: int) -> tuple[float, float]:
    columns = simulate(policy, scenario, runs=runs, seed=seed)
    (row,) = columns.rows
    return row.p_abort.value or 0.0, float(np.mean(columns.columns["bad_requests"]))
