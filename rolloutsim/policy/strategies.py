"""The strategies ``canary`` and ``blueGreen`` out of checked manifests, defaults filled in.

Used for Argo Rollouts' Rollout and for our own RolloutPolicy, which share the vocabulary. Defaults are
those of argoproj/argo-rollouts, utils/defaults. A shape and the controller's rules have been checked
before, so the readers here meet right types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rolloutsim.policy.analysis_templates import AnalysisReader
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.durations import pause_seconds
from rolloutsim.policy.experiment_step import experiment_step
from rolloutsim.policy.metric import canonical_json
from rolloutsim.policy.model import (
    DEFAULT_DISRUPTION,
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    ExperimentStep,
    IntOrPercent,
    OtherProvider,
    Pause,
    PluginStep,
    ProgressThreshold,
    PrometheusProvider,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    SetWeight,
    Step,
    TrafficRouting,
)

__all__ = ["StrategyReader", "int_or_percent", "milliseconds"]

SCALE_DOWN_DELAY_MS = 30_000
"""Argo Rollouts, DefaultScaleDownDelaySeconds: with traffic routing, and for blue-green."""
_PERCENT = re.compile(r"([0-9]{1,9})%?")


def milliseconds(seconds: int | None) -> int | None:
    """Whole seconds of a manifest as milliseconds; None stays None."""
    return None if seconds is None else seconds * 1000


def int_or_percent(document: Document, path: Path, value: int | str | None, *, sign: bool) -> IntOrPercent:
    """A number of pods or a percentage; None is the default of 25 %.

    ``sign`` asks for the percent sign, as Kubernetes' Deployment does; Argo Rollouts reads any text as a
    percentage.
    """
    if value is None:
        return DEFAULT_DISRUPTION
    if isinstance(value, int):
        if value < 0:
            raise document.error(path, "a number of pods cannot be negative", value)
        return IntOrPercent(value)
    match = _PERCENT.fullmatch(value)
    if match is None or (sign and not value.endswith("%")):
        why = "expected a number of pods or a percentage"
        raise document.error(path, why, value, fix="for example 2 or 25%")
    share = int(match.group(1))
    # 0 % is 0 pods
    return IntOrPercent(share, percent=share > 0)


@dataclass(slots=True)
class StrategyReader:
    """Reads the strategy of one document; collects in ``not_modelled`` what a simulation does not play."""

    document: Document
    analyses: AnalysisReader
    not_modelled: list[str] = field(default_factory=list)

    def canary(self, path: Path, content: Mapping[str, Any], routing: TrafficRouting | None) -> Canary:
        """``strategy.canary`` at ``path``; ``routing`` is None for a canary by replicas alone."""
        background, starting_step = None, None
        if "analysis" in content:
            background = self._analysis((*path, "analysis"), content["analysis"], endless=True)
            # step 0 and "not set" both start at once
            starting_step = content["analysis"].get("startingStep") or None
        routed = routing is not None
        abort_delay_ms = milliseconds(content.get("abortScaleDownDelaySeconds"))
        threshold = content.get("replicaProgressThreshold")
        ping_pong = content.get("pingPong")
        if ping_pong is not None:
            self._note("pingPong: the two Services swap roles at each promotion; a run plays one promotion")
        return Canary(
            steps=tuple(
                self._step((*path, "steps", index), step)
                for index, step in enumerate(content.get("steps", []))
            ),
            max_surge=self._amount(path, content, "maxSurge"),
            max_unavailable=self._amount(path, content, "maxUnavailable"),
            stable_service=content.get("stableService", ""),
            canary_service=content.get("canaryService", ""),
            routing=routing,
            background=background,
            starting_step=starting_step,
            scale_down_delay_ms=self._scale_down_delay(content) if routed else None,
            scale_down_delay_revision_limit=content.get("scaleDownDelayRevisionLimit"),
            abort_scale_down_delay_ms=abort_delay_ms if routed else None,
            dynamic_stable_scale=content.get("dynamicStableScale", False),
            min_pods_per_replica_set=content.get("minPodsPerReplicaSet") if routed else None,
            progress_threshold=self._threshold((*path, "replicaProgressThreshold"), threshold),
            ping_pong=(ping_pong["pingService"], ping_pong["pongService"]) if ping_pong else None,
            extra_json=self._extra(content, ("canaryMetadata", "stableMetadata", "antiAffinity")),
        )

    def blue_green(self, path: Path, content: Mapping[str, Any]) -> BlueGreen:
        """``strategy.blueGreen`` at ``path``."""
        pre, post = (
            self._analysis((*path, key), content[key], endless=False) if key in content else None
            for key in ("prePromotionAnalysis", "postPromotionAnalysis")
        )
        automatic = content.get("autoPromotionEnabled", True)
        return BlueGreen(
            active_service=content.get("activeService", ""),
            preview_service=content.get("previewService", ""),
            preview_replica_count=content.get("previewReplicaCount"),
            auto_promotion_enabled=automatic,
            # read only while promotion is automatic
            auto_promotion_ms=content.get("autoPromotionSeconds", 0) * 1000 if automatic else 0,
            scale_down_delay_ms=self._scale_down_delay(content),
            scale_down_delay_revision_limit=content.get("scaleDownDelayRevisionLimit"),
            abort_scale_down_delay_ms=milliseconds(content.get("abortScaleDownDelaySeconds")),
            pre_promotion=pre,
            post_promotion=post,
            max_unavailable=self._amount(path, content, "maxUnavailable"),
            extra_json=self._extra(content, ("previewMetadata", "activeMetadata", "antiAffinity")),
        )

    def _note(self, text: str) -> None:
        if text not in self.not_modelled:
            self.not_modelled.append(text)

    def _amount(self, path: Path, content: Mapping[str, Any], field: str) -> IntOrPercent:
        return int_or_percent(self.document, (*path, field), content.get(field), sign=False)

    def _scale_down_delay(self, content: Mapping[str, Any]) -> int:
        delay = milliseconds(content.get("scaleDownDelaySeconds"))
        return SCALE_DOWN_DELAY_MS if delay is None else delay

    def _extra(self, content: Mapping[str, Any], names: tuple[str, ...]) -> str:
        if "antiAffinity" in content:
            self._note("antiAffinity: pods of a simulation are not placed on nodes")
        return canonical_json({name: content[name] for name in names if name in content})

    def _threshold(self, path: Path, content: Mapping[str, Any] | None) -> ProgressThreshold | None:
        if content is None:
            return None
        if content["type"] not in ("Percent", "Pods"):
            raise self.document.error((*path, "type"), "expected Percent or Pods", content["type"])
        return ProgressThreshold(content["value"], percent=content["type"] == "Percent")

    def _analysis(self, path: Path, content: Mapping[str, Any], *, endless: bool) -> Analysis:
        analysis = self.analyses.read(path, content, endless=endless)
        if "analysisRunMetadata" in content:
            self._note("analysisRunMetadata: the runs of a simulation carry no labels")
        self._note_metrics(analysis)
        return analysis

    def _note_metrics(self, analysis: Analysis) -> None:
        for metric in analysis.metrics:
            provider = metric.provider
            if isinstance(provider, OtherProvider):
                self._note(f"metric {metric.name!r}: a simulation does not measure with {provider.kind}")
            elif isinstance(provider, PrometheusProvider) and provider.range_query is not None:
                self._note(f"metric {metric.name!r}: a simulation does not evaluate a rangeQuery")

    def _step(self, path: Path, step: Mapping[str, Any]) -> Step:
        """The kinds that do not exclude each other are taken in the controller's order."""
        if "experiment" in step:
            return self._experiment((*path, "experiment"), step["experiment"])
        if "setWeight" in step:
            return SetWeight(step["setWeight"])
        if "pause" in step:
            seconds = pause_seconds(step["pause"]) if "duration" in step["pause"] else None
            return Pause(milliseconds(seconds))
        if "analysis" in step:
            return AnalysisStep(self._analysis((*path, "analysis"), step["analysis"], endless=False))
        if "setCanaryScale" in step:
            return _canary_scale(step["setCanaryScale"])
        if "setHeaderRoute" in step:
            self._note("setHeaderRoute: no request of a simulation carries the header, so none moves")
            route = step["setHeaderRoute"]
            return SetHeaderRoute(route.get("name", ""), canonical_json(route.get("match", [])))
        if "setMirrorRoute" in step:
            route = step["setMirrorRoute"]
            match = canonical_json(route.get("match", []))
            if match != "[]":
                self._note("setMirrorRoute: every request of a simulation matches the route")
            return SetMirrorRoute(route.get("name", ""), match, route.get("percentage"))
        plugin = step["plugin"]
        self._note(f"plugin step {plugin['name']!r}: a simulation does not run plugins")
        return PluginStep(plugin["name"], canonical_json(plugin.get("config", {})))

    def _experiment(self, path: Path, content: Mapping[str, Any]) -> ExperimentStep:
        if "analysisRunMetadata" in content:
            self._note("analysisRunMetadata: the runs of a simulation carry no labels")
        step = experiment_step(self.document, path, content, self.analyses)
        for one in step.analyses:
            self._note_metrics(one.analysis)
        return step


def _canary_scale(content: Mapping[str, Any]) -> SetCanaryScale:
    """matchTrafficWeight wins over replicas, and replicas over weight; an empty one matches the weight."""
    if content.get("matchTrafficWeight") or not ("replicas" in content or "weight" in content):
        return SetCanaryScale(match_traffic_weight=True)
    if "replicas" in content:
        return SetCanaryScale(replicas=content["replicas"])
    return SetCanaryScale(weight=content["weight"])
