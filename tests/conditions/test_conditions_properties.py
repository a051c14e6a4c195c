"""Properties: nothing but a ConditionError, agreement with a reference model, results through JSON."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rolloutsim.conditions import (
    CloudWatchResult,
    ConditionError,
    Dialect,
    FloatPointerResult,
    IntResult,
    JsonResult,
    ListResult,
    MapListResult,
    MetricData,
    NilResult,
    Result,
    ScalarResult,
    StringResult,
    VectorResult,
    compile_condition,
    result_from_json,
    result_to_json,
)

floats = st.floats()
names = st.sampled_from(["a", "b", "ok", "value", "ü"])
scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
int64 = st.integers(-(2**63), 2**63 - 1)
results: st.SearchStrategy[Result] = st.one_of(
    floats.map(ScalarResult),
    floats.map(FloatPointerResult),
    st.lists(floats, max_size=4).map(lambda values: VectorResult(tuple(values))),
    int64.map(IntResult),
    st.text(max_size=8).map(StringResult),
    json_values.map(JsonResult),
    st.lists(scalars | int64 | floats, max_size=4).map(lambda values: ListResult(tuple(values))),
    st.lists(st.dictionaries(names, json_values, max_size=3), max_size=3).map(
        lambda rows: MapListResult(tuple(rows))
    ),
    st.lists(floats, max_size=3).map(
        lambda values: CloudWatchResult((MetricData("i", "l", "s", tuple(values)),))
    ),
    st.booleans().map(NilResult),
)
WORDS = """
result # #acc #index ( ) [ ] { } , . ?. .. : ; ? ?? ?: | + - * / % ** ^ == != < > <= >= && || ! not and or in
matches contains startsWith endsWith let x = if else nil true false 0 1 2.5 'a' `b` b'c' $env a all any map
filter count sum reduce len max sort asInt asFloat isNaN isNil default now duration date get first
"""
words = st.sampled_from(WORDS.split())


def run(text: str, result: Result) -> None:
    for dialect in Dialect:
        answer: object
        try:
            answer = compile_condition(text, dialect).evaluate(result)
        except ConditionError as error:
            answer = bool(str(error)) and error.caret.count("\n") == bool(error.line)
        assert answer in (True, False)


@given(st.text(max_size=40), results)
def test_any_text_gives_a_bool_or_a_condition_error(text: str, result: Result) -> None:
    run(text, result)


@given(st.lists(words, max_size=14).map(" ".join), results)
@settings(max_examples=300)
def test_any_words_give_a_bool_or_a_condition_error(text: str, result: Result) -> None:
    run(text, result)


# --- a reference model of boolean expressions -----------------------------------------------------

Model = tuple[str, Callable[[tuple[float, ...]], bool]]
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
SIZE = 3


def comparison(name: str, position: int, number: float, flipped: bool) -> Model:
    compare = COMPARISONS[name]
    literal = repr(number) if number >= 0 else f"({number!r})"
    if flipped:
        return f"{literal} {name} result[{position}]", lambda values: compare(number, values[position])
    return f"result[{position}] {name} {literal}", lambda values: compare(values[position], number)


def joined(name: str, left: Model, right: Model) -> Model:
    either = name in ("or", "||")
    return (
        f"({left[0]}) {name} ({right[0]})",
        lambda values: (
            (left[1](values) or right[1](values)) if either else (left[1](values) and right[1](values))
        ),
    )


def negated(name: str, inner: Model) -> Model:
    return f"{name} ({inner[0]})", lambda values: not inner[1](values)


models: st.SearchStrategy[Model] = st.recursive(
    st.builds(
        comparison,
        st.sampled_from(sorted(COMPARISONS)),
        st.integers(0, SIZE - 1),
        st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
        st.booleans(),
    ),
    lambda inner: (
        st.builds(joined, st.sampled_from(["and", "&&", "or", "||"]), inner, inner)
        | st.builds(negated, st.sampled_from(["not", "!"]), inner)
    ),
    max_leaves=12,
)


@given(models, st.lists(floats | st.sampled_from([0.0, 1.0, -1.0]), min_size=SIZE, max_size=SIZE))
@settings(max_examples=300)
def test_boolean_expressions_agree_with_a_reference_model(model: Model, values: list[float]) -> None:
    text, expected = model
    for dialect in Dialect:
        assert compile_condition(text, dialect).evaluate(VectorResult(tuple(values))) is expected(
            tuple(values)
        )


integers = st.integers(-(2**40), 2**40)


@given(integers, integers, st.sampled_from(["+", "-", "*", "%", "/"]))
def test_integer_arithmetic_agrees_with_go(left: int, right: int, name: str) -> None:
    expected: float
    match name:
        case "+":
            expected = left + right
        case "-":
            expected = left - right
        case "*":
            expected = (left * right + 2**63) % 2**64 - 2**63
        case "%" if right:
            expected = int(math.fmod(left, right))
        case "/" if right:
            expected = left / right
        case _:
            return
    # asInt keeps the operands from being folded away.
    text = f"asInt('{left}') {name} asInt('{right}') == {expected!r}"
    assert compile_condition(text).evaluate(NilResult())
    assert compile_condition(f"({left}) {name} ({right}) == {expected!r}").evaluate(NilResult())


@given(results)
@settings(max_examples=300)
def test_results_come_back_from_json_unchanged(result: Result) -> None:
    again = result_from_json(json.loads(json.dumps(result_to_json(result), allow_nan=False)))
    assert again == result
    assert result_to_json(again) == result_to_json(result)
    assert hash(again) == hash(result)


@given(
    results,
    st.sampled_from(["result == nil", "isNil(result)", "type(result) == 'array'", "result != result"]),
)
def test_a_second_evaluation_gives_the_same_answer(result: Result, text: str) -> None:
    condition = compile_condition(text)

    def answer() -> bool | str:
        try:
            return condition.evaluate(result)
        except ConditionError as error:
            return str(error)

    assert answer() == answer()
