"""A policy as Argo Rollouts' manifests: Rollout, AnalysisTemplates and the Services that it names.

What a policy does not hold (the pod template, ports of Services) comes from the files that it was read
from; where they do not have it a placeholder stands there, and that is a loss. A route of a RolloutPolicy
becomes the router that moves the same weights: ``nginx`` for an Ingress, the Gateway API plugin
(argoproj-labs/rollouts-plugin-trafficrouter-gatewayapi) for an HTTPRoute.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rolloutsim.errors import PolicyError
from rolloutsim.policy.analysis_templates import API_VERSION
from rolloutsim.policy.document import Document
from rolloutsim.policy.export_analysis import TemplateAnalyses
from rolloutsim.policy.export_gate import without_gates
from rolloutsim.policy.export_loss import Loss
from rolloutsim.policy.export_strategy import blue_green_content, canary_content, lifecycle_content
from rolloutsim.policy.ingress import PREFIX
from rolloutsim.policy.model import (
    BlueGreen,
    Canary,
    Policy,
    Recreate,
    RollingUpdate,
    Target,
    TrafficRouting,
)
from rolloutsim.policy.validate import DEFAULT_MAX_WEIGHT

__all__ = ["GATEWAY_PLUGIN", "argo_documents"]

Content = dict[str, Any]
GATEWAY_PLUGIN = "argoproj-labs/gatewayAPI"
PLACEHOLDER_IMAGE = "image.invalid/replace-me"
REWRITTEN = ("Rollout", "RolloutPolicy", "AnalysisTemplate", "ClusterAnalysisTemplate")
KEPT_FIELDS = ("selector", "template", "workloadRef", "analysis")
"""Of a Rollout's ``spec``: what a policy does not hold."""


def argo_documents(policy: Policy, originals: Sequence[Document]) -> tuple[list[Content], list[Loss]]:
    """The manifests, Rollout first, and what they do not keep.

    Raises
    ------
    PolicyError : Argo Rollouts has no strategy of this kind.
    """
    export = _ArgoExport(policy, originals)
    return export.documents(), export.losses


