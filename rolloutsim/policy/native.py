"""Our own kind ``RolloutPolicy``: Argo's vocabulary for clusters without a rollout controller.

``spec.strategy`` is ``canary`` or ``blueGreen`` as in Argo Rollouts, or ``rollingUpdate`` or ``recreate``
as in a Deployment; ``spec.target`` names the plain Deployments, the Service and the route that it acts on.
An analysis may hold its ``metrics`` itself. Its routes are read back after a change, so they verify.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.policy.analysis_templates import AnalysisReader
from rolloutsim.policy.argo import lifecycle, raise_first_finding
from rolloutsim.policy.argo_shape import (
    ANALYSIS_FIELDS,
    BLUE_GREEN,
    CANARY,
    LIFECYCLE,
    PAUSE,
    SET_CANARY_SCALE,
)
from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.gate_shape import METRIC_WITH_GATE
from rolloutsim.policy.gate_steps import evidence_step, has_gate
from rolloutsim.policy.ingress import INGRESS, backends
from rolloutsim.policy.kubernetes import ROLLING_UPDATE, rolling_update
from rolloutsim.policy.model import (
    BlueGreen,
    Canary,
    GatedCounts,
    Policy,
    Recreate,
    Strategy,
    Target,
    TrafficRouting,
)
from rolloutsim.policy.shape import Fields, Leaf, ListOf, Shape, check_manifest, check_shape
from rolloutsim.policy.strategies import StrategyReader
from rolloutsim.policy.validate import DEFAULT_MAX_WEIGHT

__all__ = ["API_VERSION", "native_policy"]

API_VERSION = "rolloutsim.dev/v1alpha1"
ROUTERS = {"HTTPRoute": "httproute", "Ingress": "nginx"}
"""Kinds of ``spec.target.route``: a Gateway API route, or an Ingress with ingress-nginx annotations."""

ANALYSIS_WITH_METRICS: dict[str, Shape] = {**ANALYSIS_FIELDS, "metrics": ListOf(METRIC_WITH_GATE)}
STEP = Fields(
    {
        "setWeight": Leaf.INTEGER,
        "pause": PAUSE,
        "setCanaryScale": SET_CANARY_SCALE,
        "analysis": Fields(ANALYSIS_WITH_METRICS),
    }
)
ROLLOUT_STEPS = ("experiment", "setHeaderRoute", "setMirrorRoute", "plugin")
LEFT_OUT = (
    "pingPong",
    "canaryMetadata",
    "stableMetadata",
    "previewMetadata",
    "activeMetadata",
    "antiAffinity",
)
STRATEGIES = Fields(
    {
        "canary": Fields(
            {
                **{name: shape for name, shape in CANARY.fields.items() if name not in LEFT_OUT},
                "steps": ListOf(STEP),
                "analysis": Fields({**ANALYSIS_WITH_METRICS, "startingStep": Leaf.INTEGER}),
                "trafficRouting": Fields({"maxTrafficWeight": Leaf.INTEGER}),
            }
        ),
        "blueGreen": Fields(
            {
                **{name: shape for name, shape in BLUE_GREEN.fields.items() if name not in LEFT_OUT},
                "prePromotionAnalysis": Fields(ANALYSIS_WITH_METRICS),
                "postPromotionAnalysis": Fields(ANALYSIS_WITH_METRICS),
            }
        ),
        "rollingUpdate": ROLLING_UPDATE,
        "recreate": Fields({}),
    }
)
TARGET = Fields(
    {
        "deployments": ListOf(Leaf.TEXT),
        "deployment": Leaf.TEXT,
        "service": Leaf.TEXT,
        "route": Fields({"kind": Leaf.TEXT, "name": Leaf.TEXT}, required=("kind", "name")),
        "revisionLabel": Leaf.TEXT,
    }
)
BACKENDS = ListOf(Fields({"name": Leaf.TEXT}, required=("name",), open=True))
HTTP_ROUTE = Fields(
    {"spec": Fields({"rules": ListOf(Fields({"backendRefs": BACKENDS}, open=True))}, open=True)}, open=True
)
ROLLOUT_POLICY = Fields(
    {
        **{name: shape for name, shape in LIFECYCLE.items() if name != "rollbackWindow"},
        "strategy": STRATEGIES,
        "target": TARGET,
    },
    required=("strategy", "target"),
)
TARGET_PATH: Path = ("spec", "target")
STRATEGY_PATH: Path = ("spec", "strategy")


def native_policy(document: Document, bundle: Bundle, dialect: Dialect) -> Policy:
    """The policy of a ``RolloutPolicy`` document and of what it refers to in its bundle.

    Raises
    ------
    PolicyError : the document has an unknown field, a wrong type or value, or lacks something.
    """
    _refuse_steps(document)
    check_manifest(document, API_VERSION, ROLLOUT_POLICY)
    name = _strategy_name(document)
    target = _target(document, bundle)
    analyses = AnalysisReader(bundle, document, dialect, inline=True)
    reader = StrategyReader(document, analyses)
    strategy = _strategy(document, name, target, reader)
    _check_targets(document, bundle, strategy)
    _check_gates(document, strategy)
    return Policy(
        name=document.name,
        strategy=strategy,
        namespace=document.namespace or "default",
        kind="RolloutPolicy",
        target=target,
        not_modelled=tuple(reader.not_modelled),
        **lifecycle(document.spec),
    )


def _refuse_steps(document: Document) -> None:
    """Steps of a Rollout that plain Deployments cannot have are named before the shape is looked at."""
    steps: Any = document.data
    path: Path = (*STRATEGY_PATH, "canary", "steps")
    for part in path:
        steps = steps.get(part) if isinstance(steps, Mapping) else None
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        for kind in ROLLOUT_STEPS:
            if isinstance(step, Mapping) and kind in step:
                why = f"plain Deployments have no step {kind!r}: it needs the Argo Rollouts controller"
                fix = "leave the step out, or use a Rollout"
                raise document.error((*path, index, kind), why, fix=fix)


def _strategy_name(document: Document) -> str:
    names = list(document.spec["strategy"])
    if len(names) == 1:
        return str(names[0])
    known = ", ".join(STRATEGIES.fields)
    why = f"a strategy is exactly one of {known}"
    raise document.error(STRATEGY_PATH, why, " and ".join(names) or None)


def _target(document: Document, bundle: Bundle) -> Target:
    content = document.spec["target"]
    if ("deployment" in content) == ("deployments" in content):
        raise document.error(TARGET_PATH, "the target names either 'deployment' or 'deployments'")
    names = content.get("deployments", [content.get("deployment", "")])
    if not 1 <= len(names) <= 2 or len(set(names)) != len(names) or not all(names):
        why = "the target is one Deployment or two different ones"
        raise document.error((*TARGET_PATH, "deployments"), why, ", ".join(names))
    route = ""
    if "route" in content:
        kind = content["route"]["kind"]
        if kind not in ROUTERS:
            raise document.error((*TARGET_PATH, "route", "kind"), f"expected {' or '.join(ROUTERS)}", kind)
        route = f"{kind.lower()}/{content['route']['name']}"
    label = content.get("revisionLabel", Target().revision_label)
    return Target(tuple(names), content.get("service", ""), route, label)


def _strategy(document: Document, name: str, target: Target, reader: StrategyReader) -> Strategy:
    content = document.spec["strategy"][name]
    path = (*STRATEGY_PATH, name)
    if target.route and name != "canary":
        raise document.error(
            (*TARGET_PATH, "route"), f"a route has no part in the strategy {name!r}", fix="remove the route"
        )
    if name == "canary":
        return _canary(document, path, content, target, reader)
    if name == "blueGreen":
        with_service = _with_service(document, path, content, "activeService", target)
        _raise_invalid(document, {"blueGreen": with_service})
        return reader.blue_green(path, with_service)
    _raise_invalid(document, {"canary": {}})
    if name == "recreate":
        return Recreate()
    return rolling_update(document, path, content)


def _canary(
    document: Document, path: Path, content: Mapping[str, Any], target: Target, reader: StrategyReader
) -> Strategy:
    if content.get("steps") == []:
        raise document.error(
            (*path, "steps"),
            "a canary without steps is a rolling update",
            fix="add steps, leave the field out, or use the strategy rollingUpdate",
        )
    if not target.route:
        if "trafficRouting" in content:
            raise document.error(
                (*path, "trafficRouting"), "without a route there are no weights", fix="add spec.target.route"
            )
        _raise_invalid(document, {"canary": content})
        return reader.canary(path, content, None)
    content = _with_service(document, path, content, "stableService", target)
    if not content.get("canaryService"):
        raise document.error(
            (*path, "canaryService"), "a route divides requests between two Services", fix="add canaryService"
        )
    router = ROUTERS[document.spec["target"]["route"]["kind"]]
    routing = content.get("trafficRouting", {})
    # the controller's rules for a router that can do all that the shape above lets pass
    _raise_invalid(document, {"canary": {**content, "trafficRouting": {**routing, "plugins": {router: {}}}}})
    weights = TrafficRouting((router,), routing.get("maxTrafficWeight", DEFAULT_MAX_WEIGHT), verifies=True)
    return reader.canary(path, content, weights)


def _with_service(
    document: Document, path: Path, content: Mapping[str, Any], field: str, target: Target
) -> dict[str, Any]:
    """The strategy with ``field`` filled in from ``spec.target.service``; both have to agree."""
    given = content.get(field, target.service)
    if not given:
        why = "the Service that users reach is not named"
        raise document.error((*TARGET_PATH, "service"), why, fix="add it")
    if target.service and given != target.service:
        raise document.error((*path, field), f"spec.target.service names {target.service!r} instead", given)
    return {**content, field: given}


def _raise_invalid(document: Document, strategy: Mapping[str, Any]) -> None:
    """Apply the controller's rules; the pods belong to the target, so they cannot be wrong here."""
    pods = {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}}
    raise_first_finding(document, {**document.spec, **pods, "strategy": strategy})


