"""Syntax errors show the place, and hostile expressions are refused in bounded time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rolloutsim.conditions import ConditionError, NilResult, compile_condition
from rolloutsim.errors import PolicyError


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("result >", 1, 9, "unexpected token EOF"),
        ("result === 1", 1, 10, 'unexpected token Operator("=")'),
        ("len(result) > 0 &&\n  result[0] >> 1", 2, 14, 'unexpected token Operator(">")'),
        ("result[0", 1, 9, "unexpected token EOF"),
        ("'abc", 1, 1, "literal not terminated"),
        ("1 + @", 1, 5, "unrecognized character: U+0040 '@'"),
        ("5px", 1, 1, "bad number syntax: '5p'"),
        ("99999999999999999999 > 1", 1, 1, "invalid number literal 99999999999999999999"),
        ("'\\q'", 1, 2, "invalid char escape"),
        ("/* open", 1, 1, "unclosed comment"),
        ("# > 1", 1, 1, "cannot use pointer accessor outside predicate"),
        ("result.a ?? 1 + 2", 1, 15, "Operator (+) and coalesce expressions (??) cannot be mixed"),
        ("{1 + 1: 2}", 1, 4, 'unexpected token Operator("+")'),
        ("result not > 1", 1, 12, 'unexpected token Operator(">")'),
        ("", 1, 1, "unexpected token EOF"),
    ],
)
def test_a_syntax_error_shows_the_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert error.message.startswith(message)
    assert error.kind == "syntax"
    shown, caret = error.caret.split("\n")
    assert shown == text.split("\n")[line - 1]
    assert caret == " " * (column - 1) + "^"
    assert f"line {line}, column {column}" in str(error)


def test_an_error_is_the_policys() -> None:
    assert issubclass(ConditionError, PolicyError)


def test_a_type_error_shows_the_place() -> None:
    with pytest.raises(ConditionError) as caught:
        compile_condition("true &&\n  result < 1").evaluate(NilResult())
    assert (caught.value.line, caught.value.column) == (2, 10)
    assert caught.value.caret == "  result < 1\n         ^"


HOSTILE = [
    "all(1..999, all(1..999, all(1..999, # > 0)))",
    "len(1..999999999999) > 0",
    "repeat('x', 1000000) != ''",
    "reduce(1..100, #acc + #acc, 'x') == ''",
    "reduce(1..60, concat(#acc, #acc), [1]) == []",
    "toJSON(reduce(1..60, [#acc, #acc], 1)) == ''",
    "reduce(1..60, [#acc, #acc], 1) == reduce(1..60, [#acc, #acc], 1)",
    "flatten(reduce(1..60, [#acc, #acc], 1)) == []",
    "string(reduce(1..60, [#acc, #acc], 1)) == ''",
    "max(reduce(1..60, [#acc, #acc], 1)) == 1",
    "toJSON(reduce(1..9000, [#acc], 1)) == ''",
    "let s = repeat('x', 99999); all(1..9999, upper(s) != '')",
    "let s = repeat('ß', 99999); all(1..9999, upper(s) != '')",
    "let s = repeat('x', 99999); all(1..9999, not (s matches '(x+x+)+y'))",
    "replace(repeat('a', 100000), 'a', repeat('b', 10000)) == ''",
    "uniq(1..99999) == []",
    "let a = 1..99999; all(a, # in a)",
    "fromJSON(repeat('[', 100000)) == 1",
    "date(repeat('1', 150), repeat('1', 150)) == now()",
    "isNaN(-asInt(" * 15 + "1" + "))" * 15,
    "(" * 5000 + "true" + ")" * 5000,
    "!" * 5000 + "true",
    "true" + " || true" * 2000,
    "true ? " * 3000 + "1",
    "[" * 3000,
    "result" + "[0]" * 5000,
    "x" * 30000,
]


def test_hostile_expressions_are_bounded() -> None:
    script = (
        "import sys\n"
        "from rolloutsim.conditions import ConditionError, NilResult, compile_condition\n"
        "for text in sys.stdin.read().split('\\0'):\n"
        "    try:\n"
        "        compile_condition(text).evaluate(NilResult())\n"
        "    except ConditionError:\n"
        "        print('refused')\n"
        "    else:\n"
        "        print('answered')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="\0".join(HOSTILE),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["answered" if text.startswith("date(") else "refused" for text in HOSTILE]
