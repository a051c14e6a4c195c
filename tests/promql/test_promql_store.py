"""The store: what goes in, what is refused, and how little an append costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rolloutsim.promql import STALE_NAN, SeriesStore, is_stale

UP = {"__name__": "up", "job": "api"}


def test_labels_without_a_value_are_no_labels() -> None:
    store = SeriesStore()
    identity = store.add_series({"__name__": "up", "job": "api", "zone": ""})
    assert store.add_series(UP) == identity
    assert len(store) == 1
    assert dict(store.labels(identity)) == UP


def test_samples_come_back_as_they_went_in() -> None:
    store = SeriesStore()
    for time, value in [(0, 1.0), (15, math.nan), (30, STALE_NAN), (45, -0.0)]:
        store.append(UP, time, value)
    times, values = store.samples(0)
    assert times.tolist() == [0, 15, 30, 45]
    assert values[0] == 1.0
    assert [is_stale(value) for value in values.tolist()] == [False, False, True, False]
    assert math.copysign(1.0, values[3]) == -1.0


def test_a_series_without_samples_has_empty_arrays() -> None:
    store = SeriesStore()
    times, values = store.samples(store.add_series(UP))
    assert times.tolist() == values.tolist() == []


def test_an_ordinary_nan_is_not_stale() -> None:
    assert not is_stale(math.nan)
    assert not is_stale(1.0)
    assert is_stale(STALE_NAN)


def test_the_same_sample_again_is_ignored() -> None:
    store = SeriesStore()
    store.append(UP, 10, 1.0)
    store.append(UP, 10, 1.0)
    store.append(UP, 20, math.nan)
    store.append(UP, 20, math.nan)
    assert store.samples(0)[0].tolist() == [10, 20]


@pytest.mark.parametrize(("at_ms", "value", "why"), [(10, 2.0, "another value"), (5, 1.0, "out of order")])
def test_samples_that_rewrite_the_past_are_refused(at_ms: int, value: float, why: str) -> None:
    store = SeriesStore()
    store.append(UP, 10, 1.0)
    with pytest.raises(ValueError, match=why):
        store.append(UP, at_ms, value)
    assert store.samples(0)[0].tolist() == [10]


def test_a_refused_block_changes_nothing() -> None:
    store = SeriesStore()
    ids = tuple(store.add_series({"__name__": name}) for name in "ab")
    store.append({"__name__": "b"}, 30, 0.0)
    with pytest.raises(ValueError, match="out of order"):
        store.extend(ids, np.array([10, 40]), np.zeros((2, 2)))
    assert store.samples(ids[0])[0].tolist() == []
    assert store.samples(ids[1])[0].tolist() == [30]


def test_a_block_may_repeat_what_some_of_its_series_have() -> None:
    store = SeriesStore()
    ids = tuple(store.add_series({"__name__": name}) for name in "ab")
    store.append({"__name__": "b"}, 10, 5.0)
    store.extend(ids, np.array([10, 20]), np.array([[1.0, 5.0], [2.0, 6.0]]))
    assert store.samples(ids[0])[1].tolist() == [1.0, 2.0]
    assert store.samples(ids[1])[1].tolist() == [5.0, 6.0]


def test_misuse_is_named() -> None:
    store = SeriesStore()
    identity = store.add_series(UP)
    with pytest.raises(ValueError, match="named twice"):
        store.extend((identity, identity), np.array([1]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="shape"):
        store.extend((identity,), np.array([1, 2]), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="integer milliseconds"):
        store.extend((identity,), np.array([1.5]), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="2 times and 1 values"):
        SeriesStore.from_series([(UP, [1, 2], [1.0])])


def test_changing_company_keeps_the_samples() -> None:
    store = SeriesStore()
    ids = [store.add_series({"__name__": "m", "i": str(number)}) for number in range(3)]
    companies = [(0, 1), (1, 2), (0, 1, 2), (0, 2), (1,), (0,), (2, 0), (1, 2)]
    expected: dict[int, list[int]] = {identity: [] for identity in ids}
    for time in range(200):
        members = tuple(ids[place] for place in companies[time % len(companies)])
        store.extend(members, np.array([time]), np.full((1, len(members)), float(time)))
        for member in members:
            expected[member].append(time)
    for identity in ids:
        times, values = store.samples(identity)
        assert times.tolist() == expected[identity]
        assert values.tolist() == [float(time) for time in expected[identity]]


def test_from_series_takes_one_series_in_parts() -> None:
    store = SeriesStore.from_series([(UP, [0, 10], [1.0, 2.0]), (UP, [10, 20], [2.0, 3.0])])
    assert store.samples(0)[1].tolist() == [1.0, 2.0, 3.0]


def test_empty_calls_do_nothing() -> None:
    store = SeriesStore()
    store.extend((), np.array([1]), np.zeros((1, 0)))
    store.extend((store.add_series(UP),), np.array([], dtype=np.int64), np.zeros((0, 1)))
    assert store.samples(0)[0].tolist() == []
