"""Bars: how they are written, where they apply, what runs say about them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rolloutsim.errors import InputError
from rolloutsim.evidence.bars import DEFAULT_BARS, MEAN_RUNS, Bar, bars_on, default_left_out
from rolloutsim.evidence.verdict import BarResult, Verdict, judge, overall
from rolloutsim.evidence.waivers import Waiver, read_waiver, waived
from rolloutsim.outcomes import End, Outcome
from tests.evidence.made_up import suite
from tests.synthetic import outcome

SUITE = suite()


def only(text: str) -> Bar:
    (bar,) = bars_on(SUITE, (text,))
    return bar


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        bars_on(SUITE, (text,))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("--require: ")
    return message


# --- how they are written -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ("p_detect>=0.95@err-step-2pp", Bar("p_detect", None, True, 0.95, "err-step-2pp")),
        (" p_detect >= 95% @ err-step-2pp ", Bar("p_detect", None, True, 0.95, "err-step-2pp")),
        ("p_false_abort<=2%@healthy", Bar("p_false_abort", None, False, 0.02, "healthy")),
        ("bad_requests<=5000@leak", Bar("bad_requests", None, False, 5000.0, "leak")),
        ("bad_requests_mean<=5e3@leak", Bar("bad_requests", None, False, 5000.0, "leak")),
        ("bad_requests_p95<=5000@leak", Bar("bad_requests", 0.95, False, 5000.0, "leak")),
        (
            "time_to_detect_s_p90<=10m@err-step-5pp",
            Bar("time_to_detect_s", 0.9, False, 600.0, "err-step-5pp"),
        ),
        ("duration_s<=1h30m@healthy", Bar("duration_s", None, False, 5400.0, "healthy")),
    ],
)
def test_a_bar_is_read(text: str, bar: Bar) -> None:
    assert only(text) == bar


@pytest.mark.parametrize("text", [*DEFAULT_BARS, "bad_requests_p95<=5000@leak", "pod_hours<=2.5@healthy"])
def test_a_bar_is_written_as_it_is_read(text: str) -> None:
    assert str(only(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p_detect", "this is no bar"),
        ("p_detect>=@healthy", "this is no bar"),
        ("", "this is no bar"),
        ("p_detect>0.95@err-step-2pp", "write p_detect>=0.95"),
        ("p_detect=0.95@err-step-2pp", "write p_detect>=0.95"),
        ("p_false_abort<0.02", "write p_false_abort<=0.02"),
        ("p_detekt>=0.95", "did you mean 'p_detect'?"),
        ("wibble>=1", "known are p_detect"),
        ("bad_requests_p42<=1", "known are p50, p90, p95, p99"),
        ("time_to_detect_s<=600", "write time_to_detect_s_p90"),
        ("p_detect>=95@err-step-2pp", "write 0.95 or 95%"),
        ("p_detect>=1@err-step-2pp", "no number of runs can show"),
        ("p_false_abort<=0@healthy", "no number of runs can show"),
        ("bad_requests<=many@leak", "the bound is no number"),
        ("bad_requests<=nan@leak", "not finite"),
        ("duration_s<=5x@healthy", "the bound is no number"),
        ("p_detect>=0.95@err-stp-2pp", "did you mean 'err-step-2pp'?"),
        ("p_detect>=0.95@zzz*", "the suite has capacity"),
        ("p_detect>=0.95@healthy", "this one is good"),
        ("cut_connections<=5@leak", "says nothing about its connections"),
        ("schema_violations<=5@leak", "does not change the schema"),
        ("p_false_abort<=0.02@leak", "this one is bad"),
    ],
)
def test_what_is_no_bar_is_refused_in_one_sentence(text: str, says: str) -> None:
    assert says in refused(text)


# --- where they apply -----------------------------------------------------------------------------


def test_a_pattern_means_each_of_its_scenarios() -> None:
    bars = bars_on(SUITE, ("p_detect>=0.9@err-step-*",))
    assert {bar.scenario for bar in bars} == {name for name in SUITE.names if name.startswith("err-step-")}


def test_without_a_scenario_a_bar_holds_wherever_it_has_a_meaning() -> None:
    bad, good = bars_on(SUITE, ("p_detect>=0.9",)), bars_on(SUITE, ("p_false_abort<=0.1",))
    assert {bar.scenario for bar in (*bad, *good)} == set(SUITE.names)
    assert not {bar.scenario for bar in bad} & {bar.scenario for bar in good}
    assert len(bars_on(SUITE, ("pod_hours<=100",))) == len(SUITE.names)
    (rows,) = bars_on(SUITE, ("rows_at_risk<=100",))
    assert rows.scenario == "schema-break"


def test_the_bar_that_is_given_last_counts() -> None:
    bars = bars_on(SUITE, ("p_detect>=0.9@err-step-*", "p_detect>=0.5@err-step-2pp"))
    assert next(bar for bar in bars if bar.scenario == "err-step-2pp").bound == 0.5


def test_of_the_default_bars_those_count_that_the_suite_has() -> None:
    assert [str(bar) for bar in bars_on(SUITE)] == list(DEFAULT_BARS)
    some = suite("healthy", "leak")
    assert [str(bar) for bar in bars_on(some)] == ["p_false_abort<=0.02@healthy"]
    assert default_left_out(SUITE) == ()
    assert {*default_left_out(some), "p_false_abort<=0.02@healthy"} == set(DEFAULT_BARS)
    with pytest.raises(InputError, match="no bar applies"):
        bars_on(suite("leak"))


# --- what runs say --------------------------------------------------------------------------------


def runs(n: int = 1000) -> list[Outcome]:
    g = np.random.Generator(np.random.Philox(key=1))
    return [
        outcome(caught=bool(luck < 0.3), bad_requests=load, time_to_detect_s=60.0)
        for luck, load in zip(g.random(n), g.lognormal(5.0, 1.0, n), strict=True)
    ]


def test_a_share_counts_runs() -> None:
    found = runs()
    share = sum(run.detected for run in found) / 1000
    assert only("p_detect>=0.5@leak").value(found) == share
    assert only("p_abort>=0.5@leak").value(found) == share
    assert only("p_promoted>=0.5@leak").value(found) == 1.0 - share
    assert only("p_stuck<=0.5@leak").value([replace(run, end=End.STUCK) for run in found]) == 1.0


@pytest.mark.parametrize("sign", ["<=", ">="])
@pytest.mark.parametrize("quantity", ["bad_requests_p50", "bad_requests_p95"])
@pytest.mark.parametrize("bound", [100, 140, 155, 600, 750, 900])
def test_a_bar_on_a_quantile_is_one_on_a_share(quantity: str, sign: str, bound: int) -> None:
    bar, found = only(f"{quantity}{sign}{bound}@leak"), runs()
    by_numpy = np.quantile([run.bad_requests for run in found], bar.quantile or 0.0)
    assert bar.value(found) == pytest.approx(by_numpy, rel=0.02)
    at_least, asked = bar.asked
    share = bar.estimate(found, 0.025).value
    assert share is not None
    met = by_numpy >= bound if bar.at_least else by_numpy <= bound
    assert met == (share >= asked if at_least else share <= asked)


def test_a_run_that_detects_nothing_is_not_soon() -> None:
    bar = only("time_to_detect_s_p50<=10m@leak")
    assert bar.value(runs()) == math.inf
    assert judge(bar, bar.estimate(runs(), 0.01)) is Verdict.FAILED
    late = only("time_to_detect_s_p50>=10m@leak")
    assert judge(late, late.estimate(runs(), 0.01)) is Verdict.PASSED


def test_few_runs_decide_nothing_about_a_mean() -> None:
    """A loss in one run of a hundred may not have happened yet: all alike is not known."""
    bar = only("bad_requests<=1e9@leak")
    assert judge(bar, bar.estimate(runs(MEAN_RUNS - 1), 0.01)) is Verdict.INCONCLUSIVE
    assert judge(bar, bar.estimate(runs(MEAN_RUNS), 0.01)) is Verdict.PASSED


@pytest.mark.parametrize(
    ("caught", "verdict"), [(990, Verdict.PASSED), (950, Verdict.INCONCLUSIVE), (900, Verdict.FAILED)]
)
def test_the_worse_end_of_the_interval_decides(caught: int, verdict: Verdict) -> None:
    detect = only("p_detect>=0.95@leak")
    bad = [outcome(caught=index < caught) for index in range(1000)]
    assert judge(detect, detect.estimate(bad, 0.025)) is verdict
    spare = only("p_false_abort<=0.05@healthy")
    good = [outcome(healthy=True, caught=index >= caught) for index in range(1000)]
    assert judge(spare, spare.estimate(good, 0.025)) is verdict


def test_runs_that_could_show_it() -> None:
    bar = only("p_detect>=0.99@leak")
    needed = bar.needs(0.01)
    for n, verdict in ((needed, Verdict.PASSED), (needed - 1, Verdict.INCONCLUSIVE)):
        assert judge(bar, bar.estimate([outcome()] * n, 0.01)) is verdict


def result(verdict: Verdict, waiver: str = "") -> BarResult:
    bar = only("p_detect>=0.95@leak")
    return BarResult(bar, verdict, 0.9, bar.estimate([outcome()] * 10, 0.01), waiver)


def test_all_bars_have_to_be_passed() -> None:
    passed, failed, unknown = (result(verdict) for verdict in Verdict)
    assert overall([passed, passed]) is Verdict.PASSED
    assert overall([passed, unknown]) is Verdict.INCONCLUSIVE
    assert overall([passed, unknown, failed]) is Verdict.FAILED
    assert overall([passed, result(Verdict.FAILED, "known")]) is Verdict.PASSED
    assert overall([result(Verdict.FAILED, "known")]) is Verdict.INCONCLUSIVE
    assert overall([]) is Verdict.INCONCLUSIVE


# --- waivers --------------------------------------------------------------------------------------


def test_a_waiver_is_read() -> None:
    assert read_waiver("p_detect@leak=no gate sees it = yet") == Waiver(
        "p_detect", "leak", "no gate sees it = yet"
    )


@pytest.mark.parametrize("text", ["p_detect@leak", "p_detect@leak=", "p_detect=why", "@leak=why", "=why", ""])
def test_a_waiver_without_a_part_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--waive: .*p_detect@err-step-2pp=REASON"):
        read_waiver(text)


def test_a_waiver_fits_a_bar() -> None:
    bars = bars_on(SUITE)
    found = waived(bars, [Waiver("p_detect", "err-step-*", "later")])
    assert {bar.scenario for bar in found} == {"err-step-2pp", "err-step-5pp", "err-step-20pp"}
    with pytest.raises(InputError, match="did you mean 'p_detect@crashloop'"):
        waived(bars, [Waiver("p_detect", "crash-loop", "later")])
