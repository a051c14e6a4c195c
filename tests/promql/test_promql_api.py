"""Answers in the form of Prometheus' HTTP API, and what can be read of them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.errors import InputError
from rolloutsim.promql import STALE_NAN, Matrix, Scalar, Series, SeriesStore, String, Vector, evaluate
from rolloutsim.promql.api_json import error_json, read_api_json, result_json, success_json
from rolloutsim.promql.intake import rfc3339_ms, rfc3339_text, seconds_ms, value_of, value_text
from rolloutsim.promql.labels import Labels

UP = Labels((("__name__", "up"), ("job", 'a"b')))


def test_forms_of_results() -> None:
    assert result_json(Scalar(2.0), 1_435_781_451_781) == (
        '{"resultType":"scalar","result":[1435781451.781,"2"]}'
    )
    assert result_json(String("é\n"), 60_000) == '{"resultType":"string","result":[60,"é\\n"]}'
    assert result_json(Vector(((UP, math.inf),)), 1_050) == (
        '{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a\\"b"},"value":[1.050,"+Inf"]}]}'
    )
    assert result_json(Vector(()), 0) == '{"resultType":"vector","result":[]}'
    assert result_json(Matrix((Series(UP, (-500, 2), (1.5, math.nan)),)), 9) == (
        '{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a\\"b"},'
        '"values":[[-0.500,"1.5"],[0.002,"NaN"]]}]}'
    )


def test_envelopes() -> None:
    assert success_json(result_json(Scalar(1.0), 0)) == (
        '{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}'
    )
    assert success_json(["a"], ["cut"]) == '{"status":"success","data":["a"],"warnings":["cut"]}'
    assert json.loads(error_json("bad_data", 'a "b"')) == {
        "status": "error",
        "errorType": "bad_data",
        "error": 'a "b"',
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (1.5e-5, "0.000015"),
        (9.99e-7, "9.99e-07"),
        (1.5e16, "15000000000000000"),
        (-1.25e20, "-125000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (5e-324, "5e-324"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (STALE_NAN, "NaN"),
    ],
)
def test_values_are_written_as_the_server_does(value: float, text: str) -> None:
    """As Go's strconv.AppendFloat with format f, or e below 1e-6 and from 1e21 on."""
    assert value_text(value) == text


@given(st.floats(allow_nan=False))
def test_values_are_read_as_the_same(value: float) -> None:
    assert value_of(value_text(value)) == value


@pytest.mark.parametrize("text", ["", "one", "1_000", "0x10", "1 ", " 1", "1e", ".", "١"])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        value_of(text)


def test_times() -> None:
    assert rfc3339_ms("2026-01-05T00:00:00Z") == 1_767_571_200_000
    assert rfc3339_ms("2026-01-05t01:00:00.1239+01:00") == 1_767_571_200_123
    assert rfc3339_ms("1969-12-31T23:59:59.5Z") == -500
    for text in ("2026-01-05", "2026-01-05T00:00:00", "2026-13-05T00:00:00Z", "2026-W01-1T00:00:00Z", "10m"):
        assert rfc3339_ms(text) is None
    assert rfc3339_text(1_767_571_200_050) == "2026-01-05T00:00:00.050Z"
    assert seconds_ms("1767571200.0504") == 1_767_571_200_050
    for text in ("NaN", "+Inf", "StaleNaN", "1767571200000", "-1e12"):
        with pytest.raises(ValueError, match=r"not a time|not in the years"):
            seconds_ms(text)


# --- reading --------------------------------------------------------------------------------------


def answer(result: str, kind: str = "matrix") -> str:
    return f'{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}'


def test_a_range_answer_is_series() -> None:
    text = answer(
        '[{"metric":{"__name__":"up","job":"a"},"values":[[1767571200.001,"1"],[1767571260,"NaN"]]}]'
    )
    store = read_api_json(text)
    times, values = store.samples(0)
    assert dict(store.labels(0)) == {"__name__": "up", "job": "a"}
    assert times.tolist() == [1_767_571_200_001, 1_767_571_260_000]
    assert values[0] == 1.0
    assert math.isnan(values[1])


def test_an_instant_answer_is_a_sample_each() -> None:
    store = read_api_json(answer('[{"metric":{},"value":[5,"-Inf"]}]', "vector"))
    assert store.samples(0)[1].tolist() == [-math.inf]


def test_what_is_written_is_read_as_the_same() -> None:
    store = SeriesStore.from_series([(UP, [1, 60_000], [0.1, 2e22]), ({"__name__": "down"}, [3], [math.inf])])
    text = success_json(result_json(evaluate('{__name__=~".+"}[1h]', store, 60_000), 60_000))
    again = read_api_json(text)
    assert len(again) == 2
    assert again.samples(again.add_series(UP))[0].tolist() == [1, 60_000]
    assert again.samples(again.add_series(UP))[1].tolist() == [0.1, 2e22]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", r"answer.json:1:2: this is not JSON"),
        ("[NaN]", r"not JSON: NaN"),
        ("[" * 100_000, r"not JSON"),
        ("[]", r"only a matrix or a vector"),
        ('{"status":"error","error":"too many"}', r"an error and no data: too many"),
        (answer('[1,"1"]', "scalar"), r"data.resultType: only a matrix or a vector .*'scalar'"),
        (answer('[{"metric":{"a":1},"values":[]}]'), r"data.result\[0\]: metric is"),
        (answer('[{"metric":{},"values":{}}]'), r"data.result\[0\]: values is a list"),
        (answer('[{"metric":{},"values":[[1,"x"]]}]'), r"data.result\[0\].values\[0\]: 'x' is not a number"),
        (answer('[{"metric":{},"values":[["x","1"]]}]'), r"values\[0\]: a sample is a pair"),
        (answer('[{"metric":{},"values":[[1,1]]}]'), r"values\[0\]: a sample is a pair"),
        (answer('[{"metric":{},"values":[[1]]}]'), r"values\[0\]: a sample is a pair"),
        (answer('[{"metric":{},"values":[[2,"1"],[1,"1"]]}]'), r"values\[1\]: .*out of order"),
        (answer('[{"metric":{},"values":[[2,"1"],[2,"3"]]}]'), r"values\[1\]: .*two values"),
        (answer('[{"metric":{},"histograms":[[2,{}]]}]'), r"native histograms"),
    ],
)
def test_what_is_refused_is_named_with_its_path(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_api_json(text, source="answer.json")
