"""Rules about conditions and limits: what they say of missing data, and whether they can fail at all.

The conditions are tried on answers that a provider can give (a number, nothing, NaN); the truth table and
the limits are those of Argo Rollouts (utils/evaluate, analysis/analysis.go).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import lru_cache

from rolloutsim.conditions import (
    Condition,
    ConditionError,
    Dialect,
    FloatPointerResult,
    MeasurementPhase,
    NilResult,
    Result,
    ScalarResult,
    VectorResult,
    compile_condition,
    judge,
)
from rolloutsim.conditions.tree import Binary, Builtin, Call, Identifier, Node, children
from rolloutsim.lint.queries import can_be_nan, query_of
from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import MetricUse
from rolloutsim.lint.words import duration, ordinal
from rolloutsim.policy.document import Path
from rolloutsim.policy.expressions import LATE_TAG, STAND_INS
from rolloutsim.policy.model import (
    GatedCounts,
    JobProvider,
    Metric,
    OtherProvider,
    PrometheusProvider,
    WebProvider,
)

__all__ = ["METRIC_CHECKS"]

PHASES = MeasurementPhase
NUMBERS = (0.0, 0.001, 0.5, 1.0, 100.0)
JUDGED_ELSEWHERE = ("kayenta", "plugin/")
"""Providers that judge by themselves."""
HANDLES_NOTHING = frozenset({"len", "count", "isNil", "default", "get", "first", "last"})
HANDLES_NAN = frozenset({"isNaN"})


@lru_cache(maxsize=1024)
def _compiled(text: str, dialect: Dialect) -> Condition | None:
    """None for no condition; stand-ins take the place of late arguments."""
    for stand_in in STAND_INS if LATE_TAG.search(text) else ("",):
        try:
            return compile_condition(LATE_TAG.sub(stand_in, text), dialect) if text else None
        except ConditionError:
            continue
    return None


def _verdict(metric: Metric, result: Result) -> tuple[MeasurementPhase, str]:
    success = _compiled(metric.success_condition, metric.dialect)
    return judge(result, success, _compiled(metric.failure_condition, metric.dialect))


def _has_condition(metric: Metric) -> bool:
    return bool(metric.success_condition or metric.failure_condition)


def _calls(metric: Metric) -> set[str]:
    """Names of the functions that the conditions call; ``??`` counts as one."""
    names: set[str] = set()

    def visit(node: Node) -> None:
        if isinstance(node, Builtin):
            names.add(node.name)
        elif isinstance(node, Call) and isinstance(node.callee, Identifier):
            names.add(node.callee.name)
        elif isinstance(node, Binary) and node.operator == "??":
            names.add("get")
        for child in children(node):
            visit(child)

    for text in (metric.success_condition, metric.failure_condition):
        if condition := _compiled(text, metric.dialect):
            visit(condition.tree)
    return names


def _answers(metric: Metric) -> tuple[list[Result], Result | None, Result | None]:
    """Answers with a number in them, the answer without data, and the one with NaN, where there are such."""
    provider = metric.provider
    if isinstance(provider, PrometheusProvider):
        query = query_of(metric)
        if query is None or query.result == "string":
            return [], None, None
        nan = can_be_nan(metric)
        if query.result == "scalar" and provider.range_query is None:
            return [ScalarResult(x) for x in NUMBERS], None, ScalarResult(math.nan) if nan else None
        answers: list[Result] = [VectorResult((x,)) for x in NUMBERS]
        return answers, VectorResult(()), VectorResult((math.nan,)) if nan else None
    if isinstance(provider, OtherProvider) and provider.kind == "datadog":
        spec = json.loads(provider.spec_json)
        if not (isinstance(spec, dict) and spec.get("apiVersion") == "v2"):
            return [FloatPointerResult(x) for x in NUMBERS], NilResult(), None
    return [], None, None


def _unfit(metric: Metric) -> str:
    """The error, when the conditions are one for every answer that has a number; else empty."""
    numbers, _, _ = _answers(metric)
    verdicts = [_verdict(metric, number) for number in numbers]
    if _has_condition(metric) and verdicts and all(phase is PHASES.ERROR for phase, _ in verdicts):
        return verdicts[0][1]
    return ""


def _condition_path(item: MetricUse, result: Result | None = None) -> Path:
    """The condition that is an error for ``result``; else the first that there is."""
    metric = item.metric
    texts = (("successCondition", metric.success_condition), ("failureCondition", metric.failure_condition))
    given = [(field, condition) for field, text in texts if (condition := _compiled(text, metric.dialect))]
    if result is not None:
        for field, condition in given:
            try:
                condition.evaluate(result)
            except ConditionError:
                return (*item.path, field)
    return (*item.path, given[0][0])


# --- what there is no data ------------------------------------------------------------------------------


def _unguarded(item: MetricUse) -> Iterator[Hit]:
    metric = item.metric
    _, nothing, _ = _answers(metric)
    if not _has_condition(metric) or nothing is None or _unfit(metric):
        return
    if _verdict(metric, nothing)[0] is PHASES.ERROR:
        times = metric.consecutive_error_limit + 1
        reason = (
            "an answer without data (no request yet, no error series yet) makes this condition an error, "
            f"and the {ordinal(times)} error in a row aborts, after {duration((times - 1) * 10_000)}"
        )
        yield Hit(item.document, _condition_path(item, nothing), reason)


def _no_rule_for_nan(item: MetricUse) -> Iterator[Hit]:
    metric = item.metric
    _, _, nan = _answers(metric)
    if not _has_condition(metric) or nan is None or _unfit(metric) or _calls(metric) & HANDLES_NAN:
        return
    phase = _verdict(metric, nan)[0]
    if phase is PHASES.FAILED:
        reason = (
            "without traffic the query is NaN (0/0), every comparison with NaN is false: it counts as failed"
        )
    elif phase is PHASES.INCONCLUSIVE:
        reason = "without traffic the query is NaN (0/0), which neither condition covers: it is inconclusive"
    else:
        return
    yield Hit(item.document, _condition_path(item), reason)


def _missing_passes(item: MetricUse) -> Iterator[Hit]:
    metric = item.metric
    _, nothing, nan = _answers(metric)
    if not _has_condition(metric) or _unfit(metric):
        return
    calls = _calls(metric)
    cases = (
        ("an answer without data", nothing, bool(calls & HANDLES_NOTHING)),
        ("NaN (0/0, no traffic)", nan, bool(calls & HANDLES_NAN)),
    )
    passing = [
        what
        for what, result, meant in cases
        if result is not None and not meant and _verdict(metric, result)[0] is PHASES.SUCCESSFUL
    ]
    if passing:
        reason = f"{' and '.join(passing)} counts as successful, though no condition says so"
        yield Hit(item.document, _condition_path(item), reason)


# --- what can never fail, or never pass -----------------------------------------------------------------


def _never_fits(item: MetricUse) -> Iterator[Hit]:
    if error := _unfit(item.metric):
        reason = f"whatever the query answers, the condition is an error: {error.splitlines()[0]}"
        yield Hit(item.document, _condition_path(item), reason)


def _cannot_fail(item: MetricUse) -> Iterator[Hit]:
    metric = item.metric
    count = metric.count or (1 if metric.interval_ms is None else None)
    if count is None or metric.failure_limit < count:
        return
    times = "1 measurement" if count == 1 else f"{count} measurements"
    reason = f"{times}, and only the {ordinal(metric.failure_limit + 1)} failure would fail the analysis"
    fix = f"make failureLimit at most {count - 1}"
    yield Hit(item.document, (*item.path, "failureLimit"), reason, fix)


def _no_condition(item: MetricUse) -> Iterator[Hit]:
    provider = item.metric.provider
    if _has_condition(item.metric) or isinstance(provider, JobProvider | GatedCounts):
        return
    if isinstance(provider, OtherProvider) and provider.kind.startswith(JUDGED_ELSEWHERE):
        return
    assert isinstance(provider, PrometheusProvider | WebProvider | OtherProvider)
    reason = f"{item.metric.name!r} has neither a success nor a failure condition: every answer is successful"
    yield Hit(item.document, item.path, reason)


def _more_than(item: MetricUse) -> Iterator[Hit]:
    metric = item.metric
    count = metric.count or (1 if metric.interval_ms is None else None)
    if metric.failure_limit <= 0 or (count is not None and metric.failure_limit >= count):
        return
    reason = f"failureLimit {metric.failure_limit}: the {ordinal(metric.failure_limit + 1)} failure aborts"
    if metric.interval_ms is not None:
        earliest = metric.initial_delay_ms + metric.failure_limit * metric.interval_ms
        reason += f", {duration(earliest)} after the analysis starts at the earliest"
    yield Hit(item.document, (*item.path, "failureLimit"), f"{reason}; failures in between do not reset it")


METRIC_CHECKS: tuple[Check[MetricUse], ...] = (
    Check(
        Rule(
            "RS060",
            "no-data-is-an-error",
            Severity.WARNING,
            "the condition fails to evaluate when there is no data (result[0] of an empty vector): "
            "errors in a row abort a good release",
            "say what no data means: 'len(result) == 0 || ...' passes, 'len(result) > 0 && ...' fails",
        ),
        _unguarded,
    ),
    Check(
        Rule(
            "RS061",
            "no-rule-for-nan",
            Severity.WARNING,
            "no condition says what a ratio without traffic (NaN) means: it counts against the release",
            "add 'isNaN(result[0]) || ...' to pass it, or give both conditions so that a person decides",
        ),
        _no_rule_for_nan,
    ),
    Check(
        Rule(
            "RS062",
            "missing-data-passes",
            Severity.WARNING,
            "missing data counts as success though no condition names it: a blind gate lets all pass",
            "write a successCondition, or name the case with isNaN(result[0]) or len(result) == 0",
        ),
        _missing_passes,
    ),
    Check(
        Rule(
            "RS063",
            "condition-does-not-fit",
            Severity.ERROR,
            "the condition does not fit the type of the query's answer: every measurement is an error",
            "a vector is result[0], a scalar is result; comparisons take numbers",
        ),
        _never_fits,
    ),
    Check(
        Rule(
            "RS064",
            "cannot-fail",
            Severity.ERROR,
            "the analysis fails at more than failureLimit failures, and there are not so many measurements",
            "make failureLimit smaller than count",
        ),
        _cannot_fail,
    ),
    Check(
        Rule(
            "RS065",
            "no-condition",
            Severity.ERROR,
            "a metric without conditions is successful whatever is measured",
            "add a successCondition or a failureCondition",
        ),
        _no_condition,
    ),
    Check(
        Rule(
            "RS066",
            "limit-means-more-than",
            Severity.NOTE,
            "failureLimit is how many failures are forgiven: one more aborts, and they add up over the run",
            "nothing, if that is meant",
        ),
        _more_than,
    ),
)
