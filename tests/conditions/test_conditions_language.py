"""The expression language on master: operators, access, predicates, structure.

Expected values follow the documentation of expr-lang/expr v1.17.8 (language definition) and the
rules in its checker, optimizer and virtual machine.
"""

from __future__ import annotations

import pytest

from rolloutsim.conditions import (
    ConditionError,
    Dialect,
    JsonResult,
    ListResult,
    NilResult,
    Result,
    VectorResult,
    compile_condition,
)

NOTHING = NilResult()
VECTOR = VectorResult((1.0, 2.0, 3.0))
EMPTY = VectorResult(())
ROW = JsonResult(
    {"a": 1, "n": 2, "s": "x", "list": [1, "b", None], "o": {"p": {"q": True}}, "z": None, "not": 3}
)


def holds(text: str, result: Result = NOTHING, dialect: Dialect = Dialect.MASTER) -> bool:
    return compile_condition(text, dialect).evaluate(result)


@pytest.mark.parametrize(
    "text",
    [
        "-(2 - 5) ** 3 - 2 / (+4 - 3) + -2 == 23",
        "2 ** 3 ** 2 == 512 and -2 ** 2 == -4 and 2 ^ 3 == 8",
        "7 / 2 == 3.5 and 4 / 2 == 2 and type(4 / 2) == 'float'",
        "-7 % 3 == -1 and 7 % -3 == 1",
        "1 == 1.0 and 1 in [1.0] and [1] == [1.0]",
        "9223372036854775807 + 1 == -9223372036854775807 - 1",
        "1_000 == 1000 and 0x1F == 31 and 0o17 == 15 and 0b11 == 3 and .5 == 0.5 and 1e3 == 1000",
        "0 in -1..1 and 4 not in 5..1",
        "1 / 0 > 1e308 and 0 / 0 != 0 / 0 and -1 / 0 < 0",
        "1 < 2 < 3 and not (3 > 2 > 2) and 1 < 2 == true",
        "true or false and false",
        "'foo' + 'bar' matches '^foo' and 'b' not in ['a'] and 'foo' not startsWith 'b'",
        "'abc' contains 'b' and 'abc' endsWith 'c' and 'a' < 'b'",
        "(nil ?? 3) == 3 and (1 ?? 2 ?? 3) == 1",
        "(true ? 1 : 2) == 1 and (false ?: true)",
        "if 1 > 2 { false } else if false { false } else { true }",
        "let x = 10; let y = x * 2; x + y == 30",
        "1; 2; true",
        "true;",
        "{a: 1, 'b': 2, (string(3)): 4}['3'] == 4 and {1: 2}['1'] == 2",
        "len([1, 2, ]) == 2 and len({a: 1, }) == 1 and len([1],) == 1",
        "'\\u{1F600}' == '😀' and '\\x41\\102\\u0043' == 'ABC' and `a``b` == 'a`b'",
        "b'ab\\xff'[2] == 255 and len(b\"é\") == 2",
        "1 /* one */ + 2 == 3 // three",
        "::len([1]) == 1 and ([1, 2, 3] | filter(# > 1) | map(# * 10)) == [20, 30]",
        "'héllo'[1:3] == 'é' and 'abc'[-2:] == 'bc' and 'abc'[:1] == 'a'",
        "(0..10)[5] == 5 and len(4..0) == 0",
        "{a: 1} == {a: 1} and {a: 1} != {a: 1.0}",
        "[1, 2] == 1..2 and toPairs({a: 1}) != [['a', 1]]",
        "nil == nil and 0 != nil and not ('' == nil)",
        "$env.result == nil and 'result' in $env and $env?.other == nil",
        "let f = asInt; f('3') == 3",
    ],
)
def test_true_without_a_result(text: str) -> None:
    assert holds(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "result[-1] == 3 and result[1:] == [2, 3] and result[:-1] == [1, 2] and len(result[7:]) == 0",
        "all(result, # > 0) and none(result, {# > 3}) and any(result, # == 2) and one(result, # > 2)",
        "count(result, # > 1) == 2 and sum(result) == 6 and sum(result, # * 2) == 12",
        "reduce(result, #acc + #) == 6 and reduce(result, #acc + #index, 0) == 3",
        "map(result, #index) == [0, 1, 2] and filter(result, # > 1) == [2, 3]",
        "find(result, # > 1) == 2 and find(result, # > 9) == nil and findLast(result, # < 3) == 2",
        "findIndex(result, # > 1) == 1 and findLastIndex(result, # > 1) == 2",
        "findIndex(result, # > 9) == nil",
        "groupBy(1..5, # % 2)[1] == [1, 3, 5] and len(groupBy(result, #)[7]) == 0",
        "sortBy(result, -#)[0] == 3 and sortBy(result, #, 'desc') == [3, 2, 1]",
        "any(result, any([1, 2], # == 2) and # == 3)",
        "result == [1, 2, 3] and 3 in result and result != 1..3",
        "result | filter(# > 1) | len() == 2",
    ],
)
def test_true_on_a_vector(text: str) -> None:
    assert holds(text, VECTOR) is True


