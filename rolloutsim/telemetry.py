"""Which metrics a service has: names, labels and buckets of its request counter and latency histogram.

A `Preset` is data. `request_series` fills it in for one version of a service and gives the label sets of
all its series. Two versions whose label sets are equal are *one* series, as they are in Prometheus: their
counts have to be added. That is how a cluster looks whose metrics cannot tell versions apart, and
`Preset.apart` says for each preset by which label, or why not.

Label values are templates with the placeholders ``{service}``, ``{revision}`` (pod template hash),
``{namespace}`` and ``{backend}`` (the Kubernetes Service through which a router sends the requests:
the service's name, with ``-canary`` for the canary). A label with an empty value does not exist.

A failed request counts as status 500, any other as 200.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "PLACEHOLDERS",
    "PRESETS",
    "Histogram",
    "Labels",
    "Preset",
    "RequestSeries",
    "le_label",
    "request_series",
    "unknown_placeholders",
]

Labels = tuple[tuple[str, str], ...]
"""Label names and values in order of the names; the metric's name is the label ``__name__``."""

PLACEHOLDERS = ("service", "revision", "namespace", "backend")

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SUCCESS = MappingProxyType({"status": "200", "class": "success"})
_ERROR = MappingProxyType({"status": "500", "class": "failure"})


@dataclass(frozen=True, slots=True)
class Preset:
    """The metrics of one kind of exporter.

    ``requests`` is the name of the request counter, ``durations`` the base name of the histogram
    (``_bucket``, ``_sum``, ``_count``). Its finite bounds are ``bounds_s`` in seconds; it exports bounds
    and sum in seconds times ``unit_per_s`` (1 for seconds, 1000 for milliseconds).
    ``labels`` are common to both; ``status_labels`` depend on the outcome (``{status}``: code, ``{class}``:
    success or failure), the histogram has those of ``duration_status_labels``; ``canary_labels`` replace
    labels when a router sends the requests to its canary backend. ``apart`` says how versions can be told
    apart, ``source`` where the names come from. ``by_router``: the router exports the series, so they
    outlive the pods.
    """

    name: str
    requests: str
    durations: str
    bounds_s: tuple[float, ...]
    unit_per_s: float
    labels: Labels
    status_labels: Labels
    apart: str
    source: str
    duration_status_labels: Labels = ()
    canary_labels: Labels = ()
    by_router: bool = False

    @property
    def tells_versions_apart(self) -> bool:
        """True when some label differs between two versions, or between canary and stable backend."""
        values = [value for _, value in self.labels]
        return bool(self.canary_labels) or any("{revision}" in v or "{backend}" in v for v in values)

    @property
    def bucket_labels(self) -> tuple[str, ...]:
        """Values of the label ``le``, in the histogram's own unit, ``+Inf`` last."""
        return (*(le_label(bound * self.unit_per_s) for bound in self.bounds_s), "+Inf")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Label sets of one classic histogram; ``buckets`` in the order of `Preset.bucket_labels`."""

    buckets: tuple[Labels, ...]
    sum: Labels
    count: Labels


@dataclass(frozen=True, slots=True)
class RequestSeries:
    """Label sets of everything one version of a service exports.

    ``success`` and ``error`` are the request counters. ``durations`` holds one histogram of all requests,
    or, where the exporter keeps them apart by status, that of the successes and that of the errors.
    """

    success: Labels
    error: Labels
    durations: tuple[Histogram, ...]


def le_label(bound: float) -> str:
    """A bucket bound as Prometheus 3 stores it: ``0.5``, ``1.0``, ``3.6e+06``, ``+Inf``.

    Whatever form the exporter wrote, the scrape normalises it (Prometheus 3.0 migration guide, "Other
    changes: le and quantile label values"); bounds have at most six significant digits.
    """
    if bound == math.inf:
        return "+Inf"
    text = f"{bound:g}"
    return text if "." in text or "e" in text else text + ".0"


def unknown_placeholders(template: str) -> tuple[str, ...]:
    """Placeholders of a label value that nothing fills in."""
    return tuple(name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS)


def request_series(
    preset: Preset,
    service: str,
    revision: str,
    extra_labels: Labels = (),
    *,
    canary: bool = False,
) -> RequestSeries:
    """Label sets of the series of one version of a service.

    Parameters
    ----------
    revision : pod template hash, or whatever else names the version.
    extra_labels : added to every series, and instead of the preset's labels of the same name; an empty
        value takes the label away. A label ``namespace`` also fills in ``{namespace}`` ("default").
    canary : the requests come through the router's canary backend.
    """
    extra = dict(extra_labels)
    names = {
        "service": service,
        "revision": revision,
        "namespace": extra.get("namespace", "default"),
        "backend": f"{service}-canary" if canary else service,
    }
    common = dict(preset.labels) | (dict(preset.canary_labels) if canary else {})

    def series(metric: str, outcome: Mapping[str, str], by_status: Labels, **more: str) -> Labels:
        values = {**names, **outcome}
        templates = common | dict(by_status) | extra
        filled = {name: _filled(template, values) for name, template in templates.items()}
        filled |= {"__name__": metric, **more}
        return tuple(sorted((name, value) for name, value in filled.items() if value))

    def histogram(outcome: Mapping[str, str]) -> Histogram:
        base, by_status = preset.durations, preset.duration_status_labels
        return Histogram(
            tuple(series(f"{base}_bucket", outcome, by_status, le=le) for le in preset.bucket_labels),
            series(f"{base}_sum", outcome, by_status),
            series(f"{base}_count", outcome, by_status),
        )

    outcomes = (_SUCCESS, _ERROR) if preset.duration_status_labels else (_SUCCESS,)
    return RequestSeries(
        series(preset.requests, _SUCCESS, preset.status_labels),
        series(preset.requests, _ERROR, preset.status_labels),
        tuple(histogram(outcome) for outcome in outcomes),
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(1), match.group(0)), template)


_CLIENT_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""``DefBuckets`` of Prometheus' client_golang; the other clients follow it."""

_ENVOY_BOUNDS_MS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000),
    *(10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000),
)
"""Envoy's default histogram buckets (``stats.v3.HistogramBucketSettings``); Istio keeps them."""

