"""Analysis runs of Argo Rollouts on a virtual clock: one test per vector of ``measurement_sequences``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from rolloutsim.conditions import MeasurementPhase, ScalarResult, judge
from rolloutsim.engine.analysis import MetricState, RunState, advance, create_run, next_due, record, terminate
from rolloutsim.engine.events import Measure, Measured, MeasureError, MeasurementTaken, Outcome
from rolloutsim.errors import PolicyError
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.policy.metric import limit_of, validate_metric
from rolloutsim.policy.model import Analysis, FieldArgument, JobProvider, Metric, PrometheusProvider
from rolloutsim.policy.templating import interpolate

VECTORS = ("argo.json", "measurement_sequences")

ANSWERS: dict[str, Outcome] = {
    "S": ScalarResult(1.0),
    "F": ScalarResult(0.0),
    "I": ScalarResult(0.5),
    "E": MeasureError("boom"),
}
LETTERS = {
    MeasurementPhase.SUCCESSFUL: "S",
    MeasurementPhase.FAILED: "F",
    MeasurementPhase.INCONCLUSIVE: "I",
    MeasurementPhase.ERROR: "E",
}
COUNTERS = {
    "count": "count",
    "successful": "successful",
    "failed": "failed",
    "inconclusive": "inconclusive",
    "error": "error",
    "consecutiveError": "consecutive_error",
    "consecutiveSuccess": "consecutive_success",
}


def duration_ms(text: str) -> int:
    return go_duration_ns(text) // 1_000_000


def metric_of(raw: dict[str, Any], letters: list[str]) -> Metric:
    return Metric(
        name=raw["name"],
        # Only a long-running measurement can be in flight between two passes.
        provider=JobProvider() if "R" in letters else PrometheusProvider(query="vector(1)"),
        interval_ms=duration_ms(raw["interval"]) if raw.get("interval") else None,
        initial_delay_ms=duration_ms(raw["initialDelay"]) if raw.get("initialDelay") else 0,
        count=limit_of(raw["count"]) if "count" in raw else None,
        success_condition="result == 1",
        failure_condition="result == 0",
        failure_limit=limit_of(raw.get("failureLimit", 0)),
        inconclusive_limit=limit_of(raw.get("inconclusiveLimit", 0)),
        consecutive_error_limit=limit_of(raw.get("consecutiveErrorLimit", 4)),
        consecutive_success_limit=limit_of(raw.get("consecutiveSuccessLimit", 0)),
    )


def filled(raw: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    return {key: interpolate(item, values) if isinstance(item, str) else item for key, item in raw.items()}


def load(case: dict[str, Any]) -> Analysis | str:
    """The analysis, or why it cannot be one: texts that no `Metric` can hold are refused at load."""
    values = {argument["name"]: argument["value"] for argument in case.get("args", ()) if "value" in argument}
    late = [argument["name"] for argument in case.get("args", ()) if "value" not in argument]
    if late:
        # Every argument wants a value before any metric is looked at: the metrics do not matter.
        bare = tuple(metric_of({"name": metric["name"]}, ["S"]) for metric in case["metrics"])
        return Analysis(bare, late=tuple(FieldArgument(name, "") for name in late))
    try:
        raw = [filled(metric, values) for metric in case["metrics"]]
    except PolicyError as error:
        return f"Unable to resolve metric arguments: {error.why}"
    metrics = []
    for index, metric in enumerate(raw):
        try:
            metrics.append(metric_of(metric, case["outcomes"].get(metric["name"], ["S"])))
        except ValueError:
            problems = validate_metric({**metric, "provider": {"job": {}}})
            return f"Analysis spec invalid: metrics[{index}]: {problems[0]}"
    return Analysis(tuple(metrics), dry_run=tuple(rule["metricName"] for rule in case.get("dryRun", ())))


@dataclass
class Player:
    """Answers measurements at once, by letters; the last letter repeats."""

    outcomes: dict[str, list[str]]
    run: RunState
    now: int = 0
    taken: list[list[Any]] = field(default_factory=list)
    told: list[list[Any]] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=count)

    def settle(self) -> None:
        for _ in range(8):
            passed = advance(self.run, self.now, lambda: f"a{next(self.ids)}")
            self.run = passed.run
            for event in passed.events:
                if isinstance(event, MeasurementTaken):
                    self.told.append([self.now // 1000, event.metric, LETTERS[event.phase]])
            for request in passed.requests:
                if isinstance(request, Measure):
                    self.answer(request)
                else:
                    self.taken.append([self.now // 1000, request.metric, "terminated"])
            due = next_due(self.run)
            if due is None or due > self.now:
                return
        raise AssertionError("the run does not come to rest")

    def answer(self, request: Measure) -> None:
        letters = self.outcomes.get(request.metric, ["S"])
        letter = letters[min(request.attempt, len(letters)) - 1]
        self.taken.append([self.now // 1000, request.metric, letter])
        if letter != "R":
            seen = Measured(
                self.now, "run", request.metric, request.attempt, self.now, self.now, ANSWERS[letter]
            )
            self.run = record(self.run, seen, judge)


def play(case: dict[str, Any], analysis: Analysis) -> Player:
    player = Player(case["outcomes"], create_run("run", analysis, {}, 0))
    end_ms = case.get("terminateAtSeconds", 1_000_000) * 1000
    until_ms = case["observeUntilSeconds"] * 1000
    while not player.run.phase.completed:
        due = next_due(player.run)
        wake = end_ms if due is None else due if player.run.terminating else min(due, end_ms)
        if wake > until_ms:
            break
        player.now = wake
        if wake >= end_ms:
            player.run = terminate(player.run)
        player.settle()
    return player


def counters_of(state: MetricState) -> dict[str, int]:
    values = {name: getattr(state.counters, attribute) for name, attribute in COUNTERS.items()}
    return {name: value for name, value in values.items() if value} | {"retained": len(state.measurements)}


def by_time_and_metric(records: list[list[Any]]) -> list[list[Any]]:
    order: Callable[[list[Any]], tuple[Any, Any]] = lambda record: (record[0], record[1])  # noqa: E731
    return sorted(records, key=order)


def test_run(case: dict[str, Any]) -> None:
    expected = case["expected"]
    analysis = load(case)
    if isinstance(analysis, str):
        assert expected["phase"] == "Error"
        assert analysis == expected["message"]
        assert expected["measurements"] == []
        return
    player = play(case, analysis)
    run = player.run
    assert by_time_and_metric(player.taken) == expected["measurements"]
    assert len(player.told) == sum(1 for _, _, outcome in player.taken if outcome != "R")
    assert run.phase == expected["phase"]
    assert run.message == expected.get("message", "")
    completed = expected.get("completedAtSeconds")
    assert run.completed == (None if completed is None else completed * 1000)
    measured = [state for state in run.metrics if state.measurements]
    assert {state.metric.name: state.phase.value for state in measured} == expected["metricPhases"]
    assert {state.metric.name: counters_of(state) for state in measured} == expected["counters"]
