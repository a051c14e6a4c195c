"""Arms compared weight by weight: hours are not mixed, and the tail is as good as exact."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, norm

from rolloutsim.engine.gates import (
    Arm,
    FisherExact,
    Gate,
    GroupSequential,
    Sample,
    TwoProportionZ,
    Verdict,
    start_gate,
    update,
)
from rolloutsim.engine.gates.fixed import fisher_p
from rolloutsim.engine.gates.state import Stratum
from rolloutsim.engine.gates.strata import compare_all, compare_at, tail_of, tail_z
from rolloutsim.engine.gates.update import absorb
from tests.gates.streams import feed

RISING = (
    # one weight after the other, ten times the errors in the second hour: both arms are alike in each
    Sample(Arm(19_000, 19), Arm(1_000, 1), 5.0),
    Sample(Arm(29_000, 119), Arm(11_000, 101), 50.0),
)


@pytest.mark.parametrize(
    "gate", [TwoProportionZ(), FisherExact(), GroupSequential(planned_requests=5_900)], ids=str
)
def test_an_hour_with_more_errors_and_more_canary_is_no_bad_canary(gate: Gate) -> None:
    verdict = feed(gate, list(RISING))[-1].verdict
    assert verdict is Verdict.PASS
    one_weight = Sample(RISING[1].stable, RISING[1].canary, 50.0)
    assert feed(gate, [one_weight])[-1].verdict is Verdict.FAIL, "the same counts pooled"


def test_what_is_absorbed_is_counted_and_not_looked_at() -> None:
    gate = FisherExact()
    state = absorb(gate, start_gate(gate), RISING[0])
    assert (state.looks, state.verdict) == (0, Verdict.CONTINUE)
    step = update(gate, state, RISING[1])
    assert step.evidence.looks == 1
    assert not step.evidence.warnings
    assert step.evidence.value == feed(gate, list(RISING))[-1].evidence.value
    backwards = Sample(Arm(5, 0), Arm(5, 0), 5.0)
    assert absorb(gate, step.state, backwards) == step.state


@given(
    stable=st.integers(300, 20_000),
    share=st.floats(0.02, 0.5),
    rate=st.floats(0.002, 0.05),
    factor=st.floats(1.0, 2.5),
)
def test_one_weight_alone_is_fishers_test(stable: int, share: float, rate: float, factor: float) -> None:
    requests = max(int(stable * share / (1.0 - share)), 20)
    bad = min(int(requests * rate * factor) + 1, requests)
    canary, other = Arm(requests, bad), Arm(stable, int(stable * rate))
    p = fisher_p(canary, other)
    if 1e-4 < p < 0.4:
        z = float(tail_z(compare_at(canary.requests, canary.bad, other.requests, other.bad)))
        assert z == pytest.approx(float(norm.isf(p)), abs=0.06)


def test_two_weights_are_the_sum_of_two_hypergeometric_counts() -> None:
    strata = (
        Stratum(5.0, Arm(1_900, 30), Arm(100, 3)),
        Stratum(25.0, Arm(900, 8), Arm(300, 6)),
    )

    def chances(one: Stratum) -> list[float]:
        canary, stable = one.canary, one.stable
        total, bad = canary.requests + stable.requests, canary.bad + stable.bad
        return [float(hypergeom.pmf(k, total, bad, canary.requests)) for k in range(bad + 1)]

    pairs = [
        (i + j, a * b) for i, a in enumerate(chances(strata[0])) for j, b in enumerate(chances(strata[1]))
    ]
    exact = sum(mass for count, mass in pairs if count >= 9)
    worse, better = tail_of(compare_all(strata))
    assert float(worse) == pytest.approx(exact, rel=0.03)
    assert float(worse + better) > 1.0, "what was seen counts on both sides"


@settings(deadline=None)
@example(counts=((0, 0), (0, 0), (0, 2), (2, 0)))  # all four kinds are equally rare
@given(counts=st.tuples(*[st.tuples(st.integers(0, 300), st.integers(0, 300))] * 4))
def test_swapping_the_arms_turns_it_round(counts: tuple[tuple[int, int], ...]) -> None:
    arms = [Arm(sum(pair), pair[0]) for pair in counts]
    there = compare_all((Stratum(5.0, arms[0], arms[1]), Stratum(50.0, arms[2], arms[3])))
    back = compare_all((Stratum(5.0, arms[1], arms[0]), Stratum(50.0, arms[3], arms[2])))
    assert float(tail_z(there)) == pytest.approx(-float(tail_z(back)), abs=1e-6)
    assert float(there.z) == pytest.approx(-float(back.z), abs=1e-9)
    assert math.isfinite(float(tail_z(there)))
