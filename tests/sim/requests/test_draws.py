"""The random words and the laws drawn from them; where a time falls among the buckets."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rolloutsim.sim.requests import ziggurat
from rolloutsim.sim.requests.arrivals import request_number
from rolloutsim.sim.requests.buckets import bucket_index
from rolloutsim.sim.requests.compiled import compiled
from rolloutsim.sim.requests.outcomes import bucket_of
from rolloutsim.sim.requests.words import CHOICE, WORK, fill, words

from . import draws

KEY = np.array([11, 13, 17], dtype=np.uint64)
PART = st.integers(0, 2**32 - 1)

# The known answers of the generator's authors (Random123, kat_vectors, philox4x32 10)
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@compiled
def _exponentials(key, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        word = words(key, i, 0, WORK, 0)[0]
        out[i] = ziggurat.exponential(word, key, i, 0)


@compiled
def _normals(key, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        word = words(key, i, 0, WORK, 0)[1]
        out[i] = ziggurat.normal(word, key, i, 0)


@compiled
def _bucket(value, bounds, first, shift, base):  # type: ignore[no-untyped-def]
    return bucket_of(value, bounds, first, shift, base)


@compiled
def _number(block, place):  # type: ignore[no-untyped-def]
    return request_number(block, place)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_generator_gives_its_known_answers(counter, key, expected):
    assert draws.philox(counter, key) == expected


@settings(deadline=None)
@given(PART, PART, PART, st.integers(-(2**31), 2**31 - 1), PART, st.integers(0, 9), st.integers(0, 3))
def test_words_are_those_of_the_generator(k0, k1, k2, block, place, attempt, purpose):
    key = np.array([k0, k1, k2], dtype=np.uint64)
    number = _number(block, place)
    plain = draws.Draws(0, 0)
    plain.key, plain.rest = [k0, k1], k2
    assert words(key, number, attempt, purpose, 1) == plain.words(number, attempt, purpose, 1)


def test_many_words_at_once_are_the_same():
    first, second = np.empty(100, dtype=np.uint64), np.empty(100, dtype=np.uint64)
    start = _number(-3, 7)
    fill(KEY, start, CHOICE, 100, first, second)
    one_by_one = [words(KEY, start + i, 0, CHOICE, 0) for i in range(100)]
    assert list(zip(first, second, strict=True)) == one_by_one


def test_exponential_law():
    drawn = np.empty(400_000)
    _exponentials(KEY, drawn)
    assert stats.kstest(drawn, "expon").pvalue > 1e-3
    for far in (5.0, 8.0):
        expected = len(drawn) * np.exp(-far)
        assert abs((drawn > far).sum() - expected) < 4.0 * np.sqrt(expected)


def test_normal_law():
    drawn = np.empty(400_000)
    _normals(KEY, drawn)
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    for far in (2.0, 3.7):
        for tail in ((drawn > far).sum(), (drawn < -far).sum()):
            expected = len(drawn) * stats.norm.sf(far)
            assert abs(tail - expected) < 4.0 * np.sqrt(expected)


def test_draws_in_plain_python_are_the_same():
    plain = draws.Draws(0, 0)
    plain.key, plain.rest = [11, 13], 17
    exponentials, normals = np.empty(5_000), np.empty(5_000)
    _exponentials(KEY, exponentials)
    _normals(KEY, normals)
    pairs = [plain.words(i, 0, WORK) for i in range(5_000)]
    assert exponentials.tolist() == [plain.exponential(pair[0], i, 0) for i, pair in enumerate(pairs)]
    assert normals.tolist() == [plain.normal(pair[1], i, 0) for i, pair in enumerate(pairs)]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 10**6), min_size=0, max_size=20, unique=True),
    st.one_of(st.floats(0.0, 2e6), st.integers(0, 10**6).map(float), st.floats(1e-9, 1e-3)),
)
def test_the_bucket_of_a_time_is_found_without_a_search(bounds, value):
    index = bucket_index(sorted(float(bound) for bound in bounds))
    found = _bucket(value, index.bounds, index.first, index.shift, index.base)
    assert found == bisect_left(sorted(bounds), value)


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (-1.0,), (1.0, 1.0 + 1e-12)])
def test_bounds_that_make_no_buckets_are_refused(bounds):
    with pytest.raises(ValueError, match="bounds"):
        bucket_index(bounds)
