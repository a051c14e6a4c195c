"""The controller's rules beside those that the public vectors show; each case breaks one rule."""

from __future__ import annotations

from typing import Any

import pytest

from rolloutsim.policy import validate_metric, validate_rollout

PODS: dict[str, Any] = {
    "selector": {"matchLabels": {"app": "api"}},
    "template": {"metadata": {"labels": {"app": "api"}}},
}
EXISTS = {"matchLabels": {"app": "api"}, "matchExpressions": [{"key": "app", "operator": "Exists"}]}
SERVICES = {"stableService": "s", "canaryService": "c"}
ISTIO = {"istio": {"virtualService": {"name": "v"}}}
ROUTED: dict[str, Any] = {**SERVICES, "trafficRouting": ISTIO}
MANAGED: dict[str, Any] = {**SERVICES, "trafficRouting": {**ISTIO, "managedRoutes": [{"name": "r"}]}}


def paths(spec: dict[str, Any]) -> list[str]:
    return [error.split(": ")[0] for error in validate_rollout(spec)]


def canary(*steps: dict[str, Any], **fields: Any) -> list[str]:
    content = {"steps": list(steps or ({"setWeight": 20},)), **fields}
    return paths({**PODS, "strategy": {"canary": content}})


def blue_green(**fields: Any) -> list[str]:
    return paths({**PODS, "strategy": {"blueGreen": {"activeService": "a", **fields}}})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"selector": None}, ["spec.selector", "spec.template.metadata.labels"]),
        ({"selector": {}}, ["spec.selector"]),
        ({"selector": {"matchLabels": {"app": "web"}}}, ["spec.template.metadata.labels"]),
        ({"minReadySeconds": -1}, ["spec.minReadySeconds"]),
        ({"revisionHistoryLimit": -1}, ["spec.revisionHistoryLimit"]),
        ({"progressDeadlineSeconds": -1}, ["spec.progressDeadlineSeconds"] * 2),
        ({"progressDeadlineSeconds": 0}, ["spec.progressDeadlineSeconds"]),
        ({"progressDeadlineSeconds": 5, "minReadySeconds": 5}, ["spec.progressDeadlineSeconds"]),
        ({"strategy": {}}, ["spec.strategy.strategy"]),
        ({"workloadRef": {"name": "w"}}, ["spec.template"]),
        ({"selector": EXISTS}, []),
        ({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}}, []),
        ({"selector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}, []),
        ({"selector": {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}}, []),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}},
            ["spec.template.metadata.labels"],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}},
            ["spec.template.metadata.labels"],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}},
            ["spec.template.metadata.labels"],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
            ["spec.template.metadata.labels"],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
            ["spec.selector.matchExpressions[0].values", "spec.selector"],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}},
            ["spec.selector.matchExpressions[0].values", "spec.selector"],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "is"}]}},
            ["spec.selector.matchExpressions[0].operator", "spec.selector"],
        ),
        (
            {
                "template": {
                    **PODS["template"],
                    "spec": {"activeDeadlineSeconds": 5, "restartPolicy": "Never"},
                }
            },
            ["spec.template.spec.restartPolicy", "spec.template.spec.activeDeadlineSeconds"],
        ),
        ({"replicas": -1, "minReadySeconds": -1}, ["spec.replicas", "spec.minReadySeconds"]),
    ],
)
def test_spec(fields: dict[str, Any], expected: list[str]) -> None:
    spec = {**PODS, "strategy": {"canary": {}}, **fields}
    assert paths({key: value for key, value in spec.items() if value is not None}) == expected


