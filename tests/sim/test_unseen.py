"""A query that reads no series of the service sees nothing: the result says so, in the words of a vetting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.sim.run import compare, simulate
from rolloutsim.sim.scenario import Logs, Resources, Scenario, Telemetry
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.sim.unseen import series_of
from rolloutsim.sim.world import World
from rolloutsim.telemetry import PRESETS
from tests.sim.test_beside import EXPERIMENT, policy

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


def played(policy, scenario) -> set[frozenset[tuple[str, str]]]:
    """The series of a world, after its run."""
    world = World(policy, scenario, 1, 0)
    world.play()
    store = world.metrics.store
    return {frozenset(store.labels(index).items()) for index in range(len(store))}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("file", ["canary-guarded", "httproute-canary"])
def test_the_series_of_a_service_are_those_of_its_worlds(file, preset, worlds):
    """The canary's, those of mislabelled requests, of memory and logs: whatever the policy does."""
    telemetry = Telemetry(preset=preset, resources=Resources(), logs=Logs())
    chosen = load_policy(SCENARIOS / f"policies/{file}.yaml")
    for changes in ({}, {"unlabelled": 0.1}, {"mislabelled": 0.1}):
        service = replace(worlds[0].service, telemetry=replace(telemetry, **changes))
        full = Scenario("s", service, worlds[0].release)
        assert {frozenset(one) for one in series_of(full)} == played(chosen, full)


def test_an_experiments_pods_add_series_that_differ_in_their_hash_alone(worlds):
    hashes = {"app_version", "rollouts_pod_template_hash"}

    def others(series):
        return {frozenset((name, value) for name, value in one if name not in hashes) for one in series}

    known, found = (
        set(map(frozenset, series_of(worlds[0]))),
        played(policy(EXPERIMENT.replace("WEIGHT", ", weight: 5")), worlds[0]),
    )
    assert known < found
    assert others(found) == others(known)
