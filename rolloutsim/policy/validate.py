"""Is this Rollout valid? The controller's own rules, in its order and with its field paths.

Source: argoproj/argo-rollouts, pkg/apis/rollouts/validation/validation.go. The controller uses only the
first finding. Its field paths leave out ``canary`` and ``blueGreen``
(``spec.strategy.steps[0].setWeight``). Some oddities are kept on purpose: a mirror step's method is checked
twice, its headers never; only four kinds of a step exclude each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolloutsim.policy.document import Path, dotted
from rolloutsim.policy.durations import pause_seconds

__all__ = ["DEFAULT_MAX_WEIGHT", "Finding", "findings", "validate_rollout"]

DEFAULT_MAX_WEIGHT = 100
STRATEGY: Path = ("spec", "strategy")
STEP_KINDS = (
    "experiment",
    "pause",
    "setWeight",
    "analysis",
    "setCanaryScale",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
)
EXCLUSIVE_KINDS = ("setWeight", "pause", "experiment", "analysis")
STEP_MESSAGE = (
    "Step must have one of the following set: experiment, setWeight, setCanaryScale, plugin or pause"
)
_SUBSCRIPT = re.compile(r"(?P<path>.+)\['(?P<key>.*)'\]")
_QUALIFIED_NAME = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One error of the validator: the controller's field path, and what is wrong there."""

    path: Path
    detail: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.detail}"


def validate_rollout(spec: Mapping[str, Any]) -> list[str]:
    """``<field path>: <detail>`` for each error of a Rollout's ``spec``, in the validator's order.

    ``spec`` is the plain content (dicts, lists, scalars) of the right types and without nulls; an empty
    list means valid.
    """
    return [str(finding) for finding in findings(spec)]


