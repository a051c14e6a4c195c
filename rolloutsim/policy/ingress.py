"""A pair of ingress-nginx Ingresses to a policy: a canary that a person moves by hand.

The main Ingress sends everybody to the stable Service; a second one with the ``canary`` annotations takes
its share of the same host and path for the canary Service. The manifests hold no steps and no analysis:
the weight that stands there, then a person.

Source: ingress-nginx, docs/user-guide/nginx-configuration/annotations ("Canary").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.kubernetes import selects
from rolloutsim.policy.model import Canary, Pause, Policy, SetWeight, Target, TrafficRouting
from rolloutsim.policy.shape import Fields, Leaf, ListOf, MapOf, check_shape
from rolloutsim.policy.strategies import SCALE_DOWN_DELAY_MS

__all__ = ["INGRESS", "backends", "ingress_policies"]

PREFIX = "nginx.ingress.kubernetes.io/"
DEFAULT_TOTAL = 100
REQUEST_RULES = ("canary-by-header", "canary-by-header-value", "canary-by-header-pattern", "canary-by-cookie")

BACKEND = Fields({"service": Fields({"name": Leaf.TEXT}, required=("name",), open=True)}, open=True)
PATH = Fields({"path": Leaf.TEXT, "pathType": Leaf.TEXT, "backend": BACKEND}, required=("backend",))
INGRESS = Fields(
    {
        "metadata": Fields({"annotations": MapOf(Leaf.TEXT)}, open=True),
        "spec": Fields(
            {
                "rules": ListOf(
                    Fields({"host": Leaf.TEXT, "http": Fields({"paths": ListOf(PATH)}, required=("paths",))})
                )
            },
            open=True,
        ),
    },
    open=True,
)

Route = tuple[str, str, str]
"""Host, path and path type."""


def ingress_policies(bundle: Bundle) -> Iterator[Policy]:
    """A policy for each canary Ingress of the bundle.

    Raises
    ------
    PolicyError : the canary has no main Ingress for its host and path, or the Services and Deployments
        behind the two are missing or the same.
    """
    ingresses = bundle.of_kind("Ingress")
    for ingress in ingresses:
        check_shape(ingress, INGRESS)
    mains = [ingress for ingress in ingresses if not _is_canary(ingress)]
    for ingress in ingresses:
        if _is_canary(ingress):
            yield _pair_policy(bundle, ingress, mains)


def _annotation(ingress: Document, name: str) -> str:
    value = ingress.data.get("metadata", {}).get("annotations", {}).get(PREFIX + name, "")
    return str(value)


def _annotation_path(name: str) -> Path:
    return ("metadata", "annotations", PREFIX + name)


def _is_canary(ingress: Document) -> bool:
    enabled = _annotation(ingress, "canary")
    if enabled not in ("", "true", "false"):
        raise ingress.error(_annotation_path("canary"), 'expected "true" or "false"', enabled)
    if enabled != "true" and _annotation(ingress, "canary-weight"):
        raise ingress.error(
            _annotation_path("canary-weight"),
            "the weight counts only when the canary is switched on",
            fix=f'add {PREFIX}canary: "true"',
        )
    return enabled == "true"


def _number(ingress: Document, name: str, default: int) -> int:
    text = _annotation(ingress, name)
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        raise ingress.error(_annotation_path(name), "expected a whole number, not negative", text)
    return int(text) if text else default


def backends(ingress: Document) -> dict[Route, tuple[str, Path]]:
    """The Service, and where it stands, for each host and path."""
    routes: dict[Route, tuple[str, Path]] = {}
    for i, rule in enumerate(ingress.spec.get("rules", [])):
        for j, entry in enumerate(rule.get("http", {}).get("paths", [])):
            route = (rule.get("host", ""), entry.get("path", "/"), entry.get("pathType", ""))
            place: Path = ("spec", "rules", i, "http", "paths", j, "backend")
            backend = entry["backend"]
            if "serviceName" in backend:  # networking.k8s.io/v1beta1 and before
                routes[route] = (str(backend["serviceName"]), (*place, "serviceName"))
            else:
                routes[route] = (backend.get("service", {}).get("name", ""), (*place, "service", "name"))
    return routes


def _pair_policy(bundle: Bundle, canary: Document, mains: list[Document]) -> Policy:
    routes = backends(canary)
    if not routes:
        raise canary.error(
            ("spec", "rules"), "the canary Ingress has no rule", fix="repeat the main Ingress's"
        )
    route, (new, new_place) = next(iter(routes.items()))
    main = next((ingress for ingress in mains if route in backends(ingress)), None)
    if main is None:
        host, path, kind = route
        raise canary.error(
            ("spec", "rules"),
            f"no main Ingress in the files has the host {host!r} and the path {path!r} ({kind})",
            fix="add the main Ingress; host, path and pathType have to be equal",
        )
    old, old_place = backends(main)[route]
    if old == new:
        raise canary.error(new_place, "the canary goes to the same Service as the main Ingress", new)
    stable = _deployment_behind(bundle, main, old, old_place)
    other = _deployment_behind(bundle, canary, new, new_place)
    bundle.use(main)
    bundle.use(canary)
    total = max(DEFAULT_TOTAL, _number(canary, "canary-weight-total", DEFAULT_TOTAL))
    weight = min(total, _number(canary, "canary-weight", 0))
    replicas = stable.spec.get("replicas", 1)
    return Policy(
        name=main.name,
        strategy=Canary(
            steps=(SetWeight(weight), Pause()),
            stable_service=old,
            canary_service=new,
            routing=TrafficRouting(routers=("nginx",), max_weight=total),
            scale_down_delay_ms=SCALE_DOWN_DELAY_MS,
        ),
        replicas=replicas,
        namespace=main.namespace or "default",
        kind="Ingress",
        min_ready_ms=stable.spec.get("minReadySeconds", 0) * 1000,
        progress_deadline_ms=stable.spec.get("progressDeadlineSeconds", 600) * 1000,
        revision_history_limit=stable.spec.get("revisionHistoryLimit", 10),
        target=Target(deployments=(stable.name, other.name), service=old, route=f"ingress/{main.name}"),
        not_modelled=tuple(_notes(canary, other, weight, total, replicas)),
    )


def _deployment_behind(bundle: Bundle, ingress: Document, service: str, place: Path) -> Document:
    found = bundle.need("Service", service, ingress, place)
    for deployment in bundle.of_kind("Deployment"):
        if selects(found, deployment):
            return bundle.use(deployment)
    raise ingress.error(
        place, f"no Deployment in the files has the pods of Service {service!r}", fix="add its manifest"
    )


def _notes(canary: Document, deployment: Document, weight: int, total: int, replicas: int) -> Iterator[str]:
    for name in REQUEST_RULES:
        if _annotation(canary, name):
            yield f"{PREFIX}{name}: requests of a simulation carry no headers or cookies"
    pods, needed = deployment.spec.get("replicas", 1), -(-weight * replicas // total)
    if pods != needed:
        yield (
            f"{deployment.label} asks for {pods} pods: the canary is sized by its weight instead, "
            f"{needed} pods at {weight} of {total}"
        )
