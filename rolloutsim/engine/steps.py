"""The steps of a canary: which one is current, what people call it, and when the list is another one."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from rolloutsim.engine.codec import to_json
from rolloutsim.policy.model import (
    AnalysisStep,
    Canary,
    ExperimentStep,
    Pause,
    PluginStep,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    Step,
    Strategy,
)

__all__ = ["current_step", "indefinite", "step_text", "steps_hash"]


@lru_cache(maxsize=256)
def steps_hash(strategy: Strategy) -> str:
    """Hash of the steps; a change of it starts an update over. Empty for strategies that have no steps.

    Anything inside the steps counts, also the analyses that they run.
    """
    if not isinstance(strategy, Canary):
        return ""
    text = json.dumps([to_json(step) for step in strategy.steps], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def current_step(strategy: Canary, index: int | None) -> tuple[Step | None, int | None]:
    """The current step (None past the end) and its index; (None, None) without steps."""
    if not strategy.steps:
        return None, None
    index = 0 if index is None else index
    return (strategy.steps[index] if index < len(strategy.steps) else None), index


def indefinite(step: Step | None) -> bool:
    """Whether the progress deadline stands still at this step."""
    return isinstance(step, Pause | AnalysisStep | ExperimentStep)


def step_text(step: Step) -> str:
    """A step as the controller's events spell it, for example ``setWeight: 20``."""
    match step:
        case SetWeight(weight):
            return f"setWeight: {weight}"
        case Pause(None):
            return "pause"
        case Pause(duration_ms):
            assert duration_ms is not None
            return f"pause: {duration_ms // 1000}s"
        case SetCanaryScale():
            return f"setCanaryScale{{{_scale_text(step)}}}"
        case AnalysisStep():
            return "analysis"
        case ExperimentStep():
            return "experiment"
        case SetHeaderRoute(name):
            return f"setHeaderRoute: {name}"
        case SetMirrorRoute(name):
            return f"setMirrorRoute: {name}"
        case PluginStep(name):
            return f"plugin: {name}"


def _scale_text(step: SetCanaryScale) -> str:
    if step.weight is not None:
        return f"weight: {step.weight}"
    if step.match_traffic_weight or step.replicas is None:
        return "matchTrafficWeight: true"
    return f"replicas: {step.replicas}"
