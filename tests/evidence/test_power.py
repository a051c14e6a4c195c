"""Detection curves: by gate and by policy, monotone, and saying the same where they ask the same."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rolloutsim.engine.promise import promise
from rolloutsim.errors import InputError
from rolloutsim.evidence.power import Power, power
from rolloutsim.plots.detection import Detection, plot_detection
from rolloutsim.policy import load_policy
from rolloutsim.policy.gate_plan import gate_plans
from rolloutsim.policy.gated import GatedCounts, Scope
from rolloutsim.policy.gates import (
    BetaPosterior,
    GroupSequential,
    RateRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)
from rolloutsim.policy.model import Canary, Policy
from rolloutsim.sim.scenario_file import load_service

ROOT = Path(__file__).parents[2]
SERVICE = load_service(ROOT / "scenarios" / "services" / "api-1200rpm.yaml")
GATED = load_policy(ROOT / "scenarios" / "policies" / "api-gated.yaml")


def with_gate(**changes: object) -> Policy:
    """The shipped policy with another gate, or another rule for it."""
    strategy = GATED.strategy
    assert isinstance(strategy, Canary)
    assert strategy.background is not None
    metric = strategy.background.metrics[0]
    assert isinstance(metric.provider, GatedCounts)
    counts = replace(metric.provider, **changes)  # type: ignore[arg-type]
    background = replace(strategy.background, metrics=(replace(metric, provider=counts),))
    return replace(GATED, strategy=replace(strategy, background=background))


@pytest.fixture(scope="module")
def found() -> Power:
    return power(GATED, SERVICE, runs=0, streams=300)


def test_more_effect_and_more_traffic_are_caught_more_often_and_sooner(found: Power) -> None:
    (curve,) = found.curves
    assert curve.minutes_planned == 25
    caught = {(cell.traffic_rps, cell.ratio): cell.caught.value for cell in curve.cells}
    for traffic in (5.0, 20.0, 80.0):
        column = [caught[traffic, ratio] for ratio in (1.0, 1.5, 2.0, 3.0, 5.0)]
        assert column == sorted(column)
        assert column[0] < 0.03
    for ratio in (1.5, 2.0, 3.0):
        row = [caught[traffic, ratio] for traffic in (5.0, 20.0, 80.0)]
        assert row == sorted(row)
    minutes = {(c.traffic_rps, c.ratio): c.minutes.value for c in curve.cells}
    assert minutes[80.0, 5.0] < minutes[20.0, 5.0] < minutes[5.0, 5.0]  # type: ignore[operator]


def test_a_good_release_costs_nothing(found: Power) -> None:
    assert all(cell.bad_requests.value == 0.0 for cell in found.curves[0].cells if cell.ratio == 1.0)


@pytest.mark.slow
def test_the_gate_by_itself_and_the_whole_policy_agree() -> None:
    both = power(GATED, SERVICE, ratios=[2.0, 3.0], traffic=[1.0], runs=100, streams=400, jobs=2)
    gate, whole = both.curves
    for alone, played in zip(gate.cells, whole.cells, strict=True):
        assert played.caught.low is not None
        assert played.caught.high is not None
        assert played.caught.low - 0.06 <= alone.caught.value <= played.caught.high + 0.06  # type: ignore[operator]
        assert alone.minutes.value == pytest.approx(played.minutes.value, rel=0.25)


def test_a_gate_that_counts_anew_at_each_weight_sees_less_of_a_small_effect() -> None:
    def caught(policy: Policy) -> float:
        found = power(policy, SERVICE, ratios=[2.0], traffic=[1.0], runs=0, streams=300)
        value = found.curves[0].cells[0].caught.value
        assert value is not None
        return value

    assert caught(with_gate(scope=Scope.STEP)) < caught(GATED)


@pytest.mark.parametrize("gate", [GroupSequential(planned_requests=9_000), WaldSprt(0.01, 0.02)])
def test_other_gates_have_curves_too(gate: object) -> None:
    found = power(with_gate(gate=gate), SERVICE, ratios=[1.0, 3.0], traffic=[1.0], runs=0, streams=200)
    good, bad = (cell.caught.value for cell in found.curves[0].cells)
    assert good is not None
    assert bad is not None
    assert good < 0.15 < 0.8 < bad


def test_the_size_of_a_test_with_one_look_stands_beside() -> None:
    """1 % against 3 %: 390 requests by the exact binomial test, the canary alone."""

    def needed(gate: object) -> int | None:
        curves = power(with_gate(gate=gate), SERVICE, ratios=[1.0], traffic=[1.0], runs=0, streams=20).curves
        return curves[0].one_look_requests

    assert needed(WaldSprt(0.01, 0.03)) == 390
    by_ratio = needed(RateRatio(smallest_ratio=3.0))
    by_difference = needed(TwoSampleBlocks(smallest_difference=0.02))
    assert by_ratio == by_difference
    assert by_ratio is not None
    assert 390 < by_ratio < 2 * 390, "stable's rate has to be estimated as well"


def test_what_the_gates_promise_together() -> None:
    assert promise(GATED).rate == 0.05
    assert promise(with_gate(scope=Scope.STEP)).rate == pytest.approx(0.10), "two weights from step 1 on"
    assert promise(with_gate(gate=WaldSprt(0.01, 0.02))).rate == pytest.approx(0.05 / 0.9)
    assert promise(with_gate(gate=TwoProportionZ())).unbounded == ("errors",)
    assert promise(with_gate(gate=BetaPosterior())).rate == 0.0
    assert promise(with_gate(gate=GroupSequential(planned_requests=900))).rate == 0.05
    article = load_policy(ROOT / "scenarios" / "article" / "canary.yaml")
    assert promise(article).others == ("error-rate",)
    assert "judged by conditions, no bound" in str(promise(article))


def test_the_plan_of_looks_follows_the_steps() -> None:
    ((_, plan),) = gate_plans(GATED)
    weights = [weight for _, weight in plan]
    assert (weights.count(5.0), weights.count(25.0), weights.count(50.0)) == (20, 40, 40)
    assert {length for length, _ in plan} == {15_000}


@pytest.mark.parametrize(
    ("service", "more"),
    [
        (replace(SERVICE, error_rate=0.0), {}),
        (SERVICE, {"ratios": [0.5]}),
        (SERVICE, {"ratios": [float("nan")]}),
        (SERVICE, {"ratios": [200.0]}),
        (SERVICE, {"traffic": [0.0]}),
    ],
)
def test_what_makes_no_sense_is_refused(service: object, more: dict[str, object]) -> None:
    with pytest.raises(InputError):
        power(GATED, service, runs=0, **more)  # type: ignore[arg-type]


def test_json_and_figure(found: Power, tmp_path: Path) -> None:
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["promise"]["false_abort_rate"] == 0.05
    curve = found.curves[0]
    points = [
        Detection(curve.name, c.traffic_rps, c.ratio, c.caught, c.minutes, c.bad_requests)
        for c in curve.cells
    ]
    figure = plot_detection(points)
    labels = {axes.get_ylabel() for axes in figure.axes[0].child_axes}
    assert labels == {"caught (% of releases)", "minutes until caught", "bad requests a release"}
    figure.savefig(tmp_path / "power.png")
    assert (tmp_path / "power.png").stat().st_size > 10_000


def test_the_command(tmp_path: Path) -> None:
    code = "import sys, typer; from rolloutsim.cli.power import power; typer.run(power)"
    arguments = [
        str(ROOT / "scenarios/policies/api-gated.yaml"),
        "-s",
        str(ROOT / "scenarios/services/api-1200rpm.yaml"),
        *("--runs", "0", "--streams", "50", "--ratio", "1,3", "--traffic", "1"),
    ]
    shown = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--plot", str(tmp_path / "p.png")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "gate errors (rateRatio): looks every 15 s for up to 25 min" in shown
    assert "at most 0.05 of the good releases" in shown
    assert (tmp_path / "p.png").exists()
