"""Small changes: what moves, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rolloutsim.evidence.changes import Change, apply, small_changes
from rolloutsim.policy import digest, load_policy
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import (
    Canary,
    Metric,
    Pause,
    Policy,
    PrometheusProvider,
    SetWeight,
)
from tests.evidence.made_up import SCENARIOS, policy

POLICIES = sorted((SCENARIOS / "policies").glob("*.yaml"))


def named(what: str, after: str, of: Policy | None = None) -> Change:
    (found,) = [one for one in small_changes(of or policy()) if (one.what, one.after) == (what, after)]
    return found


def metric(of: Policy) -> Metric:
    (analysis,) = analyses_of(of)
    return analysis.metrics[0]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_each_change_is_another_policy_and_may_be_undone_by_none(path: object) -> None:
    before = load_policy(str(path))
    changes = list(small_changes(before))
    digests = {digest(change.apply(before)) for change in changes}
    assert len(digests) == len(changes)
    assert digest(before) not in digests
    assert all(change.distance > 0.0 for change in changes)


def test_a_limit() -> None:
    change = named("failureLimit of error-rate", "1")
    assert metric(change.apply(policy())) == replace(metric(policy()), failure_limit=1)
    assert str(change) == "failureLimit of error-rate 3 -> 1"


def test_a_limit_stays_within_the_count() -> None:
    counted = apply(policy(), (named("failureLimit of error-rate", "0"),))
    strategy = counted.strategy
    assert isinstance(strategy, Canary)
    assert strategy.background is not None
    metrics = tuple(replace(one, count=2) for one in strategy.background.metrics)
    counted = replace(
        counted, strategy=replace(strategy, background=replace(strategy.background, metrics=metrics))
    )
    limits = {one.after for one in small_changes(counted) if one.what.startswith("failureLimit")}
    assert limits == {"1", "2"}


def test_a_threshold_moves_and_the_length_of_the_result_does_not() -> None:
    changed = metric(named("threshold of error-rate", "0.02").apply(policy()))
    assert changed.success_condition == "len(result) == 0 || isNaN(result[0]) || result[0] < 0.02"


def test_a_window_takes_the_delay_along_that_waits_for_it() -> None:
    changed = metric(named("window of error-rate", "5m").apply(policy()))
    assert isinstance(changed.provider, PrometheusProvider)
    assert changed.provider.query.count("[5m]") == 2
    assert "[2m]" not in changed.provider.query
    assert changed.initial_delay_ms == 300_000


def test_pauses_and_the_first_weight() -> None:
    changed = apply(policy(), (named("pauses", "10m, 20m"), named("first weight", "10"))).strategy
    assert isinstance(changed, Canary)
    assert changed.steps == (
        SetWeight(10),
        Pause(600_000),
        SetWeight(25),
        Pause(1_200_000),
        SetWeight(50),
        Pause(None),
        SetWeight(100),
    )


def test_the_first_weight_does_not_pass_the_second() -> None:
    assert {one.after for one in small_changes(policy()) if one.what == "first weight"} == {"10", "20"}
