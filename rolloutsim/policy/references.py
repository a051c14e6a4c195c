"""What a Rollout refers to beside its templates: Services, Ingresses, objects of a mesh.

Source: argoproj/argo-rollouts, pkg/apis/rollouts/validation/validation_references.go. Services have to be
in the files; Ingresses are checked when they are; objects of other routers are only counted as used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.ingress import INGRESS, backends
from rolloutsim.policy.kubernetes import selector_of
from rolloutsim.policy.shape import check_shape

__all__ = ["check_routing", "check_services"]

HASH_LABEL = "rollouts-pod-template-hash"
SERVICE_FIELDS = ("stableService", "canaryService", "activeService", "previewService")
OWNER = "argo-rollouts.argoproj.io/managed-by-rollouts"
OBJECT_FIELDS = {
    "istio": ("virtualService", "virtualServices"),
    "nginx": ("stableIngress", "stableIngresses"),
    "alb": ("ingress", "ingresses"),
}
"""Fields of a router that name one object or several."""


def check_services(document: Document, bundle: Bundle, path: Path, strategy: Mapping[str, Any]) -> None:
    """Each Service that the strategy at ``path`` names exists and selects the labels of the pod template.

    Raises
    ------
    PolicyError : a Service is missing, or its selector does not fit.
    """
    labels = document.spec.get("template", {}).get("metadata", {}).get("labels", {})
    for field in SERVICE_FIELDS:
        if not strategy.get(field):
            continue
        service = bundle.need("Service", strategy[field], document, (*path, field))
        selector = selector_of(service)
        owner = service.data["metadata"].get("annotations", {}).get(OWNER, document.name)
        if owner != document.name:
            raise service.error(
                ("metadata", "annotations", OWNER), "another Rollout manages the Service", owner
            )
        for label, value in selector.items() if labels else ():
            if label != HASH_LABEL and labels.get(label) != value:
                raise service.error(
                    ("spec", "selector", label),
                    f"the selector of {service.label} does not match the pod template of {document.label}",
                    value,
                    fix=f"the template has {label}: {labels.get(label)}",
                )


def check_routing(document: Document, bundle: Bundle, path: Path, canary: Mapping[str, Any]) -> Iterator[str]:
    """Check the Ingresses of the routers of the canary at ``path``; yield what could not be checked.

    Raises
    ------
    PolicyError : an Ingress is named twice over or not at all, or has no rule for the stable Service.
    """
    routing = canary.get("trafficRouting", {})
    names = set(_texts(routing))
    for other in bundle.documents:
        if other.name in names and other.kind not in ("Service", "Rollout", "RolloutPolicy"):
            bundle.use(other)
    for router, (one, several) in OBJECT_FIELDS.items():
        if router not in routing:
            continue
        content, where = routing[router], (*path, "trafficRouting", router)
        if bool(content.get(one)) == bool(content.get(several)):
            raise document.error(where, f"give either {one!r} or {several!r}")
        if router == "istio":
            continue
        service = content.get("rootService") or canary.get("stableService", "")
        for name in [content[one]] if content.get(one) else content[several]:
            ingress = bundle.find("Ingress", name, document.namespace)
            if ingress is None:
                yield f"Ingress {name!r} is not in the files: its rules were not checked"
                continue
            check_shape(ingress, INGRESS)
            if service and service not in (backend for backend, _ in backends(ingress).values()):
                field = one if content.get(one) else several
                raise document.error(
                    (*where, field), f"{ingress.label} has no rule for Service {service!r}", name
                )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
