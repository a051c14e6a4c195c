"""Builtin functions, and the functions that Argo Rollouts adds."""

from __future__ import annotations

import pytest

from rolloutsim.conditions import ConditionError, NilResult, VectorResult, compile_condition

NOTHING = NilResult()


@pytest.mark.parametrize(
    "text",
    [
        "abs(-5) == 5 and abs(-.5) == .5 and ceil(5.1) == 6 and floor(-5.1) == -6 and round(-2.5) == -3",
        "int(2.9) == 2 and int('5') == 5 and float('1e3') == 1000 and float(5) == 5",
        "int(0 / 0) == -9223372036854775807 - 1",
        "string(5.5) == '5.5' and string([1, 'a', nil, {b: 2}]) == '[1 a <nil> map[b:2]]'",
        "string(1e21) == '1e+21' and string(0.00001) == '1e-05' and string(100000.0) == '100000'",
        "string(1e6) == '1e+06' and string(123456789.5) == '1.234567895e+08' and string(-0.5e-4) == '-5e-05'",
        "string(999999.5) == '999999.5' and string([1e6]) == '[1e+06]' and string(1000000) == '1000000'",
        "type(1) + type(1.0) + type('') + type([]) + type({}) + type(nil) + type(true)"
        " == 'intfloatstringarraymapnilbool'",
        "trim('  a ') == 'a' and trim('xxaxx', 'x') == 'a' and trimPrefix('ab', 'a') == 'b'",
        "trimSuffix('ab', 'b') == 'a' and upper('straße') == 'STRAßE' and lower('ABC') == 'abc'",
        "split('a,b,c', ',') == ['a', 'b', 'c'] and split('a,b,c', ',', 2)[1] == 'b,c'",
        "splitAfter('a,b', ',') == ['a,', 'b'] and replace('aaa', 'a', 'b', 2) == 'bba'",
        "repeat('ab', 3) == 'ababab' and join(['a', 'b'], '-') == 'a-b' and join(split('a,b', ',')) == 'ab'",
        "indexOf('héllo', 'l') == 3 and lastIndexOf('abcb', 'b') == 3 and indexOf('a', 'z') == -1",
        "hasPrefix('ab', 'a') and hasSuffix('ab', 'b') and len('héllo') == 5",
        "max(1, 2, 3) == 3 and min([3, 1.5, 2]) == 1.5 and max([1, 2], 20, [29, [30]]) == 30",
        "mean(10, [1, 2, 3]) == 4 and mean([]) == 0 and median(1..5, 4.9) == 3.5 and median([]) == 0",
        "sum(1..9) == 45 and sum([]) == 0 and type(sum([1, 2.0])) == 'float' and count([true, false]) == 1",
        "toJSON({b: 1.5}) == '{\\n  \"b\": 1.5\\n}' and toJSON('x<') == '\"x\\\\u003c\"'",
        "toJSON([1, nil]) == '[\\n  1,\\n  null\\n]' and toJSON({}) == '{}' and toJSON(1e21) == '1e+21'",
        "toJSON(1e6) == '1000000' and toJSON(0.00001) == '0.00001' and toJSON(1e-7) == '1e-7'",
        "toJSON(1.5e20) == '150000000000000000000' and toJSON(1e-10) == '1e-10'",
        "fromJSON('{\"x\": [1, null]}').x == [1.0, nil]",
        "toBase64('hi') == 'aGk=' and fromBase64('aGk=') == 'hi'",
        "duration('1h30m') == duration('90m') and duration('1.5h').Minutes() == 90",
        "duration('-1m') < duration('0')",
        "date('2024-01-02').Year() == 2024 and (date('2024-01-03') - date('2024-01-01')).Hours() == 48",
        "date('15/03/2024', '02/01/2006').Day() == 15",
        "date('2024-01-02T03:04:05+02:00').Unix() == 1704157445",
        "date('2024-07-01 10:00', '2006-01-02 15:04', 'Europe/Berlin').Unix() == 1719820800",
        "date(timezone('Europe/Berlin'), '2024-07-01').Unix() == 1719784800",
        "date('2024-01-01') + duration('24h') == date('2024-01-02')",
        "date('2024-01-02') > date('2024-01-01')",
        "first([1, 2]) == 1 and last([1, 2]) == 2 and first([]) == nil and get([1], 5) == nil",
        "get({a: 1}, 'a') == 1",
        "take([1, 2, 3], 2) == [1, 2] and take([1], 9) == [1] and reverse(1..3) == [3, 2, 1]",
        "keys({a: 1}) == ['a'] and values({a: 1}) == [1] and fromPairs(toPairs({a: 1})) == {a: 1}",
        "uniq([1, 1.0, 2]) == [1, 2] and concat([1], [2]) == [1, 2] and flatten([[1, [2]], 3]) == [1, 2, 3]",
        "concat([], []) == nil and sort([3, 1, 2]) == [1, 2, 3] and sort(['b', 'a'], 'desc') == ['b', 'a']",
        "bitand(6, 3) == 2 and bitor(6, 3) == 7 and bitxor(6, 3) == 5 and bitnand(0b1010, 0b1100) == 2",
        "bitnot(0) == -1 and bitshl(1, 8) == 256 and bitshl(1, 70) == 0 and bitshr(-8, 1) == -4",
        "bitushr(-5, 2) == 4611686018427387902",
        "asInt('12') == 12 and asInt(-2.9) == -2 and asFloat('1.5') == 1.5 and asFloat('0x1p4') == 16",
        "isNaN(asFloat('NaN')) and isInf(asFloat('-inf')) and isInf(1 / 0) and not isNaN(1 + 1)",
        "isNil(1) and default(1, 7) == 7",
    ],
)
def test_true(text: str) -> None:
    assert compile_condition(text).evaluate(NOTHING) is True