def _check_gates(document: Document, strategy: Strategy) -> None:
    """A gate that compares needs both versions in service at once, and a step at which it can hold."""
    path: Path = (*STRATEGY_PATH, next(iter(document.spec["strategy"])))
    if isinstance(strategy, BlueGreen):
        for field, analysis in (
            ("prePromotionAnalysis", strategy.pre_promotion),
            ("postPromotionAnalysis", strategy.post_promotion),
        ):
            for metric in () if analysis is None else analysis.metrics:
                if isinstance(metric.provider, GatedCounts) and metric.provider.compares:
                    why = (
                        f"the gate {metric.name!r} compares two versions, and in a blue-green rollout only "
                        "one has users"
                    )
                    raise document.error((*path, field), why, fix="use the test waldSprt")
    elif isinstance(strategy, Canary) and has_gate(strategy.background):
        last = evidence_step(strategy)
        if last is None:
            why = "a background gate needs a step with a weight between 0 and the most, at which it can hold"
            raise document.error((*path, "steps"), why, fix="add a setWeight and a pause")
        if (strategy.starting_step or 0) > last:
            why = f"the gates start after step {last}, when everybody has the new version"
            raise document.error((*path, "analysis", "startingStep"), why, strategy.starting_step)


def _check_targets(document: Document, bundle: Bundle, strategy: Strategy) -> None:
    """What the policy names has to be in the files, when the files hold anything of its kind."""
    content = document.spec["target"]
    named: list[tuple[str, str, Path]] = [
        ("Deployment", name, (*TARGET_PATH, "deployments", index))
        for index, name in enumerate(content.get("deployments", []))
    ]
    if "deployment" in content:
        named.append(("Deployment", content["deployment"], (*TARGET_PATH, "deployment")))
    if "service" in content:
        named.append(("Service", content["service"], (*TARGET_PATH, "service")))
    ((kind_of_strategy, fields),) = document.spec["strategy"].items()
    named += [
        ("Service", fields[field], (*STRATEGY_PATH, kind_of_strategy, field))
        for field in ("stableService", "canaryService", "activeService", "previewService")
        if fields.get(field)
    ]
    if "route" in content:
        named.append((content["route"]["kind"], content["route"]["name"], (*TARGET_PATH, "route", "name")))
    for kind, name, path in named:
        if bundle.of_kind(kind):
            found = bundle.need(kind, name, document, path)
            if kind in ROUTERS:
                _check_route(document, found, fields)


def _check_route(document: Document, route: Document, canary: Mapping[str, Any]) -> None:
    """The route sends requests to the Services between which the policy divides them."""
    if route.kind == "Ingress":
        check_shape(route, INGRESS)
        served = {service for service, _ in backends(route).values()}
        fields = ["stableService"]
    else:
        check_shape(route, HTTP_ROUTE)
        references = (ref for rule in route.spec.get("rules", []) for ref in rule.get("backendRefs", []))
        served = {reference["name"] for reference in references}
        fields = ["stableService", "canaryService"]
    for field in fields:
        service = canary.get(field) or document.spec["target"].get("service", "")
        if service not in served:
            raise document.error(
                (*STRATEGY_PATH, "canary", field), f"{route.label} has no backend for this Service", service
            )
