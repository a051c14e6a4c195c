"""Series as promtool's rule tests write them: ``http_requests_total{status="200"}`` and ``0+100x40``.

Source: Prometheus, "Unit testing for rules": ``a+bxn`` and ``a-bxn`` are n + 1 values from a on by steps of
b, ``axn`` is a n + 1 times, ``_`` a sample that is missing, ``_xn`` n of them, ``stale`` the series' end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import repeat

from rolloutsim.promql import METRIC_NAME, STALE_NAN, PromQLError
from rolloutsim.promql.parse import parse
from rolloutsim.promql.tree import Selector
from rolloutsim.sim.quantities import UnfitValue

__all__ = ["MAX_SAMPLES", "expand", "series_labels"]

MAX_SAMPLES = 100_000
_NUMBER = r"(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[iI]nf|[nN]a[nN])"
_MISSING = re.compile(r"_(?:x([0-9]{1,9}))?")
_SEQUENCE = re.compile(rf"([-+]?{_NUMBER})(?:([-+]{_NUMBER})?x([0-9]{{1,9}}))?")


def expand(text: str) -> tuple[float | None, ...]:
    """The values of a sequence; None where a sample is missing.

    Raises
    ------
    UnfitValue : an item that is none, or more than `MAX_SAMPLES` values.
    """
    values: list[float | None] = []
    for item in text.split():
        count, items = _item(item)
        if len(values) + count > MAX_SAMPLES:
            raise UnfitValue(f"the series has more than {MAX_SAMPLES} samples", "is the count right?")
        values += items
    if not values:
        raise UnfitValue("the series has no values", "for example 0+100x40")
    return tuple(values)


def _item(item: str) -> tuple[int, Iterator[float | None]]:
    """How many values an item stands for, and the values."""
    if item == "stale":
        return 1, iter((STALE_NAN,))
    if match := _MISSING.fullmatch(item):
        count = int(match.group(1) or 1)
        return count, repeat(None, count)
    if match := _SEQUENCE.fullmatch(item):
        first, step, times = match.groups()
        count = int(times or 0) + 1
        return count, _steps(float(first), float(step or 0), count)
    raise UnfitValue(
        f"{item!r} is no value of a series", "write numbers, 0+100x40, 5x3, _ (missing), _x3 or stale"
    )


def _steps(value: float, step: float, count: int) -> Iterator[float]:
    # added up, as Prometheus does
    for _ in range(count):
        yield value
        value += step


def series_labels(text: str) -> tuple[tuple[str, str], ...]:
    """The labels of a series, its name among them.

    Raises
    ------
    UnfitValue : the text names no series.
    """
    fix = 'for example http_requests_total{service="api",status="200"}'
    try:
        tree = parse(text)
    except PromQLError as error:
        raise UnfitValue(f"this is no series: {error.message}", fix) from error
    if not isinstance(tree, Selector) or tree.range_ms is not None or tree.offset_ms:
        raise UnfitValue("this is a query and no series", fix)
    if any(matcher.operator != "=" for matcher in tree.matchers):
        raise UnfitValue("a label of a series has one value", "use = only")
    labels = {matcher.name: matcher.value for matcher in tree.matchers if matcher.value}
    if METRIC_NAME not in labels:
        raise UnfitValue("the series has no name", fix)
    return tuple(sorted(labels.items()))
