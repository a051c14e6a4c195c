"""Queries over time: an instant query per step, bounded, and what a store holds."""

from __future__ import annotations

import pytest

from rolloutsim.errors import InputError
from rolloutsim.promql import STALE_NAN, PromQLError, SeriesStore, Vector, compile_query
from rolloutsim.promql.catalog import label_names, label_values, series_matching, time_range
from rolloutsim.promql.intake import sample_records

MINUTE = 60_000


@pytest.fixture
def store() -> SeriesStore:
    times = range(0, 20 * MINUTE, 15_000)
    return SeriesStore.from_series(
        [
            ({"__name__": "hits", "job": job}, times, [factor * at / 1000 for at in times])
            for job, factor in (("b", 2.0), ("a", 1.0))
        ]
    )


def test_each_step_is_an_instant_query(store: SeriesStore) -> None:
    query = compile_query("rate(hits[1m]) > 0")
    matrix = query.evaluate_range(store, MINUTE, 3 * MINUTE, 20_000)
    assert [dict(one.labels) for one in matrix.series] == [{"job": "a"}, {"job": "b"}]
    for one in matrix.series:
        assert one.times_ms == tuple(range(MINUTE, 3 * MINUTE + 1, 20_000))
    for place, at_ms in enumerate(matrix.series[0].times_ms):
        instant = query.evaluate(store, at_ms)
        assert isinstance(instant, Vector)
        assert {labels["job"]: value for labels, value in instant.elements} == {
            one.labels["job"]: one.values[place] for one in matrix.series
        }


def test_start_and_end_are_those_of_the_range(store: SeriesStore) -> None:
    def values(text: str) -> set[float]:
        (one,) = compile_query(text).evaluate_range(store, MINUTE, 5 * MINUTE, MINUTE).series
        return set(one.values)

    assert values('hits{job="a"} @ start()') == {60.0}
    assert values('hits{job="a"} @ end()') == {300.0}
    assert values('max_over_time((hits{job="a"} @ end())[2m:1m])') == {300.0}
    assert values("time()") == {60.0, 120.0, 180.0, 240.0, 300.0}


def test_a_scalar_is_one_series_and_nothing_is_none(store: SeriesStore) -> None:
    matrix = compile_query("1").evaluate_range(store, 0, 10, 10)
    assert [(dict(one.labels), one.times_ms, one.values) for one in matrix.series] == [
        ({}, (0, 10), (1.0, 1.0))
    ]
    assert compile_query("nothing").evaluate_range(store, 0, 10, 10).series == ()


@pytest.mark.parametrize("text", ["hits[1m]", '"text"'])
def test_only_scalars_and_vectors_go_over_time(store: SeriesStore, text: str) -> None:
    with pytest.raises(PromQLError, match="cannot be asked for over time") as caught:
        compile_query(text).evaluate_range(store, 0, 1, 1)
    assert caught.value.kind == "parse"


@pytest.mark.parametrize(
    ("text", "last_ms", "why"),
    [
        ("hits", 11_001, "more than 11000 steps"),
        ("max_over_time(hits[10h:1m])", 11_000, "more than 1000000 evaluations"),
        ("sum(count_over_time(hits[20m])) + " * 12 + "1", 11_000, "more than 20000000 samples"),
    ],
)
def test_what_would_take_too_long_is_refused(store: SeriesStore, text: str, last_ms: int, why: str) -> None:
    query = compile_query(text)
    with pytest.raises(PromQLError, match=why) as caught:
        query.evaluate_range(store, 0, last_ms, 1)
    assert caught.value.kind == "unsupported"
    query.refuse_excess(store)


def test_a_failing_step_names_the_query(store: SeriesStore) -> None:
    with pytest.raises(PromQLError, match=r"hits \+ on \(\) hits") as caught:
        compile_query("hits + on () hits").evaluate_range(store, 0, MINUTE, MINUTE)
    assert caught.value.kind == "execution"


def test_what_a_store_holds(store: SeriesStore) -> None:
    store.append({"__name__": "late", "zone": "x"}, 30 * MINUTE, 1.0)
    store.add_series({"__name__": "never"})
    names = [labels["__name__"] for labels in series_matching(store)]
    assert names == ["hits", "hits", "late"]
    assert [labels["job"] for labels in series_matching(store, ['hits{job!="a"}', "nothing"])] == ["b"]
    assert series_matching(store, (), 30 * MINUTE + 1, None) == []
    assert [one["__name__"] for one in series_matching(store, (), 20 * MINUTE, 30 * MINUTE)] == ["late"]
    everything = series_matching(store)
    assert label_names(everything) == ["__name__", "job", "zone"]
    assert label_values(everything, "job") == ["a", "b"]
    assert time_range(store) == (0, 30 * MINUTE)
    assert time_range(SeriesStore()) is None


@pytest.mark.parametrize("text", ["{}", "rate(hits[1m])", "hits[1m]", "hits offset 1m", "hits @ 1", "1", ""])
def test_only_plain_selectors_select(store: SeriesStore, text: str) -> None:
    with pytest.raises(PromQLError):
        series_matching(store, [text])


def test_records_of_a_trace_are_samples() -> None:
    labels = {"__name__": "up"}
    values = [1.0, "NaN", "+Inf", "StaleNaN", 2]
    store = sample_records(
        {"kind": "sample", "at": at, "labels": labels, "value": value} for at, value in enumerate(values)
    )
    query = compile_query("up")
    assert query.evaluate(store, 3) == Vector(())
    assert query.evaluate(store, 2) != Vector(())
    assert store.samples(0)[0].tolist() == [0, 1, 2, 3, 4]
    assert (
        store.samples(0)[1].tobytes()[24:32]
        == SeriesStore.from_series([(labels, [3], [STALE_NAN])]).samples(0)[1].tobytes()
    )


@pytest.mark.parametrize(
    "record",
    [
        {"at": 5, "labels": {}},
        {"at": 5.0, "labels": {}, "value": 1},
        {"at": 5, "labels": [], "value": 1},
        {"at": 5, "labels": {}, "value": "one"},
        {"at": 5, "labels": {}, "value": None},
        {"at": 4, "labels": {}, "value": 1},
        {"at": 5, "labels": {}, "value": 2},
    ],
)
def test_a_record_that_is_no_sample_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(InputError, match="sample 2 of the trace"):
        sample_records([{"at": 5, "labels": {}, "value": 1.0}, record])
