"""Argo Rollouts' ``Rollout`` to a policy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.policy.analysis_templates import API_VERSION, AnalysisReader
from rolloutsim.policy.argo_shape import ROLLOUT
from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.metric import canonical_json
from rolloutsim.policy.model import BlueGreen, Canary, Policy, TrafficRouting
from rolloutsim.policy.references import check_routing, check_services
from rolloutsim.policy.shape import check_manifest
from rolloutsim.policy.strategies import StrategyReader
from rolloutsim.policy.validate import DEFAULT_MAX_WEIGHT, findings

__all__ = ["lifecycle", "raise_first_finding", "rollout_policy"]

ROUTERS = ("istio", "nginx", "alb", "smi", "ambassador", "appMesh", "traefik", "apisix")
"""In the order in which the controller calls them; plugins come last."""


def rollout_policy(document: Document, bundle: Bundle, dialect: Dialect) -> Policy:
    """The policy of a ``Rollout`` document and of what it refers to in its bundle.

    Raises
    ------
    PolicyError : the manifest has an unknown field or a wrong type, the controller would refuse it, or
        something that it refers to is missing.
    """
    check_manifest(document, API_VERSION, ROLLOUT)
    spec = document.spec
    raise_first_finding(document, spec)
    reader = StrategyReader(document, AnalysisReader(bundle, document, dialect))
    strategy: Canary | BlueGreen
    path: Path = ("spec", "strategy")
    if "canary" in spec["strategy"]:
        path = (*path, "canary")
        content = spec["strategy"]["canary"]
        strategy = reader.canary(path, content, _routing(content.get("trafficRouting")))
        reader.not_modelled += check_routing(document, bundle, path, content)
    else:
        path = (*path, "blueGreen")
        content = spec["strategy"]["blueGreen"]
        strategy = reader.blue_green(path, content)
    check_services(document, bundle, path, content)
    if "analysis" in spec:
        reader.not_modelled.append("analysis: a simulation keeps every finished run")
    if "workloadRef" in spec:
        reader.not_modelled.append("workloadRef: the pod template of the other workload is not read")
    restart_at_ms = _timestamp_ms(document, ("spec", "restartAt"), spec.get("restartAt"))
    if restart_at_ms is not None:
        reader.not_modelled.append("restartAt: a simulation does not restart pods one by one")
    return Policy(
        name=document.name,
        strategy=strategy,
        namespace=document.namespace or "default",
        kind="Rollout",
        restart_at_ms=restart_at_ms,
        not_modelled=tuple(reader.not_modelled),
        **lifecycle(spec),
    )


def raise_first_finding(document: Document, spec: Mapping[str, Any]) -> None:
    """Raise what the controller's validation finds first, with its place in the document."""
    finding = next(findings(spec), None)
    if finding is None:
        return
    path = _path_in(document, finding.path)
    value = _value_at(document, path)
    shown = value if isinstance(value, str | int) else None
    raise document.error(path, finding.detail, shown, _advice(path, value))


def _path_in(document: Document, path: Path) -> Path:
    """The validator's path with the strategy's name put back."""
    if path == ("spec", "strategy", "strategy"):
        return path[:2]
    if path[:2] == ("spec", "strategy"):
        (name,) = document.spec["strategy"]
        return (*path[:2], name, *path[2:])
    return path


def _value_at(document: Document, path: Path) -> Any:
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _advice(path: Path, value: Any) -> str:
    if path[-1] == "duration":
        return "write seconds (30) or a duration such as 5m or 1h30m"
    if path[-2:-1] == ("steps",) and value == {}:
        return "a pause without end is written 'pause: {}'"
    return ""


def lifecycle(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a spec that are about time and history rather than strategy, as `Policy` names them."""
    return {
        "replicas": spec.get("replicas", 1),
        "min_ready_ms": spec.get("minReadySeconds", 0) * 1000,
        "progress_deadline_ms": spec.get("progressDeadlineSeconds", 600) * 1000,
        "progress_deadline_abort": spec.get("progressDeadlineAbort", False),
        "revision_history_limit": spec.get("revisionHistoryLimit", 10),
        "rollback_window_revisions": spec.get("rollbackWindow", {}).get("revisions"),
        "paused": spec.get("paused", False),
    }


def _routing(content: Mapping[str, Any] | None) -> TrafficRouting | None:
    if content is None:
        return None
    routers = [router for router in ROUTERS if router in content]
    routers += sorted(f"plugins/{name}" for name in content.get("plugins", {}))
    known = ("managedRoutes", "maxTrafficWeight")
    return TrafficRouting(
        routers=tuple(routers),
        max_weight=content.get("maxTrafficWeight", DEFAULT_MAX_WEIGHT),
        managed_routes=tuple(route["name"] for route in content.get("managedRoutes", [])),
        settings_json=canonical_json({key: content[key] for key in content if key not in known}),
    )


def _timestamp_ms(document: Document, path: Path, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise document.error(path, "expected a time such as 2030-01-31T12:00:00Z", text) from error
    if moment.tzinfo is None:
        raise document.error(path, "the time has no time zone", text, fix="end it with Z")
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