def findings(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """The errors of a Rollout's ``spec``, as `validate_rollout`, one by one."""
    replicas = spec.get("replicas", 1)
    yield from _not_negative(("spec", "replicas"), replicas)
    yield from _pods(spec)
    min_ready = spec.get("minReadySeconds", 0)
    yield from _not_negative(("spec", "minReadySeconds"), min_ready)
    history = spec.get("revisionHistoryLimit", 10)
    yield from _not_negative(("spec", "revisionHistoryLimit"), history)
    deadline = spec.get("progressDeadlineSeconds", 600)
    yield from _not_negative(("spec", "progressDeadlineSeconds"), deadline)
    if deadline <= min_ready:
        yield Finding(("spec", "progressDeadlineSeconds"), "must be greater than minReadySeconds")
    yield from _strategy(spec.get("strategy", {}), history)


def _not_negative(path: Path, value: int) -> Iterator[Finding]:
    if value < 0:
        yield Finding(path, "must be greater than or equal to 0")


def _pods(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Selector and template, or a reference to a workload that has them."""
    selector = spec.get("selector")
    template = spec.get("template", {})
    metadata = template.get("metadata", {})
    if "workloadRef" in spec:
        if metadata.get("labels") or metadata.get("annotations") or template.get("spec"):
            yield Finding(("spec", "template"), "template must be empty for workload reference rollout")
        return
    if selector is None:
        yield Finding(("spec", "selector"), "Rollout has missing field '.spec.selector'")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield Finding(("spec", "selector"), "empty selector is invalid for deployment")
    elif wrong := list(_expressions(selector.get("matchExpressions", []))):
        # The template is not looked at then.
        yield from (*wrong, Finding(("spec", "selector"), "invalid label selector"))
        return
    if selector is None or not _selects(selector, metadata.get("labels", {})):
        where = ("spec", "template", "metadata", "labels")
        yield Finding(where, "`selector` does not match template `labels`")
    pod: Path = ("spec", "template", "spec")
    if template.get("spec", {}).get("restartPolicy", "Always") != "Always":
        yield Finding((*pod, "restartPolicy"), 'supported values: "Always"')
    if "activeDeadlineSeconds" in template.get("spec", {}):
        yield Finding((*pod, "activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicaSet is not Supported")


def _expressions(expressions: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Label selectors of Kubernetes (apimachinery, ValidateLabelSelectorRequirement)."""
    for index, expression in enumerate(expressions):
        path: Path = ("spec", "selector", "matchExpressions", index)
        operator, values = expression.get("operator", ""), expression.get("values", [])
        if operator in ("In", "NotIn"):
            if not values:
                why = "must be specified when `operator` is 'In' or 'NotIn'"
                yield Finding((*path, "values"), why)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield Finding((*path, "values"), why)
        else:
            yield Finding((*path, "operator"), "not a valid selector operator")


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Does the selector take pods with these labels?"""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        value = labels.get(expression["key"])
        match expression["operator"]:
            case "In" if value not in expression["values"]:
                return False
            case "NotIn" if value in expression["values"]:
                return False
            case "Exists" if value is None:
                return False
            case "DoesNotExist" if value is not None:
                return False
    return True


def _strategy(strategy: Mapping[str, Any], history: int) -> Iterator[Finding]:
    canary, blue_green = strategy.get("canary"), strategy.get("blueGreen")
    if canary is None and blue_green is None:
        field = ".spec.strategy.canary or .spec.strategy.blueGreen"
        yield Finding((*STRATEGY, "strategy"), f"Rollout has missing field '{field}'")
    elif canary is not None and blue_green is not None:
        yield Finding((*STRATEGY, "strategy"), "Multiple Strategies can not be listed")
    elif blue_green is not None:
        yield from _blue_green(blue_green, history)
    else:
        yield from _canary(canary or {})


def _blue_green(blue_green: Mapping[str, Any], history: int) -> Iterator[Finding]:
    if blue_green.get("activeService", "") == blue_green.get("previewService", ""):
        yield Finding(
            (*STRATEGY, "activeService"),
            "This rollout uses the same service for the active and preview services, "
            "but two different services are required.",
        )
    if history < blue_green.get("scaleDownDelayRevisionLimit", history):
        yield Finding(
            (*STRATEGY, "scaleDownDelayRevisionLimit"),
            "This rollout's revision history limit can not be smaller than the rollout's scale down limit",
        )
    yield from _anti_affinity(blue_green.get("antiAffinity"))


def _canary(canary: Mapping[str, Any]) -> Iterator[Finding]:
    routing = canary.get("trafficRouting")
    stable, other = canary.get("stableService", ""), canary.get("canaryService", "")
    if _literal(canary.get("maxSurge", "25%")) == 0 and _literal(canary.get("maxUnavailable", "25%")) == 0:
        yield Finding((*STRATEGY, "maxSurge"), "MaxSurge and MaxUnavailable both can not be zero")
    if stable and stable == other:
        yield Finding(
            (*STRATEGY, "stableService"),
            "This rollout uses the same service for the stable and canary services, "
            "but two different services are required.",
        )
    if "pingPong" in canary:
        yield from _ping_pong(canary["pingPong"], routing)
    if routing is not None and _needs_services(canary, routing):
        for field in ("stableService", "canaryService"):
            if not canary.get(field):
                yield Finding(
                    (*STRATEGY, field),
                    "Canary service and Stable service must to be set to use Traffic Routing",
                )
    yield from _scaling(canary, routing)
    for index, step in enumerate(canary.get("steps", [])):
        yield from _step(step, (*STRATEGY, "steps", index), routing)
    yield from _anti_affinity(canary.get("antiAffinity"))


def _literal(value: int | str) -> int:
    """The number that stands there, percent or not; other text counts as 0."""
    if isinstance(value, int):
        return value
    number = value[:-1] if re.fullmatch(r"[0-9]+%", value) else value
    return int(number) if re.fullmatch(r"[-+]?[0-9]+", number) else 0


def _ping_pong(ping_pong: Mapping[str, Any], routing: Mapping[str, Any] | None) -> Iterator[Finding]:
    if routing is not None and not _has(routing, "alb", "istio", "plugins"):
        yield Finding(
            (*STRATEGY, "trafficRouting", "alb"),
            "Ping-pong feature works with the ALB, Istio and plugin traffic routing only",
        )
    ping, pong = ping_pong.get("pingService", ""), ping_pong.get("pongService", "")
    for field, service in (("pingService", ping), ("pongService", pong)):
        if not service:
            yield Finding(
                (*STRATEGY, "pingPong", field),
                "Ping service and Pong service must to be set to use Ping-Pong feature",
            )
    if ping == pong:
        yield Finding(
            (*STRATEGY, "pingPong", "pingService"),
            "This rollout uses the same service for the ping and pong services, "
            "but two different services are required.",
        )
    if routing is not None and "alb" in routing and not routing["alb"].get("rootService"):
        yield Finding(
            (*STRATEGY, "trafficRouting", "alb", "rootService"),
            "Root service field is required for the configuration with ALB and ping-pong feature enabled",
        )


def _has(routing: Mapping[str, Any] | None, *routers: str) -> bool:
    """Is one of these routers set? An empty ``plugins`` is not a router."""
    return routing is not None and any(
        router in routing and (router != "plugins" or bool(routing["plugins"])) for router in routers
    )


def _needs_services(canary: Mapping[str, Any], routing: Mapping[str, Any]) -> bool:
    ping_pong = "pingPong" in canary
    if "alb" in routing and not ping_pong:
        return True
    if "istio" in routing and "destinationRule" not in routing["istio"] and not ping_pong:
        return True
    return _has(routing, "smi", "apisix", "ambassador", "nginx", "appMesh", "traefik")


def _scaling(canary: Mapping[str, Any], routing: Mapping[str, Any] | None) -> Iterator[Finding]:
    dynamic, delayed = canary.get("dynamicStableScale", False), "scaleDownDelaySeconds" in canary
    if routing is None:
        if delayed:
            yield Finding(
                (*STRATEGY, "scaleDownDelaySeconds"),
                "Canary scaleDownDelaySeconds can only be used with traffic routing",
            )
        if dynamic:
            yield Finding(
                (*STRATEGY, "dynamicStableScale"),
                "Canary dynamicStableScale can only be used with traffic routing",
            )
        return
    if delayed and dynamic:
        yield Finding(
            (*STRATEGY, "dynamicStableScale"),
            "Canary dynamicStableScale cannot be used with scaleDownDelaySeconds",
        )
    if "maxTrafficWeight" in routing and not _has(routing, "nginx", "plugins"):
        yield Finding(
            (*STRATEGY, "trafficRouting", "maxTrafficWeight"),
            "Canary maxTrafficWeight in traffic routing only support in Nginx and Plugins",
        )


def _step(step: Mapping[str, Any], path: Path, routing: Mapping[str, Any] | None) -> Iterator[Finding]:
    if sum(kind in step for kind in EXCLUSIVE_KINDS) > 1 or not any(kind in step for kind in STEP_KINDS):
        yield Finding(path, STEP_MESSAGE)
    most = (routing or {}).get("maxTrafficWeight", DEFAULT_MAX_WEIGHT)
    if "setWeight" in step and not 0 <= step["setWeight"] <= most:
        yield Finding((*path, "setWeight"), f"SetWeight needs to be between 0 and {most}")
    if "pause" in step and pause_seconds(step["pause"]) < 0:
        yield Finding((*path, "pause", "duration"), "Duration needs to be greater than 0")
    if "setCanaryScale" in step and routing is None:
        yield Finding((*STRATEGY, "trafficRouting"), "SetCanaryScale requires TrafficRouting to be set")
    if "setHeaderRoute" in step:
        yield from _header_route(step["setHeaderRoute"], (*path, "setHeaderRoute"), routing)
    if "setMirrorRoute" in step:
        yield from _mirror_route(step["setMirrorRoute"], (*path, "setMirrorRoute"), routing)
    yield from _managed(step, path, routing)
    if "experiment" in step:
        yield from _experiment_weights(step["experiment"], (*path, "experiment"), routing)
    for argument in _arguments(step):
        field = argument.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        if field.startswith("metadata") and not _extractable(field):
            yield Finding(
                (*path, "analyses"),
                "Analyses arguments must refer to valid object metadata supported by downwardAPI",
            )


def _header_route(
    route: Mapping[str, Any], path: Path, routing: Mapping[str, Any] | None
) -> Iterator[Finding]:
    if not _has(routing, "istio", "alb", "apisix", "plugins"):
        yield Finding(path, "SetHeaderRoute requires TrafficRouting, supports Istio and ALB and Apisix")
        return
    for index, match in enumerate(route.get("match", [])):
        value = match.get("headerValue")
        if _has(routing, "alb"):
            if value is not None and (not value.get("exact") or value.get("regex") or value.get("prefix")):
                yield Finding(
                    (*path, "match", index),
                    "SetHeaderRoute match value invalid. ALB supports 'exact' value only",
                )
            elif value is None:
                yield _no_match((*path, "match", index))
        else:
            yield from _one_form(value, (*path, "match", index))


def _mirror_route(
    route: Mapping[str, Any], path: Path, routing: Mapping[str, Any] | None
) -> Iterator[Finding]:
    if not _has(routing, "istio", "plugins"):
        yield Finding(path, "SetMirrorRoute requires TrafficRouting, supports Istio and Plugins")
    for index, match in enumerate(route.get("match", [])):
        for field in ("method", "path", "method"):
            if field in match:
                yield from _one_form(match[field], (*path, "match", index))


def _no_match(path: Path) -> Finding:
    return Finding(
        path, "StringMatch value missed, match value must have one of the following: exact, regex, prefix"
    )


def _one_form(match: Mapping[str, str] | None, path: Path) -> Iterator[Finding]:
    forms = sum(bool((match or {}).get(form)) for form in ("exact", "regex", "prefix"))
    if forms > 1:
        yield Finding(
            path, "StringMatch match value must have exactly one of the following: exact, regex, prefix"
        )
    elif forms == 0:
        yield _no_match(path)


def _managed(step: Mapping[str, Any], path: Path, routing: Mapping[str, Any] | None) -> Iterator[Finding]:
    """A header or mirror route has to be listed in ``managedRoutes``."""
    kinds = [kind for kind in ("setHeaderRoute", "setMirrorRoute") if kind in step]
    if routing is None or not kinds:
        return
    if "managedRoutes" not in routing:
        yield Finding(
            (*STRATEGY, "trafficRouting", "managedRoutes"),
            "Rollout has missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
        )
        return
    names = [route["name"] for route in routing["managedRoutes"]]
    for kind in kinds:
        if step[kind].get("name", "") not in names:
            yield Finding(
                (*path, kind),
                "Steps define a route that does not exist in "
                "spec.strategy.canary.trafficRouting.managedRoutes",
            )


def _experiment_weights(
    experiment: Mapping[str, Any], path: Path, routing: Mapping[str, Any] | None
) -> Iterator[Finding]:
    for index, template in enumerate(experiment.get("templates", [])):
        if "weight" not in template:
            continue
        where = (*path, "templates", index, "weight")
        if routing is None:
            yield Finding(where, "Experiment template weight cannot be set unless TrafficRouting is enabled")
        elif not _has(routing, "alb", "smi", "istio", "plugins"):
            yield Finding(
                where,
                "Experiment template weight is only available for TrafficRouting "
                "with SMI, ALB, and Istio at this time",
            )


def _arguments(step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for analysis in step.get("experiment", {}).get("analyses", []):
        yield from analysis.get("args", [])
    yield from step.get("analysis", {}).get("args", [])


def _extractable(field: str) -> bool:
    """May the downward API give this field of the metadata? (Kubernetes, pkg/fieldpath)."""
    if match := _SUBSCRIPT.fullmatch(field):
        key = match["key"].lower() if match["path"] == "metadata.annotations" else match["key"]
        known = match["path"] in ("metadata.annotations", "metadata.labels")
        return known and _QUALIFIED_NAME.fullmatch(key) is not None
    return field in (
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    )


def _anti_affinity(anti_affinity: Mapping[str, Any] | None) -> Iterator[Finding]:
    if anti_affinity is None:
        return
    preferred = anti_affinity.get("preferredDuringSchedulingIgnoredDuringExecution")
    required = anti_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if (preferred is None) == (required is None):
        yield Finding((*STRATEGY, "antiAffinity"), "AntiAffinity must have exactly one strategy listed")
    if preferred is not None and not 1 <= preferred.get("weight", 0) <= 100:
        yield Finding((*STRATEGY, "antiAffinity", "weight"), "AntiAffinity weight must be between 1-100")
