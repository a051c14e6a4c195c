"""The law of a policy against runs of it, in worlds in which what a gate reads is what happened."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rolloutsim.evidence.law import by_counts, law
from rolloutsim.evidence.rare import TooFewEvents
from rolloutsim.evidence.windows import NotExact
from rolloutsim.outcomes import End
from rolloutsim.policy import model
from rolloutsim.sim import scenario as world
from rolloutsim.sim.run import simulate

FEW, MANY, RUNS = 3, 30, 400
COUNTER = 'http_requests_total{rollouts_pod_template_hash="{{args.new}}"'
FORMS = (
    ("sum(rate({errors}[{window}])) / sum(rate({all}[{window}]))", "result[0] < {threshold}"),
    ("sum(increase({good}[{window}])) / sum(increase({all}[{window}]))", "result[0] >= {share}"),
    ("1 - sum(rate({good}[{window}])) / sum(rate({all}[{window}]))", "!(result[0] > {threshold})"),
)


def query(form: str, window: str) -> str:
    selectors = {
        "errors": COUNTER + ',status=~"5.."}',
        "good": COUNTER + ',status!~"5.."}',
        "all": COUNTER + "}",
    }
    return form.format(window=window, **selectors)


def case(number: int) -> tuple[model.Policy, world.Scenario]:
    """A policy at random, and a world whose scrapes come when it asks."""
    chance = np.random.default_rng((8, number))

    def pick(*options: float) -> float:
        return float(chance.choice(options))

    threshold = pick(0.02, 0.03, 0.05, 0.1)
    form, condition = FORMS[number % len(FORMS)]
    window_s, interval_s = int(pick(60, 120)), int(pick(60, 60, 120))
    metric = model.Metric(
        "errors",
        model.PrometheusProvider(query(form, f"{window_s}s")),
        interval_ms=1000 * interval_s,
        initial_delay_ms=1000 * int(pick(60, 120)),
        count=int(pick(3, 5)) if number % 2 else None,
        success_condition=condition.format(threshold=threshold, share=round(1 - threshold, 2)),
        failure_limit=int(pick(0, 1, 2, 3)),
    )
    analysis = model.Analysis((metric,), (model.PodHashArgument("new", True),))
    weights = [(10, 50), (15, 30, 60), (30,)][int(chance.integers(3))]
    steps: list[model.Step] = [model.SetWeight(weights[0]), model.Pause(180_000)]
    for weight in weights:
        steps += [model.SetWeight(weight), model.Pause(60_000 * int(pick(2, 4)))]
        if number % 2:
            steps.append(model.AnalysisStep(analysis))
    canary = model.Canary(
        steps=tuple(steps),
        stable_service="stable",
        canary_service="canary",
        routing=model.TrafficRouting(("nginx",)),
        background=None if number % 2 else analysis,
        starting_step=None if number % 2 else 2,
    )
    requests = pick(60, 100, 150)
    service = world.Service(
        "api",
        world.Traffic(world.ConstantRate(requests / 60 / weights[0] * 100)),
        error_rate=pick(0.001, 0.1 * threshold, 0.3 * threshold),
        telemetry=world.Telemetry(
            scrape_interval_ms=int(pick(15_000, 30_000, 60_000)),
            scrape_phase_ms=0,
            counters_from_zero=True,
            left_closed=True,
        ),
        operators=world.Operators(promote=None, notice_excess=None),
        cluster=world.Cluster(pod_ready=world.Delay(0), router_delay=world.Delay(0)),
        horizon_ms=3_600_000,
    )
    size = pick(0.4, 0.6, 0.8, 1.0, 1.2) * threshold
    release = world.Release("release", (world.Fault(world.FaultKind.ERROR_STEP, size),) if size else ())
    return model.Policy("api", canary, replicas=4), world.Scenario("world", service, release)


def differs(number: int) -> float:
    """How many standard errors runs are from the law, at most; fails if they do what it calls impossible."""
    policy, scenario = case(number)
    found = law(policy, scenario)
    chances = np.array(found.chances)
    assert chances.sum() == pytest.approx(1.0, abs=1e-9)
    runs = simulate(policy, scenario, runs=RUNS, seed=number).runs
    possible = {(str(row.end), row.duration_s, row.measurements) for row in found.rows}
    assert possible >= set(runs.groupby(["end", "duration_s", "measurements"], observed=True).groups)
    aborted = [row.end is End.ABORTED for row in found.rows]
    seen = {"aborted": (np.array(aborted, dtype=np.float64), float((runs["end"] == "aborted").mean()))}
    for column in ("bad_requests", "requests_exposed", "duration_s", "measurements"):
        values = np.array([getattr(row, column) for row in found.rows], dtype=np.float64)
        seen[column] = values, float(runs[column].mean())
    worst = 0.0
    for values, of_runs in seen.values():
        mean = float(values @ chances)
        error = math.sqrt(float((values - mean) ** 2 @ chances) / RUNS)
        # what happens less than once in so many runs moves no mean of theirs
        assert abs(of_runs - mean) <= 6.0 * error + 1e-3 * abs(mean) + 1.0 / RUNS
        if error > 1e-9 * abs(mean) and chances.max() < 1.0 - 10.0 / RUNS:
            worst = max(worst, abs(of_runs - mean) / error)
    return worst


@pytest.mark.parametrize("number", range(FEW))
def test_runs_agree(number: int) -> None:
    assert differs(number) < 4.0


@pytest.mark.slow
def test_runs_of_thirty_policies_agree() -> None:
    """Thirty that neither always nor never abort; those that do are compared on the way."""
    found: list[float] = []
    too_large = 0
    number = 100
    while len(found) < MANY:
        try:
            found += [error for error in [differs(number)] if error > 0.0]
        except NotExact:
            too_large += 1
        number += 1
    assert max(found) < 4.0
    assert too_large < MANY / 4
    assert number < 100 + 4 * MANY


def changed(number: int, **fields: object) -> tuple[model.Policy, world.Scenario]:
    policy, scenario = case(number)
    telemetry = replace(scenario.service.telemetry, **fields)  # type: ignore[arg-type]
    return policy, replace(scenario, service=replace(scenario.service, telemetry=telemetry))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"scrape_phase_ms": None}, "random phase"),
        ({"scrape_phase_ms": 7}, "do not end with scrapes"),
        ({"missed": 0.1}, "missing"),
        ({"lag_ms": 500}, "late"),
        ({"counters_from_zero": False}, "appear late"),
        ({"left_closed": False}, "open on the left"),
    ],
)
def test_where_what_is_read_is_not_what_happened_there_is_no_law(fields: dict[str, object], why: str) -> None:
    with pytest.raises(NotExact, match=why):
        law(*changed(0, **fields))


def test_chance_in_the_control_plane_is_left_to_runs() -> None:
    policy, scenario = case(0)
    cluster = replace(scenario.service.cluster, pod_ready=world.Delay(10_000, 0.3))
    with pytest.raises(NotExact, match="control plane that chance moves"):
        law(policy, replace(scenario, service=replace(scenario.service, cluster=cluster)))


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("result[0] < 0.05 || result[0] > 0.5", "no threshold"),
        ("result[0] < 0.05 && len(result) > 1", "nothing satisfies"),
    ],
)
def test_other_conditions_are_left_to_runs(condition: str, why: str) -> None:
    policy, scenario = case(0)
    assert isinstance(policy.strategy, model.Canary)
    assert policy.strategy.background is not None
    (metric,) = policy.strategy.background.metrics
    analysis = replace(policy.strategy.background, metrics=(replace(metric, success_condition=condition),))
    with pytest.raises(NotExact, match=why):
        law(replace(policy, strategy=replace(policy.strategy, background=analysis)), scenario)


def test_by_counts_is_the_law_where_there_is_one() -> None:
    policy, scenario = case(0)
    found = by_counts(policy, scenario, 1)
    assert found.effective_events is None
    assert found.chance.value == pytest.approx(1.0 - law(policy, scenario).chances[0], rel=1e-9)


def test_by_counts_samples_where_windows_overlap_more() -> None:
    policy, scenario = case(0)
    assert isinstance(policy.strategy, model.Canary)
    assert policy.strategy.background is not None
    (metric,) = policy.strategy.background.metrics
    long = replace(metric, provider=model.PrometheusProvider(query(FORMS[0][0], "300s")), interval_ms=60_000)
    analysis = replace(policy.strategy.background, metrics=(long,))
    changed_policy = replace(policy, strategy=replace(policy.strategy, background=analysis))
    with pytest.raises(NotExact, match="not scraped yet"):
        law(changed_policy, scenario)
    found = by_counts(changed_policy, scenario, 1)
    assert found.effective_events is not None
    assert found.effective_events >= 100
    good = replace(scenario, release=world.Release("good"))
    try:
        seldom = by_counts(changed_policy, good, 1).chance.value
    except TooFewEvents:
        return
    assert seldom is not None
    assert found.chance.value is not None
    assert seldom < found.chance.value
