"""A policy as a RolloutPolicy, our own kind for clusters without a rollout controller.

It has Argo's vocabulary but not all of it: steps that need a mesh or a plugin, ping-pong Services and the
roll-back window stay behind. The objects that it acts on come from the files that the policy was read from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rolloutsim.policy.document import Document
from rolloutsim.policy.export_analysis import InlineAnalyses
from rolloutsim.policy.export_argo import GATEWAY_PLUGIN, REWRITTEN
from rolloutsim.policy.export_loss import Loss
from rolloutsim.policy.export_strategy import (
    blue_green_content,
    canary_content,
    disruption,
    lifecycle_content,
)
from rolloutsim.policy.model import (
    BlueGreen,
    Canary,
    ExperimentStep,
    PluginStep,
    Policy,
    Recreate,
    RollingUpdate,
    SetCanaryScale,
    SetHeaderRoute,
    SetMirrorRoute,
    Target,
)
from rolloutsim.policy.native import API_VERSION, ROUTERS
from rolloutsim.policy.validate import DEFAULT_MAX_WEIGHT

__all__ = ["native_documents"]

Content = dict[str, Any]
S = TypeVar("S", Canary, BlueGreen)
LEFT_BEHIND = {
    ExperimentStep: "experiment",
    SetHeaderRoute: "setHeaderRoute",
    SetMirrorRoute: "setMirrorRoute",
    PluginStep: "plugin",
}
"""Steps that a RolloutPolicy does not have, and how they are written."""


def native_documents(policy: Policy, originals: Sequence[Document]) -> tuple[list[Content], list[Loss]]:
    """The RolloutPolicy, templates that it needs, and the other objects of the files; what is not kept."""
    export = _NativeExport(policy, originals)
    return export.documents(), export.losses


@dataclass(slots=True)
class _NativeExport:
    policy: Policy
    originals: Sequence[Document]
    losses: list[Loss] = field(default_factory=list)

    def documents(self) -> list[Content]:
        policy = self.policy
        analyses = InlineAnalyses()
        if policy.namespace != "default":
            analyses.templates.namespace = policy.namespace
        if policy.rollback_window_revisions is not None:
            self._lose("rollback_window_revisions", "a RolloutPolicy has no roll-back window")
        if policy.restart_at_ms is not None:
            self._lose("restart_at_ms", "a RolloutPolicy restarts no pods", decides=False)
        if any(document.kind == "Rollout" for document in self.originals):
            self._lose(
                "Rollout spec.template",
                "a RolloutPolicy names Deployments, which have the pod template",
                decides=False,
            )
        strategy, route = self._adapted()
        spec = lifecycle_content(replace(policy, rollback_window_revisions=None))
        spec["target"] = self._target(route)
        spec["strategy"] = self._strategy(strategy, route, analyses)
        document = {
            "apiVersion": API_VERSION,
            "kind": "RolloutPolicy",
            "metadata": self._metadata(),
            "spec": spec,
        }
        return [document, *analyses.templates.documents, *self._rest()]

    def _lose(self, path: str, why: str, *, decides: bool = True) -> None:
        self.losses.append(Loss(path, why, decides))

    def _metadata(self) -> Content:
        policy = self.policy
        own = [d for d in self.originals if d.name == policy.name and d.kind in ("Rollout", "RolloutPolicy")]
        kept = own[0].data["metadata"] if own else {}
        metadata = {name: kept[name] for name in ("labels", "annotations") if name in kept}
        namespace = {} if policy.namespace == "default" else {"namespace": policy.namespace}
        return {"name": policy.name, **namespace, **metadata}

    def _rest(self) -> Iterator[Content]:
        for document in self.originals:
            if document.kind not in REWRITTEN:
                yield {name: value for name, value in document.data.items() if name != "status"}

    # --- what the policy acts on ------------------------------------------------------------------

    def _target(self, route: str) -> Content:
        target = self.policy.target
        content: Content = {}
        if len(target.deployments) == 2:
            content["deployments"] = list(target.deployments)
        else:
            content["deployment"] = target.deployments[0] if target.deployments else self.policy.name
        if not target.deployments:
            why = f"the policy names no Deployment: {self.policy.name!r} is assumed"
            self._lose("target.deployments", why, decides=False)
        if target.service:
            content["service"] = target.service
        if route:
            kind, _, name = route.partition("/")
            content["route"] = {"kind": next(k for k in ROUTERS if k.lower() == kind), "name": name}
        if target.revision_label != Target().revision_label:
            content["revisionLabel"] = target.revision_label
        return content

    # --- strategy ---------------------------------------------------------------------------------

    def _adapted(self) -> tuple[Canary | BlueGreen | RollingUpdate | Recreate, str]:
        """The strategy with only what a RolloutPolicy can say, and the route (``httproute/NAME``)."""
        strategy = self.policy.strategy
        if isinstance(strategy, BlueGreen):
            return self._without_extra(strategy), ""
        if not isinstance(strategy, Canary):
            return strategy, ""
        strategy = self._without_extra(strategy)
        if strategy.ping_pong is not None:
            self._lose("strategy.ping_pong", "a RolloutPolicy has no Services that swap roles")
        strategy = replace(strategy, ping_pong=None, steps=tuple(self._steps(strategy)))
        if strategy.routing is None:
            return strategy, ""
        route = self.policy.target.route or _route_of(strategy)
        if not route:
            return self._without_route(strategy), ""
        if not strategy.routing.verifies:
            self._lose(
                "strategy.routing.verifies",
                "a RolloutPolicy's route is read back: a setWeight step waits until the weight is confirmed",
            )
        if not self.policy.target.route:
            self._lose("target.route", f"the weights move {route}", decides=False)
            self._lose("strategy.routing.routers", f"the weights move {route}", decides=False)
            self._lose("strategy.routing.settings_json", "settings of the router stay behind", decides=False)
        if strategy.routing.managed_routes:
            self._lose("strategy.routing.managed_routes", "a RolloutPolicy has no such routes", decides=False)
        return strategy, route

    def _without_extra(self, strategy: S) -> S:
        for name in json.loads(strategy.extra_json):
            self._lose(f"strategy.{name}", f"a RolloutPolicy has no {name}", decides=False)
        return replace(strategy, extra_json="{}")

    def _steps(self, strategy: Canary) -> Iterator[Any]:
        for index, step in enumerate(strategy.steps):
            name = LEFT_BEHIND.get(type(step))
            if name is None:
                yield step
            else:
                self._lose(f"strategy.steps[{index}]", f"a RolloutPolicy has no step {name}: it is left out")

    def _without_route(self, strategy: Canary) -> Canary:
        assert strategy.routing is not None
        routers = ", ".join(strategy.routing.routers) or "no router"
        why = f"a RolloutPolicy cannot move {routers}: the weights become shares of the pods"
        self._lose("strategy.routing", why)
        steps = tuple(step for step in strategy.steps if not isinstance(step, SetCanaryScale))
        if len(steps) < len(strategy.steps):
            self._lose(
                "strategy.steps", "without a route there is no setCanaryScale: such steps are left out"
            )
        for name in ("dynamic_stable_scale", "min_pods_per_replica_set", "abort_scale_down_delay_ms"):
            if getattr(strategy, name):
                self._lose(f"strategy.{name}", "has no meaning without a route")
        if strategy.scale_down_delay_ms is not None:
            self._lose("strategy.scale_down_delay_ms", "has no meaning without a route")
        return replace(
            strategy,
            routing=None,
            steps=steps,
            dynamic_stable_scale=False,
            min_pods_per_replica_set=None,
            scale_down_delay_ms=None,
            abort_scale_down_delay_ms=None,
        )

    def _strategy(
        self,
        strategy: Canary | BlueGreen | RollingUpdate | Recreate,
        route: str,
        analyses: InlineAnalyses,
    ) -> Content:
        name = self.policy.name
        match strategy:
            case Canary():
                content = canary_content(strategy, name, analyses)
                routing = strategy.routing
                if route and routing is not None and routing.max_weight != DEFAULT_MAX_WEIGHT:
                    content["trafficRouting"] = {"maxTrafficWeight": routing.max_weight}
                return {"canary": content}
            case BlueGreen():
                return {"blueGreen": blue_green_content(strategy, name, analyses)}
            case RollingUpdate():
                return {"rollingUpdate": disruption(strategy)}
            case Recreate():
                return {"recreate": {}}


def _route_of(strategy: Canary) -> str:
    """The route behind a router of Argo Rollouts that a RolloutPolicy can move itself; empty if none."""
    assert strategy.routing is not None
    settings = json.loads(strategy.routing.settings_json)
    if "stableIngress" in settings.get("nginx", {}):
        return f"ingress/{settings['nginx']['stableIngress']}"
    plugin = settings.get("plugins", {}).get(GATEWAY_PLUGIN)
    if isinstance(plugin, dict) and isinstance(plugin.get("httpRoute"), str):
        return f"httproute/{plugin['httpRoute']}"
    return ""
