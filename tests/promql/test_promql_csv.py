"""CSV in long form: what is read, what is refused and where, and that what is written is read as the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.errors import InputError
from rolloutsim.promql import STALE_NAN, SeriesStore
from rolloutsim.promql.csv_form import read_csv, write_csv


def content(store: SeriesStore) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
    return {
        store.labels(identity).pairs: list(zip(*(p.tolist() for p in store.samples(identity)), strict=True))
        for identity in range(len(store))
    }


def test_a_column_is_a_label_and_a_row_a_sample() -> None:
    text = (
        "\ufefftime,__name__,job,value\r\n"
        '2026-01-05T00:00:00.5Z,up,"a, ""b""",1\r\n'
        "1767571215.25,up,,NaN\r\n"
        "\r\n"
        "2026-01-05T01:00:15+01:00,up,,+Inf\r\n".replace("00:15+", "00:16+")
    )
    found = content(read_csv(text))
    assert found[("__name__", "up"), ("job", 'a, "b"')] == [(1767571200500, 1.0)]
    (first, second) = found[(("__name__", "up"),)]
    assert first[0] == 1767571215250
    assert math.isnan(first[1])
    assert second == (1767571216000, math.inf)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "no column 'time'"),
        ("time,job\n", 1, "no column 'value'"),
        ("time,value,a,a\n", 1, "column 'a' twice"),
        ("time,value,\n", 1, "without a name"),
        ("time,value\n1,2,3\n", 2, "3 cells"),
        ("time,value\n1,two\n", 2, "not a number"),
        ("time,value\nnow,2\n", 2, "not a number"),
        ("time,value\n2026-01-05,2\n", 2, "not a number"),
        ("time,value\n1767571200000,2\n", 2, "milliseconds"),
        ('time,value\n1,"2\n', 2, "unexpected end"),
        ("time,value\n5,1\n4,1\n", 3, "out of order"),
        ("time,value\n5,1\n5,2\n", 3, "two values"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(InputError, match=rf"^data.csv:{line}: .*{why}"):
        read_csv(text, source="data.csv")


def test_rows_may_stand_by_time_or_by_series() -> None:
    head, rows = "time,job,value\n", ["1,a,1\n", "1,b,2\n", "2,a,3\n", "2,b,4\n"]
    assert content(read_csv(head + "".join(rows))) == content(
        read_csv(head + rows[0] + rows[2] + rows[1] + rows[3])
    )


def test_stale_markers_are_left_out() -> None:
    store = SeriesStore.from_series([({"__name__": "up"}, [1000, 2500], [1.0, STALE_NAN])])
    assert "".join(write_csv(store)) == "time,__name__,value\n1970-01-01T00:00:01Z,up,1\n"


def test_a_label_cannot_be_called_as_a_column_is() -> None:
    with pytest.raises(InputError, match="a label is called 'time'"):
        list(write_csv(SeriesStore.from_series([({"time": "x"}, [1], [1.0])])))


@given(
    st.dictionaries(
        st.tuples(st.text(min_size=1), st.text(alphabet='ab,"\n\r é', min_size=1)),
        st.dictionaries(st.integers(-(10**12), 10**13), st.floats(allow_nan=False), min_size=1),
        max_size=4,
    )
)
def test_what_is_written_is_read_as_the_same(series: dict[tuple[str, str], dict[int, float]]) -> None:
    store = SeriesStore.from_series(
        ({"__name__": name, "job": job}, sorted(samples), [samples[at] for at in sorted(samples)])
        for (name, job), samples in series.items()
    )
    assert content(read_csv("".join(write_csv(store)))) == content(store)
