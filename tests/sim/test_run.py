"""Whole rollouts: repeatable, honest about what no gate sees, and the same however they are looked at."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import pytest

from rolloutsim.engine import Snapshot, from_json, start
from rolloutsim.engine.events import Action, Event, Observation
from rolloutsim.errors import ScenarioError
from rolloutsim.outcomes import CaughtBy, End
from rolloutsim.policy import load_policy, load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry, replay
from rolloutsim.sim import world
from rolloutsim.sim.run import compare, play, simulate, trace_run
from rolloutsim.sim.scenario import (
    ConstantRate,
    Delay,
    Fault,
    FaultKind,
    Gap,
    Operators,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)

ARTICLE = Path(__file__).parents[2] / "scenarios" / "article"
POLICIES = Path(__file__).parents[2] / "scenarios" / "policies"


@pytest.fixture(scope="module")
def canary():
    return load_policy(ARTICLE / "canary.yaml")


@pytest.fixture(scope="module")
def guarded():
    return load_policy(POLICIES / "canary-guarded.yaml")


def scenario(*faults, rate=100.0, **service):
    made = Service("api", Traffic(ConstantRate(rate)), **service)
    return Scenario("s", made, Release("r", faults))


ERRORS = Fault(FaultKind.ERROR_STEP, 0.2)


def content(results):
    return json.dumps(results.to_json())


# --- the same bytes -------------------------------------------------------------------------------


def test_two_workers_give_the_bytes_of_one(canary):
    bad = scenario(ERRORS)
    assert content(simulate(canary, bad, runs=40, jobs=2)) == content(simulate(canary, bad, runs=40))


class Backwards(Executor):
    """Does nothing until somebody wants a result, and then all it was given, last things first."""

    def __init__(self):
        self.work = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.result = lambda timeout=None: self._result(future)
        self.work.append((future, fn, args, kwargs))
        return future

    def _result(self, future):
        while self.work:
            waiting, function, args, kwargs = self.work.pop()
            waiting.set_result(function(*args, **kwargs))
        return Future.result(future)


def test_any_executor_and_order_gives_the_same_bytes(canary):
    bad = scenario(ERRORS)
    other = simulate(canary, bad, runs=40, executor=Backwards())
    assert content(other) == content(simulate(canary, bad, runs=40))


def test_a_trace_is_the_run_of_a_simulation(canary):
    """Drawing latency and keeping records changes neither a draw nor a decision."""
    bad = scenario(ERRORS)
    row = play(canary, bad, seed=3, run=5)
    _, records = trace_run(canary, bad, seed=3, run=5)
    aborted = [r["at"] for r in records if r["kind"] == "event" and r["value"]["kind"] == "Aborted"]
    assert [(at - world.ORIGIN_MS) / 1000 for at in aborted] == [row.duration_s]
    assert trace_run(canary, bad, seed=3, run=5)[1] == records


def test_a_policy_meets_the_same_world_alone_and_in_company(canary, guarded):
    bad = scenario(ERRORS)
    company = compare([replace(canary, name="a"), replace(guarded, name="b")], [bad], runs=8)
    alone = simulate(replace(guarded, name="b"), bad, runs=8)
    frame = company.runs.query("policy == 'b'").reset_index(drop=True)
    assert frame["bad_requests"].tolist() == alone.runs["bad_requests"].tolist()


@pytest.mark.parametrize("file", sorted(ARTICLE.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_journal_replays(file):
    policy = load_policy(file)
    manifest, records = trace_run(policy, scenario(ERRORS))
    policy = from_json(Policy, manifest["policy"])
    entries: dict[int, Entry] = {}
    for record in records:
        if record["kind"] == "seen":
            entries[record["seq"]] = Entry(record["seq"], from_json(Observation, record["value"]))
        elif record["kind"] in ("did", "event"):
            entry = entries[record["seq"]]
            if record["kind"] == "did":
                entry = replace(entry, actions=(*entry.actions, from_json(Action, record["value"])))
            else:
                entry = replace(entry, events=(*entry.events, from_json(Event, record["value"])))
            entries[record["seq"]] = entry
    state = start(policy, from_json(Snapshot, manifest["snapshot"]))
    replay(policy, state, [entries[seq] for seq in sorted(entries)])


# --- what gates see, and what no gate sees --------------------------------------------------------


def test_the_guides_gate_sees_a_fifth_of_all_requests_failing(canary):
    rows = simulate(canary, scenario(ERRORS), runs=30).runs
    assert (rows["end"] == End.ABORTED).all()
    assert (rows["caught_by"] == CaughtBy.ANALYSIS).all()
    assert rows["time_to_detect_s"].between(300, 1500).all()


def blind(guarded, fault, **changes):
    """Chance to catch a fault, and the notes on it, for a gate with changes to its query."""
    text = (POLICIES / "canary-guarded.yaml").read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    policy = replace(load_policy_text(text), name="gate")
    results = simulate(policy, scenario(fault), runs=100)
    return float(results.summary["p_detect"].iloc[0]), " ".join(results.notes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"rollouts_pod_template_hash=": "wrong_label="}, ERRORS),
        ({"http_requests_total": "nothing_here_total"}, ERRORS),
        ({}, Fault(FaultKind.SILENT_WRONG, 0.5)),
        ({}, Fault(FaultKind.LATENCY_SHIFT, 10.0)),
    ],
    ids=["wrong label", "no data", "wrong bodies", "slow but no errors"],
)
def test_negative_controls_detect_nothing_and_say_so(guarded, changes, fault):
    caught, notes = blind(guarded, fault, **changes)
    assert caught == 0.0
    assert "no gate of gate sees s" in notes


def test_the_same_gate_unchanged_is_no_negative_control(guarded):
    caught, notes = blind(guarded, ERRORS)
    assert caught == 1.0
    assert "no gate" not in notes


def test_no_data_is_no_pass(canary):
    """`result[0]` of an empty vector is an error, and five in a row abort a good release."""
    text = (ARTICLE / "canary.yaml").read_text().replace("http_requests_total", "nothing_here_total")
    rows = simulate(load_policy_text(text), scenario(), runs=5).runs
    assert (rows["end"] == End.ABORTED).all()
    assert rows["false_abort"].all()
    assert rows["message"].str.contains("consecutiveErrors").all()


# --- worlds at the edge ---------------------------------------------------------------------------


def test_zero_traffic(canary, guarded):
    rows = simulate(canary, scenario(rate=0.0), runs=3).runs
    assert (rows["requests_exposed"] == 0).all()
    assert (rows["end"] == End.ABORTED).all()
    rows = simulate(guarded, scenario(rate=0.0), runs=3).runs
    assert (rows["end"] == End.PROMOTED).all()


def test_a_release_that_never_becomes_ready(canary):
    rows = simulate(canary, scenario(Fault(FaultKind.CRASH_AT_START, 1.0)), runs=3).runs
    assert (rows["end"] == End.STUCK).all()
    assert (rows["caught_by"] == CaughtBy.DEADLINE).all()
    assert rows["message"].str.contains("ProgressDeadlineExceeded").all()
    assert (rows["bad_requests"] == 0.0).all()


def test_nobody_promotes(canary):
    rows = simulate(canary, scenario(operators=Operators(promote=None)), runs=3).runs
    assert (rows["end"] == End.HELD).all()
    assert (rows["human_waits"] == 1).all()


def test_every_pause_is_promoted_even_two_in_a_row():
    text = (ARTICLE / "canary.yaml").read_text()
    assert text.count("- pause: {}") == 1
    twice = load_policy_text(text.replace("- pause: {}", "- pause: {}\n        - pause: {}"))
    rows = simulate(twice, scenario(), runs=3).runs
    assert (rows["end"] == End.PROMOTED).all()
    assert (rows["human_waits"] == 2).all()


def test_people_roll_back_what_the_gate_let_through():
    policy = load_policy(ARTICLE / "rolling.yaml")
    people = Operators(notice_excess=0.05, notice_after_ms=300_000, respond=Delay(60_000))
    rows = simulate(policy, scenario(ERRORS, operators=people), runs=3).runs
    assert (rows["end"] == End.PROMOTED).all()
    assert rows["time_to_mitigate_s"].between(360, 420).all()
    assert rows["bad_requests"].between(0.2 * 100 * 360, 0.2 * 100 * 420).all()


def test_a_gap_in_the_scrapes_aborts_a_good_release_unless_the_gate_is_guarded(canary, guarded):
    """Five errors in a row, ten seconds apart, as soon as the window has run empty."""
    gap = scenario(telemetry=Telemetry(gaps=(Gap(0, 560_000),)))
    assert (simulate(canary, gap, runs=5).runs["false_abort"]).all()
    assert (simulate(guarded, gap, runs=5).runs["end"] == End.PROMOTED).all()


def test_samples_that_come_too_late_are_no_evidence(guarded):
    late = scenario(ERRORS, telemetry=Telemetry(lag_ms=3_600_000), operators=Operators(notice_excess=None))
    assert (simulate(guarded, late, runs=5).runs["end"] == End.PROMOTED).all()


def test_a_metric_that_a_simulation_cannot_play_is_refused():
    policy = load_policy(POLICIES / "blue-green-checked.yaml")
    with pytest.raises(ScenarioError, match=r"smoke-test.*measurements"):
        simulate(policy, scenario(), runs=1)


def test_runs_must_be_positive(canary):
    with pytest.raises(ValueError, match="at least 1"):
        simulate(canary, scenario(), runs=0)


def test_progress_is_told(canary):
    told = []
    simulate(canary, scenario(), runs=20, progress=lambda done, total: told.append((done, total)))
    assert told == [(16, 20), (20, 20)]
