"""Gates that look at which arm each event fell on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from rolloutsim.engine.gates import (
    Arm,
    EventShare,
    GateState,
    RateRatio,
    Sample,
    SampleRatio,
    Verdict,
    start_gate,
    update,
)
from rolloutsim.engine.gates.mixtures import EITHER, ratio_sequence, share_of, share_two_sided, wins
from rolloutsim.engine.gates.state import Tally
from tests.gates.streams import feed, streams

Ratio = RateRatio | EventShare
NEVER = 10**9
"""As ``min_requests``: the gate only counts, and no verdict stops its e-value."""


def grown(gate: Ratio, state: GateState, x: int, y: int, weight: float) -> tuple[GateState, float]:
    """Add x canary and y stable errors at a weight; the state and the e-value."""
    old = state.sample
    sample = Sample(
        Arm(old.stable.requests + 100, old.stable.bad + y),
        Arm(old.canary.requests + 100, old.canary.bad + x),
        weight,
    )
    step = update(gate, state, sample)
    return step.state, step.evidence.value


def expectation(gate: Ratio, ratio: float, events: int) -> float:
    """Exact mean of the e-value after three stages of so many events, the weight reacting to the past."""
    total = 0.0
    for xs in itertools.product(range(events + 1), repeat=3):
        state, chance, e, weight = start_gate(gate), 1.0, 1.0, 5.0
        for x in xs:
            chance *= float(binom.pmf(x, events, share_of(ratio, weight)))
            state, e = grown(gate, state, x, events - x, weight)
            weight = 25.0 if x == 0 else 50.0
        total += chance * e
    return total


@pytest.mark.parametrize(
    ("gate", "ratio"),
    [
        (RateRatio(min_requests=NEVER), 1.25),
        (RateRatio(min_requests=NEVER), 1.0),
        (RateRatio(min_requests=NEVER), 0.5),
        (EventShare(min_requests=NEVER), 1.25),
        (EventShare(min_requests=NEVER), 1.0),
    ],
)
def test_expectation_is_at_most_one_while_the_weight_reacts(gate: Ratio, ratio: float) -> None:
    mean = expectation(gate, ratio, 6)
    if ratio == gate.margin:
        assert mean == pytest.approx(1.0, abs=1e-9)
    else:
        assert 0.0 < mean < 1.0


def test_expectation_grows_where_the_canary_is_bad() -> None:
    assert expectation(RateRatio(min_requests=NEVER), 5.0, 6) > 1.5


@settings(deadline=None)
@given(samples=streams(weights=(5.0, 20.0)), parts=st.integers(1, 3))
def test_it_does_not_matter_how_often_counts_are_sampled(samples: list[Sample], parts: int) -> None:
    """The e-value depends on what happened at which weight, not on the samples in between."""
    gate = RateRatio(min_requests=NEVER)
    last = feed(gate, samples)[-1].evidence.value
    thinned = [
        sample
        for index, sample in enumerate(samples)
        if index == len(samples) - 1
        or index % parts == 0
        or samples[index + 1].weight_percent != sample.weight_percent
    ]
    assert feed(gate, thinned)[-1].evidence.value == pytest.approx(last, rel=1e-9)


@settings(deadline=None)
@given(x=st.integers(0, 80), y=st.integers(0, 80), weight=st.sampled_from([1.0, 5.0, 30.0, 50.0, 90.0]))
def test_swapping_the_labels_mirrors_the_interval_and_keeps_the_routing_check(
    x: int, y: int, weight: float
) -> None:
    def interval(tally: Tally) -> tuple[float, float]:
        return ratio_sequence([tally], 0.05, wins((EITHER,), [tally])[0])[:2]

    low, high = interval(Tally(weight, x, y))
    mirrored_low, mirrored_high = interval(Tally(100.0 - weight, y, x))
    assert low == pytest.approx(1.0 / mirrored_high if mirrored_high else math.inf, rel=1e-6)
    assert high == pytest.approx(1.0 / mirrored_low if mirrored_low else math.inf, rel=1e-6)
    share = weight / 100.0
    assert share_two_sided(x, y, share, 3.0, 7.0) == pytest.approx(
        share_two_sided(y, x, 1.0 - share, 7.0, 3.0), abs=1e-9
    )
    values = [
        feed(SampleRatio(), [Sample(Arm(n_s), Arm(n_c), w)])[0].evidence.value
        for n_s, n_c, w in ((y, x, weight), (x, y, 100.0 - weight))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_the_interval_of_the_ratio_covers_at_all_times() -> None:
    """5 % at most, over 400 looks; the ratio is 2, the weight goes from 5 to 50 percent."""
    generator = np.random.Generator(np.random.Philox(key=11))
    streams_count, missed = 400, 0
    for _ in range(streams_count):
        x = {5.0: 0, 50.0: 0}
        y = {5.0: 0, 50.0: 0}
        for look in range(60):
            weight = 5.0 if look < 30 else 50.0
            canary = int(generator.binomial(10, share_of(2.0, weight)))
            x[weight] += canary
            y[weight] += 10 - canary
            tallies = [Tally(w, x[w], y[w]) for w in x if x[w] + y[w]]
            low, high, _ = ratio_sequence(tallies, 0.05, wins((EITHER,), tallies)[0])
            if not low <= 2.0 <= high:
                missed += 1
                break
    assert missed / streams_count <= 0.05 + 4.0 * math.sqrt(0.05 * 0.95 / streams_count)


def test_a_bad_canary_fails_and_a_good_one_passes() -> None:
    gate = RateRatio()
    bad = feed(gate, [Sample(Arm(19_000, 20), Arm(1_000, 20), 5.0)])[0]
    assert bad.verdict is Verdict.FAIL
    assert bad.evidence.p is not None
    assert bad.evidence.p <= gate.alpha
    assert bad.evidence.effect.low > 1.25
    good = feed(gate, [Sample(Arm(19_000, 380), Arm(1_000, 20), 5.0)])[0]
    assert good.verdict is Verdict.PASS
    assert good.evidence.effect.high < 2.0


def test_a_gate_that_passed_may_still_fail() -> None:
    samples = [
        Sample(Arm(19_000, 380), Arm(1_000, 20), 5.0),
        Sample(Arm(20_000, 400), Arm(2_000, 320), 5.0),
    ]
    assert [step.verdict for step in feed(RateRatio(), samples)] == [Verdict.PASS, Verdict.FAIL]


def test_a_silent_service_passes_only_as_harmless() -> None:
    silent = Sample(Arm(190_000, 0), Arm(10_000, 0), 5.0)
    (undecided,) = feed(RateRatio(), [silent])
    assert undecided.verdict is Verdict.CONTINUE
    assert "no bad request in either arm" in undecided.evidence.missing
    (harmless,) = feed(RateRatio(harmless_rate=0.001), [silent])
    assert harmless.verdict is Verdict.PASS
    (early,) = feed(RateRatio(harmless_rate=0.001), [Sample(Arm(19_000, 0), Arm(1_000, 0), 5.0)])
    assert early.verdict is Verdict.CONTINUE
    more = early.evidence.missing_requests
    assert more is not None
    enough = [Sample(Arm(99_000, 0), Arm(1_000 + round(more * f), 0), 5.0) for f in (0.95, 1.05)]
    assert [feed(RateRatio(harmless_rate=0.001), [s])[0].verdict for s in enough] == [
        Verdict.CONTINUE,
        Verdict.PASS,
    ]


def test_what_is_missing_is_about_right() -> None:
    """A canary exactly like stable passes near the number of requests that was named."""
    gate = RateRatio()
    (step,) = feed(gate, [Sample(Arm(9_500, 95), Arm(500, 5), 5.0)])
    more = step.evidence.missing_requests
    assert step.verdict is Verdict.CONTINUE
    assert more is not None
    assert f"{more:,} more canary requests" in step.evidence.missing

    def verdict(canary: int) -> Verdict:
        sample = Sample(Arm(19 * canary, round(0.19 * canary)), Arm(canary, round(0.01 * canary)), 5.0)
        return feed(gate, [sample])[0].verdict

    assert verdict(500 + more // 2) is Verdict.CONTINUE
    assert verdict(500 + 2 * more) is Verdict.PASS


def test_limits_on_requests() -> None:
    gate = RateRatio(min_requests=100, max_requests=200)
    awful = Sample(Arm(1_000, 1), Arm(60, 50), 5.0)
    steps = feed(gate, [awful, Sample(Arm(1_000, 1), Arm(100, 50), 5.0)])
    assert [step.verdict for step in steps] == [Verdict.CONTINUE, Verdict.FAIL]
    assert steps[0].evidence.missing == "needs 40 more canary requests before any verdict"
    assert steps[0].evidence.missing_requests == 40
    (unclear,) = feed(gate, [Sample(Arm(4_000, 40), Arm(200, 3), 5.0)])
    assert unclear.verdict is Verdict.INCONCLUSIVE
    assert unclear.evidence.missing


def test_routing_that_does_not_follow_the_weight() -> None:
    """One canary pod of eleven behind a plain Service is 9.1 percent, not 5."""
    gate = SampleRatio()
    assert feed(gate, [Sample(Arm(10_000), Arm(1_000), 5.0)])[0].verdict is Verdict.FAIL
    assert feed(gate, [Sample(Arm(10_500), Arm(550), 5.0)])[0].verdict is Verdict.PASS
    assert feed(gate, [Sample(Arm(19_000), Arm(0), 5.0)])[0].verdict is Verdict.FAIL
    assert feed(gate, [Sample(Arm(19), Arm(1), 5.0)])[0].verdict is Verdict.CONTINUE


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 0.9},
        {"margin": 2.0},
        {"alpha": 0.0},
        {"beta": 0.7},
        {"harmless_rate": -0.1},
        {"min_requests": 5, "max_requests": 4},
    ],
)
def test_a_gate_that_makes_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not"):
        RateRatio(**wrong)  # type: ignore[arg-type]
