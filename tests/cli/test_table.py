"""Results as text."""

from __future__ import annotations

import json
import math

import pytest

from rolloutsim.cli.table import WIDTH, render
from rolloutsim.outcomes import CaughtBy, End, Outcome
from rolloutsim.tables import Results, build_results


def row(policy: str, scenario: str, run: int, *, healthy: bool, caught: bool, size: float = 1.0) -> Outcome:
    return Outcome(
        policy=policy,
        scenario=scenario,
        run=run,
        healthy=healthy,
        end=End.ABORTED if caught else End.PROMOTED,
        caught_by=CaughtBy.ANALYSIS if caught else CaughtBy.NOTHING,
        detected=caught and not healthy,
        false_abort=caught and healthy,
        time_to_detect_s=200.0 + run if caught and not healthy else math.nan,
        time_to_mitigate_s=math.nan,
        bad_requests=0.0 if healthy else size * (1000.0 + 10 * run),
        requests_exposed=size * 123_456.0 + run,
        budget_spent=0.0,
        duration_s=7200.0 if caught else 1500.0 + run,
        pod_hours=0.25,
        peak_pods=11,
        human_waits=0,
        measurements=3,
        message="",
    )


def results(policies: tuple[str, ...] = ("canary", "rolling"), size: float = 1.0) -> Results:
    rows = [
        row(policy, scenario, run, healthy=scenario == "good", caught=run < stopped, size=size)
        for policy in policies
        for scenario, stopped in (("error-2pp", 5), ("good", 0), ("error-20pp", 20))
        for run in range(20)
    ]
    return build_results(rows, kind="Comparison", notes=("seed 1, " + "word " * 40,), provenance={})


def test_bad_and_good_releases_are_two_tables_grouped_by_scenario() -> None:
    text = render(results())
    lines = text.splitlines()
    heads = [line.split()[0] for line in lines if line and not line.startswith((" ", "-"))]
    assert heads == ["Bad", "error-2pp", "error-20pp", "Good", "good", "Means", "A"]
    assert text.index("caught %") < text.index("false abort %")
    assert [line.split()[0] for line in lines if line.startswith("  ") and "(" in line][:2] == [
        "canary",
        "rolling",
    ]


def test_numbers_are_compact_and_carry_their_intervals() -> None:
    text = render(results(("canary",)))
    first = next(line for line in text.splitlines() if line.startswith("  canary"))
    assert "25 (11–47)" in first
    assert "3.37m" in first
    assert "1.09k (1.07k–1.12k)" in first
    assert "123k" in first
    assert "0.25" in first


def test_nothing_detected_is_a_dash() -> None:
    rows = [row("rolling", "latency", run, healthy=False, caught=False) for run in range(20)]
    text = render(build_results(rows, kind="Simulation", notes=(), provenance={}))
    line = next(line for line in text.splitlines() if line.startswith("  rolling"))
    assert "0 (0–17)" in line
    assert "–" in line.split()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("name", ["c", "a-rather-long-name-of-a-policy-that-nobody-would-type"])
def test_at_most_a_hundred_columns(name: str, size: float) -> None:
    text = render(results((name, "rolling"), size))
    assert max(map(len, text.splitlines())) <= WIDTH == 100


def test_notes_follow_wrapped() -> None:
    lines = render(results()).splitlines()
    start = lines.index("")
    assert any(line.startswith("- seed 1, word") for line in lines[start:])
    assert any(line.startswith("  word") for line in lines[start:])
    assert not any(line.endswith(" ") for line in lines)


def test_no_interval_where_there_is_none() -> None:
    one = build_results(
        [row("canary", "error", 0, healthy=False, caught=True)], kind="Simulation", notes=(), provenance={}
    )
    line = next(line for line in render(one).splitlines() if line.startswith("  canary"))
    assert line.split()[-1] == "0.25"


def test_a_mean_of_few_equal_runs_goes_without_and_the_table_says_why() -> None:
    equal, enough = (
        build_results(
            [row("canary", "error", run, healthy=False, caught=False) for run in range(runs)],
            kind="Simulation",
            notes=(),
            provenance={},
        )
        for runs in (4, 59)
    )
    why = "A mean of fewer than 59 runs that are all equal has no interval: they show no spread."
    assert why in render(equal).splitlines()
    assert why not in render(enough)
    few, many = (json.loads(json.dumps(one.to_json()))["summary"][0]["pod_hours"] for one in (equal, enough))
    assert few == {"value": 0.25, "low": None, "high": None, "n": 4}
    assert many == {"value": 0.25, "low": 0.25, "high": 0.25, "n": 59}
