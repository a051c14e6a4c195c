"""PromQL: what a Prometheus 3.5 server answered, query by query."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.promql import (
    STALE_NAN,
    Matrix,
    PromQLError,
    Result,
    Scalar,
    SeriesStore,
    String,
    Vector,
    evaluate,
)

FILE = "promql.json"
KNOWN_DIFFERENCES: dict[str, str] = {}
"""Ids of cases that this evaluator answers differently, and why."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder = Path(metafunc.config.getoption("--vectors", None) or Path(__file__).parent / "vectors")
    if "case" not in metafunc.fixturenames:
        return
    if not (folder / FILE).exists():
        metafunc.parametrize(("folder", "case"), [])
        return
    cases = [
        pytest.param(
            folder,
            case,
            id=f"promql-{case['id']}",
            marks=[pytest.mark.xfail(strict=True, reason=KNOWN_DIFFERENCES[case["id"]])]
            if case["id"] in KNOWN_DIFFERENCES
            else [],
        )
        for case in _vectors(folder)["cases"]
    ]
    metafunc.parametrize(("folder", "case"), cases)


@cache
def _vectors(folder: Path) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return vectors


@cache
def _store(folder: Path, series_set: str) -> SeriesStore:
    return SeriesStore.from_series(
        (one["labels"], [time for time, _ in one["samples"]], [_value(text) for _, text in one["samples"]])
        for one in _vectors(folder)["series_sets"][series_set]
    )


def test_answer(folder: Path, case: dict[str, Any]) -> None:
    expected = case["expected"]
    store = _store(folder, case["series_set"])
    if expected["type"] == "error":
        with pytest.raises(PromQLError) as caught:
            evaluate(case["query"], store, case["time_ms"])
        assert caught.value.kind == expected["kind"]
        return
    result = evaluate(case["query"], store, case["time_ms"])
    assert difference(result, expected) is None


def difference(result: Result, expected: dict[str, Any]) -> str | None:
    """What distinguishes a result from the expected one; None if nothing does."""
    match result, expected["type"]:
        case Scalar(value), "scalar":
            return None if close(value, _value(expected["value"])) else f"value {value}"
        case String(value), "string":
            return None if value == expected["value"] else f"text {value!r}"
        case Vector(elements), "vector":
            got = [(dict(labels), value) for labels, value in elements]
            want = [(one["labels"], _value(one["value"])) for one in expected["result"]]
            if not expected.get("ordered"):
                got.sort(key=lambda pair: sorted(pair[0].items()))
                want.sort(key=lambda pair: sorted(pair[0].items()))
            same = len(got) == len(want) and all(
                a == b and close(x, y) for (a, x), (b, y) in zip(got, want, strict=True)
            )
            return None if same else f"elements {got}, not {want}"
        case Matrix(series), "matrix":
            found = {one.labels.pairs: list(zip(one.times_ms, one.values, strict=True)) for one in series}
            wanted = {
                tuple(sorted(one["labels"].items())): [(time, _value(text)) for time, text in one["samples"]]
                for one in expected["result"]
            }
            same = Counter(found).keys() == wanted.keys() and all(
                len(found[key]) == len(wanted[key])
                and all(
                    t == u and close(x, y) for (t, x), (u, y) in zip(found[key], wanted[key], strict=True)
                )
                for key in wanted
            )
            return None if same else f"series {found}, not {wanted}"
    return f"{result}, not a {expected['type']}"


def close(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or (math.isfinite(a) and abs(a - b) <= 1e-9 * max(abs(a), abs(b)) + 1e-12)


def _value(text: str) -> float:
    return STALE_NAN if text == "StaleNaN" else float(text)
