"""Made-up runs: a player whose outcomes are drawn with chances that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rolloutsim.evidence.playing import Player, Stretch
from rolloutsim.evidence.suite import Suite, standard_suite
from rolloutsim.outcomes import Outcome
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import Policy
from tests.synthetic import outcome

SCENARIOS = Path(__file__).parents[2] / "scenarios"
GUARDED = SCENARIOS / "policies" / "canary-guarded.yaml"
API = SCENARIOS / "services" / "api.yaml"

Chance = Callable[[Policy, str], float]
"""How often a policy is stopped in a scenario."""


def policy() -> Policy:
    return load_policy(GUARDED)


def suite(*names: str) -> Suite:
    """The standard suite on the guide's service, or only some of it."""
    standard = standard_suite(API)
    return standard.only(names) if names else standard


def bernoulli(chances: Mapping[str, float] | Chance) -> Player:
    """A player whose runs stop a release with these chances, by scenario."""

    def chance(stretch: Stretch) -> float:
        if callable(chances):
            return chances(stretch.policy, stretch.scenario.name)
        return chances.get(stretch.scenario.name, 0.0)

    def play(stretches: Sequence[Stretch]) -> Iterator[Sequence[Outcome]]:
        for stretch in stretches:
            name = stretch.scenario.name
            healthy = stretch.scenario.release.healthy
            kinds = [
                outcome("api", name, healthy=healthy, caught=caught, bad_requests=1000.0 * (2 - caught))
                for caught in (False, True)
            ]
            # a run's luck depends on seed, scenario and number alone, as in the simulator
            key = int.from_bytes(name.encode()[-7:], "big")
            luck = np.random.Generator(np.random.Philox(key=(stretch.seed, key))).random(stretch.last)
            yield [kinds[int(one)] for one in luck[stretch.first :] < chance(stretch)]

    return play
