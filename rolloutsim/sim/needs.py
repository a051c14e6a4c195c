"""What a policy measures, and whether a scenario can give it."""

from __future__ import annotations

from collections.abc import Iterator

from rolloutsim.errors import ScenarioError
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import (
    GatedCounts,
    Metric,
    OtherProvider,
    Policy,
    PrometheusProvider,
)
from rolloutsim.policy.reading import queries_of, reads_of
from rolloutsim.sim.scenario import Scenario
from rolloutsim.telemetry import PRESETS

__all__ = ["check", "reads_latency"]


def check(policy: Policy, scenario: Scenario) -> None:
    """Refuse what the simulated world cannot play, by name.

    Raises
    ------
    ScenarioError : a metric is not a PromQL query and the scenario does not state its outcome.
    PromQLError : a query that the evaluator does not support.
    """
    stated = {measurement.metric for measurement in scenario.release.measurements}
    stated |= {one.metric for one in scenario.service.checks}
    for metric in _metrics(policy):
        provider = metric.provider
        if isinstance(provider, PrometheusProvider):
            if provider.range_query is not None:
                raise ScenarioError(
                    f"metric {metric.name!r} uses a rangeQuery, which a simulation does not play",
                    fix="use an instant query",
                )
        elif metric.name not in stated and not isinstance(provider, GatedCounts):
            kind = provider.kind if isinstance(provider, OtherProvider) else type(provider).__name__
            raise ScenarioError(
                f"metric {metric.name!r} ({kind}) is not a Prometheus query, and the release does not "
                "say what it would find",
                fix=f"add it to the release's measurements: [{{metric: {metric.name}, pass_probability: 1}}]",
            )


def _metrics(policy: Policy) -> Iterator[Metric]:
    """All metrics of all analyses of a policy."""
    for analysis in analyses_of(policy):
        yield from analysis.metrics


def reads_latency(policy: Policy, scenario: Scenario) -> bool:
    """True when a query of the policy can select a series of the latency histogram."""
    histogram = PRESETS[scenario.service.telemetry.preset].durations
    names = {f"{histogram}_{part}" for part in ("bucket", "sum", "count")}
    for metric in _metrics(policy):
        for query in queries_of(metric.provider):
            if any(read.metric is None or read.metric in names for read in reads_of(query)):
                return True
    return False
