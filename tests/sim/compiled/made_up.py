"""Policies and scenarios at random: what the fast path knows, some of what it does not, and odd corners."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    Canary,
    Metric,
    Pause,
    PodHashArgument,
    Policy,
    PrometheusProvider,
    SetWeight,
    Step,
    TrafficRouting,
)
from rolloutsim.sim.exposition import exposition
from rolloutsim.sim.platform import Cluster, Delay, Split
from rolloutsim.sim.scenario import (
    ConstantRate,
    Fault,
    FaultKind,
    Gap,
    Latency,
    Operators,
    Release,
    Scenario,
    Service,
    Telemetry,
    Traffic,
)
from rolloutsim.sim.world import POOLS
from rolloutsim.telemetry import PRESETS

__all__ = ["case"]

T = TypeVar("T")
NEW, STABLE = "{{args.new}}", "{{args.stable}}"
ARGUMENTS = (PodHashArgument("new", True), PodHashArgument("stable", False))


class Chance:
    """Draws for one case."""

    def __init__(self, number: int) -> None:
        self._rng = np.random.default_rng((20261123, number))

    def pick(self, *options: T) -> T:
        return options[int(self._rng.integers(len(options)))]

    def happens(self, chance: float) -> bool:
        return bool(self._rng.random() < chance)

    def below(self, count: int) -> int:
        return int(self._rng.integers(count))


def case(number: int) -> tuple[Policy, Scenario]:
    """One policy and one scenario."""
    chance = Chance(number)
    service = _service(chance)
    return _policy(chance, service), Scenario("world", service, _release(chance))


# --- worlds ---------------------------------------------------------------------------------------


def _service(chance: Chance) -> Service:
    return Service(
        name="api",
        traffic=Traffic(
            ConstantRate(chance.pick(0.2, 1.0, 5.0, 20.0, 100.0, 1000.0)), chance.pick(1.0, 1.0, 3.0)
        ),
        error_rate=chance.pick(0.0, 0.001, 0.01, 0.05),
        error_icc=chance.pick(0.0, 0.0, 0.0, 0.02),
        latency=Latency(chance.pick(0.06, 0.2)),
        telemetry=_telemetry(chance),
        operators=Operators(
            promote=chance.pick(None, Delay(120_000), Delay(60_000, 0.5)),
            notice_excess=chance.pick(None, 0.05),
            notice_after_ms=60_000,
            respond=chance.pick(Delay(60_000), Delay(60_000, 0.5)),
            slow_s=1.0,
        ),
        cluster=Cluster(
            pod_ready=chance.pick(Delay(0), Delay(5_000), Delay(12_345)),
            router_delay=chance.pick(Delay(0), Delay(200), Delay(3_000)),
            weight_granularity=chance.pick(0.0, 1.0),
            split=chance.pick(Split.RANDOM, Split.RANDOM, Split.EXACT),
        ),
        horizon_ms=chance.pick(600_000, 900_000),
    )


def _telemetry(chance: Chance) -> Telemetry:
    interval = chance.pick(5_000, 10_000, 15_000, 15_000, 30_000, 60_000, 90_000, 7_001)
    return Telemetry(
        preset=chance.pick("app", "app", "app", *PRESETS),
        scrape_interval_ms=interval,
        scrape_phase_ms=chance.pick(None, None, 0, interval // 3),
        lag_ms=chance.pick(0, 0, 0, 700, 20_000),
        missed=chance.pick(0.0, 0.0, 0.0, 0.1),
        gaps=chance.pick((), (), (Gap(100_000, 160_000),)),
        query_ms=chance.pick(0, 0, 0, 250, 1_500),
        counters_from_zero=chance.happens(0.3),
        left_closed=chance.happens(0.2),
        history_ms=chance.pick(60_000, 300_000, 0),
        mislabelled=0.02 if chance.happens(0.03) else 0.0,
    )


def _release(chance: Chance) -> Release:
    size = chance.pick(0.01, 0.03, 0.1, 0.5)
    onset = chance.pick(0, 0, 90_000)
    faults = {
        "good": (),
        "step": (Fault(FaultKind.ERROR_STEP, size, onset),),
        "leak": (Fault(FaultKind.LEAK, size, onset, 120_000),),
        "blip": (Fault(FaultKind.DEPENDENCY_BLIP, size, 120_000, 0, 200_000),),
        "slow": (Fault(FaultKind.LATENCY_SHIFT, 4.0, onset, 60_000),),
        "never ready": (Fault(FaultKind.CRASH_AT_START, 0.3),),
        "wrong": (Fault(FaultKind.SILENT_WRONG, size),),
        "crashes": (Fault(FaultKind.CRASH_LOOP, 1.0, 0, 100_000),),
    }
    name = chance.pick("good", "good", "good", "step", "step", "step", "step", *faults)
    return Release(name, faults[name])


# --- policies -------------------------------------------------------------------------------------


def _policy(chance: Chance, service: Service) -> Policy:
    steps: list[Step] = []
    for weight in chance.pick((10, 50), (5, 25, 50, 100), (20,), (1, 100)):
        steps.append(SetWeight(weight))
        if chance.happens(0.2):
            steps.append(AnalysisStep(_analysis(chance, service, counted=True)))
        steps.append(Pause(chance.pick(30_000, 60_000, 120_000, 120_000)))
    if chance.happens(0.15):
        steps.append(Pause())
    routing = TrafficRouting(("nginx",)) if chance.happens(0.7) else None
    strategy = Canary(
        steps=tuple(steps),
        stable_service="stable",
        canary_service="canary",
        routing=routing,
        background=_analysis(chance, service, counted=False) if chance.happens(0.85) else None,
        starting_step=chance.pick(None, 0, 1, 2),
    )
    return Policy(
        "api",
        strategy,
        replicas=chance.pick(1, 4, 10),
        progress_deadline_ms=chance.pick(600_000, 120_000),
        progress_deadline_abort=chance.happens(0.3),
    )


def _analysis(chance: Chance, service: Service, *, counted: bool) -> Analysis:
    metrics = tuple(
        _metric(chance, service, f"metric-{number}", counted=counted)
        for number in range(chance.pick(1, 1, 1, 2, 3))
    )
    return Analysis(metrics, ARGUMENTS, dry_run=("metric-1",) if chance.happens(0.15) else ())


def _metric(chance: Chance, service: Service, name: str, *, counted: bool) -> Metric:
    success, failure = _conditions(
        chance, chance.pick("0", "0.005", "0.02", "0.05", "0.05", "0.1", "0.1", "0.2", "-1", "2")
    )
    return Metric(
        name,
        PrometheusProvider(_query(chance, service)),
        interval_ms=chance.pick(5_000, 10_000, 20_000, 30_000, 60_000, 11_111),
        initial_delay_ms=chance.pick(0, 0, 15_000, 60_000),
        count=chance.pick(1, 2, 4) if counted else chance.pick(None, None, None, 5),
        success_condition=success,
        failure_condition=failure,
        failure_limit=chance.pick(0, 0, 1, 2, 5, -1),
        inconclusive_limit=chance.pick(0, 0, 1, 3),
        consecutive_error_limit=chance.pick(4, 4, 0, 100),
        consecutive_success_limit=3 if chance.happens(0.03) else 0,
    )


def _conditions(chance: Chance, threshold: str) -> tuple[str, str]:
    if chance.happens(0.05):
        return chance.pick((f"default(result, 0)[0] < {threshold}", ""), (f"result[0] < {threshold} &&", ""))
    guarded = f"len(result) == 0 || isNaN(result[0]) || result[0] < {threshold}"
    return chance.pick(
        (guarded, ""),
        (guarded, ""),
        (guarded, ""),
        (guarded, ""),
        (f"result[0] < {threshold}", ""),
        (f"isNaN(result[0]) or result[0] <= {threshold}", ""),
        ("", f"result[0] >= {threshold}"),
        (f"result[0] < {threshold}", "result[0] >= 0.2"),
        (f"not (isNaN(result[0]) || isInf(result[0])) && {threshold} > result[0]", ""),
        (f"len(result) > 0 && 0.001 <= result[0] < {threshold}", "isNaN(result[0])"),
    )


def _query(chance: Chance, service: Service) -> str:
    window = chance.pick("1m", "1m", "2m", "5m", "30s", "17s")
    offset = chance.pick("", "", "", " offset 10s")
    one, other = _selectors(chance, service)
    rate = chance.pick("rate", "rate", "increase")
    errors = f"sum({rate}({one}[{window}]{offset}))"
    total = f"sum({rate}({other}[{window}]{offset}))"
    query = chance.pick(
        f"{errors} / {total}",
        f"{errors} / {total}",
        f"{errors} / {total}",
        f"({errors} or vector(0)) / {total}",
        f"1 - {total} / ({errors} + 0.5)",
        f"-{errors} * 2 / {total}",
        f"{errors}",
    )
    return f"max({query})" if chance.happens(0.03) else query


def _selectors(chance: Chance, service: Service) -> tuple[str, str]:
    """Selectors of bad requests and of all."""
    if service.telemetry.preset == "app" and chance.happens(0.9):
        name = chance.pick("http_requests_total", "http_request_duration_seconds_count")
        version = chance.pick(NEW, NEW, NEW, STABLE, None)
        which = f'rollouts_pod_template_hash="{version}"' if version is not None else 'service!=""'
        if chance.happens(0.1):
            slow = f'http_request_duration_seconds_bucket{{{which},le="0.25"}}'
            return slow, f"http_request_duration_seconds_count{{{which}}}"
        return f'{name}{{{which},status=~"5.."}}', f"{name}{{{which}}}"
    shown = exposition(service.telemetry.preset, service.name, (), POOLS, True)
    return _some(chance, shown.labels), _some(chance, shown.labels)


def _some(chance: Chance, series: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    labels = dict(series[chance.below(len(series))])
    name = labels.pop("__name__")
    asked = ",".join(f'{label}="{value}"' for label, value in labels.items() if chance.happens(0.5))
    return f"{name}{{{asked}}}"
