"""Evaluation: windows, staleness, names, errors while running, and the results' own types."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from rolloutsim.promql import (
    STALE_NAN,
    Labels,
    Matrix,
    PromQLError,
    Scalar,
    Series,
    SeriesStore,
    String,
    Vector,
    compile_query,
    evaluate,
)

MINUTE = 60_000


def store_of(**series: list[tuple[int, float]]) -> SeriesStore:
    return SeriesStore.from_series(
        ({"__name__": name}, [time for time, _ in samples], [value for _, value in samples])
        for name, samples in series.items()
    )


def one(text: str, store: SeriesStore, at_ms: int, *, left_closed: bool = False) -> float | None:
    """The value of a vector of at most one element."""
    result = evaluate(text, store, at_ms, left_closed=left_closed)
    assert isinstance(result, Vector)
    assert len(result.elements) <= 1
    return result.elements[0][1] if result.elements else None


TICK = store_of(tick=[(minute * MINUTE, float(minute)) for minute in range(11)])


@pytest.mark.parametrize(("left_closed", "count", "age"), [(False, 5.0, None), (True, 6.0, 5.0)])
def test_windows_of_prometheus_3_and_2(left_closed: bool, count: float, age: float | None) -> None:
    ten = 10 * MINUTE
    assert one("count_over_time(tick[5m])", TICK, ten, left_closed=left_closed) == count
    assert one("count_over_time(tick[5m:1m])", TICK, ten, left_closed=left_closed) == count
    assert one("tick @ 300 offset -5m", TICK, ten, left_closed=left_closed) == 10.0
    assert one("tick", store_of(tick=[(5 * MINUTE, 5.0)]), ten, left_closed=left_closed) == age


def test_the_lookback_can_be_chosen() -> None:
    query = compile_query("tick")
    assert query.evaluate(TICK, 10 * MINUTE + 30_000, lookback_ms=30_000) == Vector(())
    assert query.evaluate(TICK, 10 * MINUTE + 30_000, lookback_ms=30_001) == Vector(
        ((Labels((("__name__", "tick"),)), 10.0),)
    )


def test_a_stale_marker_ends_a_series_but_not_a_window() -> None:
    store = store_of(a=[(0, 1.0), (15_000, 2.0), (30_000, STALE_NAN), (60_000, 5.0)])
    assert one("a", store, 29_000) == 2.0
    assert one("a", store, 30_000) is None
    assert one("a", store, 60_000) == 5.0
    assert one("count_over_time(a[5m])", store, 60_000) == 3.0
    assert one("delta(a[1m])", store, 60_000) == one(
        "delta(b[1m])", store_of(b=[(15_000, 2.0), (60_000, 5.0)]), 60_000
    )
    assert one("count_over_time(a[20s])", store, 45_000) is None


def test_a_counter_reset_in_a_wide_block_is_seen() -> None:
    series = [({"__name__": "c", "i": str(i)}, [0, 10_000, 20_000], [5.0, 9.0, 13.0]) for i in range(9)]
    series[4] = (series[4][0], [0, 10_000, 20_000], [5.0, 9.0, 4.0])
    values = evaluate("increase(c[1m])", SeriesStore.from_series(series), 20_000)
    assert isinstance(values, Vector)
    alone = one("increase(c[1m])", SeriesStore.from_series(series[4:5]), 20_000)
    assert [value for _, value in values.elements] == [
        one("increase(c[1m])", SeriesStore.from_series(series[:1]), 20_000)
    ] * 4 + [alone] + [values.elements[0][1]] * 4


def test_new_series_are_found_by_a_plan_that_has_run() -> None:
    store = SeriesStore()
    query = compile_query("sum by (job) (m)")
    assert query.evaluate(store, 0) == Vector(())
    store.append({"__name__": "m", "job": "a", "i": "1"}, 0, 1.0)
    store.append({"__name__": "n", "job": "a"}, 0, 9.0)
    assert query.evaluate(store, 0) == Vector(((Labels((("job", "a"),)), 1.0),))
    store.append({"__name__": "m", "job": "a", "i": "2"}, 0, 2.0)
    store.append({"__name__": "m", "job": "b"}, 0, 4.0)
    assert query.evaluate(store, 0) == Vector(
        ((Labels((("job", "a"),)), 3.0), (Labels((("job", "b"),)), 4.0))
    )


def test_one_plan_serves_many_stores() -> None:
    query = compile_query("sum(a) / sum(b)")
    assert query.evaluate(store_of(a=[(0, 1.0)], b=[(0, 2.0)]), 0) == Vector(((Labels(()), 0.5),))
    assert query.evaluate(store_of(a=[(0, 1.0)]), 0) == Vector(())
    assert query.evaluate(store_of(b=[(0, 4.0)], a=[(0, 1.0)]), 0) == Vector(((Labels(()), 0.25),))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("abs({__name__=~'a|b'})", "same labels"),
        ("{__name__=~'a|b'} + on () b", "group_left"),
        ("b + on () {__name__=~'a|b'}", "on the right both match"),
        ("{__name__=~'a|b'} * on () group_right () b", "on the left both match"),
        ("topk(NaN, a)", "not a count"),
        ("count_values('', a)", "not empty"),
        ("label_replace(a, '', 'x', '', '')", "empty name"),
        ("label_replace(a, 'x', 'x', 'x', '(')", "RE2"),
        ("label_join(a, 'x', ',', '')", "not empty"),
    ],
)
def test_what_fails_while_running(text: str, why: str) -> None:
    store = store_of(a=[(0, 1.0)], b=[(0, 2.0)])
    query = compile_query(text)
    with pytest.raises(PromQLError, match=why) as caught:
        query.evaluate(store, 0)
    assert caught.value.kind == "execution"
    assert caught.value.text == text


def test_a_join_fails_only_for_elements_that_are_there() -> None:
    series = [({"__name__": "a", "i": i}, [time], [1.0]) for i, time in (("1", 0), ("2", 600_000))]
    store = SeriesStore.from_series([*series, ({"__name__": "b"}, [0, 300_000, 600_000], [2.0] * 3)])
    query = compile_query("b / on () a")
    for at_ms in (0, 600_000):
        assert query.evaluate(store, at_ms) == Vector(((Labels(()), 2.0),))
    store = SeriesStore.from_series(
        [({"__name__": "a", "i": i}, [0], [1.0]) for i in "12"] + [({"__name__": "b"}, [0], [2.0])]
    )
    with pytest.raises(PromQLError):
        query.evaluate(store, 0)


def test_results_have_their_types() -> None:
    assert evaluate("1", TICK, 0) == Scalar(1.0)
    assert evaluate("'x'", TICK, 0) == String("x")
    assert evaluate("time()", TICK, 1_500) == Scalar(1.5)
    expected = Matrix((Series(Labels((("__name__", "tick"),)), (0, MINUTE), (0.0, 1.0)),))
    assert evaluate("tick[5m]", TICK, MINUTE) == expected
    assert evaluate("tick[61s:1m]", TICK, MINUTE) == expected
    assert pickle.loads(pickle.dumps(expected)) == expected


def test_labels_are_a_mapping_that_cannot_change() -> None:
    labels = Labels((("__name__", "up"), ("job", "api")))
    assert labels == {"__name__": "up", "job": "api"}
    assert len({labels, Labels(labels.pairs)}) == 1
    assert repr(labels) == "up{job='api'}"
    with pytest.raises(TypeError):
        labels["job"] = "x"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("histogram_fraction(0, 0.2, h)", 0.5),
        ("histogram_fraction(0.1, 0.3, h)", 0.5),
        ("histogram_fraction(-1, +Inf, h)", 1.0),
        ("histogram_fraction(-Inf, 0.05, h)", 0.1),
        ("histogram_fraction(0.5, 0.1, h)", 0.0),
        ("histogram_fraction(2, 3, h)", 0.0),
        ("histogram_fraction(NaN, 1, h)", math.nan),
        ("histogram_quantile(0.5, h)", 0.2),
    ],
)
def test_histograms(text: str, value: float) -> None:
    counts = {"0.1": 2.0, "0.2": 5.0, "0.4": 9.0, "+Inf": 10.0}
    store = SeriesStore.from_series(
        ({"__name__": "h", "le": le}, [0], [count]) for le, count in counts.items()
    )
    assert one(text, store, 0) == pytest.approx(value, nan_ok=True)


def test_a_first_bucket_below_zero_is_not_divided() -> None:
    counts = {"-1": 4.0, "1": 8.0, "+Inf": 8.0}
    store = SeriesStore.from_series(
        ({"__name__": "h", "le": le}, [0], [count]) for le, count in counts.items()
    )
    assert one("histogram_fraction(-5, 0, h)", store, 0) == 0.25
    assert one("histogram_fraction(-Inf, 0, h)", store, 0) == 0.75


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        ("year", 1e10, 2286.0),
        ("month", -1.0, 12.0),
        ("day_of_month", 1709164800.0, 29.0),
        ("days_in_month", 1709164800.0, 29.0),
        ("day_of_year", 1735603200.0, 366.0),
        ("day_of_week", 0.0, 4.0),
        ("hour", -1.0, 23.0),
        ("minute", 3599.9, 59.0),
        ("year", math.nan, 292277026596.0),
        ("year", math.inf, 292277026596.0),
    ],
)
def test_dates(function: str, value: float, expected: float) -> None:
    assert one(f"{function}(x)", store_of(x=[(0, value)]), 0) == expected


def test_a_window_may_span_blocks() -> None:
    store = SeriesStore()
    ids = tuple(store.add_series({"__name__": name}) for name in "ab")
    for time in range(0, 60_000, 1_000):
        members = ids if time % 2_000 else ids[:1]
        store.extend(members, np.array([time]), np.full((1, len(members)), float(time)))
    whole = SeriesStore.from_series((store.labels(identity), *store.samples(identity)) for identity in ids)
    for text in (
        "rate({__name__=~'a|b',__name__='a'}[30s])",
        "stddev_over_time(b[40s])",
        "a",
        "b",
        "timestamp(b)",
    ):
        for at_ms in (500, 3_000, 29_999, 59_000, 70_000):
            assert evaluate(text, store, at_ms) == evaluate(text, whole, at_ms)
