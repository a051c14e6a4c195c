"""Plain Kubernetes objects to policies: a Deployment, or two of them behind one Service.

A lone Deployment is a rolling update (or Recreate). Two Deployments and a Service whose selector tells
one from the other by one label are a blue-green pair: a person checks the idle one and changes that label
in the Service's selector. Nothing in such a pair scales either Deployment down, which is what an explicit
delay of 0 means in a blue-green strategy.

Source: Kubernetes, apps/v1 Deployment (defaults and validation of ``strategy``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from rolloutsim.policy.argo_shape import POD_TEMPLATE, SELECTOR
from rolloutsim.policy.document import Bundle, Document
from rolloutsim.policy.model import BlueGreen, Policy, Recreate, RollingUpdate, Target
from rolloutsim.policy.shape import Fields, Leaf, MapOf, check_manifest, check_shape
from rolloutsim.policy.strategies import int_or_percent

__all__ = ["blue_green_policies", "check_deployment", "deployment_policy", "rolling_update", "selects"]

API_VERSION = "apps/v1"
ROLLING_UPDATE = Fields({"maxSurge": Leaf.INTEGER_OR_TEXT, "maxUnavailable": Leaf.INTEGER_OR_TEXT})
DEPLOYMENT = Fields(
    {
        "replicas": Leaf.INTEGER,
        "selector": SELECTOR,
        "template": POD_TEMPLATE,
        "strategy": Fields(
            {
                "type": Leaf.TEXT,
                "rollingUpdate": ROLLING_UPDATE,
            }
        ),
        "minReadySeconds": Leaf.INTEGER,
        "revisionHistoryLimit": Leaf.INTEGER,
        "paused": Leaf.BOOLEAN,
        "progressDeadlineSeconds": Leaf.INTEGER,
    },
    required=("selector", "template"),
)
SERVICE = Fields(
    {
        "metadata": Fields({"annotations": MapOf(Leaf.TEXT)}, open=True),
        "spec": Fields({"selector": MapOf(Leaf.TEXT)}, open=True),
    },
    open=True,
)


def check_deployment(document: Document) -> None:
    """Check a Deployment as the API server does, so far as a policy depends on it.

    Raises
    ------
    PolicyError : an unknown field, a wrong type, or a value that the API server refuses.
    """
    check_manifest(document, API_VERSION, DEPLOYMENT)
    spec = document.spec
    for field in ("replicas", "minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit"):
        if spec.get(field, 0) < 0:
            raise document.error(("spec", field), "must be greater than or equal to 0", spec[field])
    if spec.get("progressDeadlineSeconds", 600) <= spec.get("minReadySeconds", 0):
        raise document.error(
            ("spec", "progressDeadlineSeconds"),
            "must be greater than minReadySeconds",
            spec.get("progressDeadlineSeconds", 600),
        )
    wanted = spec["selector"].get("matchLabels", {})
    labels = pods_labels(document)
    for label, value in wanted.items():
        if labels.get(label) != value:
            where = ("spec", "selector", "matchLabels", label)
            raise document.error(where, "the selector does not match the pod template", value)


def pods_labels(deployment: Document) -> dict[str, str]:
    """Labels of the pods of a Deployment."""
    labels = deployment.spec.get("template", {}).get("metadata", {}).get("labels", {})
    return dict(labels)


def selector_of(service: Document) -> dict[str, str]:
    """The selector of a Service; empty for one without."""
    check_shape(service, SERVICE)
    return dict(service.spec.get("selector", {}))


def selects(service: Document, deployment: Document) -> bool:
    """Does the Service send requests to the pods of this Deployment?"""
    selector, labels = selector_of(service), pods_labels(deployment)
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


# --- one Deployment -------------------------------------------------------------------------------


def deployment_policy(document: Document, bundle: Bundle) -> Policy:
    """The policy of a lone Deployment (checked): what its controller does with a new template.

    Raises
    ------
    PolicyError : a strategy that the API server refuses.
    """
    bundle.use(document)
    services = [service for service in bundle.of_kind("Service") if selects(service, document)]
    for service in services:
        bundle.use(service)
    return Policy(
        name=document.name,
        strategy=_strategy(document),
        kind="Deployment",
        target=Target(deployments=(document.name,), service=services[0].name if services else ""),
        **_lifecycle(document),
    )


def _lifecycle(document: Document) -> dict[str, Any]:
    spec = document.spec
    return {
        "replicas": spec.get("replicas", 1),
        "namespace": document.namespace or "default",
        "min_ready_ms": spec.get("minReadySeconds", 0) * 1000,
        "progress_deadline_ms": spec.get("progressDeadlineSeconds", 600) * 1000,
        "revision_history_limit": spec.get("revisionHistoryLimit", 10),
        "paused": spec.get("paused", False),
    }


def _strategy(document: Document) -> RollingUpdate | Recreate:
    strategy = document.spec.get("strategy", {})
    kind = strategy.get("type", "RollingUpdate")
    path = ("spec", "strategy")
    if kind == "Recreate":
        if "rollingUpdate" in strategy:
            why = "rollingUpdate cannot stand beside type Recreate"
            raise document.error((*path, "rollingUpdate"), why, fix="remove one of them")
        return Recreate()
    if kind != "RollingUpdate":
        raise document.error((*path, "type"), "expected RollingUpdate or Recreate", kind)
    return rolling_update(document, (*path, "rollingUpdate"), strategy.get("rollingUpdate", {}))


def rolling_update(
    document: Document, path: tuple[str | int, ...], content: Mapping[str, Any]
) -> RollingUpdate:
    """``maxSurge`` and ``maxUnavailable`` with the Deployment's defaults and checks."""
    surge, unavailable = (
        int_or_percent(document, (*path, field), content.get(field), sign=True)
        for field in ("maxSurge", "maxUnavailable")
    )
    if unavailable.percent and unavailable.value > 100:
        value = content["maxUnavailable"]
        raise document.error((*path, "maxUnavailable"), "must not be more than 100%", value)
    if surge.value == 0 and unavailable.value == 0:
        raise document.error(
            path, "maxSurge and maxUnavailable cannot both be 0", fix="no pod could ever be replaced"
        )
    return RollingUpdate(surge, unavailable)


