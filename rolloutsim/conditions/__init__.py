"""Argo Rollouts' condition language: ``result[0] < 0.05`` judged as the controller judges it.

`compile_condition` parses once; `Condition.evaluate` checks the expression against the Go type of a
typed result and runs it; `judge` turns a result and two conditions into the phase of a measurement.
The language is expr-lang/expr as Argo pins it, with a `Dialect` for the release v1.9.1. Nothing is
ever handed to Python's own ``eval``, patterns go to RE2, and depth, steps and memory are bounded.
"""

from rolloutsim.conditions.condition import Condition, compile_condition
from rolloutsim.conditions.errors import ConditionError, Dialect, ErrorKind
from rolloutsim.conditions.judge import MeasurementPhase, judge
from rolloutsim.conditions.values import (
    CloudWatchResult,
    FloatPointerResult,
    IntResult,
    JsonResult,
    ListResult,
    MapListResult,
    MetricData,
    NilResult,
    Result,
    ScalarResult,
    StringResult,
    VectorResult,
    result_from_json,
    result_to_json,
)

__all__ = [
    "CloudWatchResult",
    "Condition",
    "ConditionError",
    "Dialect",
    "ErrorKind",
    "FloatPointerResult",
    "IntResult",
    "JsonResult",
    "ListResult",
    "MapListResult",
    "MeasurementPhase",
    "MetricData",
    "NilResult",
    "Result",
    "ScalarResult",
    "StringResult",
    "VectorResult",
    "compile_condition",
    "judge",
    "result_from_json",
    "result_to_json",
]
