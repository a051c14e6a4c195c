"""A strategy and a lifecycle back to the fields of a manifest; what is the default is left out."""

from __future__ import annotations

import json
from typing import Any

from rolloutsim.policy.export_analysis import AnalysisWriter
from rolloutsim.policy.export_yaml import duration_text
from rolloutsim.policy.model import (
    DEFAULT_DISRUPTION,
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentStep,
    IntOrPercent,
    Pause,
    PluginStep,
    Policy,
    RollingUpdate,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    Step,
)
from rolloutsim.policy.strategies import SCALE_DOWN_DELAY_MS

__all__ = ["blue_green_content", "canary_content", "disruption", "lifecycle_content", "seconds"]

Content = dict[str, Any]


def lifecycle_content(policy: Policy) -> Content:
    """Replicas, deadlines and history of a policy, as a ``spec`` names them."""
    window = policy.rollback_window_revisions
    default = Policy(policy.name, policy.strategy)
    fields = (
        ("minReadySeconds", seconds(policy.min_ready_ms), 0),
        ("progressDeadlineSeconds", seconds(policy.progress_deadline_ms), 600),
        ("progressDeadlineAbort", policy.progress_deadline_abort, False),
        ("revisionHistoryLimit", policy.revision_history_limit, default.revision_history_limit),
        ("rollbackWindow", None if window is None else {"revisions": window}, None),
        ("paused", policy.paused, False),
    )
    return {
        "replicas": policy.replicas,
        **{name: value for name, value, unset in fields if value != unset},
    }


def seconds(milliseconds: int | None) -> int | None:
    """Whole seconds, as a manifest has them; None stays None."""
    return None if milliseconds is None else milliseconds // 1000


def disruption(strategy: Canary | RollingUpdate) -> Content:
    """``maxSurge`` and ``maxUnavailable``."""
    amounts = (("maxSurge", strategy.max_surge), ("maxUnavailable", strategy.max_unavailable))
    return {name: _amount(amount) for name, amount in amounts if amount != DEFAULT_DISRUPTION}


def _amount(amount: IntOrPercent) -> int | str:
    return f"{amount.value}%" if amount.percent else amount.value


def _given(**fields: Any) -> Content:
    """The fields that are set: neither None, nor empty text, nor False."""
    return {name: value for name, value in fields.items() if value not in (None, "") and value is not False}


def canary_content(strategy: Canary, policy_name: str, analyses: AnalysisWriter) -> Content:
    """``strategy.canary`` without ``trafficRouting``."""
    threshold, ping_pong = strategy.progress_threshold, strategy.ping_pong
    delay = strategy.scale_down_delay_ms
    content = _given(
        stableService=strategy.stable_service,
        canaryService=strategy.canary_service,
        pingPong=ping_pong and {"pingService": ping_pong[0], "pongService": ping_pong[1]},
    )
    content |= disruption(strategy)
    content |= _given(
        scaleDownDelaySeconds=None if delay == SCALE_DOWN_DELAY_MS else seconds(delay),
        scaleDownDelayRevisionLimit=strategy.scale_down_delay_revision_limit,
        abortScaleDownDelaySeconds=seconds(strategy.abort_scale_down_delay_ms),
        dynamicStableScale=strategy.dynamic_stable_scale,
        minPodsPerReplicaSet=strategy.min_pods_per_replica_set,
        replicaProgressThreshold=threshold
        and {"type": "Percent" if threshold.percent else "Pods", "value": threshold.value},
    )
    content |= json.loads(strategy.extra_json)
    if strategy.steps:
        content["steps"] = [
            _step(step, f"{policy_name}-step-{number}", analyses)
            for number, step in enumerate(strategy.steps, start=1)
        ]
    if strategy.background is not None:
        content["analysis"] = analyses.write(strategy.background, f"{policy_name}-background")
        if strategy.starting_step is not None:
            content["analysis"]["startingStep"] = strategy.starting_step
    return content


def _step(step: Step, name: str, analyses: AnalysisWriter) -> Content:
    match step:
        case SetWeight(weight=weight):
            return {"setWeight": weight}
        case Pause(duration_ms=duration):
            return {"pause": {} if duration is None else {"duration": duration_text(duration)}}
        case SetCanaryScale():
            return {"setCanaryScale": _canary_scale(step)}
        case AnalysisStep(analysis=analysis):
            return {"analysis": analyses.write(analysis, name)}
        case ExperimentStep():
            return {"experiment": _experiment(step, name, analyses)}
        case SetHeaderRoute(name=route, match_json=match):
            return {"setHeaderRoute": {"name": route, **_match(match)}}
        case SetMirrorRoute(name=route, match_json=match, percentage=percentage):
            return {"setMirrorRoute": {"name": route, **_match(match), **_given(percentage=percentage)}}
        case PluginStep(name=plugin, config_json=config):
            return {"plugin": {"name": plugin, "config": json.loads(config)}}


def _experiment(step: ExperimentStep, name: str, analyses: AnalysisWriter) -> Content:
    delay = step.scale_down_delay_ms
    content: Content = {
        "templates": [
            {
                "name": template.name,
                "specRef": "canary" if template.canary else "stable",
                **({} if template.replicas == 1 else {"replicas": template.replicas}),
                **({} if template.weight is None else {"weight": template.weight}),
                **json.loads(template.extra_json),
            }
            for template in step.templates
        ]
    }
    if step.duration_ms is not None:
        content["duration"] = duration_text(step.duration_ms)
    if step.analyses:
        content["analyses"] = [
            {
                "name": one.name,
                **analyses.write_one(one.analysis, f"{name}-{one.name}"),
                **({"requiredForCompletion": True} if one.required else {}),
            }
            for one in step.analyses
        ]
    if delay != SCALE_DOWN_DELAY_MS:
        content["scaleDownDelaySeconds"] = seconds(delay)
    content |= json.loads(step.extra_json)
    return content


def _canary_scale(step: SetCanaryScale) -> Content:
    if step.match_traffic_weight:
        return {"matchTrafficWeight": True}
    if step.replicas is not None:
        return {"replicas": step.replicas}
    return _given(weight=step.weight)


def _match(match_json: str) -> Content:
    match = json.loads(match_json)
    return {"match": match} if match else {}


def blue_green_content(strategy: BlueGreen, policy_name: str, analyses: AnalysisWriter) -> Content:
    """``strategy.blueGreen``."""
    automatic, delay = strategy.auto_promotion_enabled, strategy.scale_down_delay_ms
    content = _given(
        activeService=strategy.active_service,
        previewService=strategy.preview_service,
        previewReplicaCount=strategy.preview_replica_count,
    )
    if not automatic:
        content["autoPromotionEnabled"] = False
    content |= _given(
        autoPromotionSeconds=seconds(strategy.auto_promotion_ms) or None,
        scaleDownDelaySeconds=None if delay == SCALE_DOWN_DELAY_MS else seconds(delay),
        scaleDownDelayRevisionLimit=strategy.scale_down_delay_revision_limit,
        abortScaleDownDelaySeconds=seconds(strategy.abort_scale_down_delay_ms),
    )
    if strategy.max_unavailable != DEFAULT_DISRUPTION:
        content["maxUnavailable"] = _amount(strategy.max_unavailable)
    content |= json.loads(strategy.extra_json)
    for field, analysis, name in (
        ("prePromotionAnalysis", strategy.pre_promotion, "pre-promotion"),
        ("postPromotionAnalysis", strategy.post_promotion, "post-promotion"),
    ):
        if analysis is not None:
            content[field] = analyses.write(analysis, f"{policy_name}-{name}")
    return content
