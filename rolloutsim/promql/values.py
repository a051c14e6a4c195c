"""Results of a query."""

from __future__ import annotations

from dataclasses import dataclass

from rolloutsim.promql.labels import Labels

__all__ = ["Matrix", "Result", "Scalar", "Series", "String", "Vector"]


@dataclass(frozen=True, slots=True)
class Vector:
    """An instant vector: one value per element, all at the evaluation time.

    ``elements`` are pairs of labels and value. Their order counts after ``sort``, ``sort_desc``, ``topk`` and
    ``bottomk``. An empty vector is a result of its own: neither 0 nor NaN.
    """

    elements: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number without labels."""

    value: float


@dataclass(frozen=True, slots=True)
class String:
    """A string literal."""

    value: str


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a matrix: times in ms since the epoch, and as many values."""

    labels: Labels
    times_ms: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The samples of a range selector or a subquery; no series without samples, no stale markers."""

    series: tuple[Series, ...]


Result = Vector | Scalar | String | Matrix
