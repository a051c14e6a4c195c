"""Which assumed inputs move a verdict: found where one is known to, and not where none does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rolloutsim.evidence.sensitivity import (
    RUNS,
    Influence,
    alternatives,
    most_influential,
    runs_within,
    sensitivity,
    with_sensitivity,
)
from rolloutsim.policy import load_policy
from rolloutsim.sim.model_card import left_out, model_card
from rolloutsim.sim.run import compare
from rolloutsim.sim.scenario import Basis, Input
from rolloutsim.sim.scenario_file import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
WORLD = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: Scenario
metadata: {name: edge}
spec:
  service:
    name: api
    traffic: {rate_rps: {value: 100, basis: measured}}
    error_rate: {value: 4%, basis: assumed, source: a guess}
    latency: {median: {value: 60ms, basis: measured}, sigma: {value: 0.6, basis: measured}}
  release: {name: good}
"""


@pytest.mark.parametrize(
    ("path", "value", "others"),
    [
        ("service.traffic.rate_rps", "100", ("50", "200")),
        ("service.error_rate", "0.1%", ("0.05%", "0.2%")),
        ("service.operators.notice_after", "5m", ("2.5m", "10m")),
        ("service.cluster.readiness", "shallow", ("deep",)),
        ("service.telemetry.preset", "app", ()),
        ("service.telemetry.missed", "0%", ("5%",)),
        ("service.telemetry.discovery", "0s", ("60s",)),
        ("service.horizon", "2h", ()),
        ("service.operators.promote.sigma", "0.0", ()),
    ],
)
def test_half_and_double_where_they_mean_something(path, value, others):
    assert alternatives(Input(path, value, Basis.ASSUMED)) == others


def test_the_input_that_the_verdict_hangs_on_is_found(tmp_path, monkeypatch):
    """A gate at 5 % and a service that fails 4 %: twice that is aborted always."""
    file = tmp_path / "edge.yaml"
    file.write_text(WORLD, encoding="utf-8")
    policy = load_policy(SCENARIOS / "article" / "canary.yaml")
    found = sensitivity([policy], [str(file)], runs=2)
    assert not any("rate_rps" in one.path or "latency" in one.path for one in found)
    first = most_influential(found)[0]
    assert first.path == "service.error_rate"
    assert first.stopped[1] - first.stopped[0] >= 0.5
    assert "service.error_rate 4% -> 8%" in str(first)
    monkeypatch.setattr("rolloutsim.evidence.sensitivity.sensitivity", lambda *_, **__: found)
    results = with_sensitivity(compare([policy], [load_scenario(file)], runs=4), [policy], [str(file)])
    assert any(
        note.startswith("moves the verdict (24 runs each): service.error_rate") for note in results.notes
    )
    assert len(results.to_json()["modelCard"]["movesTheVerdict"]) <= 3


def test_a_gate_that_decides_within_a_minute_hangs_on_when_a_new_version_is_first_scraped(monkeypatch):
    """Its canary fails from the first request on, and nobody scrapes it before it has been discovered."""
    monkeypatch.setattr(
        "rolloutsim.evidence.sensitivity.alternatives",
        lambda given: alternatives(given) if given.path == "service.telemetry.discovery" else (),
    )
    policy = load_policy(SCENARIOS / "policies" / "api-gated.yaml")
    file = f"{SCENARIOS / 'services/api.yaml'}+{SCENARIOS / 'releases/error-step-20pp.yaml'}"
    (first,) = most_influential(sensitivity([policy], [file], runs=4))
    assert (first.path, first.value, first.changed_to) == ("service.telemetry.discovery", "0s", "60s")
    before, after = first.bad_requests
    assert after > 2.0 * before > 0.0


def test_who_plays_does_not_show_and_too_few_runs_are_none(monkeypatch):
    policy = load_policy(SCENARIOS / "article" / "canary.yaml")
    files = [str(SCENARIOS / "article" / "worlds" / "error-20pp.yaml")]
    assert runs_within(50, [policy], files) == 0
    assert 4 <= runs_within(200, [policy], files) < runs_within(10**6, [policy], files) == RUNS
    few = {"service.error_rate": ("1%",), "service.operators.notice_after": ("1m", "10m")}
    monkeypatch.setattr("rolloutsim.evidence.sensitivity.alternatives", lambda given: few.get(given.path, ()))
    alone = sensitivity([policy], files, runs=2)
    assert len(alone) == 3
    with ThreadPoolExecutor(2) as threads:
        assert sensitivity([policy], files, runs=2, executor=threads) == alone


def test_every_result_has_its_model_card():
    policy = load_policy(SCENARIOS / "article" / "canary.yaml")
    scenario = load_scenario(SCENARIOS / "article" / "worlds" / "good.yaml")
    card = compare([policy], [scenario], runs=2).to_json()["modelCard"]
    told = card["scenarios"]["good"]
    assert sum(told["inputs"].values()) == len(scenario.inputs)
    assert told["assumed"]["service.error_rate"] == "0.1%"
    assert told["dispersion"] == {"requestsPerMinute": 1.0, "errorCorrelation": 0.0}
    assert "long-lived connections" in told["notModelled"]
    assert "aggregate" in card["fidelity"]
    assert model_card([policy], [scenario], "x")["fidelity"] == "x"


def test_what_is_modelled_is_not_left_out(tmp_path):
    file = tmp_path / "s.yaml"
    parts = "    sessions: {}\n    connections: {}\n    cluster: {drain: {}, phases: {}, autoscaler: {}}\n"
    file.write_text(WORLD.replace("  release:", parts + "  release:"), encoding="utf-8")
    left = left_out(load_scenario(file))
    assert not {"service.sessions", "service.connections", "service.cluster.drain"} & set(left)
    assert "service.cluster.probe" in left


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(2459.6, 9_996.0, "has 2,460 -> 10,000 bad requests"), (0.0, 4.5, "has 0 -> 4.5 bad requests")],
)
def test_numbers_of_bad_requests_have_three_digits_and_no_exponent(before, after, said):
    found = Influence("service.error_rate", "1%", "2%", "canary", "good", (0.0, 0.0), (before, after))
    assert str(found).endswith(said)
