"""What the release v1.9.1 (antonmedv/expr v1.15.5) does differently."""

from __future__ import annotations

import pytest

from rolloutsim.conditions import (
    ConditionError,
    Dialect,
    JsonResult,
    NilResult,
    VectorResult,
    compile_condition,
)

NOTHING = NilResult()


def answer(text: str, dialect: Dialect, result: object = NOTHING) -> bool | str:
    try:
        return compile_condition(text, dialect).evaluate(result)  # type: ignore[arg-type]
    except ConditionError as error:
        return error.kind.value


@pytest.mark.parametrize(
    ("text", "master", "release"),
    [
        ("if true { true } else { false }", True, "syntax"),
        ("1; true", True, "syntax"),
        ("::len([1]) == 1", True, "syntax"),
        ("0 < 1 < 2", True, "type"),
        ("{a: nil}.a?.[0] == nil", True, "syntax"),
        ("0o17 == 15", True, "syntax"),
        ("0b11 == 3", True, "syntax"),
        ("len(b'ab') == 2", True, "syntax"),
        ("`a` == 'a'", True, "syntax"),
        ("len([1],) == 1", True, "syntax"),
        ("len('héllo') == 5", True, False),
        ("len('héllo') == 6", False, True),
        ("max([1, 2]) == 2", True, "type"),
        ("max(1, 2) == 2", True, True),
        ("sortBy([{a: 2}, {a: 1}], .a)[0].a == 1", True, "syntax"),
        ("sortBy([{a: 2}, {a: 1}], 'a')[0].a == 1", False, True),
        ("reverse([1]) == [1]", True, "type"),
        ("bitand(6, 3) == 2", True, "type"),
        ("[1] == [1.0]", True, False),
        ("42 in ['a']", "type", "type"),
        ("42 in [string(1)]", "type", "type"),
        ("let x = ['a']; 42 in x", "type", "type"),
        ("42 in ['a'][:1]", "type", False),
        ("42 in (true ? ['a'] : ['b'])", "type", False),
        ("42 in (['a'] ?? [])", "type", False),
        ("42 in ['a', nil]", False, False),
        ("42 in [nil]", False, False),
        ("1 in [1.5, 1]", True, True),
        ("{z: nil}.z contains 'a'", False, "evaluation"),
        ("count([true]) == 1", True, "syntax"),
        ("sum([1, 2], #) == 3", True, "syntax"),
        ("sum([1, 2.5]) == 3.5", True, True),
        ("sort([2, 1]) == [1, 2]", True, True),
        ("sort([2.5, 1.5])[0] == 1.5", True, True),
        ("sort([2, 1.5])[0] == 1.5", True, "evaluation"),
        ("sort([true, false])[0] == true", "evaluation", "evaluation"),
        ("sortBy([{a: 2.5}, {a: 1.5}], 'a')[0].a == 1.5", False, True),
        ("mean([1, 2]) == 1.5 and median([1, 2, 3]) == 2", True, True),
        ("(1 + 1 not in [2]) == false", True, False),
        ("1 not == 2", "syntax", True),
        ("len(1..1000000) == 1000000", "evaluation", True),
        ("let x = 1; x == 1", True, True),
        ("map([5], #index) == [0]", True, True),
        ("map(filter(1..4, # > 2), #index) == [0, 1]", True, False),
        ("map(filter(1..4, # > 2), #index) == [2, 3]", False, True),
        ("filter(1..4, # > 2) | map(#index) == [2, 3]", False, True),
        ("map(map(1..2, # + 1), #index) == [0, 1]", True, True),
        ("map(filter(1..4, # > 2), # * 2) == [6, 8]", True, True),
        ("first(map(filter(1..4, # > 2), #index)) == 2", False, True),
        ("len(map(filter(1..4, # > 2), #index % 0)) == 2", "evaluation", True),
        ("([1, 2] | filter(# > 1)) == [2]", True, True),
    ],
)
def test_differences(text: str, master: bool | str, release: bool | str) -> None:
    assert answer(text, Dialect.MASTER) == master
    assert answer(text, Dialect.V1_9_1) == release


def test_a_vector_never_equals_a_literal_array_in_the_release() -> None:
    vector = VectorResult((1.0, 2.0))
    assert answer("result == [1, 2]", Dialect.MASTER, vector) is True
    assert answer("result == [1.0, 2.0]", Dialect.V1_9_1, vector) is False


def test_the_dialects_are_different_conditions() -> None:
    assert compile_condition("true") == compile_condition("true", Dialect.MASTER)
    assert compile_condition("true") != compile_condition("true", Dialect.V1_9_1)
    assert (
        len({compile_condition("true"), compile_condition("true"), compile_condition("true", Dialect.V1_9_1)})
        == 2
    )


def test_json_access_is_the_same() -> None:
    row = JsonResult({"a": {"b": [1]}})
    for dialect in Dialect:
        assert answer("result.a.b[0] == 1 and result.x?.y == nil", dialect, row) is True