@pytest.mark.parametrize(
    "text",
    [
        "int('x') == 1",
        "int(' 5') == 1",
        "int(true) == 1",
        "float('') == 1",
        "asInt('1.5') == 1",
        "asInt('0x10') == 16",
        "asInt('1_000') == 1000",
        "asInt(nil) == 0",
        "asFloat(true) == 1",
        "asFloat('1e999') == 1",
        "isNaN(len('a'))",
        "bitshl(1, -1) == 1",
        "bitand(fromJSON('1'), 1) == 1",
        "fromJSON('{') == 1",
        "fromJSON('NaN') == 1",
        "fromBase64('?') == ''",
        "duration('1 hour') == duration('1h')",
        "duration('') == duration('0')",
        "date('yesterday') == now()",
        "date('2024-02-30') == now()",
        "timezone('Nowhere') == nil",
        "take([1], -1) == []",
        "toJSON(0 / 0) == ''",
        "sort([1, 'a']) == []",
        "sort([1], 'up') == []",
        "count([1]) == 1",
        "repeat('a', -1) == ''",
        "max([1], ['a']) == 1",
        "mean(['a']) == 1",
    ],
)
def test_fails(text: str) -> None:
    with pytest.raises(ConditionError):
        compile_condition(text).evaluate(NOTHING)


def test_default_and_is_nil_look_at_the_result_and_not_at_their_argument() -> None:
    empty = VectorResult(())
    assert not compile_condition("isNil(nil)").evaluate(empty)
    assert compile_condition("len(default(nil, 0)) == 0").evaluate(empty)
    with pytest.raises(ConditionError, match=r"\[\]float64 <= int"):
        compile_condition("default(result, 0) <= 1").evaluate(empty)


def test_sorting_with_nan_is_by_insertion() -> None:
    values = VectorResult((2.0, float("nan"), 1.0))
    # Nothing is less than NaN or more than it, so that insertion stops there.
    assert compile_condition("sort(result)[0] == 2 and sort(result)[2] == 1").evaluate(values)
