"""What must hold for any series and any query."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.promql import STALE_NAN, PromQLError, Result, SeriesStore, Vector, compile_query, evaluate
from rolloutsim.promql.selection import select
from rolloutsim.promql.tree import Matcher, Selector
from rolloutsim.promql.windows import Window, extrapolated

Samples = list[tuple[int, float]]

QUERIES = [
    "m",
    "sum(m)",
    "sum by (job) (m)",
    "avg without (pod) (m)",
    "count(m > 5)",
    "topk(2, m)",
    "rate(m[1m])",
    "sum by (job) (increase(m[45s]))",
    "delta(m[1m] offset 10s)",
    "irate(m[1m])",
    "deriv(m[1m])",
    "max_over_time(m[30s])",
    "quantile_over_time(0.3, m[1m])",
    "changes(m[2m]) + resets(m[2m])",
    "avg_over_time(rate(m[30s])[1m:10s])",
    "sum(rate(m{pod='a'}[1m])) / sum(rate(m[1m]))",
    "m / on (job) group_left () sum by (job) (m)",
    "m and m offset 20s",
    "m unless m > 10",
    "absent(m{pod='a'}) or sum(m)",
    "absent_over_time(m{pod='c'}[20s])",
    "timestamp(m)",
    "m[1m]",
    "stddev_over_time(m[90s])",
    "last_over_time(m[20s])",
    "predict_linear(m[1m], 30)",
]

values = st.one_of(
    st.integers(0, 50).map(float), st.floats(-1e6, 1e6), st.sampled_from([math.nan, STALE_NAN, math.inf, 0.0])
)
counts = st.lists(st.integers(0, 1000), min_size=2, max_size=20)
label_sets = st.sampled_from(
    [{"__name__": "m", "job": job, "pod": pod} for job in ("x", "y") for pod in ("a", "b", "c")]
)
scrapes = st.lists(
    st.tuples(
        st.integers(1, 40_000),
        st.sets(st.integers(0, 5), min_size=1),
        st.lists(values, min_size=6, max_size=6),
    ),
    min_size=1,
    max_size=25,
)


def labels_of(number: int) -> dict[str, str]:
    return {"__name__": "m", "job": "xy"[number % 2], "pod": "abc"[number // 2]}


def played(script: list[tuple[int, set[int], list[float]]]) -> tuple[SeriesStore, list[Samples], int]:
    """A store that grew scrape by scrape in changing company, its samples, and the time at the end."""
    store = SeriesStore()
    ids = [store.add_series(labels_of(number)) for number in range(6)]
    samples: list[Samples] = [[] for _ in ids]
    now = 0
    for step, members, row in script:
        now += step
        chosen = sorted(members)
        store.extend(tuple(ids[n] for n in chosen), np.array([now]), np.array([[row[n] for n in chosen]]))
        for number in chosen:
            samples[number].append((now, row[number]))
    return store, samples, now


def whole(samples: list[Samples]) -> SeriesStore:
    return SeriesStore.from_series(
        (labels_of(number), [time for time, _ in series], [value for _, value in series])
        for number, series in enumerate(samples)
    )


def answer(text: str, store: SeriesStore, at_ms: int, **options: Any) -> Result | str:
    try:
        return evaluate(text, store, at_ms, **options)
    except PromQLError as error:
        return error.kind


def same(a: Result | str, b: Result | str) -> bool:
    """Equal, NaN counting as itself."""
    return repr(a) == repr(b)


@given(scrapes, st.sampled_from(QUERIES), st.floats(-0.1, 1.5), st.booleans())
@settings(max_examples=400, deadline=None)
def test_growing_a_store_equals_building_it(
    script: list[tuple[int, set[int], list[float]]], text: str, share: float, closed: bool
) -> None:
    store, samples, end = played(script)
    at_ms = int(end * share)
    built = whole(samples)
    assert same(
        answer(text, store, at_ms, left_closed=closed), answer(text, built, at_ms, left_closed=closed)
    )


@given(scrapes, st.sampled_from(QUERIES), st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_nothing_after_the_evaluation_time_is_seen(
    script: list[tuple[int, set[int], list[float]]], text: str, share: float
) -> None:
    _, samples, end = played(script)
    at_ms = int(end * share)
    past = [[sample for sample in series if sample[0] <= at_ms] for series in samples]
    assert same(answer(text, whole(samples), at_ms), answer(text, whole(past), at_ms))


@given(scrapes, st.sampled_from(QUERIES))
@settings(max_examples=200, deadline=None)
def test_series_that_do_not_match_change_nothing(
    script: list[tuple[int, set[int], list[float]]], text: str
) -> None:
    store, _, end = played(script)
    before = answer(text, store, end)
    store.append({"__name__": "other", "job": "x", "pod": "a"}, end, 7.0)
    store.append({"__name__": "m2"}, end, 7.0)
    assert same(answer(text, store, end), before)


@given(st.lists(counts, min_size=1, max_size=10), st.integers(5, 90), st.integers(-20, 320))
@settings(max_examples=300, deadline=None)
def test_a_counter_never_falls_in_rate(series: list[list[int]], window_s: int, at_s: int) -> None:
    store = SeriesStore.from_series(
        ({"__name__": "m", "i": str(i)}, [15_000 * k for k in range(len(column))], [float(v) for v in column])
        for i, column in enumerate(series)
    )
    for function in ("rate", "increase", "irate"):
        result = evaluate(f"{function}(m[{window_s}s])", store, at_s * 1000)
        assert isinstance(result, Vector)
        assert all(value >= 0 for _, value in result.elements)


@given(scrapes, st.sampled_from(["rate", "increase", "delta"]), st.integers(1, 200), st.floats(0, 1.2))
@settings(max_examples=300, deadline=None)
def test_the_fast_path_is_the_general_path_bit_for_bit(
    script: list[tuple[int, set[int], list[float]]], function: str, window_s: int, share: float
) -> None:
    everyone = [(step, set(range(6)), row) for step, _, row in script]
    store, _, end = played(everyone)
    at_ms = int(end * share)
    selection = select(Selector((Matcher("__name__", "=", "m"),), None, 0, None), object(), store)
    window = Window(at_ms - window_s * 1000, at_ms, at_ms, ())
    expected = []
    for record in selection.records:
        times, column = record.window(window.start, window.end)
        if len(column) > 1:
            expected.append(
                extrapolated(
                    times, column, window, counter=function != "delta", per_second=function == "rate"
                )
            )
    result = evaluate(f"{function}(m[{window_s}s])", store, at_ms)
    assert isinstance(result, Vector)
    assert repr([value for _, value in result.elements]) == repr(expected)


@given(st.lists(st.integers(0, 10_000).map(float), min_size=6, max_size=6))
def test_parts_aggregate_to_the_whole(row: list[float]) -> None:
    store, _, end = played([(1, set(range(6)), row)])
    for operator, outer in [
        ("sum", "sum"),
        ("max", "max"),
        ("min", "min"),
        ("count", "sum"),
        ("group", "max"),
    ]:
        parts = evaluate(f"{outer}({operator} by (job) (m))", store, end)
        assert same(parts, evaluate(f"{operator}(m)", store, end))
    total = evaluate("sum(m) / count(m) - avg(m)", store, end)
    assert isinstance(total, Vector)
    assert abs(total.elements[0][1]) < 1e-9


WORDS = """
x y sum by ( ) ( ) [ ] { } [5m] [5m:1m] offset @ 5 1m -3 + - * / ^ == bool on ignoring group_left , 'a' "b" =~
a="b" rate topk absent start() end() and or unless NaN 0x1F 1_0 # label_replace time() 1e9y fill step() @end()
"""
TOKENS = st.sampled_from([*WORDS.split(), "# comment\n"])


@given(st.lists(TOKENS, max_size=14).map(" ".join) | st.text(max_size=30))
@settings(max_examples=1500, deadline=None)
def test_any_text_is_a_query_or_refused(text: str) -> None:
    store, _, end = played([(1, {0, 1}, [1.0] * 6)])
    with contextlib.suppress(PromQLError):
        compile_query(text).evaluate(store, end)


@pytest.mark.parametrize("text", QUERIES)
def test_the_queries_of_these_tests_find_something(text: str) -> None:
    store, _, end = played([(5_000, set(range(6)), [float(k * n) for n in range(6)]) for k in range(20)])
    result = evaluate(text, store, end)
    assert result not in (Vector(()), None) or "absent_over" in text or "unless" in text
