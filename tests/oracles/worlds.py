"""Policies as manifests, and worlds without what the closed forms leave out.

Pods are ready and weights reach traffic at once, nobody watches, the stable version never fails. The pipeline
is ideal: scrapes on the grid of the windows, every counter exists from 0 on, ranges are closed on the left,
so that an increase over a window is the whole number of what happened in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.sim.scenario import (
    Cluster,
    ConstantRate,
    Delay,
    DiurnalRate,
    Fault,
    FaultKind,
    Measurements,
    Operators,
    Release,
    Scenario,
    Service,
    Split,
    Telemetry,
    Traffic,
)

ALL_TRAFFIC = 1_000_000_000
"""The weight that is all traffic, so that any share can be asked for."""

AT_ONCE = Delay(0)
NOBODY = Operators(promote=None, notice_excess=None)
RELEASE = 'rollouts_pod_template_hash="{{args.release}}"'
"""Selects the series of the version under test."""

Metric = dict[str, Any]
Step = dict[str, Any]


# --- worlds ---------------------------------------------------------------------------------------


def instant_cluster(split: Split = Split.RANDOM, ready_s: float = 0.0) -> Cluster:
    """Pods are ready after a fixed time, and a weight of any size holds at once."""
    granularity = 100.0 / ALL_TRAFFIC
    return Cluster(Delay(round(1000 * ready_s)), "shallow", AT_ONCE, granularity, split)


def ideal_telemetry(scrape_s: float = 60.0, phase_ms: int = 0, history_s: float = 0.0) -> Telemetry:
    """Every counter is scraped on a grid and exists from 0 on; ranges are closed on the left."""
    return Telemetry(
        scrape_interval_ms=round(1000 * scrape_s),
        scrape_phase_ms=phase_ms,
        counters_from_zero=True,
        left_closed=True,
        history_ms=round(1000 * history_s),
    )


def world(
    rate: float | DiurnalRate,
    error_rate: float,
    horizon_s: float,
    *,
    telemetry: Telemetry | None = None,
    operators: Operators = NOBODY,
    cluster: Cluster | None = None,
    checks: Mapping[str, float] | None = None,
    slo: float = 0.999,
    slo_days: float = 30.0,
) -> Scenario:
    """A release of which a share of the requests fails, looked at until the horizon.

    ``rate`` is in requests per second. ``checks`` gives the probability to pass of metrics that are no
    queries.
    """
    service = Service(
        "api",
        Traffic(rate if isinstance(rate, DiurnalRate) else ConstantRate(rate)),
        error_rate=0.0,
        telemetry=telemetry or ideal_telemetry(),
        operators=operators,
        cluster=cluster or instant_cluster(),
        slo=slo,
        slo_period_ms=round(slo_days * 86_400_000),
        horizon_ms=round(1000 * horizon_s),
    )
    faults = (Fault(FaultKind.ERROR_STEP, error_rate),) if error_rate else ()
    outcomes = tuple(Measurements(metric, passes) for metric, passes in (checks or {}).items())
    return Scenario("oracle", service, Release("release", faults, outcomes))


# --- policies -------------------------------------------------------------------------------------


def set_weight(share: float) -> Step:
    return {"setWeight": round(share * ALL_TRAFFIC)}


def pause(seconds: float) -> Step:
    """A pause of whole seconds, as Argo Rollouts has them."""
    if seconds != round(seconds):
        raise ValueError(f"a pause takes whole seconds, not {seconds}")
    return {"pause": {"duration": f"{round(seconds)}s"}}


def scraped_first(seconds: float) -> list[Step]:
    """Steps that have a pod of the release scraped for a while before it gets any traffic."""
    return [{"setCanaryScale": {"replicas": 1}}, pause(seconds)]


def metric(query: str, condition: str, **fields: Any) -> Metric:
    """A Prometheus metric; ``fields`` are further fields of its manifest."""
    provider = {"prometheus": {"address": "http://prometheus:9090", "query": query}}
    return {"name": "gate", "successCondition": condition, "provider": provider, **fields}


def job(name: str) -> Metric:
    """A check that is a Kubernetes Job."""
    container = {"name": name, "image": "check"}
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return {"name": name, "provider": {"job": {"spec": spec}}}


ANALYSIS: Step = {
    "templates": [{"templateName": "gate"}],
    "args": [{"name": "release", "valueFrom": {"podTemplateHashValue": "Latest"}}],
}


def routed_canary(steps: Sequence[Step], metrics: Sequence[Metric] = (), replicas: int = 1) -> Policy:
    """A canary whose share of the traffic is set by a router."""
    canary = {
        "stableService": "api",
        "canaryService": "api-canary",
        "trafficRouting": {"nginx": {"stableIngress": "api"}, "maxTrafficWeight": ALL_TRAFFIC},
        "steps": list(steps),
    }
    backend = {"service": {"name": "api", "port": {"number": 80}}}
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    ingress = _document("networking.k8s.io/v1", "Ingress", "api", {"rules": [rule]})
    others = [ingress, _service("api"), _service("api-canary")]
    if metrics:
        template = {"args": [{"name": "release"}], "metrics": list(metrics)}
        others.append(_document("argoproj.io/v1alpha1", "AnalysisTemplate", "gate", template))
    return _policy(_rollout(replicas, {"canary": canary}), *others)


def replica_canary(share: float, replicas: int, surge: int) -> Policy:
    """A canary without a router: one step, whose weight is a share of the pods."""
    canary = {
        "maxSurge": surge,
        "maxUnavailable": 0 if surge else 1,
        "steps": [{"setWeight": round(100 * share)}, {"pause": {}}],
    }
    return _policy(_rollout(replicas, {"canary": canary}))


def blue_green(replicas: int, preview_s: int) -> Policy:
    """All pods twice until the switch, which comes by itself; the old ones go at once."""
    strategy = {
        "activeService": "api",
        "previewService": "api-preview",
        "autoPromotionSeconds": preview_s,
        # not scaleDownDelaySeconds: 0, with which Argo Rollouts keeps the old pods for ever
        "scaleDownDelayRevisionLimit": 0,
    }
    rollout = _rollout(replicas, {"blueGreen": strategy})
    return _policy(rollout, _service("api"), _service("api-preview"))


def rolling_update(replicas: int, surge: int | str, unavailable: int | str = 0) -> Policy:
    """A Deployment's rolling update."""
    limits = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": limits}
    spec = {**_pods(replicas), "strategy": strategy}
    return _policy(_document("apps/v1", "Deployment", "api", spec), _service("api"))


def all_at_once() -> Policy:
    """Every request goes to the new version as soon as it has a pod."""
    return rolling_update(1, "100%")


def _pods(replicas: int) -> dict[str, Any]:
    labels = {"app": "api"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "api", "image": "api:2"}]}}
    return {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}


def _rollout(replicas: int, strategy: dict[str, Any]) -> dict[str, Any]:
    spec = {**_pods(replicas), "strategy": strategy}
    return _document("argoproj.io/v1alpha1", "Rollout", "api", spec)


def _service(name: str) -> dict[str, Any]:
    return _document("v1", "Service", name, {"selector": {"app": "api"}, "ports": [{"port": 80}]})


def _document(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _policy(*documents: dict[str, Any]) -> Policy:
    return load_policy_text("\n---\n".join(json.dumps(document) for document in documents))
