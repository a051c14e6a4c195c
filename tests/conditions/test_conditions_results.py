"""The typed results: their Go types, their JSON, and the phase of a measurement."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest

from rolloutsim.conditions import (
    CloudWatchResult,
    ConditionError,
    Dialect,
    FloatPointerResult,
    IntResult,
    JsonResult,
    ListResult,
    MapListResult,
    MeasurementPhase,
    MetricData,
    NilResult,
    Result,
    ScalarResult,
    StringResult,
    VectorResult,
    compile_condition,
    judge,
    result_from_json,
    result_to_json,
)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ScalarResult(2.0), "result == 2 and type(result) == 'float'"),
        (FloatPointerResult(2.0), "result == 2 and not isNil(result)"),
        (IntResult(7), "result % 2 == 1 and type(result) == 'int'"),
        (StringResult("OK"), "result == 'OK' and len(result) == 2"),
        (VectorResult(()), "len(result) == 0 and result != nil and not isNil(result)"),
        (NilResult(), "result == nil and isNil(result) and (result ?? 1) == 1"),
        (NilResult(pointer=True), "result == nil and default(result, 0) < 1"),
        (JsonResult(None), "result == nil and isNil(result)"),
        (JsonResult(True), "result"),
        (JsonResult([1, "a"]), "result[0] == 1 and result[1] == 'a' and type(result[0]) == 'float'"),
        (ListResult((2, "x", 2.5)), "result[0] % 2 == 0 and result[1] == 'x' and result[2] > 2"),
        (
            MapListResult(({"n": 1}, {"n": 2})),
            "len(result) == 2 and result[1].n == 2 and all(result, .n > 0)",
        ),
        (
            CloudWatchResult((MetricData(id="q", label="errors", values=(1.0, 3.0)),)),
            "result[0].Values[1] == 3 and result[0].Id == 'q' and max(result[0].Values) == 3",
        ),
    ],
)
def test_what_a_condition_sees(result: Result, text: str) -> None:
    for dialect in Dialect:
        if "max(" in text and dialect is Dialect.V1_9_1:
            continue
        assert compile_condition(text, dialect).evaluate(result) is True


@pytest.mark.parametrize(
    ("result", "text", "message"),
    [
        (ScalarResult(1.0), "result[0] > 1", "type float64[int] is undefined"),
        (VectorResult((1.0,)), "result > 1", "mismatched types []float64 and int"),
        (NilResult(), "result != nil && result < 1", "mismatched types unknown and int"),
        (JsonResult({"a": 1}), "result > 1", "mismatched types map[string]interface {} and int"),
        (StringResult("x"), "result > 1", "mismatched types string and int"),
        (MapListResult(({},)), "result.n == 1", "array elements can only be selected using an integer"),
        (CloudWatchResult(()), "result[0].Value == 1", "type types.MetricDataResult has no field Value"),
        (ListResult((1.5,)), "result[0] % 2 == 1", "float64 % int"),
    ],
)
def test_errors_name_the_go_types(result: Result, text: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text).evaluate(result)
    assert message in caught.value.message


ALL = [
    ScalarResult(math.nan),
    ScalarResult(-math.inf),
    FloatPointerResult(math.nan),
    VectorResult((1.5, math.nan, math.inf, -0.0)),
    VectorResult(()),
    IntResult(-(2**63)),
    StringResult("NaN"),
    JsonResult({"a": [1, "NaN", None, True, {"b": {}}]}),
    JsonResult(None),
    ListResult((1, 1.0, "x", None, math.nan)),
    MapListResult(({"a": 1}, {})),
    CloudWatchResult((MetricData("id", "label", "Complete", (1.0, math.nan)),)),
    NilResult(),
    NilResult(pointer=True),
]


@pytest.mark.parametrize("result", ALL, ids=lambda result: type(result).__name__)
def test_json_round_trip(result: Result) -> None:
    text = json.dumps(result_to_json(result), allow_nan=False)
    again = result_from_json(json.loads(text))
    assert again == result
    assert hash(again) == hash(result)
    assert result_to_json(again) == result_to_json(result)
    assert pickle.loads(pickle.dumps(result)) == result


def test_special_floats_are_spelled_as_argo_prints_them() -> None:
    assert result_to_json(VectorResult((math.nan, math.inf, -math.inf))) == {
        "type": "vector",
        "value": ["NaN", "+Inf", "-Inf"],
    }


def test_a_json_result_is_a_copy_with_float_numbers() -> None:
    data = {"a": [1]}
    result = JsonResult(data)
    data["a"].append(2)
    assert result == JsonResult({"a": [1.0]})
    assert type(result.value["a"][0]) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, {1: 2}, object(), b"x"])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        JsonResult(value)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "scalar"},
        {"type": "vector", "value": 1},
        {"type": "scalar", "value": "x"},
        {"type": "what"},
    ],
)
def test_what_is_no_result_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|not a metric result"):
        result_from_json(data)


@pytest.mark.parametrize(
    ("success", "failure", "phase"),
    [
        (None, None, "Successful"),
        ("result[0] > 1", None, "Successful"),
        ("result[0] > 2", None, "Failed"),
        (None, "result[0] > 1", "Failed"),
        (None, "result[0] > 2", "Successful"),
        ("result[0] > 1", "result[0] > 1", "Failed"),
        ("result[0] > 1", "result[0] > 2", "Successful"),
        ("result[0] > 2", "result[0] > 2", "Inconclusive"),
        ("result[0] > 1", "result[1] > 1", "Error"),
        ("result[1] > 1", "result[0] > 1", "Error"),
    ],
)
def test_the_phase_of_a_measurement(success: str | None, failure: str | None, phase: str) -> None:
    conditions = [None if text is None else compile_condition(text) for text in (success, failure)]
    given, message = judge(VectorResult((2.0,)), *conditions)
    assert given is MeasurementPhase(phase)
    assert bool(message) == (phase == "Error")


def test_the_message_of_an_error_is_argos() -> None:
    condition = compile_condition("result[0] < 0.05")
    assert judge(VectorResult(()), None, condition) == (
        MeasurementPhase.ERROR,
        'could not evaluate failureCondition "result[0] < 0.05": '
        "metric result is nil or empty: no data returned from the metric provider",
    )
    assert judge(ScalarResult(1.0), condition, None) == (
        MeasurementPhase.ERROR,
        'could not evaluate successCondition "result[0] < 0.05": type float64[int] is undefined',
    )
    release = compile_condition("result[0] < 0.05", Dialect.V1_9_1)
    assert judge(VectorResult(()), release, None)[1] == "index out of range: 0 (array length is 0)"


def test_a_condition_that_does_not_parse_is_an_error_at_each_measurement() -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition("result[0] >")
    phase, message = judge(ScalarResult(1.0), caught.value, None)
    assert phase is MeasurementPhase.ERROR
    assert message == 'could not evaluate successCondition "result[0] >": unexpected token EOF'


def test_conditions_and_errors_travel_between_processes() -> None:
    condition = compile_condition("result < 1")
    assert condition.evaluate(ScalarResult(0.5))
    for again in (pickle.loads(pickle.dumps(condition)), copy.deepcopy(condition)):
        assert again == condition
        assert again.evaluate(ScalarResult(0.5))
    with pytest.raises(ConditionError) as caught:
        condition.evaluate(VectorResult(()))
    error = pickle.loads(pickle.dumps(caught.value))
    assert (str(error), error.line, error.column, error.kind) == (str(caught.value), 1, 8, caught.value.kind)


def test_a_condition_does_not_change() -> None:
    condition = compile_condition("true")
    with pytest.raises(AttributeError):
        condition.text = "false"