# --- two Deployments behind one Service -----------------------------------------------------------


def blue_green_policies(bundle: Bundle) -> Iterator[Policy]:
    """A policy for each pair of unused Deployments (checked) that a Service tells apart by one label.

    Raises
    ------
    PolicyError : two Services could each be the one that users reach.
    """
    deployments = [document for document in bundle.unused() if document.kind == "Deployment"]
    services = [document for document in bundle.unused() if document.kind == "Service"]
    for pair in combinations(deployments, 2):
        for active, idle in (pair, pair[::-1]):
            service = next((s for s in services if _slot_label(s, active, idle)), None)
            preview = next((s for s in services if _slot_label(s, idle, active)), None)
            if service is not None and _reaches_users(service, preview):
                yield _pair_policy(bundle, service, preview, (active, idle))


def _slot_label(service: Document, active: Document, idle: Document) -> str:
    """The one label by which the Service selects the first and not the second; empty when it does not."""
    if not selects(service, active):
        return ""
    labels, selector = pods_labels(idle), selector_of(service)
    differing = [key for key, value in selector.items() if labels.get(key) != value]
    # one application in two slots shares the rest of the selector and its containers: two applications do not
    twins = len(selector) > 1 and _containers(active) == _containers(idle)
    return differing[0] if twins and len(differing) == 1 and differing[0] in labels else ""


def _containers(deployment: Document) -> set[str]:
    pod = deployment.spec["template"].get("spec", {})
    return {container.get("name", "") for container in pod.get("containers", [])}


def _reaches_users(service: Document, other: Document | None) -> bool:
    """Of two Services on the two slots ``api-preview`` is the preview of ``api``."""
    if other is None or other.name.startswith(service.name):
        return True
    if service.name.startswith(other.name):
        return False
    raise other.error(
        ("metadata", "name"),
        f"cannot tell which of {service.label} and {other.label} is the one that users reach",
        fix="write a RolloutPolicy that names them",
    )


def _pair_policy(
    bundle: Bundle, service: Document, preview: Document | None, pair: tuple[Document, Document]
) -> Policy:
    for document in (service, *pair, *((preview,) if preview else ())):
        bundle.use(document)
    names = sorted(deployment.name for deployment in pair)
    return Policy(
        name=service.name,
        strategy=BlueGreen(
            active_service=service.name,
            preview_service=preview.name if preview else "",
            auto_promotion_enabled=False,
            scale_down_delay_ms=0,
            abort_scale_down_delay_ms=0,
        ),
        kind="Deployment",
        target=Target(
            deployments=(names[0], names[1]),
            service=service.name,
            revision_label=_slot_label(service, *pair),
        ),
        **_lifecycle(pair[0]),
    )
