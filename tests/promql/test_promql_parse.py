"""Parsing: what is mended around the grammar's parser, what is refused, and where the caret stands."""

from __future__ import annotations

import pickle

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.promql import (
    Matcher,
    PromQLError,
    Scalar,
    SeriesStore,
    String,
    Vector,
    compile_query,
    evaluate,
)

NOTHING = SeriesStore()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("017", 15.0),
        ("09", 9.0),
        ("0x1F", 31.0),
        ("1_000.5", 1000.5),
        ("1e1_0", 1e10),
        (".5", 0.5),
        ("0777777777777777777777777", 7.777777777777778e23),
        ("1h30m", 5400.0),
        ("1y", 31_536_000.0),
        ("1ms", 0.001),
        ("-1y", -31_536_000.0),
        ("+NaN == bool 1", 0.0),
        ("2 ^ 3 ^ 2", 512.0),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert evaluate(text, NOTHING, 0) == Scalar(value)


@pytest.mark.parametrize(
    "text", ["1_", "1__0", "1_e5", "1e", "0x", "0b1", "1e400", "5m5", "1.5h", "0xFFFFFFFFFFFFFFFFFF"]
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(PromQLError, match="neither a number nor a duration") as caught:
        compile_query(text)
    assert caught.value.kind == "parse"
    assert caught.value.column == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b"', 'a"b'),
        (r"'it\'s'", "it's"),
        (r"`\d+`", r"\d+"),
        ("`a\nb`", "a\nb"),
        (r'"\u00e9\x41\101\U0001F600\t"', "éAA😀\t"),
        (r'"\xc3\xa9"', "é"),
    ],
)
def test_strings(text: str, value: str) -> None:
    assert evaluate(text, NOTHING, 0) == String(value)


@pytest.mark.parametrize(
    "text", [r'"\q"', r"'\"'", r'"\xg1"', r'"\400"', r'"\ud800"', r'"\U00110000"', '"a\nb"']
)
def test_what_is_no_string(text: str) -> None:
    with pytest.raises(PromQLError) as caught:
        compile_query(text)
    assert caught.value.kind == "parse"


def test_bytes_that_are_no_text_are_not_supported() -> None:
    with pytest.raises(PromQLError) as caught:
        compile_query(r'{a="\xff"}')
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize(
    ("text", "offset_ms"),
    [
        ("x offset 5m", 300_000),
        ("x offset 0s", 0),
        ("x offset -1m", -60_000),
        ("x offset 90.5", 90_500),
        ("x OFFSET - 1_0", -10_000),
        ("x @ -5 offset 2s", 2_000),
        ("offset offset 5m", 300_000),
        ("or offset 5m", 300_000),
        ("by OFFSET 1m", 60_000),
    ],
)
def test_offsets(text: str, offset_ms: int) -> None:
    (read,) = compile_query(text).selectors
    assert read.offset_ms == offset_ms


def test_selectors_tell_what_a_query_reads() -> None:
    query = compile_query(
        """topk(scalar(k), rate(a{c=~"5.."}[2m] offset 1m)) + on () max_over_time((-b)[1h:])"""
    )
    assert [(read.metric, read.range_ms, read.offset_ms) for read in query.selectors] == [
        ("a", 120_000, 60_000),
        ("k", None, 0),
        ("b", None, 0),
    ]
    assert query.selectors[0].matchers == (Matcher("__name__", "=", "a"), Matcher("c", "=~", "5.."))
    assert compile_query('{__name__=~"b.*"}').selectors[0].metric is None


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("sum(rate(x[5m])", 1, 4),
        ("rate(x)", 1, 1),
        ("sum(\n  rate(x)\n)", 2, 3),
        ("x +", 1, 4),
        ("x y", 1, 3),
        ("x or 1", 1, 3),
        ("nosuch(x)", 1, 1),
        ("1 + mad_over_time(x[5m])", 1, 5),
        ("x{a=~'('}", 1, 6),
        ("x[5M]", 1, 3),
        ("x @ y", 1, 5),
        ("x ? 1", 1, 3),
        ('sum(x) > "a', 1, 10),
    ],
)
def test_errors_have_a_place(text: str, line: int, column: int) -> None:
    with pytest.raises(PromQLError) as caught:
        compile_query(text)
    error = caught.value
    assert (error.kind, error.line, error.column) == ("parse", line, column)
    shown, caret = error.caret.split("\n")
    assert shown == text.split("\n")[line - 1]
    assert caret.index("^") == column - 1
    assert str(error).endswith(error.caret)


