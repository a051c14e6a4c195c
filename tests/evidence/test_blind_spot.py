"""1 % errors become 3 % at 1,200 requests a minute: a 5 % threshold sleeps, the default gate does not.

Played through the whole simulator: steps from a weight of 5 % on, scrapes every 15 s, pods and people. The
numbers are those of the README.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import rolloutsim as rs
from rolloutsim.sim.scenario import ConstantRate, Traffic

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "scenarios" / "services" / "api-1200rpm.yaml"
GATED = ROOT / "scenarios" / "policies" / "api-gated.yaml"
ARTICLE = ROOT / "scenarios" / "article" / "canary.yaml"
PER_VERSION = ROOT / "scenarios" / "policies" / "httproute-canary.yaml"


def stopped(path: Path, release: str, runs: int) -> rs.Results:
    scenario = rs.load_scenario(f"{SERVICE}+{ROOT / 'scenarios' / 'releases' / release}.yaml")
    return rs.simulate(rs.load_policy(path), scenario, runs=runs, seed=1)


@pytest.mark.parametrize("runs", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_the_default_gate_catches_in_minutes_what_the_threshold_lets_through(runs: int) -> None:
    gate = stopped(GATED, "error-step-2pp", runs).rows[0]
    assert gate.p_detect is not None
    assert gate.p_detect.value is not None
    assert gate.p_detect.value >= 0.98
    assert gate.time_to_detect_s.value is not None
    assert gate.time_to_detect_s.value < 8 * 60
    for threshold in (ARTICLE, PER_VERSION):
        row = stopped(threshold, "error-step-2pp", runs).rows[0]
        assert row.p_detect is not None
        assert row.p_detect.value is not None
        assert row.p_detect.value <= 0.1
        assert row.bad_requests.value is not None
        assert gate.bad_requests.value is not None
        assert row.bad_requests.value > 100 * gate.bad_requests.value


@pytest.mark.slow
def test_good_releases_pass_the_gate() -> None:
    row = stopped(GATED, "good", 400).rows[0]
    assert row.p_false_abort is not None
    assert row.p_false_abort.value is not None
    assert row.p_false_abort.value <= 0.05


def test_the_person_who_is_asked_in_a_simulation_is_one_whom_the_gate_names() -> None:
    """Too little traffic to decide: the rollout waits for its approver, who promotes it."""
    text = GATED.read_text(encoding="utf-8").replace(
        "expiresAfter: 2h", "expiresAfter: 10m\n              approvers: [anna]"
    )
    policy = rs.load_policy_text(text, "gated.yaml", name="api")
    scenario = rs.load_scenario(f"{SERVICE}+{ROOT / 'scenarios' / 'releases' / 'good'}.yaml")
    quiet = replace(scenario.service, traffic=Traffic(ConstantRate(0.5)))
    row = rs.play(policy, replace(scenario, service=quiet), seed=3)
    assert row.end == "promoted"
    assert row.human_waits >= 1
