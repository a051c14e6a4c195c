"""What a scenario takes for granted when a file does not say: each default with its basis and source.

Keys are the places in a scenario (``service.telemetry.scrape_interval``); values are written as in a file.
*Source* means that the value itself is documented somewhere; a source beside *assumed* only says what the
assumption leans on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rolloutsim.sim.scenario import Basis

__all__ = ["DEFAULTS", "OPTIONAL_PARTS", "Default"]


@dataclass(frozen=True, slots=True)
class Default:
    """A value as a file would write it, and how it is known."""

    value: str | float | bool
    basis: Basis = Basis.ASSUMED
    source: str = ""


def _source(value: str | float | bool, source: str) -> Default:
    return Default(value, Basis.SOURCE, source)


def _assumed(value: str | float | bool, leans_on: str = "") -> Default:
    return Default(value, Basis.ASSUMED, leans_on)


_PETSHOP = "PetShop data set (Hardt et al., CLeaR 2024)"

_TRAFFIC = {
    "traffic.dispersion": _assumed(
        1.0, "1 is Poisson; NASA-HTTP 1995: median 4.6, 90th percentile 7.0 of the minutes within an hour"
    ),
    "traffic.diurnal.period": _assumed("24h"),
    "traffic.diurnal.phase": _assumed("0s"),
    "traffic.recorded.scale": _assumed(1.0),
    "traffic.recorded.release_at": _assumed("0s"),
}

_REQUESTS = {
    "error_rate": _assumed("0.1%", f"{_PETSHOP}: its front end fails 0.09 % to 0.26 % without faults"),
    "error_icc": _assumed(0.0, "0 is independent errors, the most favourable case for every gate"),
    "latency.median": _assumed("60ms"),
    "latency.sigma": _assumed(0.6, f"{_PETSHOP}: about 0.3 in its components, 0.93 to 1.11 at its front end"),
}

_TELEMETRY = {
    "telemetry.preset": _assumed("app"),
    "telemetry.scrape_interval": _source(
        "15s", "Prometheus, documentation/examples/prometheus.yml (unset, Prometheus scrapes every minute)"
    ),
    "telemetry.scrape_phase": _assumed("random"),
    "telemetry.lag": _assumed("0s"),
    "telemetry.missed": _assumed("0%"),
    "telemetry.query_time": _assumed("0s"),
    "telemetry.counters_from_zero": _source(
        False, "Prometheus, instrumentation practices, 'Avoid missing metrics'"
    ),
    "telemetry.left_closed": _source(False, "Prometheus 3.0 migration guide: ranges are left-open"),
    "telemetry.discovery": _assumed(
        "0s",
        "Prometheus finds pods while they start: it watches Kubernetes and takes new targets over every 5 s; "
        "an HTTP service discovery is asked once a minute",
    ),
    "telemetry.history": _assumed("15m"),
    "telemetry.unlabelled": _assumed("0%", "perfect labels, the most favourable case"),
    "telemetry.mislabelled": _assumed("0%", "perfect labels, the most favourable case"),
}

_PLAYED = {
    "requests.fidelity": _assumed("auto"),
    "requests.balancing": _source(
        "two-choices", "Envoy, LEAST_REQUEST with equal weights: the better of two random choices"
    ),
    "requests.slots": _assumed(8, "gunicorn recommends 2 to 4 workers per core, plus one"),
    "requests.queue": _assumed(64, "gunicorn's backlog is 2048; servers that shed load keep short queues"),
    "requests.cold_factor": _assumed(1, "no difference between a cold and a warm pod"),
    "requests.warm_up": _assumed("30s"),
    "requests.pod_spread": _assumed(0.0, "all pods are equally fast, the most favourable case"),
    "requests.timeout": _assumed("never", "Envoy's route timeout is 15 s unless told otherwise"),
    "requests.retries": _source(0, "Envoy, HTTPRoute: nothing is tried again unless told"),
    "requests.backoff": _assumed("100ms", "Envoy's retry back-off begins at 25 ms and doubles"),
    "requests.retry_budget": _assumed("none", "Envoy's, where enabled, is 20 % of the active requests"),
    "requests.retry_burst": _assumed(10),
}

_OPERATORS = {
    "operators.promote.median": _assumed("10m"),
    "operators.promote.sigma": _assumed(0.0),
    "operators.notice_excess": _assumed("5%"),
    "operators.notice_after": _assumed(
        "5m", "published incident reports: alerts 1, 1, 2, 2, 3, 5, 10 and 16 minutes after the start"
    ),
    "operators.respond.median": _assumed(
        "5m", "Google, Site Reliability Engineering, chapter 11: minutes for user-facing services"
    ),
    "operators.respond.sigma": _assumed(0.5),
    "operators.slow": _assumed("1s"),
    "operators.rubber_stamp": _assumed("0%", "whoever promotes has looked, the most favourable case"),
}

_CLUSTER = {
    "cluster.pod_ready.median": _assumed(
        "10s", "Kubernetes pod start-up SLO: 99 % within 5 s, image pull and the application's start excluded"
    ),
    "cluster.pod_ready.sigma": _assumed(0.3),
    "cluster.readiness": _assumed("shallow"),
    "cluster.router_delay.median": _assumed("150ms"),
    "cluster.router_delay.sigma": _assumed(0.6),
    "cluster.weight_granularity": _source(
        1, "ingress-nginx canary-weight and Argo Rollouts setWeight are whole percent"
    ),
    "cluster.split": _source("random", "Envoy, traffic splitting: a cluster is drawn for each request"),
}

_PODS = {
    "cluster.phases.schedule.median": _assumed("500ms"),
    "cluster.phases.schedule.sigma": _assumed(0.3),
    "cluster.phases.pull.median": _assumed("4s", "an image of 100 MB at 25 MB/s, on a node that lacks it"),
    "cluster.phases.pull.sigma": _assumed(0.5),
    "cluster.phases.start.median": _assumed("5s"),
    "cluster.phases.start.sigma": _assumed(0.3),
    "cluster.phases.probe": _assumed("1s", "Kubernetes probes every 10 s unless told otherwise"),
    "cluster.phases.nodes": _assumed(3),
    "cluster.probe.coupling": _assumed("0%", "a check that does not ask what the pod depends on"),
    "cluster.probe.period": _source("10s", "Kubernetes, Probe.periodSeconds"),
    "cluster.probe.failures": _source(3, "Kubernetes, Probe.failureThreshold"),
    "cluster.drain.endpoints.median": Default(
        "150ms",
        Basis.MEASURED,
        "Traefik 3.7 and a kube-apiserver 1.36 on one machine: traffic followed after 36, 149 and 1141 ms "
        "(least, median, most)",
    ),
    "cluster.drain.endpoints.sigma": _assumed(0.8, "fits the least and the most of those measurements"),
    "cluster.drain.pre_stop": _source("0s", "Kubernetes: no preStop hook unless one is given"),
    "cluster.drain.grace": _source("30s", "Kubernetes, terminationGracePeriodSeconds"),
    "cluster.controller.sync": Default(
        "20ms", Basis.MEASURED, "fitted to rolling updates by a kube-controller-manager 1.36"
    ),
    "cluster.controller.qps": _source(20, "kube-controller-manager --kube-api-qps"),
    "cluster.controller.burst": _source(30, "kube-controller-manager --kube-api-burst"),
    "cluster.autoscaler.least": _assumed(2),
    "cluster.autoscaler.most": _assumed(50),
    "cluster.autoscaler.target": _assumed("60%"),
    "cluster.autoscaler.sync": _source(
        "15s", "kube-controller-manager --horizontal-pod-autoscaler-sync-period"
    ),
    "cluster.autoscaler.tolerance": _source(
        "10%", "kube-controller-manager --horizontal-pod-autoscaler-tolerance"
    ),
    "cluster.autoscaler.settle": _source(
        "5m", "HorizontalPodAutoscaler, behavior.scaleDown.stabilizationWindow"
    ),
}

_CLIENTS = {
    "sessions.requests": _assumed(10),
    "sessions.length": _assumed("5m"),
    "sessions.sticky": _source("none", "Gateway API: a weight holds for each request"),
    "connections.open": _assumed(1_000),
    "connections.lifetime.median": _assumed("30m"),
    "connections.lifetime.sigma": _assumed(1.0),
    "connections.swap": _source("keep", "Linux conntrack under kube-proxy: open flows keep their pod"),
    "connections.drain": _assumed("30s"),
    "connections.grace": _assumed("0s", "an application that closes its connections at SIGTERM"),
}

_BESIDES = {
    "telemetry.resources.memory_mb": _assumed(256),
    "telemetry.resources.memory_limit_mb": _assumed(512),
    "telemetry.resources.cpu_per_request": _assumed("5ms"),
    "telemetry.logs.rate": _assumed("1%"),
    "telemetry.logs.classes": _assumed(1_000),
    "telemetry.logs.exponent": _assumed(1.2, "word-like laws of log templates have exponents near 1"),
    "telemetry.logs.baseline": _assumed("1h"),
    "operators.hours.start": _assumed("9h"),
    "operators.hours.end": _assumed("17h"),
    "operators.hours.released": _source("14h", "the guide: a deployment goes out at 2 in the afternoon"),
}

_SCHEMA = {
    "schema.touches": _assumed("20%"),
    "schema.writes": _assumed("30%"),
    "schema.migration": _assumed("at-start", "a hook or an init container of the new version"),
    "schema.duration": _assumed("1m"),
}

_FAULTS = {
    "faults.share": _assumed("0.2%", "a latency-tail of one request in 500 moves p99.9 and hardly p99"),
}

_LOOK = {
    "slo": _assumed("99.9%", "the running example of The Site Reliability Workbook, chapter 5"),
    "slo_period": _assumed("720h", "the running example of The Site Reliability Workbook, chapter 5"),
    "horizon": _assumed("2h"),
}

DEFAULTS: Mapping[str, Default] = MappingProxyType(
    {
        f"{part}.{key}": default
        for part, tables in (
            (
                "service",
                (
                    _TRAFFIC,
                    _REQUESTS,
                    _TELEMETRY,
                    _OPERATORS,
                    _CLUSTER,
                    _LOOK,
                    _PODS,
                    _CLIENTS,
                    _BESIDES,
                    _PLAYED,
                ),
            ),
            ("release", (_SCHEMA, _FAULTS)),
        )
        for table in tables
        for key, default in table.items()
    }
)
"""Every default. What is wrong with a release has hardly any: it is a supposition, not a guess."""

OPTIONAL_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "service.cluster.phases": "phases of a pod's start: one delay stands for them",
        "service.cluster.probe": "readiness checks after the start, and their dependencies",
        "service.cluster.drain": "the end of a pod: it vanishes from all routers at once",
        "service.cluster.controller": "the workload controller's own delays",
        "service.cluster.autoscaler": "an autoscaler: the wanted replicas stay",
        "service.cluster.pod_capacity_rps": "the limit of a pod's load: it takes any",
        "service.sessions": "users: each request is somebody else's",
        "service.connections": "long-lived connections",
        "service.requests": "queues, time-outs and retries: requests do not meet",
        "service.telemetry.resources": "memory and CPU",
        "service.telemetry.logs": "error classes in the logs",
        "service.operators.hours": "working hours: somebody promotes at any time",
        "release.schema": "a change of the database schema",
    }
)
"""Parts of a scenario that are not modelled unless it has them, and what holds instead."""
