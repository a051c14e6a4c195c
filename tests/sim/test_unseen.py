"""A query that reads no series of the service sees nothing: the result says so, in the words of a vetting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.sim.gauges import GAUGES
from rolloutsim.sim.run import compare, simulate
from rolloutsim.sim.scenario import Logs, Resources, Scenario
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.sim.world import World

SCENARIOS = Path(__file__).parents[2] / "scenarios"
GUARDED = SCENARIOS / "policies" / "canary-guarded.yaml"
SAID = (
    'policy misnamed: error-rate reads orders_total{service="api"}, which service api does not have: '
    "it sees nothing"
)


@pytest.fixture(scope="module")
def guarded():
    return load_policy(GUARDED)


@pytest.fixture(scope="module")
def misnamed():
    text = GUARDED.read_text(encoding="utf-8").replace("http_requests_total", "orders_total")
    return replace(load_policy_text(text), name="misnamed")


@pytest.fixture(scope="module")
def worlds():
    service = SCENARIOS / "services" / "api.yaml"
    return [
        load_scenario(f"{service}+{SCENARIOS / 'releases' / name}.yaml")
        for name in ("error-step-20pp", "good")
    ]


def said(results) -> list[str]:
    assert json.loads(json.dumps(results.to_json()))["notes"] == list(results.notes)
    return [note for note in results.notes if "sees nothing" in note]


def test_simulate_names_a_query_that_reads_nothing_of_the_service(misnamed, worlds):
    assert said(simulate(misnamed, worlds[0], runs=1)) == [SAID]


def test_compare_names_it_once_for_each_policy_and_service(guarded, misnamed, worlds):
    assert said(compare([guarded, misnamed], worlds, runs=1)) == [SAID]


def test_a_service_that_is_named_otherwise_is_seen_by_no_policy(guarded, worlds):
    other = replace(worlds[1], name="other", service=replace(worlds[1].service, name="shop"))
    (note,) = said(compare([guarded], [*worlds, other], runs=1))
    assert note.endswith('{service="api"}, which service shop does not have: it sees nothing')


@pytest.mark.parametrize(
    "policy", ["canary-guarded", "canary-latency", "httproute-canary", "native-blue-green"]
)
def test_a_world_names_its_series_when_it_is_made(policy, worlds):
    """So that nothing has to be played to know them: not the canary's, not those of memory and logs."""
    telemetry = replace(worlds[0].service.telemetry, resources=Resources(), logs=Logs())
    full = Scenario("s", replace(worlds[0].service, telemetry=telemetry), worlds[0].release)
    world = World(load_policy(SCENARIOS / f"policies/{policy}.yaml"), full, 1, 0)
    series = named(world)
    assert set(GAUGES) < {one["__name__"] for one in series}
    world.play()
    assert named(world) == series


def named(world: World) -> list[dict[str, str]]:
    store = world.metrics.store
    return [dict(store.labels(index)) for index in range(len(store))]
