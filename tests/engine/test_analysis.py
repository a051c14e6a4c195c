"""Analysis runs: what is asked when, what answers come to, and what must hold for any answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.conditions import JsonResult, MeasurementPhase, NilResult, ScalarResult, VectorResult, judge
from rolloutsim.engine.analysis import (
    Advance,
    RunPhase,
    RunState,
    advance,
    create_run,
    late_values,
    next_due,
    record,
    terminate,
)
from rolloutsim.engine.events import (
    Measure,
    Measured,
    MeasureError,
    MeasurementTaken,
    Outcome,
    RunChanged,
    TerminateMeasurement,
)
from rolloutsim.engine.measurements import effective_count, in_flight, value_text
from rolloutsim.errors import PolicyError
from rolloutsim.policy.model import (
    Analysis,
    FieldArgument,
    JobProvider,
    Metric,
    OtherProvider,
    PodHashArgument,
    PrometheusProvider,
    RangeQuery,
    Retention,
    SecretArgument,
    WebProvider,
)

S, F, I = MeasurementPhase.SUCCESSFUL, MeasurementPhase.FAILED, MeasurementPhase.INCONCLUSIVE  # noqa: E741
E = MeasureError("boom")
QUERY = PrometheusProvider(query="up")


@dataclass
class Bench:
    """A run and the actions it asked for; time moves by hand."""

    run: RunState
    asked: list[Measure] = field(default_factory=list)

    def tick(self, at: int) -> Advance:
        ids = (f"{at}-{number}" for number in count())
        passed = advance(self.run, at, lambda: next(ids))
        self.run = passed.run
        self.asked += [request for request in passed.requests if isinstance(request, Measure)]
        return passed

    def answer(self, metric: str, outcome: Outcome, at: int, attempt: int | None = None) -> None:
        known = [request.attempt for request in self.asked if request.metric == metric]
        seen = Measured(at, self.run.name, metric, attempt or known[-1], at, at, outcome)
        self.run = record(self.run, seen, judge)


def bench(*metrics: Metric, analysis: Analysis | None = None, at: int = 0) -> Bench:
    return Bench(create_run("run", analysis or Analysis(metrics), {}, at))


def metric(name: str = "m", **fields: object) -> Metric:
    return replace(Metric(name, QUERY), **fields)  # type: ignore[arg-type]


# --- one pass ---------------------------------------------------------------------------------------


def test_a_pass_asks_and_the_next_one_assesses() -> None:
    played = bench(metric(interval_ms=60_000, count=2))
    asked = played.tick(0)
    assert asked.requests == (Measure("0-0", "run", "m", 1, QUERY),)
    assert asked.events == ()
    assert played.run.phase is RunPhase.NEW  # the controller has not written a status yet
    played.answer("m", S, 0)
    assert next_due(played.run) == 0
    assessed = played.tick(0)
    assert assessed.events == (MeasurementTaken("run", "m", 1, S), RunChanged("run", RunPhase.RUNNING))
    assert next_due(played.run) == 60_000
    assert played.tick(59_999) == Advance(played.run)


def test_the_interval_counts_from_the_end_of_a_measurement() -> None:
    played = bench(metric(interval_ms=60_000, count=3))
    played.tick(0)
    played.answer("m", S, 2_500)
    played.tick(2_500)
    assert next_due(played.run) == 62_500
    assert played.run.started == 2_500


def test_an_initial_delay_counts_from_the_first_pass() -> None:
    played = bench(metric(initial_delay_ms=30_000))
    assert played.tick(5).events == (RunChanged("run", RunPhase.RUNNING),)
    assert next_due(played.run) == 30_005


def test_an_error_is_retried_after_ten_seconds_whatever_the_interval() -> None:
    for interval_ms in (1_000, 300_000):
        played = bench(metric(interval_ms=interval_ms, count=2))
        played.tick(0)
        played.answer("m", E, 0)
        played.tick(0)
        assert next_due(played.run) == 10_000


def test_a_real_result_is_judged() -> None:
    played = bench(metric(success_condition="result[0] < 0.05"))
    played.tick(0)
    played.answer("m", VectorResult((0.2,)), 0)
    (taken, changed) = played.tick(0).events
    assert taken == MeasurementTaken("run", "m", 1, F, "[0.2]")
    message = 'Metric "m" assessed Failed due to failed (1) > failureLimit (0)'
    assert changed == RunChanged("run", RunPhase.FAILED, message)
    assert next_due(played.run) is None


def test_a_condition_that_does_not_compile_is_an_error_of_each_measurement() -> None:
    played = bench(metric(success_condition="result[0] <"))
    played.tick(0)
    played.answer("m", VectorResult((0.2,)), 0)
    (taken, _) = played.tick(0).events
    assert isinstance(taken, MeasurementTaken)
    assert taken.phase is MeasurementPhase.ERROR
    assert taken.message.startswith('could not evaluate successCondition "result[0] <": ')


# --- answers that do not come, or should not ----------------------------------------------------------


def test_a_lost_answer_is_an_error_after_the_time_out() -> None:
    played = bench(metric(provider=PrometheusProvider(query="up", timeout_ms=5_000)))
    played.tick(0)
    assert next_due(played.run) == 5_000
    played.tick(5_000)
    last = played.run.metrics[0].measurements[-1]
    assert (last.phase, last.message) == (MeasurementPhase.ERROR, "no answer within 5000 ms")
    assert next_due(played.run) == 15_000


@pytest.mark.parametrize(
    ("run", "name", "attempt"), [("other", "m", 1), ("run", "other", 1), ("run", "m", 2), ("run", "m", 0)]
)
def test_unknown_answers_change_nothing(run: str, name: str, attempt: int) -> None:
    played = bench(metric(interval_ms=1_000))
    played.tick(0)
    assert record(played.run, Measured(0, run, name, attempt, 0, 0, F), judge) is played.run


def test_late_and_repeated_answers_change_nothing() -> None:
    played = bench(metric(interval_ms=1_000))
    played.tick(0)
    played.answer("m", S, 0)
    before = played.run
    played.answer("m", F, 0)
    assert played.run is before
    played.tick(0)
    played.answer("m", F, 500, attempt=1)
    assert played.run.metrics[0].counters.failed == 0


def test_a_measurement_still_running_is_no_answer() -> None:
    played = bench(metric(provider=JobProvider()))
    played.tick(0)
    before = played.run
    played.answer("m", MeasurementPhase.RUNNING, 5)
    assert played.run is before


def test_a_query_in_flight_blocks_the_run_and_a_job_does_not() -> None:
    played = bench(metric("slow", interval_ms=1_000), metric("job", provider=JobProvider()))
    played.tick(0)
    played.answer("job", S, 100)
    assert next_due(played.run) == 30_000
    played.answer("slow", S, 400)
    assert next_due(played.run) == 400
    told = [event.metric for event in played.tick(400).events if isinstance(event, MeasurementTaken)]
    assert told == ["slow", "job"]
    assert next_due(played.run) == 1_400


def test_only_a_job_in_flight_has_no_deadline() -> None:
    for provider in (JobProvider(), OtherProvider("kayenta"), OtherProvider("plugin/some/one")):
        played = bench(metric(provider=provider))
        assert played.tick(0).events == (RunChanged("run", RunPhase.RUNNING),)
        assert next_due(played.run) is None
        played.answer("m", I, 70)
        assert next_due(played.run) == 70
        played.tick(70)
        assert played.run.phase is RunPhase.INCONCLUSIVE
    assert next_due(_ticked(metric(provider=OtherProvider("datadog")))) == 30_000
    assert next_due(_ticked(metric(provider=WebProvider("http://a")))) == 10_000


def _ticked(only: Metric) -> RunState:
    played = bench(only)
    played.tick(0)
    return played.run


# --- the end of a run ---------------------------------------------------------------------------------


def test_a_bad_metric_ends_the_run_one_pass_later() -> None:
    played = bench(metric("a"), metric("b", interval_ms=60_000, count=5), metric("c", provider=JobProvider()))
    played.tick(0)
    played.answer("a", F, 0)
    played.answer("b", S, 0)
    played.tick(0)
    assert played.run.phase is RunPhase.RUNNING
    assert next_due(played.run) == 0
    ended = played.tick(0)
    assert ended.requests == (TerminateMeasurement("0-0", "run", "c", 1),)
    assert [state.phase.value for state in played.run.metrics] == ["Failed", "Successful", "Inconclusive"]
    assert (played.run.phase, played.run.completed) == (RunPhase.FAILED, 0)
    assert ended.events[0] == MeasurementTaken("run", "c", 1, I, "", "Metric Terminated")
    played.answer("c", F, 10)
    assert played.run.metrics[2].counters.failed == 0


def test_a_run_can_be_terminated() -> None:
    played = bench(metric(interval_ms=60_000))
    played.tick(0)
    played.answer("m", S, 0)
    played.tick(0)
    played.run = terminate(played.run)
    assert next_due(played.run) is not None
    assert played.tick(90_000).requests == ()
    assert (played.run.phase, played.run.message) == (RunPhase.SUCCESSFUL, "Run Terminated")
    assert terminate(played.run) is played.run


def test_a_run_without_a_measurement_ends_successful_when_terminated() -> None:
    for delay_ms in (0, 5_000):
        played = bench(metric(initial_delay_ms=delay_ms))
        played.run = terminate(played.run)
        played.tick(0)
        assert (played.run.phase, played.run.message) == (RunPhase.SUCCESSFUL, "Run Terminated")


def test_the_query_in_flight_is_judged_before_the_run_is_terminated() -> None:
    played = bench(metric(interval_ms=60_000))
    played.tick(0)
    played.run = terminate(played.run)
    assert next_due(played.run) == 30_000
    played.answer("m", F, 10)
    played.tick(10)
    assert played.run.phase is RunPhase.FAILED


def test_a_dry_run_metric_holds_the_run_but_never_fails_it() -> None:
    analysis = Analysis((metric("a"), metric("b", interval_ms=10_000, count=2)), dry_run=("b",))
    played = bench(analysis=analysis)
    played.tick(0)
    played.answer("a", S, 0)
    played.answer("b", S, 0)
    played.tick(0)
    assert played.run.phase is RunPhase.RUNNING
    played.tick(10_000)
    played.answer("b", F, 10_000)
    played.tick(10_000)
    assert (played.run.phase, played.run.message) == (RunPhase.SUCCESSFUL, "")
    assert played.run.metrics[1].phase is RunPhase.FAILED
    assert played.run.metrics[1].message == "Metric assessed Failed due to failed (1) > failureLimit (0)"


# --- creation -----------------------------------------------------------------------------------------

LATE = (
    PodHashArgument("hash", latest=True),
    PodHashArgument("old", latest=False),
    FieldArgument("team", "metadata.labels['team']"),
    SecretArgument("token", "vault", "key"),
)


def test_late_arguments_are_bound_and_secrets_stay_references() -> None:
    provider = PrometheusProvider(
        query='up{hash="{{args.hash}}",team="{{ args.team }}"}',
        range_query=RangeQuery("now() - duration('{{args.old}}')", "now()", 1_000),
        settings_json='{"headers":[{"key":"t","value":"{{args.token}} {{args.team}}"}]}',
    )
    analysis = Analysis((Metric("m-{{args.hash}}", provider, success_condition="{{args.old}} > 1"),), LATE)
    values = late_values(
        analysis, stable="s1", latest="n2", fields={"metadata.labels['team']": 'say "x"\\', "other": "1"}
    )
    assert values == {"hash": "n2", "old": "s1", "team": 'say "x"\\'}
    run = create_run("run", analysis, values, 7)
    bound = run.metrics[0].metric
    assert bound.name == "m-n2"
    assert bound.success_condition == "s1 > 1"
    assert bound.provider == PrometheusProvider(
        query='up{hash="n2",team="say "x"\\"}',
        range_query=RangeQuery("now() - duration('s1')", "now()", 1_000),
        settings_json='{"headers":[{"key":"t","value":"{{args.token}} say \\"x\\"\\\\"}]}',
    )
    assert run.secrets == (SecretArgument("token", "vault", "key"),)
    assert next_due(run) == 7


def test_a_field_that_nobody_knows() -> None:
    with pytest.raises(PolicyError, match=r"team needs the field metadata\.labels"):
        late_values(Analysis((metric(),), LATE), stable="", latest="", fields={})


@pytest.mark.parametrize(
    ("analysis", "bindings", "message"),
    [
        (Analysis(()), {}, "Analysis spec invalid: no metrics specified"),
        (
            Analysis((metric("a"), metric("a"))),
            {},
            "Analysis spec invalid: metrics[1]: duplicate name 'a'",
        ),
        (
            Analysis((metric(),), (FieldArgument("x", "p"),)),
            {},
            'Unable to resolve metric arguments: argument "x" was not supplied',
        ),
        (
            Analysis((metric("{{args.y}}"),), (FieldArgument("x", "p"),)),
            {"x": "1"},
            "Unable to resolve metric arguments: failed to resolve {{args.y}}",
        ),
        (
            Analysis((metric(),), dry_run=("m", "*")),
            {},
            "Analysis spec invalid: dryRun[1]: Rule didn't match any metric name(s)",
        ),
        (
            Analysis((metric(),), retention=(Retention("x", 3),)),
            {},
            "Analysis spec invalid: measurementRetention[0]: Rule didn't match any metric name(s)",
        ),
        (
            Analysis((metric(count=2),)),
            {},
            "Analysis spec invalid: metrics[0]: interval must be specified when count > 1",
        ),
        (
            Analysis((metric(failure_limit=-1),)),
            {},
            "Analysis spec invalid: metrics[0]: consecutiveSuccessLimit must be > 0 if failureLimit is -1",
        ),
    ],
)
def test_a_run_that_cannot_start_ends_in_its_first_pass(
    analysis: Analysis, bindings: Mapping[str, str], message: str
) -> None:
    played = Bench(create_run("run", analysis, bindings, 3))
    assert played.run.phase is RunPhase.NEW
    assert played.tick(3).events == (RunChanged("run", RunPhase.ERROR, message),)
    assert (played.run.phase, played.run.completed, next_due(played.run)) == (RunPhase.ERROR, 3, None)


def test_retention_keeps_the_last_measurements() -> None:
    analysis = Analysis(
        (metric("a", interval_ms=1_000), metric("b", interval_ms=1_000)), retention=(Retention("^a$", 2),)
    )
    played = bench(analysis=analysis)
    for at in range(0, 15_000, 1_000):
        played.tick(at)
        played.answer("a", S, at)
        played.answer("b", S, at)
        played.tick(at)
    kept = [[m.attempt for m in state.measurements] for state in played.run.metrics]
    assert kept == [[14, 15], list(range(6, 16))]
    assert [state.counters.count for state in played.run.metrics] == [15, 15]


def test_effective_count() -> None:
    assert effective_count(metric()) == 1
    assert effective_count(metric(count=0)) == 1
    assert effective_count(metric(interval_ms=1_000)) is None
    assert effective_count(metric(interval_ms=1_000, count=0)) is None
    assert effective_count(metric(interval_ms=1_000, count=3)) == 3


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ScalarResult(0.5), "0.5"),
        (ScalarResult(3.0), "3"),
        (ScalarResult(1e-7), "0.0000001"),
        (ScalarResult(float("-inf")), "-Inf"),
        (VectorResult((0.1, float("nan"))), "[0.1,NaN]"),
        (VectorResult(()), "[]"),
        (VectorResult(tuple(float(n) for n in range(20))), f"[{','.join(map(str, range(16)))},…]"),
        (JsonResult({"a": [1, None]}), '{"a":[1.0,null]}'),
        (NilResult(), ""),
    ],
)
def test_values_for_people(result: Outcome, text: str) -> None:
    assert value_text(result) == text  # type: ignore[arg-type]


# --- whatever the answers -------------------------------------------------------------------------------

answers: st.SearchStrategy[list[Outcome | None]] = st.lists(
    st.sampled_from([S, F, I, E, None]),  # None: no answer comes
    min_size=1,
    max_size=12,
)


@st.composite
def metrics(draw: st.DrawFn, name: str = "m") -> Metric:
    count_ = draw(st.sampled_from([None, 1, 4, 9]))
    successes = draw(st.sampled_from([0, 0, 2]))
    return metric(
        name,
        provider=draw(st.sampled_from([QUERY, QUERY, JobProvider()])),
        interval_ms=draw(st.sampled_from([1_000, 7_000])),
        count=count_,
        initial_delay_ms=draw(st.sampled_from([0, 0, 5_000])),
        failure_limit=draw(st.sampled_from([0, 1, *([-1] if successes else [])])),
        inconclusive_limit=draw(st.integers(0, 1)),
        consecutive_error_limit=draw(st.integers(0, 3)),
        consecutive_success_limit=successes,
    )


@st.composite
def runs(draw: st.DrawFn) -> tuple[Analysis, dict[str, list[Outcome | None]]]:
    names = ["a", "b"][: draw(st.integers(1, 2))]
    dry_run = draw(st.sampled_from([(), (), ("a",)]))
    analysis = Analysis(tuple(draw(metrics(name)) for name in names), dry_run=dry_run)
    return analysis, {name: draw(answers) for name in names}


def play(
    analysis: Analysis,
    scripts: Mapping[str, Sequence[Outcome | None]],
    delay_ms: int = 0,
    start: int = 0,
    passes: int = 60,
) -> list[RunState]:
    """All states of a run whose answers come ``delay_ms`` after they were asked for."""
    played = Bench(create_run("run", analysis, {}, start))
    states = [played.run]
    due: list[tuple[int, Measure]] = []
    now = start
    for _ in range(passes):
        wakes = [at for at, _ in due] + [at for at in [next_due(played.run)] if at is not None]
        if not wakes:
            break
        now = max(now, min(wakes))
        for _, request in [item for item in due if item[0] <= now]:
            script = scripts[request.metric]
            outcome = script[min(request.attempt, len(script)) - 1]
            if outcome is not None:
                played.answer(request.metric, outcome, now, request.attempt)
                states.append(played.run)
        due = [item for item in due if item[0] > now]
        due += [(now + delay_ms, r) for r in played.tick(now).requests if isinstance(r, Measure)]
        states.append(played.run)
    return states


@given(runs(), st.sampled_from([0, 300]))
def test_invariants(drawn: tuple[Analysis, dict[str, list[Outcome | None]]], delay_ms: int) -> None:
    states = play(*drawn, delay_ms)
    for run in states:
        for state in run.metrics:
            ended = state.counters.successful + state.counters.failed + state.counters.inconclusive
            assert state.counters.count == ended
            assert ended + state.counters.error + (in_flight(state) is not None) == state.attempts
            assert state.counters.consecutive_error <= state.counters.error
            assert state.counters.consecutive_success <= state.counters.successful
            assert len(state.measurements) <= state.retain + 1
        if run.phase.completed:
            assert next_due(run) is None
            assert not any(in_flight(state) for state in run.metrics)
        elif next_due(run) is None:
            assert any(in_flight(state) for state in run.metrics)
    for before, after in pairwise(states):
        if before.phase.completed:
            assert after == before
        for old, new in zip(before.metrics, after.metrics, strict=True):
            if old.phase.completed:
                assert new.phase is old.phase
            assert new.attempts >= old.attempts


@given(runs())
def test_a_run_shifted_in_time_decides_the_same(
    drawn: tuple[Analysis, dict[str, list[Outcome | None]]],
) -> None:
    early, late = play(*drawn), play(*drawn, start=777)
    assert [run.phase for run in late] == [run.phase for run in early]
    assert [next_due(run) for run in late] == [
        None if (due := next_due(run)) is None else due + 777 for run in early
    ]
    assert [[state.attempts for state in run.metrics] for run in late] == [
        [state.attempts for state in run.metrics] for run in early
    ]


@given(runs(), st.data())
def test_more_failures_never_make_a_failed_run_successful(
    drawn: tuple[Analysis, dict[str, list[Outcome | None]]], data: st.DataObject
) -> None:
    analysis, scripts = drawn
    if play(analysis, scripts)[-1].phase is not RunPhase.FAILED:
        return
    worse = {
        name: [F if outcome is S and data.draw(st.booleans()) else outcome for outcome in script]
        for name, script in scripts.items()
    }
    assert play(analysis, worse)[-1].phase is not RunPhase.SUCCESSFUL
