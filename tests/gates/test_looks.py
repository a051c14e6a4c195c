"""Gates made for one look or a planned number of looks, and what further looks cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rolloutsim.engine.gates import (
    Arm,
    BetaPosterior,
    FisherExact,
    Gate,
    GroupSequential,
    Sample,
    Spending,
    TwoProportionZ,
    Verdict,
    start_gate,
    update,
)
from rolloutsim.engine.gates.boundaries import peeking_risk, spending_bounds
from rolloutsim.engine.gates.fixed import difference_interval, fisher_p, pooled_z
from rolloutsim.engine.gates.posterior import posterior_worse
from tests.gates.streams import feed

arms = st.tuples(st.integers(0, 400), st.integers(0, 400)).map(lambda pair: Arm(sum(pair), pair[0]))


@given(canary=arms, stable=arms)
def test_fisher_is_the_hypergeometric_tail(canary: Arm, stable: Arm) -> None:
    total, bad = canary.requests + stable.requests, canary.bad + stable.bad
    if not total:
        return
    expected = stats.hypergeom.sf(canary.bad - 1, total, bad, canary.requests)
    assert fisher_p(canary, stable) == pytest.approx(float(expected), rel=1e-8, abs=1e-12)


@given(canary=arms, stable=arms)
def test_swapping_the_arms_turns_z_and_the_interval_round(canary: Arm, stable: Arm) -> None:
    assert pooled_z(canary, stable) == pytest.approx(-pooled_z(stable, canary))
    low, high = difference_interval(canary, stable, 0.1)
    assert difference_interval(stable, canary, 0.1) == pytest.approx((-high, -low))


@settings(deadline=None)
@given(canary=arms, stable=arms)
def test_one_arm_is_worse_or_the_other(canary: Arm, stable: Arm) -> None:
    both = posterior_worse(canary, stable, 0.0) + posterior_worse(stable, canary, 0.0)
    assert both == pytest.approx(1.0, abs=1e-5)


def test_the_posterior_agrees_with_draws() -> None:
    generator = np.random.Generator(np.random.Philox(key=5))
    canary, stable, n = Arm(300, 6), Arm(5_000, 40), 200_000
    draws = generator.beta(6.5, 294.5, n) > generator.beta(40.5, 4960.5, n) + 0.005
    value = posterior_worse(canary, stable, 0.005)
    assert abs(draws.mean() - value) <= 4.0 * math.sqrt(value * (1.0 - value) / n)


@pytest.mark.parametrize("gate", [TwoProportionZ(), FisherExact(min_requests=100), BetaPosterior()])
def test_there_is_no_look_before_its_time(gate: Gate) -> None:
    awful, later = Sample(Arm(1_000, 1), Arm(90, 60), 5.0), Sample(Arm(1_000, 1), Arm(100, 60), 5.0)
    first, second = feed(gate, [awful, later])
    assert first.verdict is Verdict.CONTINUE
    assert first.evidence.missing == "needs 10 more canary requests before any verdict"
    assert second.verdict is Verdict.FAIL
    assert (first.evidence.looks, second.evidence.looks) == (0, 1)


@pytest.mark.parametrize("gate", [TwoProportionZ(), FisherExact()])
def test_one_look_has_three_answers_and_more_looks_a_warning(gate: Gate) -> None:
    def verdict(*canary: int) -> Verdict:
        return feed(gate, [Sample(Arm(20_000, 200), Arm(*canary), 5.0)])[0].verdict

    assert verdict(5_000, 90) is Verdict.FAIL
    assert verdict(5_000, 50) is Verdict.PASS
    assert verdict(200, 3) is Verdict.INCONCLUSIVE
    looks = [Sample(Arm(200 * k, 2 * k), Arm(200 * k, 2 * k), 50.0) for k in range(1, 6)]
    steps = feed(gate, looks)
    assert not any("looked at" in text for text in steps[0].evidence.warnings)
    assert "looked at 5 times" in steps[4].evidence.warnings[0]
    assert f"{peeking_risk(5, 0.05):.1%}" in steps[4].evidence.warnings[0]


def test_a_posterior_always_warns() -> None:
    (step,) = feed(BetaPosterior(), [Sample(Arm(20_000, 200), Arm(5_000, 50), 5.0)])
    assert step.verdict is Verdict.PASS
    assert "not a false-abort rate" in step.evidence.warnings[0]


def test_few_bad_requests_are_no_normal_approximation() -> None:
    def warned(gate: Gate, bad: int) -> bool:
        (step,) = feed(gate, [Sample(Arm(90_000, 900), Arm(10_000, bad), 10.0)])
        return any("normal approximation" in text for text in step.evidence.warnings)

    assert warned(TwoProportionZ(), 90)
    assert not warned(TwoProportionZ(), 100)
    assert not warned(FisherExact(), 90)


def test_a_posterior_warns_of_a_weight_that_changed() -> None:
    samples = [Sample(Arm(1_000, 10), Arm(200, 2), 5.0), Sample(Arm(2_000, 20), Arm(800, 8), 25.0)]
    steps = feed(BetaPosterior(), samples)
    assert not any("weight changed" in text for text in steps[0].evidence.warnings)
    assert any("weight changed" in text for text in steps[1].evidence.warnings)


def test_peeking_costs_what_the_quadrature_says() -> None:
    """A healthy canary judged by z at ten evenly spaced looks, through the gate."""
    generator = np.random.Generator(np.random.Philox(key=3))
    runs, looks, gate = 3_000, 10, TwoProportionZ(alpha=0.05, min_requests=1)
    bad = generator.binomial(2_000, 0.4, size=(2, runs, looks)).cumsum(axis=2)
    failed = 0
    for run in range(runs):
        samples = [
            Sample(Arm(2_000 * (k + 1), int(bad[0, run, k])), Arm(2_000 * (k + 1), int(bad[1, run, k])), 50.0)
            for k in range(looks)
        ]
        failed += feed(gate, samples)[-1].verdict is Verdict.FAIL
    risk = peeking_risk(looks, 0.05)
    assert abs(failed / runs - risk) <= 4.0 * math.sqrt(risk * (1.0 - risk) / runs)


# --- group-sequential -------------------------------------------------------------------------------


def test_looks_are_taken_by_information() -> None:
    gate = GroupSequential(planned_requests=1_000, looks=4)
    counts = [100, 400, 500, 600, 1_100, 2_000]
    steps = feed(gate, [Sample(Arm(n, n // 50), Arm(n, n // 50), 50.0) for n in counts])
    assert [step.evidence.looks for step in steps] == [0, 0, 1, 1, 2, 3]
    assert steps[0].evidence.missing == "look 1 needs about 400 more canary requests"
    assert steps[1].evidence.missing_requests == 100
    assert steps[-1].verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    fractions = [0.25, 0.55, 1.0]
    bounds = spending_bounds(fractions, gate.alpha, Spending.OBRIEN_FLEMING)
    assert steps[-1].evidence.limit == pytest.approx(bounds[-1])


def test_the_last_look_decides() -> None:
    def last(bad: int) -> Verdict:
        gate = GroupSequential(planned_requests=2_000, looks=2)
        samples = [Sample(Arm(n, n // 100), Arm(n, bad * n // 4_000), 50.0) for n in (2_000, 4_000)]
        return feed(gate, samples)[-1].verdict

    assert [last(bad) for bad in (40, 54, 80)] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    small = GroupSequential(planned_requests=100, looks=1)
    (step,) = feed(small, [Sample(Arm(200, 2), Arm(200, 2), 50.0)])
    assert step.verdict is Verdict.INCONCLUSIVE
    assert "plan more requests" in step.evidence.missing
    assert update(small, step.state, Sample(Arm(9_000, 2), Arm(9_000, 900), 50.0)).state == step.state


@pytest.mark.parametrize("spending", list(Spending))
def test_false_aborts_of_a_planned_test(spending: Spending) -> None:
    generator = np.random.Generator(np.random.Philox(key=4))
    runs, looks = 3_000, 5
    gate = GroupSequential(planned_requests=5_000, looks=looks, spending=spending, alpha=0.05)
    bad = generator.binomial(2_000, 0.4, size=(2, runs, looks)).cumsum(axis=2)
    failed = 0
    for run in range(runs):
        state = start_gate(gate)
        for k in range(looks):
            n = 2_000 * (k + 1)
            sample = Sample(Arm(n, int(bad[0, run, k])), Arm(n, int(bad[1, run, k])), 50.0)
            state = update(gate, state, sample).state
        failed += state.verdict is Verdict.FAIL
    assert abs(failed / runs - 0.05) <= 4.0 * math.sqrt(0.05 * 0.95 / runs)
