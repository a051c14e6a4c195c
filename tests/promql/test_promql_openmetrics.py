"""OpenMetrics text: what is read, what is refused and where, and that what is written is read as the same."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.errors import InputError
from rolloutsim.promql import STALE_NAN, SeriesStore
from rolloutsim.promql.openmetrics import read_openmetrics, write_openmetrics

Samples = dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]


def written(store: SeriesStore) -> str:
    return "".join(write_openmetrics(store))


def content(store: SeriesStore) -> Samples:
    return {
        store.labels(identity).pairs: list(zip(*(p.tolist() for p in store.samples(identity)), strict=True))
        for identity in range(len(store))
    }


def one(labels: dict[str, str], *samples: tuple[int, float]) -> SeriesStore:
    return SeriesStore.from_series([(labels, [at for at, _ in samples], [value for _, value in samples])])


def test_the_format_in_full() -> None:
    text = (
        "# TYPE http_requests counter\n"
        "# HELP http_requests All requests, also \\n failed ones.\n"
        "# UNIT http_request_size bytes\n"
        'http_requests_total{path="/a\\"b\\\\c\\nd",code="200"} 17.0 1520879607.789 # {trace="x # y"} 0.5 1\n'
        'http_requests_total{code="500",} 1e3 1520879608\n'
        "temperature{} NaN -1.5\n"
        '{"my.metric","label.x"="é"} +Inf 0\n'
        "# EOF\n"
    )
    store = read_openmetrics(text)
    found = content(store)
    key = (("__name__", "http_requests_total"), ("code", "200"), ("path", '/a"b\\c\nd'))
    assert found[key] == [(1520879607789, 17.0)]
    assert found[("__name__", "http_requests_total"), ("code", "500")] == [(1520879608000, 1000.0)]
    ((at_ms, value),) = found[(("__name__", "temperature"),)]
    assert at_ms == -1500
    assert math.isnan(value)
    assert found[("__name__", "my.metric"), ("label.x", "é")] == [(0, math.inf)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("up 1", "no timestamp"),
        ("up", "a space, its value"),
        ("up  1 2", "a space, its value"),
        ("up one 2", "not a number"),
        ("up 1 NaN", "not a time"),
        ("up 1 1520879607789", "milliseconds"),
        ('up{a="b} 1 2', "quoted value"),
        ("up{a} 1 2", "= and a value"),
        ('up{a="b" c="d"} 1 2', "a comma or }"),
        ('up{a="b",a="c"} 1 2', "twice"),
        ('{a="b"} 1 2', "name of its metric"),
        ("# a comment", "# TYPE"),
        ("# TYPE up thing", "no type"),
        ("", "a space, its value|name of its metric"),
    ],
)
def test_a_line_that_is_refused_is_named(line: str, why: str) -> None:
    with pytest.raises(InputError, match=rf"^page.om:2: .*({why})"):
        read_openmetrics(f"up 0 1\n{line}\n# EOF\n", source="page.om")


def test_the_end_marker_is_needed_and_is_the_end() -> None:
    with pytest.raises(InputError, match=r"page:2: there is no # EOF"):
        read_openmetrics("up 0 1\n", source="page")
    with pytest.raises(InputError, match=r"page:3: there is more after # EOF"):
        read_openmetrics("up 0 1\n# EOF\nup 1 2\n", source="page")
    assert len(read_openmetrics("# EOF")) == 0


def test_samples_that_prometheus_would_not_ingest_are_refused() -> None:
    with pytest.raises(InputError, match=r"page:3: the sample at 5000 ms is out of order.* 9000 ms"):
        read_openmetrics("up 1 9\ndown 1 3\nup 1 5\n# EOF\n", source="page")
    with pytest.raises(InputError, match=r"page:2: its series has two values at 9000 ms: 1 and 2"):
        read_openmetrics("up 1 9\nup 2 9\n# EOF\n", source="page")
    assert content(read_openmetrics("up NaN 9\nup NaN 9\n# EOF\n"))[(("__name__", "up"),)][0][0] == 9000


def test_types_follow_from_names_and_values() -> None:
    times = [1000, 2000]
    series = [
        ({"__name__": "a_total"}, times, [1, 2]),
        ({"__name__": "b_total"}, times, [1, math.nan]),
        ({"__name__": "c_total"}, times, [1, 2]),
        ({"__name__": "c"}, times, [1, 2]),
        ({"__name__": "h_bucket", "le": "+Inf"}, times, [1, 2]),
        ({"__name__": "h_bucket", "le": "0.5"}, times, [1, 2]),
        ({"__name__": "h_sum"}, times, [1, 2]),
        ({"__name__": "h_count"}, times, [1, 2]),
        ({"__name__": "k_bucket", "le": "0.5"}, times, [1, 2]),
        ({"__name__": "k_sum"}, times, [1, 2]),
        ({"__name__": "up"}, times, [1, 2]),
    ]
    lines = written(SeriesStore.from_series(series)).splitlines()
    assert [line.removeprefix("# TYPE ") for line in lines if line.startswith("# TYPE")] == [
        "a counter",
        "b_total unknown",
        "c unknown",
        "c_total unknown",
        "h histogram",
        "k_bucket unknown",
        "k_sum unknown",
        "up unknown",
    ]
    first = lines.index("# TYPE h histogram") + 1
    assert lines[first : first + 5] == [
        'h_bucket{le="0.5"} 1 1.000',
        'h_bucket{le="+Inf"} 1 1.000',
        "h_count 1 1.000",
        "h_sum 1 1.000",
        'h_bucket{le="0.5"} 2 2.000',
    ]
    assert lines[-1] == "# EOF"


def test_stale_markers_are_left_out_and_nan_is_not() -> None:
    store = one({"__name__": "up"}, (1000, math.nan), (2000, STALE_NAN), (3000, 1.0))
    assert written(store) == "# TYPE up unknown\nup NaN 1.000\nup 1 3.000\n# EOF\n"


def test_a_series_without_a_name_cannot_be_written() -> None:
    with pytest.raises(InputError, match=r"has no name"):
        written(one({"job": "api"}, (0, 1.0)))


@given(at_ms=st.integers(-(10**13), 10**14))
def test_times_survive_a_reader_that_cuts_off(at_ms: int) -> None:
    """Prometheus reads a timestamp as a float of seconds and cuts its product with 1000 off."""
    text = written(one({"__name__": "up"}, (at_ms, 1.0)))
    seconds = text.splitlines()[1].split(" ")[2]
    assert int(float(seconds) * 1000) == at_ms
    assert content(read_openmetrics(text)) == {(("__name__", "up"),): [(at_ms, 1.0)]}


NAMES = st.from_regex(r"[a-z_:][a-z0-9_:]{0,5}", fullmatch=True) | st.text(min_size=1, max_size=5)
SERIES = st.dictionaries(
    st.tuples(
        NAMES,
        st.dictionaries(st.text(min_size=1, max_size=4).filter(lambda name: name != "__name__"), st.text()),
    ).map(lambda pair: tuple(sorted({"__name__": pair[0], **pair[1]}.items()))),
    st.dictionaries(st.integers(0, 10**13), st.floats(allow_nan=False), min_size=1),
    max_size=5,
)


@given(SERIES)
def test_what_is_written_is_read_as_the_same(
    series: dict[tuple[tuple[str, str], ...], dict[int, float]],
) -> None:
    store = SeriesStore.from_series(
        (dict(labels), sorted(samples), [samples[at] for at in sorted(samples)])
        for labels, samples in {tuple(p for p in k if p[1]): v for k, v in series.items()}.items()
    )
    assert content(read_openmetrics(written(store))) == content(store)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_loads_it(tmp_path: Path) -> None:
    store = SeriesStore.from_series(
        [
            (
                {"__name__": "a_total", "x": 'a"b\\c\nd'},
                [1767570306094, 1767570306095],
                [1, 2],
            ),
            ({"__name__": "h_bucket", "le": "+Inf"}, [1767570306001], [1]),
            ({"__name__": "up"}, [1767570306094, 1767570321094], [math.nan, -0.0]),
        ]
    )
    page = tmp_path / "page.om"
    page.write_text(written(store), encoding="utf-8")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(page), str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = done.stdout.splitlines()[1:]
    assert row.split()[1:3] == ["1767570306001", "1767570321095"]
    assert row.split()[4:7] == ["5", "3", "3"]