@pytest.mark.parametrize(
    "text",
    [
        "result.a == 1 and result['a'] == 1.0 and result.missing == nil and result.not == 3",
        "result.o.p.q and result?.o?.p.q and result.z?.p.q == nil and result.z?.['k'] == nil",
        "((result.z?.p)?.q ?? 5) == 5",
        "result.list[result.a] == 'b' and result.list[-1] == nil",
        "'a' in result and 'b' not in result and keys(result.o) == ['p']",
        "result.a in [1, 2] and result.s in ['x', 'y'] and not (result.z in ['x'])",
        "result.z contains 'a' == false and not (result.z matches 'a')",
        "result.a == 'a' == false",
        "result.o.p.q ?: false",
        "all(result.s, # == 120)",
    ],
)
def test_true_on_json(text: str) -> None:
    assert holds(text, ROW) is True


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("result.z.p", ROW),
        ("result.a ?: 3", ROW),
        ("result.s > 1", ROW),
        ("result.a matches 'a'", ROW),
        ("result.a in ['x', 'y']", ROW),
        ("result.n % 2 == 0", ROW),
        ("result.list[3] == nil", ROW),
        ("result[result.n] == 1", ROW),
        ("all([['a'], result][0], # < 1)", VECTOR),
        ("!result.a", ROW),
        ("result.a and true", ROW),
        ("result.foo()", ROW),
        ("result[0] > 1", EMPTY),
        ("reduce(result, #acc + #) == 0", EMPTY),
        ("max(result) < 1", EMPTY),
        ("filter(result, # > 9)[0] == 1", VECTOR),
        ("sum(fromJSON('[\"a\"]')) == 1", NOTHING),
        ("{(1): 2} == {}", NOTHING),
        ("'a' matches ('(' + string(1))", NOTHING),
        ("let f = len; f([1]) == 1", NOTHING),
    ],
)
def test_fails_while_it_runs(text: str, result: Result) -> None:
    with pytest.raises(ConditionError) as caught:
        holds(text, result)
    assert caught.value.kind == "evaluation"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("result > 1", VECTOR),
        ("result && true", VECTOR),
        ("false && result < 1", NOTHING),
        ("result.a == 1", VECTOR),
        ("result['a'] == 1", VECTOR),
        ("result[1.5] == 1", VECTOR),
        ("1 == 'a'", NOTHING),
        ("true == 1", NOTHING),
        ("1 + 'a' == 'b'", NOTHING),
        ("1.5 % 2 == 0", NOTHING),
        ("not 1 > 2", NOTHING),
        ("42 in ['a']", NOTHING),
        ("'a' in 'abc'", NOTHING),
        ("1 in result", ROW),
        ("nil in {a: 1}", NOTHING),
        ("1 ? true : false", NOTHING),
        ("all(result, # > 0)", ROW),
        ("all(1..3, #)", NOTHING),
        ("filter(1..3, #index > 0) == []", NOTHING),
        ("map(1..3, nil) == []", NOTHING),
        ("foo == 1", NOTHING),
        ("foo(1) == 1", NOTHING),
        ("$env.foo == 1", NOTHING),
        ("let result = 1; true", NOTHING),
        ("let len = 1; true", NOTHING),
        ("let x = 1; let x = 2; true", NOTHING),
        ("'a' matches '('", NOTHING),
        ("'abc'[0] == 97", NOTHING),
        ("len(1) == 1", NOTHING),
        ("len() == 1", NOTHING),
        ("isNaN('x')", NOTHING),
        ("isInf(1, 0)", NOTHING),
        ("result()", NOTHING),
        ("join([1.5], ',') == join(result)", VECTOR),
        ("false && 1 % 0 == 1", NOTHING),
    ],
)
def test_does_not_fit_the_type(text: str, result: Result) -> None:
    with pytest.raises(ConditionError) as caught:
        holds(text, result)
    assert caught.value.kind == "type"


def test_literal_sides_are_folded_before_the_run() -> None:
    assert holds("result[5] > 0 && false", EMPTY) is False
    assert holds("result[5] > 0 || true", EMPTY) is True


def test_filter_with_an_index_stops_at_the_element_it_finds() -> None:
    assert holds("filter(result.list, # > 0)[0] == 1 and first(filter(result.list, # > 0)) == 1", ROW)


