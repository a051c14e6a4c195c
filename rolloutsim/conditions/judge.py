"""From a result and two conditions to the phase of one measurement."""

from __future__ import annotations

from enum import StrEnum

from rolloutsim.conditions.condition import Condition
from rolloutsim.conditions.errors import ConditionError, Dialect
from rolloutsim.conditions.values import (
    CloudWatchResult,
    JsonResult,
    ListResult,
    MapListResult,
    NilResult,
    Result,
    VectorResult,
)

__all__ = ["MeasurementPhase", "judge"]

NO_DATA = "metric result is nil or empty: no data returned from the metric provider"


class MeasurementPhase(StrEnum):
    """Phase of a measurement (Argo Rollouts, ``AnalysisPhase``)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"


def judge(
    result: Result,
    success: Condition | ConditionError | None,
    failure: Condition | ConditionError | None,
    *,
    now_ms: int = 0,
) -> tuple[MeasurementPhase, str]:
    """The phase of a measurement with this result, and the error's text when it is Error.

    Both conditions are evaluated where they are set, and an error in either is an Error, also where
    the other one would decide. Without conditions every result is Successful. The error that
    `compile_condition` raised may stand for a condition that does not parse: Argo finds that out at
    each measurement. Source: Argo Rollouts, utils/evaluate (EvaluateResult).
    """
    held: dict[str, bool] = {}
    for name, condition in (("successCondition", success), ("failureCondition", failure)):
        if condition is None:
            continue
        if isinstance(condition, ConditionError):
            return MeasurementPhase.ERROR, _message(name, condition, result)
        try:
            held[name] = condition.evaluate(result, now_ms=now_ms)
        except ConditionError as error:
            if condition.dialect is Dialect.V1_9_1:
                return MeasurementPhase.ERROR, error.message
            return MeasurementPhase.ERROR, _message(name, error, result)
    if not held:
        return MeasurementPhase.SUCCESSFUL, ""
    failed = held.get("failureCondition", not held.get("successCondition", True))
    if failed:
        return MeasurementPhase.FAILED, ""
    if held.get("successCondition", True):
        return MeasurementPhase.SUCCESSFUL, ""
    return MeasurementPhase.INCONCLUSIVE, ""


def _message(name: str, error: ConditionError, result: Result) -> str:
    """The error in Argo's words, on master; the release v1.9.1 gives the bare reason."""
    reason = NO_DATA if _no_data(result) else error.message
    return f'could not evaluate {name} "{error.text}": {reason}'


def _no_data(result: Result) -> bool:
    match result:
        case NilResult() | JsonResult(value=None):
            return True
        case VectorResult(values) | ListResult(values) | MapListResult(values) | CloudWatchResult(values):
            return not values
        case JsonResult(value=list() as items):
            return not items
    return False
