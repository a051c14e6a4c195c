"""Results: from rows to summaries, differences, notes, frames and JSON."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from rolloutsim.estimates import mean_interval, rate
from rolloutsim.outcomes import Outcome, column_names
from rolloutsim.tables import Results, build_results, provenance
from tests.synthetic import outcome, outcomes

KNOWN = provenance(
    {"starter": "sha256:11", "tuned": "sha256:22"},
    {"healthy": "sha256:aa", "err-step": "sha256:bb", "silent-wrong": "sha256:cc"},
    seed=1,
    runs=100,
)
CHANCES = {
    "starter": {"healthy": 0.02, "err-step": 0.6, "silent-wrong": 0.02},
    "tuned": {"healthy": 0.0, "err-step": 0.95, "silent-wrong": 0.0},
}


def results(rows: list[Outcome] | None = None) -> Results:
    chosen = list(outcomes(CHANCES)) if rows is None else rows
    return build_results(chosen, kind="Comparison", notes=("seed 1", "scrape every 15 s"), provenance=KNOWN)


def test_one_summary_per_policy_and_scenario_in_the_order_asked_for() -> None:
    rows = results().rows
    assert [(row.policy, row.scenario) for row in rows] == [(p, s) for p in CHANCES for s in CHANCES[p]]
    assert {row.runs for row in rows} == {100}


def test_rates_are_those_of_the_runs() -> None:
    raw = [row for row in outcomes(CHANCES) if (row.policy, row.scenario) == ("starter", "err-step")]
    row = results().rows[1]
    detected = [each.detected for each in raw]
    assert row.p_detect == rate(sum(detected), 100)
    assert row.p_abort == row.p_detect
    assert row.bad_requests == mean_interval([each.bad_requests for each in raw])
    assert row.time_to_detect_s.n == sum(detected)


def test_detection_is_of_bad_releases_and_false_aborts_of_good_ones() -> None:
    healthy, bad, _ = results().rows[:3]
    assert healthy.p_detect is None
    assert healthy.p_false_abort is not None
    assert healthy.p_false_abort == healthy.p_abort
    assert bad.p_false_abort is None
    assert bad.p_detect is not None


def test_nothing_detected_has_no_time_to_detect() -> None:
    row = results([outcome(run=run, caught=False) for run in range(20)]).rows[0]
    assert row.time_to_detect_s.value is None
    assert row.time_to_detect_s.n == 0
    assert row.p_detect is not None
    assert row.p_detect.value == 0.0


def test_differences_are_paired_and_from_the_first_policy() -> None:
    pairs = results().pairs
    assert [(pair.policy, pair.versus, pair.scenario) for pair in pairs] == [
        ("tuned", "starter", scenario) for scenario in CHANCES["tuned"]
    ]
    by_hand = np.array([row.bad_requests for row in outcomes({"p": {"err-step": 0.95}})]) - np.array(
        [row.bad_requests for row in outcomes({"p": {"err-step": 0.6}})]
    )
    assert pairs[1].bad_requests == mean_interval(by_hand)
    assert pairs[1].p_detect is not None
    assert pairs[1].p_detect.low is not None
    assert pairs[1].p_detect.low > 0


def test_runs_are_paired_by_number_where_some_are_missing() -> None:
    rows = [row for row in outcomes(CHANCES) if row.policy != "tuned" or row.run % 2]
    assert {pair.runs for pair in results(rows).pairs} == {50}


def test_one_policy_has_no_differences() -> None:
    rows = [row for row in outcomes(CHANCES) if row.policy == "starter"]
    assert results(rows).pairs == ()


def test_order_of_the_runs_does_not_matter() -> None:
    rows = list(outcomes(CHANCES))
    shuffled = random.Random(3).sample(rows, len(rows))
    assert json.dumps(results(shuffled).to_json()) == json.dumps(results(rows).to_json())


def test_the_same_run_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="own name"):
        results([outcome(), outcome()])


def test_what_no_gate_sees_is_said() -> None:
    assert results().notes == (
        "seed 1",
        "scrape every 15 s",
        "no gate of starter sees silent-wrong",
        "no gate of tuned sees silent-wrong",
    )


def test_a_policy_that_stops_everything_sees_nothing() -> None:
    rows = list(outcomes({"jumpy": {"healthy": 0.9, "err-step": 0.9}}))
    assert "no gate of jumpy sees err-step" in results(rows).notes


def test_a_disturbed_healthy_scenario_does_not_hide_what_a_gate_sees() -> None:
    rows = list(
        outcomes(
            {"api": {"healthy": 0.0, "dependency-blip": 0.9, "err-step": 0.5}},
            healthy=("healthy", "dependency-blip"),
        )
    )
    assert not any("no gate" in note for note in results(rows).notes)


def test_runs_frame_has_one_row_per_run() -> None:
    rows = list(outcomes(CHANCES))
    frame = results(rows).runs
    assert list(frame.columns) == list(column_names())
    assert len(frame) == 600
    assert frame.attrs["provenance"]["seed"] == 1
    first = frame.iloc[0].to_dict()
    for name in column_names():
        expected = getattr(rows[0], name)
        assert first[name] == expected or (math.isnan(first[name]) and math.isnan(expected))
    assert str(frame["end"].dtype) == "category"
    assert frame["detected"].dtype == bool
    assert results(rows).to_frame().equals(frame)


def test_summary_frame_is_wide() -> None:
    found = results()
    frame = found.summary
    assert list(frame.columns[:7]) == [
        "policy",
        "scenario",
        "healthy",
        "runs",
        "p_abort",
        "p_abort_low",
        "p_abort_high",
    ]
    assert frame["pod_hours_high"].notna().all()
    healthy = frame[frame["scenario"] == "healthy"]
    assert healthy["p_detect"].isna().all()
    row = found.rows[1]
    assert frame.loc[1, "bad_requests_low"] == row.bad_requests.low


def test_differences_frame_is_wide_even_when_empty() -> None:
    assert list(results().differences.columns[:4]) == ["policy", "versus", "scenario", "runs"]
    alone = results([outcome()])
    assert len(alone.differences) == 0
    assert "policy" in alone.differences.columns


def test_json_has_null_for_what_does_not_apply() -> None:
    document = results().to_json()
    assert (document["apiVersion"], document["kind"]) == ("rolloutsim.dev/v1alpha1", "Comparison")
    assert list(document) == [
        "apiVersion",
        "kind",
        "provenance",
        "summary",
        "differences",
        "notes",
        "modelCard",
    ]
    healthy, bad, silent = document["summary"][:3]
    assert healthy["p_detect"] is None
    assert bad["p_false_abort"] is None
    assert bad["p_detect"].keys() == {"value", "low", "high", "n"}
    assert bad["time_to_detect_s"]["n"] == pytest.approx(bad["p_detect"]["value"] * 100)
    assert silent["scenario"] == "silent-wrong"
    assert document["provenance"]["versions"]["simpy"]


def test_json_is_strict_and_rounded() -> None:
    text = json.dumps(results().to_json(), allow_nan=False)
    third = [outcome(run=run, bad_requests=value) for run, value in enumerate((1.0, 0.0, 0.0))]
    value = results(third).to_json()["summary"][0]["bad_requests"]["value"]
    assert value == 0.3333333333
    assert text == json.dumps(results().to_json(), allow_nan=False)


def test_html_shows_seed_runs_and_versions_and_escapes_names() -> None:
    shown = results([outcome(policy="<api>", run=run) for run in range(3)])._repr_html_()
    assert "&lt;api&gt;" in shown
    assert "<api>" not in shown
    assert "seed 1, 100 runs each" in shown
    assert f"numpy {np.__version__}" in shown
    assert "scrape every 15 s" in shown


def test_no_runs_give_empty_tables() -> None:
    empty = results([])
    assert (empty.rows, empty.pairs) == ((), ())
    assert len(empty.runs) == 0
    assert len(empty.summary) == 0
