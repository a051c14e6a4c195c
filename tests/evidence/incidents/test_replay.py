"""Replays give the verdicts and the numbers that independent records name, because they are played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rolloutsim.evidence.incidents import (
    Expectation,
    Incident,
    Play,
    actual_harm,
    incident_ids,
    load_incident,
    replay,
    scenario_of,
    shipped_policy,
)
from rolloutsim.evidence.incidents.quantity import with_values
from rolloutsim.evidence.incidents.world import IncidentWorld
from rolloutsim.policy import load_policy
from rolloutsim.sim.needs import reads_latency

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
AT_ONCE, LATE, MISSED = Expectation.CAUGHT_AT_ONCE, Expectation.LATE, Expectation.MISSED
WORDS = {
    "missed": MISSED,
    "probably_missed": MISSED,
    "missed_unless_memory_slope": MISSED,
    "caught_first_step": AT_ONCE,
    "caught_canary_stage": AT_ONCE,
    "caught_first_mcp_site": AT_ONCE,
    "caught_first_batch": AT_ONCE,
    "caught_first_ring": AT_ONCE,
    "caught_first_stage": AT_ONCE,
    "caught_first_region": AT_ONCE,
    "caught_first_project": AT_ONCE,
    "caught_first_large_cluster": AT_ONCE,
    "late": LATE,
    "as happened": LATE,
    "20% for about 60 min": MISSED,
    "27 min at up to 82% loss": MISSED,
    "3 h 20 min": MISSED,
}
"""What a record calls a verdict. A rollback after everybody had it is late, and no rollback is missed."""

NUMBERS = {
    ("crates-io-2023-07-20", "policyR_with_retry_or_synthetic_metric"): "policy_with_rps_or_synthetic",
    ("github-2023-11-03-authz-leak", "policyR_10min_stages"): "policy_bake_ge_600s_full_load",
    ("github-2023-11-03-authz-leak", "policyR_2min_stages"): "policy_bake_lt_300s_watched",
    ("gcp-glb-2016-10-13", "policyR"): "policy_auto_stop_on_warn",
    ("cloudflare-2022-06-21", "policyR_stratified_canary_0p5_affected"): "policy_within_the_new_architecture",
    ("fastly-2021-06-08", "policyR_on_customer_config"): "policy_config_canary_staged",
    ("cloudflare-2019-07-02", "policyR"): "policy_staged",
    ("afd-2025-10-29", "policyR_10min_stages"): "policy_gate_600s",
    ("afd-2025-10-29", "policyR_2min_stages"): "policy_gate_120s_watched",
}
"""Which shipped counterfactual is the policy of an independent fluid model."""


def expected() -> Iterator[tuple[str, str, str]]:
    for name, known in REFERENCE.items():
        for key, words in known["expected_replay"].items():
            yield name, key, words


def played(name: str, key: str, runs: int = 3) -> tuple[Incident, Play, Expectation, float]:
    incident = load_incident(name)
    play = incident.play(key)
    answer = replay(incident, shipped_policy(play), play, runs=runs, bounds=False)
    return incident, play, answer.verdict, answer.harm


@pytest.mark.parametrize(("name", "key", "words"), list(expected()))
def test_the_verdict_is_the_one_that_the_record_names(name: str, key: str, words: str) -> None:
    wanted = next(verdict for word, verdict in WORDS.items() if words == word or words.startswith(word + " "))
    _, play, verdict, _ = played(name, key)
    assert verdict is wanted
    assert play.expected is wanted


@pytest.mark.parametrize(("name", "key"), list(NUMBERS))
def test_the_cost_agrees_with_a_fluid_model(name: str, key: str) -> None:
    wanted = REFERENCE[name]["reference"][key]
    incident = load_incident(name)
    play = incident.play(NUMBERS[name, key])
    answer = replay(incident, shipped_policy(play), play, runs=5, bounds=False)
    rate = incident.model.requests_per_s.value if incident.model.published_rate else 1.0
    assert answer.harm / rate == pytest.approx(wanted["failed"], rel=0.1)
    assert answer.noticed_s == pytest.approx(wanted["detected_at_s"], abs=1.0)
    assert answer.reached == pytest.approx(wanted["fraction"])


@pytest.mark.parametrize("name", [name for name, known in REFERENCE.items() if known["reference"]])
def test_what_happened_agrees_with_the_record(name: str) -> None:
    known = REFERENCE[name]["reference"]
    incident = load_incident(name)
    rate = incident.model.requests_per_s.value if incident.model.published_rate else 1.0
    wanted = known.get("as_happened_machines", known["as_happened_failed_fraction_seconds"] * rate)
    assert actual_harm(incident) == pytest.approx(wanted, rel=0.01)


def test_machines_in_the_ring_are_what_is_lost() -> None:
    known = REFERENCE["crowdstrike-2024-07-19"]["reference"]
    assert played("crowdstrike-2024-07-19", "policy_ring_0p1pct")[3] == pytest.approx(
        known["ring_0p1pct_machines"]
    )
    assert played("crowdstrike-2024-07-19", "policy_ring_1pct")[3] == pytest.approx(
        known["ring_1pct_machines"]
    )


def test_restarts_tell_before_anything_fails_and_errors_only_behind_the_cliff() -> None:
    incident = load_incident("pagerduty-2022-10-31")
    errors, restarts = (
        replay(incident, shipped_policy(play), play, runs=2, bounds=False) for play in incident.plays
    )
    assert errors.reached >= 0.745
    assert restarts.harm == 0.0
    assert (restarts.reached, restarts.gate) == (0.05, "restarts")


# --- the verdict is played --------------------------------------------------------------------------


def test_a_good_release_is_let_through_by_every_shipped_policy() -> None:
    seen = set()
    for name in REFERENCE:
        incident = load_incident(name)
        for play in incident.plays:
            if play.policy in seen:
                continue
            seen.add(play.policy)
            policy, scenario = shipped_policy(play), scenario_of(incident, shipped_policy(play))
            latency = reads_latency(policy, scenario)
            world = IncidentWorld(policy, scenario, incident.model, play, 3, 0, latency=latency, faulty=False)
            world.play()
            assert world.decided is not None, play.policy
            assert not world.decided[1], play.policy


def test_a_fault_that_shows_in_errors_is_caught_by_the_gate_that_was_blind_before() -> None:
    incident = load_incident("crates-io-2023-07-20")
    play = incident.play("policy_5xx_only")
    assert played(incident.id, play.name)[2] is MISSED
    loud = replace(incident, model=with_values(incident.model, {"fault.shows.status_5xx": 1.0}))
    answer = replay(loud, shipped_policy(play), play, runs=1, bounds=False)
    assert (answer.verdict, answer.gate) == (AT_ONCE, "errors-5xx")


def test_a_longer_bake_catches_what_a_shorter_one_misses(tmp_path: Path) -> None:
    incident = load_incident("afd-2025-10-29")
    play = incident.play("policy_gate_120s")
    text = (Path(__file__).parents[3] / "data/incidents/policies" / play.policy).read_text(encoding="utf-8")
    longer = tmp_path / "longer.yaml"
    longer.write_text(text.replace("duration: 2m", "duration: 8m"), encoding="utf-8")
    assert replay(incident, load_policy(longer), play, runs=1, bounds=False).verdict is AT_ONCE


def test_why_a_gate_did_not_see() -> None:
    blind = {
        ("crates-io-2023-07-20", "policy_5xx_only"): "the fault shows in synthetic download",
        ("fastly-2021-06-08", "policy_code_canary"): "dormant for about 27 days",
        ("google-userid-2020-12-14", "policy_any"): "dormant for about 56 days",
        ("cloudflare-2022-06-21", "as_it_was"): "reach nobody whom the fault can hit",
        ("cloudflare-2019-07-02", "policy_all_at_once"): "nothing is measured",
        ("gcp-glb-2016-10-13", "policy_warn_only"): "did fail",
        ("github-2023-11-03-authz-leak", "policy_low_load_canary"): "nothing fails yet",
    }
    for (name, key), words in blind.items():
        incident = load_incident(name)
        play = incident.play(key)
        answer = replay(incident, shipped_policy(play), play, runs=1, bounds=False)
        assert words in answer.blind
        assert answer.no_gate == ("dormant" in words)


def test_bounds_enclose_the_stated_values_and_name_what_makes_them() -> None:
    incident = load_incident("crates-io-2023-07-20")
    play = incident.play("policy_with_rps_or_synthetic")
    answer = replay(incident, shipped_policy(play), play, runs=2)
    assert answer.optimistic.harm < answer.harm < answer.pessimistic.harm
    assert dict(answer.optimistic.values)["way_back_s"] == 20.0
    assert dict(answer.pessimistic.values)["way_back_s"] == 300.0
    assert sum(count for _, count in answer.verdicts_of_corners) == 16


def test_the_same_seed_gives_the_same_answer() -> None:
    incident = load_incident("cloudflare-2022-06-21")
    play = incident.play("policy_random_sites_1pct")
    one, two = (replay(incident, shipped_policy(play), play, runs=4, seed=9, bounds=False) for _ in "ab")
    assert one == two


@pytest.mark.slow
@pytest.mark.parametrize("name", incident_ids())
def test_every_shipped_counterfactual_with_all_its_corners(name: str) -> None:
    incident = load_incident(name)
    for play in incident.plays:
        answer = replay(incident, shipped_policy(play), play)
        assert answer.verdict is play.expected, play.name
        assert answer.optimistic.harm <= answer.harm * (1 + 1e-9)
        assert answer.pessimistic.harm >= answer.harm * (1 - 1e-9)
        if play.reference is not None and play.reference.failed_s is not None:
            rate = incident.model.requests_per_s.value if incident.model.published_rate else 1.0
            assert answer.harm / rate == pytest.approx(play.reference.failed_s, rel=0.1, abs=1e-9)
        if play.reference is not None and play.reference.machines is not None:
            assert answer.harm == pytest.approx(play.reference.machines, rel=0.1)
