"""What a Rollout refers to beside its templates: Services, Ingresses, objects of a mesh.

Source: argoproj/argo-rollouts, pkg/apis/rollouts/validation/validation_references.go. Services have to be
in the files; Ingresses, VirtualServices and Mappings are checked when they are; objects of other routers are
only counted as used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.ingress import INGRESS, backends
from rolloutsim.policy.kubernetes import selector_of
from rolloutsim.policy.shape import check_shape
from rolloutsim.policy.virtual_service import check_virtual_services

__all__ = ["SERVICE_FIELDS", "check_routing", "check_services", "named_services"]

HASH_LABEL = "rollouts-pod-template-hash"
SERVICE_FIELDS = ("stableService", "canaryService", "activeService", "previewService")
PING_PONG_FIELDS = ("pingService", "pongService")
OWNER = "argo-rollouts.argoproj.io/managed-by-rollouts"
OBJECT_FIELDS = {
    "istio": ("virtualService", "virtualServices"),
    "nginx": ("stableIngress", "stableIngresses"),
    "alb": ("ingress", "ingresses"),
}
"""Fields of a router that name one object or several."""


def named_services(strategy: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Where below a strategy a Service is named, and its name."""
    ping_pong = strategy.get("pingPong", {})
    places: list[tuple[Path, Any]] = [((field,), strategy.get(field)) for field in SERVICE_FIELDS]
    places += [(("pingPong", field), ping_pong.get(field)) for field in PING_PONG_FIELDS]
    yield from ((place, name) for place, name in places if name)


def check_services(document: Document, bundle: Bundle, path: Path, strategy: Mapping[str, Any]) -> None:
    """Each Service that the strategy at ``path`` names exists and selects labels that its pods will have.

    Raises
    ------
    PolicyError : a Service is missing, or its selector does not fit.
    """
    labels = document.spec.get("template", {}).get("metadata", {}).get("labels", {})
    for place, name in named_services(strategy):
        service = bundle.need("Service", name, document, (*path, *place))
        # stableMetadata has further labels of the pods that stableService selects, and so the others.
        metadata = str(place[-1]).replace("Service", "Metadata")
        further = strategy.get(metadata, {}).get("labels", {})
        selector = selector_of(service)
        owner = service.data["metadata"].get("annotations", {}).get(OWNER, document.name)
        if owner != document.name:
            raise service.error(
                ("metadata", "annotations", OWNER), "another Rollout manages the Service", owner
            )
        for label, value in selector.items() if labels else ():
            if label != HASH_LABEL and value not in (labels.get(label), further.get(label)):
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
    PolicyError : an Ingress is named twice over or not at all, or has no rule for the stable Service; a
        VirtualService has no route to be split; a Mapping has a weight.
    """
    routing = canary.get("trafficRouting", {})
    names = set(_texts(routing))
    for other in bundle.documents:
        if other.name in names and other.kind not in ("Service", "Rollout", "RolloutPolicy"):
            bundle.use(other)
    check_virtual_services(document, bundle, path, canary)
    for name in routing.get("ambassador", {}).get("mappings", []):
        mapping = bundle.find("Mapping", name, document.namespace)
        if mapping is not None and mapping.spec.get("weight"):
            why = "a Mapping that Argo Rollouts splits may not have a weight of its own"
            raise mapping.error(("spec", "weight"), why, mapping.spec["weight"], fix="remove it")
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