_LINKERD_BOUNDS_MS = (1, 10, 50, 100, 200, 300, 400, 500, 1000, 5000, 10_000)
"""linkerd2-proxy, ``linkerd/metrics/src/latency.rs``."""


def _seconds(bounds_ms: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(bound / 1000 for bound in bounds_ms)


_APP = Preset(
    name="app",
    requests="http_requests_total",
    durations="http_request_duration_seconds",
    bounds_s=_CLIENT_BOUNDS_S,
    unit_per_s=1.0,
    labels=(
        ("app_version", "{revision}"),
        ("rollouts_pod_template_hash", "{revision}"),
        ("service", "{service}"),
    ),
    status_labels=(("status", "{status}"),),
    apart="by app_version, which the application exports, or by the pod label rollouts-pod-template-hash, "
    "if the scrape configuration copies pod labels",
    source="Prometheus, instrumentation practices; client_golang DefBuckets; Argo Rollouts, "
    "DefaultRolloutUniqueLabelKey",
)

_ISTIO = Preset(
    name="istio",
    requests="istio_requests_total",
    durations="istio_request_duration_milliseconds",
    bounds_s=_seconds(_ENVOY_BOUNDS_MS),
    unit_per_s=1000.0,
    labels=(
        ("destination_canonical_revision", "{revision}"),
        ("destination_canonical_service", "{service}"),
        ("destination_service", "{backend}.{namespace}.svc.cluster.local"),
        ("destination_service_name", "{backend}"),
        ("destination_service_namespace", "{namespace}"),
        ("destination_version", "{revision}"),
        ("destination_workload", "{service}"),
        ("destination_workload_namespace", "{namespace}"),
        ("reporter", "destination"),
    ),
    status_labels=(("response_code", "{status}"),),
    duration_status_labels=(("response_code", "{status}"),),
    apart="by destination_version (the pods' label version, if each version sets its own) or by "
    "destination_service_name, where canary and stable have a Service each; not by destination_workload, "
    "since the pods of one Rollout are one workload",
    source="Istio 1.18 and later, Standard Metrics",
)

_INGRESS_NGINX = Preset(
    name="ingress-nginx",
    by_router=True,
    requests="nginx_ingress_controller_requests",
    durations="nginx_ingress_controller_request_duration_seconds",
    bounds_s=_CLIENT_BOUNDS_S,
    unit_per_s=1.0,
    labels=(
        ("ingress", "{service}"),
        ("method", "GET"),
        ("namespace", "{namespace}"),
        ("path", "/"),
        ("service", "{service}"),
    ),
    status_labels=(("status", "{status}"),),
    duration_status_labels=(("status", "{status}"),),
    canary_labels=(("canary", "{namespace}-{backend}-80"),),
    apart="only canary from stable, by the label canary, which names the canary's upstream and is empty for "
    "the main Ingress; ingress and service stay those of the main Ingress. Not by version: after a promotion "
    "the new version counts as the old one did",
    source="ingress-nginx, internal/ingress/metric/collectors/socket.go and pull request 7696",
)

_TRAEFIK = Preset(
    name="traefik",
    by_router=True,
    requests="traefik_service_requests_total",
    durations="traefik_service_request_duration_seconds",
    bounds_s=(0.1, 0.3, 1.2, 5.0),
    unit_per_s=1.0,
    labels=(
        ("method", "GET"),
        ("protocol", "http"),
        ("service", "{namespace}-{backend}-80@kubernetescrd"),
    ),
    status_labels=(("code", "{status}"),),
    duration_status_labels=(("code", "{status}"),),
    apart="only canary from stable, by the label service, where each has a Kubernetes Service of its own "
    "below the weighted TraefikService. Not by version: after a promotion the new version counts as the "
    "old one did",
    source="Traefik, pkg/metrics/prometheus.go and its documentation of metrics; names of services as in "
    "Flagger's queries for Traefik",
)

_ENVOY_GATEWAY = Preset(
    name="envoy-gateway",
    by_router=True,
    requests="envoy_cluster_upstream_rq",
    durations="envoy_cluster_upstream_rq_time",
    bounds_s=_seconds(_ENVOY_BOUNDS_MS),
    unit_per_s=1000.0,
    labels=(("envoy_cluster_name", "httproute/{namespace}/{service}/rule/0"),),
    status_labels=(("envoy_response_code", "{status}"),),
    apart="not at all: all backends of one rule of an HTTPRoute are one cluster, canary and stable "
    "alike (envoyproxy/gateway issues 6742 and 7017); use the application's own metrics for a gate",
    source="Envoy, cluster statistics; Envoy Gateway, names of clusters",
)

_LINKERD = Preset(
    name="linkerd",
    requests="response_total",
    durations="response_latency_ms",
    bounds_s=_seconds(_LINKERD_BOUNDS_MS),
    unit_per_s=1000.0,
    labels=(
        ("deployment", "{service}"),
        ("direction", "inbound"),
        ("namespace", "{namespace}"),
        ("rollouts_pod_template_hash", "{revision}"),
    ),
    status_labels=(("classification", "{class}"), ("status_code", "{status}")),
    duration_status_labels=(("status_code", "{status}"),),
    apart="by rollouts_pod_template_hash, the pod label that Argo Rollouts and our executor set; the "
    "pod_template_hash of a Deployment's own controller is another value",
    source="Linkerd, Proxy Metrics; linkerd2-proxy, linkerd/metrics/src/latency.rs",
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (_APP, _ISTIO, _INGRESS_NGINX, _TRAEFIK, _ENVOY_GATEWAY, _LINKERD)}
)
"""All presets by name. Sources of the names are in each preset's ``source``."""