def test_errors_are_policy_errors_and_travel_between_processes() -> None:
    with pytest.raises(PolicyError) as caught:
        compile_query("rate(x)")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert isinstance(copy, PromQLError)
    assert copy.kind == "parse"


@pytest.mark.parametrize(
    "text",
    [
        "first_over_time(x[5m])",
        "limitk(1, x)",
        "limit_ratio(0.5, x)",
        "info(x)",
        "RATE(x[5m])",
        "start()",
        "min_of(1, 2)",
        "a + on () fill (0) b",
        'x{a="1" or b="2"}',
        "x[2m + 1m]",
    ],
)
def test_what_is_newer_or_experimental_is_refused(text: str) -> None:
    with pytest.raises(PromQLError) as caught:
        compile_query(text)
    assert caught.value.kind == "parse"


@pytest.mark.parametrize("text", ["+x[5m]", '+"a"', "rate(+x[5m])", "-x[5m]"])
def test_a_sign_needs_a_number_or_a_vector(text: str) -> None:
    with pytest.raises(PromQLError, match="unary"):
        compile_query(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100 + "x" + ")" * 100,
        "+".join(["x"] * 500),
        "-" * 3000 + "x",
        " or ".join(["x"] * 2400),
        "^".join(["x"] * 2400),
        "x, " * 6000,
        "max_over_time(x[1d:1s])",
        "max_over_time(x[100y:1m])",
        "max_over_time(max_over_time(max_over_time(x[1d:1m])[1d:1m])[1d:1m])",
    ],
)
def test_queries_that_would_cost_too_much_are_refused(text: str) -> None:
    with pytest.raises(PromQLError) as caught:
        compile_query(text)
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize(
    "text",
    ["x[1e300]", "x[300y]", "x offset 300y", "x @ 1e16", "x @ Inf", "x @ -Inf", "x[NaN]", "x offset NaN"],
)
def test_times_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(PromQLError) as caught:
        compile_query(text)
    assert caught.value.kind == "parse"


def test_a_compiled_query_is_kept() -> None:
    assert compile_query("sum(kept)") is compile_query("sum(kept)")


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        (r"\\Qa.b\\E", "a.b", "axb"),
        ("/api/{id}", "/api/{id}", "/api/7"),
        ("a{,2}", "a{,2}", "aa"),
        (r"[[:alpha:]]\\d", "x1", "1x"),
        ("(?i)ABC", "abc", "abcd"),
        ("a|b", "b", "ab"),
        ("x.y", "x\ny", "xy"),
    ],
)
def test_patterns_are_those_of_re2(pattern: str, fits: str, fits_not: str) -> None:
    store = SeriesStore()
    for value in (fits, fits_not):
        store.append({"__name__": "m", "a": value}, 0, 1.0)
    for query, value in ((f'm{{a=~"{pattern}"}}', fits), (f'm{{a!~"{pattern}"}}', fits_not)):
        result = evaluate(query, store, 0)
        assert isinstance(result, Vector)
        assert [labels["a"] for labels, _ in result.elements] == [value]


@pytest.mark.parametrize("text", ['{a=~".*"}', '{a!~".+"}', '{a=~"|b"}', '{a=""}', '{a!="b"}', "{}"])
def test_a_selector_must_ask_for_something(text: str) -> None:
    with pytest.raises(PromQLError, match="non-empty matcher"):
        compile_query(text)