MIXED = ListResult((2, 3, "x"))


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "text",
    [
        "map(filter(result, # != 'x'), # + 1) == [3, 4]",
        "map(filter(result, # > 1), # + 1)[0] == 3",
        "map(filter(result, # == 'x'), 'y')[-1] == 'y'",
        "first(map(filter(result, # > 1), # + 1)) == 3",
        "first(map(filter(result, # == 7), # + 1)) == nil",
        "last(map(filter(result, # == 'x'), 'y')) == 'y'",
        "len(map(filter(result, # != 1), # + 1)) == 3",
        "map(filter([1, 2, 3], # > 1), map(filter([7, 8], # > 7), #))[0] == [8]",
        "first(filter([1.5], # > 1)) != 'a'",
    ],
)
def test_what_is_mapped_over_a_filter_runs_where_it_is_asked_for(text: str, dialect: Dialect) -> None:
    assert compile_condition(text, dialect).evaluate(MIXED) is True


def test_a_map_over_a_filter_that_finds_nothing_has_no_first_element() -> None:
    with pytest.raises(ConditionError, match="index out of range"):
        holds("map(filter(result, # == 7), # + 1)[0] == 1", MIXED)


def test_a_sum_over_a_literal_array_is_an_addition() -> None:
    assert holds("sum([string(1), 'b', 'c']) == '1bc'", NOTHING)
    with pytest.raises(ConditionError, match="string"):
        holds("sum(['a', 'b']) == 'ab'", NOTHING)
    small, large = 1.0, 2.0**53
    assert holds(
        "sum([result[0], result[1], result[1]]) == result[2]", VectorResult((large, small, large + 2))
    )
    assert holds("sum([result[1], result[1], result[0]]) == result[0]", VectorResult((large, small)))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("count(result, # > 1) > 0", True),
        ("count(result, # > 1) >= 2", True),
        ("count(result, # > 1) > 1", True),
        ("count(result, # > 1) < 2", False),
        ("count(result, # > 1) <= 1", False),
        ("count(result, # > 9) > -1", None),
        ("count(result, # > 1) >= 3", None),
        ("count(result, # > 1) == 2", None),
        ("2 <= count(result, # > 1)", None),
        ("count(result, # > 1) < 1", None),
        ("len(filter(result, # > 1)) > 0", True),
        ("len(map(filter(result, # > 1), # % (# - #))) >= 2", True),
        ("len(filter(result, # > 1)) == 2", None),
    ],
)
def test_counting_stops_where_the_comparison_is_decided(text: str, answer: bool | None) -> None:
    if answer is None:
        with pytest.raises(ConditionError, match="string > int"):
            holds(text, MIXED)
        answer = True
    else:
        assert holds(text, MIXED) is answer
    with pytest.raises(ConditionError, match="string > int"):
        compile_condition(text, Dialect.V1_9_1).evaluate(MIXED)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("any(result, # == 3) || any(result, # > 9)", True),
        ("any(result, # > 9) || any(result, # == 3)", True),
        ("any(result, # > 9) or any(result, # < 0) or any(result, # == 3)", True),
        ("all(result, # < 9) && all(result, # != 3)", False),
        ("none(result, # > 9) && none(result, # == 3)", False),
        ("all(result, # < 9) and len(result) == 3", None),
        ("any(result, # > 9) && any(result, # == 3)", None),
        ("any(result[:], # > 9) || any(result, # == 3)", None),
        ("all(result, # < 3) && all(result, # == 'x')", False),
        ("any(result, # == 'x') || any(result, # > 3)", True),
    ],
)
def test_loops_over_one_collection_are_played_together(text: str, answer: bool | None) -> None:
    if answer is None:
        with pytest.raises(ConditionError):
            holds(text, MIXED)
    else:
        assert holds(text, MIXED) is answer


def test_a_value_that_is_no_bool_is_an_error() -> None:
    with pytest.raises(ConditionError, match=r"expected bool, but got \[\]float64"):
        holds("result", VECTOR)
    with pytest.raises(ConditionError, match="expected bool, but got string"):
        holds("true && result.s", ROW)


def test_nan_is_unequal_and_unordered() -> None:
    nan = VectorResult((float("nan"),))
    for operator in ("==", "<", "<=", ">", ">="):
        assert holds(f"result[0] {operator} result[0]", nan) is False
        assert holds(f"result[0] {operator} 1", nan) is False
    assert holds("result[0] != result[0] and result != result and isNaN(result[0])", nan)
    # The same slice is deeply equal to itself, which is how v1.9.1 compares arrays.
    assert holds("result == result", nan, Dialect.V1_9_1)


def test_now_is_what_the_caller_says() -> None:
    condition = compile_condition("now() > date('2024-01-01') and now().Unix() == 1735689600")
    assert condition.evaluate(NOTHING, now_ms=1_735_689_600_000)
    assert not condition.evaluate(NOTHING)
