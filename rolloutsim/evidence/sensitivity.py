"""Which assumed inputs move the verdict most: each is halved and doubled, and the same runs are played.

A verdict is how often a policy stops a release; where no input moves that, the bad requests decide. Runs are
few and paired with those of the scenario as it stands (common random numbers), so that what differs is
the input and not luck.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from rolloutsim.errors import RolloutsimError
from rolloutsim.policy.model import Policy
from rolloutsim.sim.executors import in_order
from rolloutsim.sim.overlay import at_path
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import Basis, Input, Scenario
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.tables import Results

__all__ = [
    "RUNS",
    "Influence",
    "alternatives",
    "most_influential",
    "runs_within",
    "sensitivity",
    "with_sensitivity",
]

_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "service.error_icc": ("0.005",),
        "service.traffic.dispersion": ("4.6", "7"),
        "service.telemetry.lag": ("15s",),
        "service.telemetry.missed": ("5%",),
        "service.telemetry.discovery": ("60s",),
        "service.cluster.readiness": ("deep",),
    }
)
"""What else an input could be where half and double say nothing.

The dispersions 4.6 and 7 are those of NASA-HTTP 1995; 60 s is how often Prometheus asks an HTTP service
discovery (from Kubernetes it knows pods while they start, which is what 0 s stands for).
"""

_NO_WORLD = ("horizon", "slo", "slo_period", "telemetry.history")
"""Inputs that say how a run is looked at, not what the world is like."""

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+)\s*(%|ms|s|m|h|)")
RUNS = 24
"""Runs of each change, unless told otherwise."""
_FEWEST = 4


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
        before, after = map(_three_digits, self.bad_requests)
        return text + f"has {before} -> {after} bad requests"


def _three_digits(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 999.5 else f"{number:.3g}"


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
    runs: int = RUNS,
    seed: int = 1,
    executor: Executor | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[Influence, ...]:
    """Every change of an assumed input and what it does, the strongest first.

    Parameters
    ----------
    scenarios : files, as `load_scenario` takes them.
    runs : runs of each change; see `runs_within`.
    executor : plays the changes; None: they are played here. No influence on what is found.
    """
    changes = list(_changes(scenarios))
    worlds = [scenario for _, _, scenario, _ in changes]
    plain = list(dict.fromkeys(before for before, *_ in changes))
    tasks = [(policy, world, runs, seed) for world in (*plain, *worlds) for policy in policies]
    verdicts = []
    for verdict in map(_verdict, tasks) if executor is None else in_order(_verdict, tasks, executor):
        verdicts.append(verdict)
        if progress is not None:
            progress(len(verdicts), len(tasks))
    known = dict(zip(((policy.name, world) for policy, world, *_ in tasks), verdicts, strict=True))
    found = [
        Influence(
            given.path,
            given.value,
            other,
            policy.name,
            before.name,
            *zip(known[policy.name, before], known[policy.name, changed], strict=True),
        )
        for before, given, changed, other in changes
        for policy in policies
    ]
    return tuple(sorted(found, key=lambda one: one.weight, reverse=True))


def runs_within(budget: int, policies: Sequence[Policy], scenarios: Sequence[str]) -> int:
    """Runs of each change, so that all take at most ``budget``; 0 where that is too few to say anything."""
    changes = list(_changes(scenarios))
    each = budget // max(1, len(policies) * (len(changes) + len(scenarios)))
    return 0 if each < _FEWEST else min(each, RUNS)


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
    runs: int = RUNS,
    seed: int = 1,
    executor: Executor | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Results:
    """The results with notes and a part of the model card that say which assumed inputs move them most."""
    found = sensitivity(policies, scenarios, runs=runs, seed=seed, executor=executor, progress=progress)
    strongest = most_influential(found)
    said = [f"moves the verdict ({runs} runs each): {one}" for one in strongest]
    card = {**results.card, "movesTheVerdict": [str(one) for one in strongest]}
    return replace(
        results, notes=(*results.notes, *(said or ["no assumed input moves the verdict"])), card=card
    )


def _changes(files: Sequence[str]) -> Iterator[tuple[Scenario, Input, Scenario, str]]:
    """Each scenario, an input that it assumes, the scenario with another value, and this value."""
    for file in files:
        plain = load_scenario(file)
        for given in plain.inputs:
            if given.basis is Basis.ASSUMED:
                for other in alternatives(given):
                    changed = _changed(file, given, other)
                    if changed is not None:
                        yield plain, given, changed, other


def _changed(file: str, given: Input, other: str) -> Scenario | None:
    """The scenario with one input changed; None where the change does not fit its other fields."""
    number = float(other) if re.fullmatch(r"[0-9]*\.?[0-9]+", other) else other
    try:
        return load_scenario(file, at_path(given.path, number))
    except RolloutsimError:
        return None


def _verdict(task: tuple[Policy, Scenario, int, int]) -> tuple[float, float]:
    """Share of the runs that were stopped, and mean bad requests."""
    policy, scenario, runs, seed = task
    columns = simulate(policy, scenario, runs=runs, seed=seed)
    (row,) = columns.rows
    return row.p_abort.value or 0.0, float(np.mean(columns.columns["bad_requests"]))
