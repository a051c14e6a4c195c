"""Schema phases and the versions that live in them: what breaks, and until when one can go back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rolloutsim.outcomes import End
from rolloutsim.policy.model import BlueGreen, Canary, Pause, Policy, Recreate, RollingUpdate, SetWeight
from rolloutsim.sim.platform import Cluster, Delay
from rolloutsim.sim.run import simulate
from rolloutsim.sim.scenario import (
    Change,
    ConstantRate,
    Migration,
    Operators,
    Release,
    Scenario,
    SchemaChange,
    Service,
    Traffic,
)

ONE_STEP = SchemaChange(Change.ONE_STEP, touches=0.2, writes=0.5, duration_ms=60_000)
EXPANDED = SchemaChange(Change.EXPAND_CONTRACT, touches=0.2, writes=0.5)
STRATEGIES = {
    "canary": Canary(steps=(SetWeight(10), Pause(600_000), SetWeight(50), Pause(600_000))),
    "blue-green": BlueGreen("a", auto_promotion_ms=300_000, scale_down_delay_ms=60_000),
    "rolling": RollingUpdate(),
    "window": Recreate(),
}


def rows(strategy, change, **operators):
    people = Operators(promote=None, notice_excess=None, **operators)
    service = Service(
        "api",
        Traffic(ConstantRate(100.0)),
        cluster=Cluster(pod_ready=Delay(10_000), router_delay=Delay(0)),
        operators=people,
        horizon_ms=3_600_000,
    )
    scenario = Scenario("s", service, Release("r", schema=change))
    return simulate(Policy("api", STRATEGIES[strategy], replicas=10), scenario, runs=2).runs


@pytest.mark.parametrize("strategy", ["canary", "blue-green", "rolling"])
def test_a_one_step_change_breaks_whatever_serves_the_old_version(strategy):
    """From the migration to the last request on the old version: a fifth of 100 requests per second."""
    found = rows(strategy, ONE_STEP)
    assert (found["schema_violations"] > 100).all()
    # two pods of a rolling update go before the migration, and nobody is there for their share
    assert found["bad_requests"].to_numpy() == pytest.approx(found["schema_violations"].to_numpy(), rel=0.05)


def test_the_longer_two_versions_serve_the_more_breaks():
    violations = {name: rows(name, ONE_STEP)["schema_violations"].mean() for name in STRATEGIES}
    assert violations["canary"] > violations["blue-green"] > violations["rolling"] > violations["window"] == 0
    # ten minutes at 90 %, ten at 50 %, and starts
    assert violations["canary"] == pytest.approx(0.2 * 100 * 600 * (0.9 + 0.5), rel=0.05)
    # until the switch, five minutes after the new pods were ready
    assert violations["blue-green"] == pytest.approx(0.2 * 100 * 310, rel=0.05)


def test_a_maintenance_window_breaks_nothing_and_serves_nobody():
    found = rows("window", ONE_STEP)
    assert (found["schema_violations"] == 0).all()
    assert found["unserved"].to_numpy() == pytest.approx(100 * 70, rel=0.02)
    assert (found["mixed_s"] == 0).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_expand_and_contract_breaks_nothing(strategy):
    found = rows(strategy, EXPANDED)
    assert (found["schema_violations"] == 0).all()
    assert (found["rows_at_risk"] == 0).all()
    assert found["free_rollback_s"].isna().all()
    assert (found["end"] == End.PROMOTED).all()


def test_a_contraction_that_comes_too_early_breaks_the_slower_strategy():
    """The canary serves two versions for longer, so it needs the wider window."""
    early = replace(EXPANDED, contract_ms=900_000)
    assert (rows("blue-green", early)["schema_violations"] == 0).all()
    assert (rows("canary", early)["schema_violations"] > 1_000).all()
    assert (rows("canary", early)["free_rollback_s"] == 900.0).all()
    assert rows("canary", EXPANDED)["mixed_s"].min() > rows("blue-green", EXPANDED)["mixed_s"].max()


def test_rows_are_at_risk_from_the_first_write_in_the_new_shape():
    found = rows("canary", ONE_STEP)
    assert (found["free_rollback_s"] <= 80.0).all()
    per_s = 100 * 0.2 * 0.5
    assert (found["rows_at_risk"] > per_s * 1_800).all()
    assert (found["rows_at_risk"] < per_s * 3_600).all()


def test_a_migration_after_the_promotion_breaks_the_new_version_first():
    late = replace(ONE_STEP, migration=Migration.AT_PROMOTION)
    found = rows("blue-green", late)
    # a fifth of the new version's requests from the switch until the migration is done
    assert (found["schema_violations"] > 0.2 * 100 * 50).all()


def test_one_step_is_a_bad_release_and_expanding_first_is_not():
    assert not Release("r", schema=ONE_STEP).healthy
    assert Release("r", schema=EXPANDED).healthy