def test_a_workload_reference_needs_no_selector() -> None:
    assert paths({"workloadRef": {"name": "w"}, "strategy": {"canary": {}}}) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"previewService": "a"}, ["spec.strategy.activeService"]),
        ({"scaleDownDelayRevisionLimit": 11}, ["spec.strategy.scaleDownDelayRevisionLimit"]),
        ({"scaleDownDelayRevisionLimit": 10}, []),
        ({"antiAffinity": {}}, ["spec.strategy.antiAffinity"]),
    ],
)
def test_blue_green(fields: dict[str, Any], expected: list[str]) -> None:
    assert blue_green(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"maxSurge": "0", "maxUnavailable": 0}, ["spec.strategy.maxSurge"]),
        ({"maxSurge": "1%", "maxUnavailable": 0}, []),
        ({"maxUnavailable": 0}, []),
        ({"stableService": "s", "canaryService": "s"}, ["spec.strategy.stableService"]),
        ({"scaleDownDelaySeconds": 5}, ["spec.strategy.scaleDownDelaySeconds"]),
        ({"trafficRouting": {"nginx": {}}}, ["spec.strategy.stableService", "spec.strategy.canaryService"]),
        ({"trafficRouting": {"istio": {"destinationRule": {}}}}, []),
        ({"trafficRouting": {"plugins": {"p": {}}}}, []),
        (
            {**SERVICES, "trafficRouting": {"smi": {}, "maxTrafficWeight": 50}},
            ["spec.strategy.trafficRouting.maxTrafficWeight"],
        ),
        (
            {
                "pingPong": {"pingService": "a", "pongService": "b"},
                "trafficRouting": {"alb": {"rootService": "r"}},
            },
            [],
        ),
        (
            {"pingPong": {}, "trafficRouting": {"alb": {}}},
            [
                "spec.strategy.pingPong.pingService",
                "spec.strategy.pingPong.pongService",
                "spec.strategy.pingPong.pingService",
                "spec.strategy.trafficRouting.alb.rootService",
            ],
        ),
        (
            {
                **SERVICES,
                "pingPong": {"pingService": "a", "pongService": "b"},
                "trafficRouting": {"nginx": {}},
            },
            ["spec.strategy.trafficRouting.alb"],
        ),
        (
            {"antiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
            [],
        ),
        (
            {"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 101}}},
            ["spec.strategy.antiAffinity.weight"],
        ),
    ],
)
def test_canary(fields: dict[str, Any], expected: list[str]) -> None:
    assert canary(**fields) == expected


STEP = "spec.strategy.steps[0]"
MATCH = {"headerName": "h", "headerValue": {"exact": "x"}}


@pytest.mark.parametrize(
    ("fields", "step", "expected"),
    [
        ({}, {}, [STEP]),
        ({}, {"pause": {}, "analysis": {}}, [STEP]),
        ({}, {"plugin": {"name": "p"}, "setWeight": 5}, []),
        (
            {},
            {"setWeight": 101, "pause": {"duration": "x"}},
            [STEP, f"{STEP}.setWeight", f"{STEP}.pause.duration"],
        ),
        ({}, {"pause": {"duration": "-1s"}}, [f"{STEP}.pause.duration"]),
        (ROUTED, {"setCanaryScale": {}}, []),
        (ROUTED, {"setHeaderRoute": {"name": "r"}}, ["spec.strategy.trafficRouting.managedRoutes"]),
        (MANAGED, {"setHeaderRoute": {"name": "r", "match": [MATCH]}}, []),
        (
            MANAGED,
            {"setHeaderRoute": {"name": "r", "match": [{"headerName": "h"}]}},
            [f"{STEP}.setHeaderRoute.match[0]"],
        ),
        (
            MANAGED,
            {"setHeaderRoute": {"name": "r", "match": [MATCH, {"headerValue": {}}]}},
            [f"{STEP}.setHeaderRoute.match[1]"],
        ),
        (
            {**SERVICES, "trafficRouting": {"alb": {}, "managedRoutes": [{"name": "r"}]}},
            {"setHeaderRoute": {"name": "r", "match": [{"headerValue": {"prefix": "x"}}, {}]}},
            [f"{STEP}.setHeaderRoute.match[0]", f"{STEP}.setHeaderRoute.match[1]"],
        ),
        (MANAGED, {"setMirrorRoute": {"name": "r", "match": [{"method": {"exact": "GET"}}]}}, []),
        (
            MANAGED,
            {"setMirrorRoute": {"name": "r", "match": [{"method": {}}]}},
            [f"{STEP}.setMirrorRoute.match[0]"] * 2,
        ),
        (
            MANAGED,
            {"setMirrorRoute": {"name": "r", "match": [{"path": {}, "headers": {"h": {}}}]}},
            [f"{STEP}.setMirrorRoute.match[0]"],
        ),
        (MANAGED, {"setMirrorRoute": {"name": "x"}}, [f"{STEP}.setMirrorRoute"]),
        ({}, {"experiment": {"templates": [{"weight": 5}]}}, [f"{STEP}.experiment.templates[0].weight"]),
        (ROUTED, {"experiment": {"templates": [{"weight": 5}]}}, []),
        (
            {**SERVICES, "trafficRouting": {"nginx": {}}},
            {"experiment": {"templates": [{}, {"weight": 5}]}},
            [f"{STEP}.experiment.templates[1].weight"],
        ),
    ],
)
def test_steps(fields: dict[str, Any], step: dict[str, Any], expected: list[str]) -> None:
    assert canary(step, **fields) == expected


