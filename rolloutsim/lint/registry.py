"""All rules, by family: the one place that knows what a lint looks for."""

from __future__ import annotations

from rolloutsim.lint import conditions, evidence, gates, pods, queries, references, switches, timing, weights
from rolloutsim.lint.rule import Check, Rule, Severity
from rolloutsim.lint.subject import MetricUse, Rollout

__all__ = [
    "DOES_NOT_LOAD",
    "METRIC_CHECKS",
    "NOTHING_TO_CHECK",
    "NOT_SIMULATED",
    "ROLLOUT_CHECKS",
    "RULES",
    "WRONG_COMMENT",
]

DOES_NOT_LOAD = Rule(
    "RS001",
    "does-not-load",
    Severity.ERROR,
    "the file does not parse, or holds something that the controller refuses",
    "correct it; other rules of this rollout were not checked",
)
NOTHING_TO_CHECK = Rule(
    "RS002",
    "nothing-to-check",
    Severity.NOTE,
    "none of the files holds a rollout, an analysis template or a Deployment",
    "name manifests of rollouts",
)
WRONG_COMMENT = Rule(
    "RS003",
    "comment-does-not-count",
    Severity.WARNING,
    "a comment that is to silence a finding needs the rule and a reason",
    "write '# rolloutsim: ignore RS020 the reason'",
)
NOT_SIMULATED = Rule(
    "RS004",
    "query-not-understood",
    Severity.WARNING,
    "Prometheus takes the query and a simulation does not: rules of this rollout were not checked",
    "nothing for the cluster; for a simulation, use what it understands",
)

ROLLOUT_CHECKS: tuple[Check[Rollout], ...] = (
    *references.CHECKS,
    *weights.CHECKS,
    *pods.CHECKS,
    *switches.CHECKS,
    *gates.CHECKS,
    *evidence.CHECKS,
    *queries.CHECKS,
    *timing.CHECKS,
)
METRIC_CHECKS: tuple[Check[MetricUse], ...] = (*conditions.METRIC_CHECKS, *queries.METRIC_CHECKS)

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (
            DOES_NOT_LOAD,
            NOTHING_TO_CHECK,
            WRONG_COMMENT,
            NOT_SIMULATED,
            references.MISSING,
            references.MISSING_CLUSTER_TEMPLATE,
            *(check.rule for check in ROLLOUT_CHECKS),
            *(check.rule for check in METRIC_CHECKS),
        ),
        key=lambda rule: rule.id,
    )
)
"""Every rule, in the order of the ids."""
