"""What a metric finds, as a test file gives it, to what its provider would hand to the conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rolloutsim.conditions import JsonResult, MeasurementPhase, NilResult, ScalarResult, VectorResult
from rolloutsim.engine import MeasureError, Outcome
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.document import plain
from rolloutsim.policy.expressions import LATE_TAG
from rolloutsim.policy.model import (
    GatedCounts,
    JobProvider,
    Metric,
    Policy,
    PrometheusProvider,
    WebProvider,
)
from rolloutsim.policy.yaml_source import Node
from rolloutsim.promql import PromQLError, compile_query
from rolloutsim.sim.quantities import UnfitValue

__all__ = ["metrics_of", "outcome_of"]

PHASES = {
    "Successful": MeasurementPhase.SUCCESSFUL,
    "Failed": MeasurementPhase.FAILED,
    "Inconclusive": MeasurementPhase.INCONCLUSIVE,
}
WORDS = ("error", "nil", "timeout", *PHASES)
GIVEN_ERROR = MeasureError("the test gives an error")


def metrics_of(policy: Policy) -> Mapping[str, Metric]:
    """The metrics of a policy by name; of several with one name the first."""
    found: dict[str, Metric] = {}
    for analysis in analyses_of(policy):
        for metric in analysis.metrics:
            found.setdefault(metric.name, metric)
    return found


def outcome_of(node: Node, metric: Metric) -> Outcome | None:
    """One item of a metric's ``measurements``; None for an answer that never comes.

    Raises
    ------
    UnfitValue : the metric's provider cannot find such a thing.
    """
    value = plain(node)
    if value == "timeout":
        return None
    if value == "error":
        return GIVEN_ERROR
    if isinstance(metric.provider, GatedCounts):
        raise UnfitValue("a gate counts requests", "write error or timeout, or give series of its counters")
    if isinstance(value, str) and value in PHASES:
        return PHASES[value]
    if isinstance(metric.provider, JobProvider):
        raise UnfitValue("a job finds no value", f"write one of {', '.join(WORDS)}")
    if isinstance(metric.provider, WebProvider):
        return JsonResult(None if value == "nil" else value)
    if value is None or value == "nil":
        return NilResult()
    if isinstance(value, list):
        return VectorResult(tuple(_number(item) for item in value))
    if isinstance(metric.provider, PrometheusProvider) and not _gives_scalar(metric.provider.query):
        return VectorResult((_number(value),))
    return ScalarResult(_number(value))


def _gives_scalar(query: str) -> bool:
    """Whether the query is of type scalar; one that cannot be read before its arguments are known is not."""
    try:
        return compile_query(LATE_TAG.sub("0", query)).result == "scalar"
    except PromQLError:
        return False


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitValue(
            "this is nothing that the metric can find", f"write a number, a list, or {', '.join(WORDS)}"
        )
    return math.nan if value != value else float(value)