@pytest.mark.parametrize(
    ("path", "valid"),
    [
        ("metadata.name", True),
        ("metadata.uid", True),
        ("metadata.labels['app']", True),
        ("metadata.annotations['example.com/Key']", True),
        ("metadata.labels['no good']", False),
        ("metadata.creationTimestamp", False),
        ("metadata.name['x']", False),
        ("spec.anything", True),
    ],
)
def test_fields_of_the_metadata(path: str, valid: bool) -> None:
    argument = {"name": "a", "valueFrom": {"fieldRef": {"fieldPath": path}}}
    expected = [] if valid else [f"{STEP}.analyses"]
    assert canary({"analysis": {"args": [argument]}}) == expected
    assert canary({"experiment": {"analyses": [{"args": [argument]}]}}) == expected


def test_max_weight() -> None:
    routing = {"plugins": {"p": {}}, "maxTrafficWeight": 1000}
    assert canary({"setWeight": 1000}, trafficRouting=routing) == []
    assert canary({"setWeight": 1001}, trafficRouting=routing) == [f"{STEP}.setWeight"]


PROVIDER = {"provider": {"prometheus": {"query": "up"}}}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({}, ""),
        ({"count": 1}, ""),
        ({"count": 3, "interval": "1m", "failureLimit": 3}, ""),
        ({"count": "3", "interval": "1m", "failureLimit": "3"}, ""),
        ({"count": "many"}, ""),
        ({"failureLimit": -1}, "failureLimit"),
        ({"failureLimit": -2, "consecutiveSuccessLimit": 1}, "failureLimit"),
        ({"failureLimit": -1, "consecutiveSuccessLimit": 1}, ""),
        ({"consecutiveSuccessLimit": -1}, "consecutiveSuccessLimit"),
        ({"count": 2, "interval": "1m", "failureLimit": 3}, "count must be >= failureLimit"),
        (
            {"count": 4, "interval": "1m", "failureLimit": 3, "consecutiveSuccessLimit": 2},
            "consecutiveSuccessLimit",
        ),
        ({"count": 5, "interval": "1m", "failureLimit": 3, "consecutiveSuccessLimit": 2}, ""),
        ({"count": 2, "interval": "1m", "inconclusiveLimit": 3}, "inconclusiveLimit"),
        ({"count": 2}, "interval must be specified"),
        ({"interval": "1"}, "invalid interval"),
        ({"initialDelay": "x"}, "invalid startDelay"),
        ({"provider": {"plugin": {"a": {}, "b": {}}}}, "multiple providers"),
        ({"provider": {"plugin": {}}}, "no provider"),
    ],
)
def test_metrics(fields: dict[str, Any], part: str) -> None:
    errors = validate_metric({"name": "m", **PROVIDER, **fields})
    assert len(errors) == bool(part)
    assert all(part in error for error in errors)
