"""What a Prometheus metric finds: a query over a store of series, as Argo Rollouts' provider hands it on."""

from __future__ import annotations

from rolloutsim.conditions import ScalarResult, VectorResult
from rolloutsim.engine import MeasureError, Outcome
from rolloutsim.promql import Matrix, PromQLError, Scalar, SeriesStore, Vector, evaluate

__all__ = ["found_by"]


def found_by(query: str, store: SeriesStore, at_ms: int, *, left_closed: bool = False) -> Outcome:
    """The typed result of a query at a time, or the error that the measurement is.

    A matrix is flattened and a string refused (Argo Rollouts, ``metricproviders/prometheus``).
    """
    try:
        answer = evaluate(query, store, at_ms, left_closed=left_closed)
    except PromQLError as error:
        return MeasureError(str(error))
    match answer:
        case Vector(elements=elements):
            return VectorResult(tuple([value for _, value in elements]))
        case Scalar(value=value):
            return ScalarResult(value)
        case Matrix(series=series):
            return VectorResult(tuple(float(value) for one in series for value in one.values))
        case _:
            return MeasureError("Prometheus metric type not supported")