@dataclass(slots=True)
class _ArgoExport:
    policy: Policy
    originals: Sequence[Document]
    losses: list[Loss] = field(default_factory=list)

    def documents(self) -> list[Content]:
        policy = self.policy
        namespace = "" if policy.namespace == "default" else policy.namespace
        analyses = TemplateAnalyses(namespace)
        if policy.target != Target():
            left = ", ".join(policy.target.deployments) or "no Deployment"
            why = f"a Rollout has pods and a label of its own; the policy acts on {left}"
            self._lose("target", why)
        pods = self._pods()
        strategy = self._strategy(analyses)
        spec = {**lifecycle_content(policy), **pods, "strategy": strategy}
        if policy.restart_at_ms is not None:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=policy.restart_at_ms)
            spec["restartAt"] = moment.isoformat().replace("+00:00", "Z")
        rollout = {
            "apiVersion": API_VERSION,
            "kind": "Rollout",
            "metadata": self._metadata(namespace),
            "spec": spec,
        }
        services = list(self._services(pods, namespace))
        return [rollout, *analyses.documents, *services, *self._rest(services)]

    def _lose(self, path: str, why: str, *, decides: bool = False) -> None:
        self.losses.append(Loss(path, why, decides))

    def _find(self, kind: str, name: str) -> Document | None:
        return next((d for d in self.originals if d.kind == kind and d.name == name), None)

    def _metadata(self, namespace: str) -> Content:
        own = self._find("Rollout", self.policy.name) or self._find("RolloutPolicy", self.policy.name)
        kept = {} if own is None else own.data["metadata"]
        metadata = {name: kept[name] for name in ("labels", "annotations") if name in kept}
        return {"name": self.policy.name, **({"namespace": namespace} if namespace else {}), **metadata}

    # --- pods -------------------------------------------------------------------------------------

    def _pods(self) -> Content:
        """Selector and template: of the Rollout, of the target's Deployments, or a placeholder."""
        own = self._find("Rollout", self.policy.name)
        if own is not None:
            return {name: own.spec[name] for name in KEPT_FIELDS if name in own.spec}
        found = [self._find("Deployment", name) for name in self.policy.target.deployments]
        deployments = [deployment for deployment in found if deployment is not None]
        if deployments:
            return self._pods_of(deployments)
        labels = {"app": self.policy.name}
        self._lose(
            "Rollout spec.template",
            f"a policy has no pod template: a placeholder with the image {PLACEHOLDER_IMAGE} stands there",
        )
        container = {"name": self.policy.name, "image": PLACEHOLDER_IMAGE}
        return {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }

    def _pods_of(self, deployments: Sequence[Document]) -> Content:
        """The first Deployment's template with the labels that all have."""
        templates = [deployment.spec["template"] for deployment in deployments]
        labels = [template.get("metadata", {}).get("labels", {}) for template in templates]
        common = {key: value for key, value in labels[0].items() if all(key in other for other in labels)}
        common = {key: value for key, value in common.items() if all(o[key] == value for o in labels)}
        common = common or labels[0]
        self._lose(
            "Rollout spec.template",
            f"taken from {deployments[0].label}, with the labels that all Deployments of the policy have",
        )
        metadata = {**templates[0].get("metadata", {}), "labels": common}
        return {
            "selector": {"matchLabels": common},
            "template": {**templates[0], "metadata": metadata},
        }

    # --- strategy ---------------------------------------------------------------------------------

    def _strategy(self, analyses: TemplateAnalyses) -> Content:
        name = self.policy.name
        strategy, losses = without_gates(self.policy.strategy)
        self.losses += losses
        match strategy:
            case Canary():
                content = canary_content(strategy, name, analyses)
                if strategy.routing is not None:
                    content["trafficRouting"] = self._routing(strategy.routing)
                return {"canary": content}
            case BlueGreen():
                return {"blueGreen": blue_green_content(strategy, name, analyses)}
            case RollingUpdate():
                self._lose(
                    "strategy",
                    "Argo Rollouts has no rolling update: a canary without steps replaces the pods within "
                    "the same surge",
                    decides=True,
                )
                content = canary_content(
                    Canary(max_surge=strategy.max_surge, max_unavailable=strategy.max_unavailable),
                    name,
                    analyses,
                )
                return {"canary": content}
            case Recreate():
                raise PolicyError(
                    f"policy {name!r} stops all pods before it starts new ones, and Argo Rollouts cannot",
                    fix="export it as a RolloutPolicy",
                )

    def _routing(self, routing: TrafficRouting) -> Content:
        content: Content = json.loads(routing.settings_json)
        for router in () if content else routing.routers:
            content |= self._router(router)
        if routing.verifies:
            self._lose(
                "strategy.routing.verifies",
                "a RolloutPolicy's route is read back; Argo Rollouts takes a weight as set once the write is "
                "answered",
                decides=True,
            )
        if routing.max_weight != DEFAULT_MAX_WEIGHT:
            content["maxTrafficWeight"] = routing.max_weight
        if routing.managed_routes:
            content["managedRoutes"] = [{"name": name} for name in routing.managed_routes]
        return content

    def _router(self, router: str) -> Content:
        """A router of which the policy holds only the name, and the target the object."""
        _, _, name = self.policy.target.route.partition("/")
        if router == "httproute":
            why = f"HTTPRoute {name!r} is moved by the plugin {GATEWAY_PLUGIN}, which has to be installed"
            self._lose("strategy.routing.routers", why)
            self._lose("strategy.routing.settings_json", "the plugin names the route")
            route = {"httpRoute": name, "namespace": self.policy.namespace}
            return {"plugins": {GATEWAY_PLUGIN: route}}
        if router == "nginx":
            self._lose("strategy.routing.settings_json", f"the router names Ingress {name!r}")
            return {"nginx": {"stableIngress": name}}
        return {"plugins": {router.removeprefix("plugins/"): {}}}

    # --- Services and the rest --------------------------------------------------------------------

    def _services(self, pods: Content, namespace: str) -> Iterator[Content]:
        strategy = self.policy.strategy
        if isinstance(strategy, Canary):
            names = [strategy.stable_service, strategy.canary_service, *(strategy.ping_pong or ())]
        elif isinstance(strategy, BlueGreen):
            names = [strategy.active_service, strategy.preview_service]
        else:
            names = []
        labels = pods.get("selector", {}).get("matchLabels", {"app": self.policy.name})
        for name in dict.fromkeys(filter(None, names)):
            yield self._service(name, labels, namespace)

    def _service(self, name: str, labels: Content, namespace: str) -> Content:
        found = self._find("Service", name)
        if found is not None and self._find("Rollout", self.policy.name) is not None:
            return _kept(found)
        if found is not None:
            if found.spec.get("selector") != labels:
                self._lose(
                    f"Service {name} spec.selector",
                    "selects all pods of the Rollout, whose controller adds the revision's label",
                )
            return {**_kept(found), "spec": {**found.spec, "selector": labels}}
        self._lose(f"Service {name}", "a policy has only its name: selector and port are placeholders")
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        }

    def _rest(self, services: Sequence[Content]) -> Iterator[Content]:
        """The other objects of the files, as they are."""
        written = {service["metadata"]["name"] for service in services}
        for document in self.originals:
            replaced = document.kind == "Deployment" and document.name in self.policy.target.deployments
            canary = document.kind == "Ingress" and _annotated_canary(document)
            if canary or replaced:
                self._lose(document.label, "the Rollout takes its place")
            elif document.kind not in REWRITTEN and not (
                document.kind == "Service" and document.name in written
            ):
                yield _kept(document)


def _annotated_canary(ingress: Document) -> bool:
    annotations: Content = ingress.data["metadata"].get("annotations", {})
    return annotations.get(PREFIX + "canary") == "true"


def _kept(document: Document) -> Content:
    return {name: value for name, value in document.data.items() if name != "status"}
