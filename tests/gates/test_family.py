"""Several metrics under one false-abort rate."""

from __future__ import annotations

import json

import pytest

from rolloutsim.engine.codec import from_json, to_json
from rolloutsim.engine.gates import (
    Arm,
    BetaPosterior,
    Family,
    FamilyState,
    Member,
    RateRatio,
    Sample,
    SampleRatio,
    TwoProportionZ,
    Verdict,
    WaldSprt,
    share_alpha,
    start_family,
    update_family,
)

HEALTHY = Sample(Arm(19_000, 380), Arm(1_000, 20), 5.0)
BROKEN = Sample(Arm(19_000, 20), Arm(1_000, 20), 5.0)
SUSPECT = Sample(Arm(19_000, 190), Arm(1_000, 24), 5.0)
NOTHING = Sample(Arm(), Arm(), 5.0)
MISROUTED = Sample(Arm(10_000, 100), Arm(1_000, 30), 5.0)

TWO = share_alpha([Member("errors", RateRatio()), Member("slow", RateRatio())], 0.05)
ROUTED = Family((*TWO.members, Member("routing", SampleRatio())))


def verdict(family: Family, *samples: Sample) -> Verdict:
    return update_family(family, start_family(family), samples).verdict


def test_alpha_is_shared_and_stated() -> None:
    assert [member.gate.alpha for member in TWO.members] == [0.025, 0.025]
    assert TWO.false_abort_rate == pytest.approx(0.05)
    assert share_alpha(ROUTED.members, 0.05).members[-1].gate == SampleRatio()
    assert ROUTED.false_abort_rate == pytest.approx(0.05)
    slo = Family((Member("errors", WaldSprt(0.01, 0.03, alpha=0.05, beta=0.10)),))
    assert slo.false_abort_rate == pytest.approx(0.05 / 0.9)
    step = update_family(TWO, start_family(TWO), (HEALTHY, HEALTHY))
    assert step.evidence.false_abort_rate == pytest.approx(0.05)


def test_all_must_pass_and_one_may_fail() -> None:
    assert verdict(TWO, HEALTHY, HEALTHY) is Verdict.PASS
    assert verdict(TWO, HEALTHY, NOTHING) is Verdict.CONTINUE
    assert verdict(TWO, HEALTHY, BROKEN) is Verdict.FAIL
    step = update_family(TWO, start_family(TWO), (HEALTHY, NOTHING))
    assert step.evidence.missing == "slow: no requests in either arm yet"


def test_two_suspicions_make_a_failure() -> None:
    """Neither metric fails alone at half the alpha, their average does at the whole."""
    family = share_alpha([Member("errors", RateRatio()), Member("slow", RateRatio())], 0.10)
    alone = update_family(family, start_family(family), (SUSPECT, NOTHING))
    assert alone.verdict is Verdict.CONTINUE
    together = update_family(family, start_family(family), (SUSPECT, SUSPECT))
    assert all(evidence.value < evidence.limit for evidence in together.evidence.members)
    assert together.evidence.combined >= 1.0
    assert together.verdict is Verdict.FAIL
    later = update_family(family, together.state, (SUSPECT, SUSPECT))
    assert later.verdict is Verdict.FAIL


def test_relative_gates_are_not_believed_when_routing_lies() -> None:
    step = update_family(ROUTED, start_family(ROUTED), (MISROUTED, MISROUTED, MISROUTED))
    assert step.verdict is Verdict.INCONCLUSIVE
    assert step.evidence.combined == 0.0
    assert any("do not follow the weight" in text for text in step.evidence.warnings)
    with_slo = Family((*ROUTED.members, Member("slo", WaldSprt(0.001, 0.01))))
    assert verdict(with_slo, *[MISROUTED] * 4) is Verdict.FAIL


def test_what_bounds_nothing_is_named() -> None:
    posterior = Family((Member("errors", BetaPosterior()),))
    step = update_family(posterior, start_family(posterior), (HEALTHY,))
    assert step.evidence.false_abort_rate is None
    assert any("no bound on false aborts: errors" in text for text in step.evidence.warnings)
    z = Family((Member("errors", TwoProportionZ()),))
    first = update_family(z, start_family(z), (Sample(Arm(1_000, 10), Arm(200, 2), 5.0),))
    assert first.evidence.false_abort_rate == pytest.approx(0.05)
    second = update_family(z, first.state, (HEALTHY,))
    assert second.evidence.false_abort_rate is None


def test_a_family_and_its_state_survive_json() -> None:
    assert from_json(Family, json.loads(json.dumps(to_json(ROUTED)))) == ROUTED
    state = update_family(ROUTED, start_family(ROUTED), (HEALTHY, BROKEN, MISROUTED)).state
    assert from_json(FamilyState, json.loads(json.dumps(to_json(state), allow_nan=False))) == state


def test_a_family_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="different names"):
        Family((Member("errors", RateRatio()), Member("errors", RateRatio())))
    with pytest.raises(ValueError, match="different names"):
        Family(())
    with pytest.raises(ValueError, match="argument"):
        update_family(TWO, start_family(TWO), (HEALTHY,))
