"""A gate back to what a RolloutPolicy says; and a strategy without its gates, for forms that have none."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from rolloutsim.policy.export_loss import Loss
from rolloutsim.policy.export_yaml import duration_text
from rolloutsim.policy.gate_shape import DEFAULT_TEST, TESTS
from rolloutsim.policy.gated import ArmCounters, GatedCounts
from rolloutsim.policy.gates import WaldSprt
from rolloutsim.policy.model import Analysis, AnalysisStep, BlueGreen, Canary, Step, Strategy

__all__ = ["gate_content", "without_gates"]

Content = dict[str, Any]
PLAIN = GatedCounts(WaldSprt(0.01, 0.02), ArmCounters(""))
"""For the defaults of a gated metric."""


def gate_content(counts: GatedCounts) -> Content:
    """The field ``gate``. The false-abort rate is always written: left out it would be shared anew."""
    name = next(name for name, test in TESTS.items() if test.gate is type(counts.gate))
    content: Content = {} if name == DEFAULT_TEST else {"test": name}
    arms = {"canary": _arm(counts.canary)}
    if counts.stable is not None:
        arms["stable"] = _arm(counts.stable)
    content["counters"] = arms
    settings: Content = {"address": counts.address} if counts.address else {}
    if counts.timeout_ms != PLAIN.timeout_ms:
        settings["timeout"] = counts.timeout_ms // 1000
    settings |= json.loads(counts.settings_json)
    if settings:
        content["prometheus"] = settings
    defaults = {field.name: field.default for field in fields(counts.gate)}
    for field, attribute in TESTS[name].fields.items():
        value = getattr(counts.gate, attribute)
        if attribute == "alpha" or value != defaults[attribute]:
            content[field] = value.value if field == "spending" else value
    for field, chosen, default in (
        ("onNoData", counts.on_no_data, PLAIN.on_no_data),
        ("onFail", counts.on_fail, PLAIN.on_fail),
        ("scope", counts.scope, PLAIN.scope),
    ):
        if chosen is not default:
            content[field] = chosen.value
    if counts.expires_after_ms is not None:
        content["expiresAfter"] = duration_text(counts.expires_after_ms)
    if counts.approvers:
        content["approvers"] = list(counts.approvers)
    return content


def without_gates(strategy: Strategy) -> tuple[Strategy, list[Loss]]:
    """The strategy as a form without gates can say it, and what that loses."""
    losses: list[Loss] = []
    if isinstance(strategy, Canary):
        steps: list[Step] = []
        for index, step in enumerate(strategy.steps):
            if not isinstance(step, AnalysisStep):
                steps.append(step)
                continue
            kept = _without(step.analysis, f"strategy.steps[{index}].analysis", losses)
            if kept is not None:
                steps.append(AnalysisStep(kept))
        background = strategy.background
        kept = None if background is None else _without(background, "strategy.background", losses)
        if losses:
            strategy = replace(strategy, steps=tuple(steps), background=kept)
    elif isinstance(strategy, BlueGreen):
        before, after = strategy.pre_promotion, strategy.post_promotion
        pre = None if before is None else _without(before, "strategy.pre_promotion", losses)
        post = None if after is None else _without(after, "strategy.post_promotion", losses)
        if losses:
            strategy = replace(strategy, pre_promotion=pre, post_promotion=post)
    return strategy, losses


def _without(analysis: Analysis, path: str, losses: list[Loss]) -> Analysis | None:
    kept = tuple(metric for metric in analysis.metrics if not isinstance(metric.provider, GatedCounts))
    gates = ", ".join(m.name for m in analysis.metrics if isinstance(m.provider, GatedCounts))
    if not gates:
        return analysis
    losses.append(Loss(path, f"Argo Rollouts has no statistical gates: {gates} is left out", decides=True))
    return replace(analysis, metrics=kept) if kept else None


def _arm(counters: ArmCounters) -> Content:
    texts = {"requests": counters.requests, "errors": counters.errors, "fast": counters.fast}
    return {name: text for name, text in texts.items() if text}
