"""Scrapes become samples when somebody reads them, and it does not matter when that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import rolloutsim as rs
from rolloutsim.sim.world import World

ROOT = Path(__file__).parents[2] / "scenarios"
MINUTE_MS = 60_000
MINUTES = 45


def played(policy: str, scenario: str, *, reads: bool) -> World:
    """A run whose versions have series of their own, scraped to the end, as for a trace."""
    given = rs.load_scenario(scenario)
    telemetry = replace(given.service.telemetry, preset="istio")
    shown = replace(given, service=replace(given.service, telemetry=telemetry))
    world = World(rs.load_policy(ROOT / policy), shown, 1, 0, truth=lambda _: None)

    def read() -> None:
        assert len(world.metrics.store) > 0

    if reads:
        for minute in range(1, MINUTES):
            world.loop.after(minute * MINUTE_MS, read)
    world.play()
    return world


def samples(world: World) -> list[tuple[str, bytes, bytes]]:
    store = world.metrics.store
    found = []
    for series in range(len(store)):
        times, values = store.samples(series)
        found.append((repr(store.labels(series)), times.tobytes(), values.tobytes()))
    return found


@pytest.mark.parametrize("policy", ["article/canary.yaml", "article/blue-green.yaml"])
@pytest.mark.parametrize("release", ["crash-at-start", "slow-leak", "error-step-20pp"])
def test_reading_changes_no_sample(policy: str, release: str) -> None:
    scenario = f"{ROOT}/services/api.yaml+{ROOT}/releases/{release}.yaml"
    once, often = (samples(played(policy, scenario, reads=reads)) for reads in (False, True))
    assert once == often
    assert sum(len(times) for _, times, _ in once) > 0
