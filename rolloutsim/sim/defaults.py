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

__all__ = ["DEFAULTS", "Default"]


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
    "telemetry.history": _assumed("15m"),
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

_LOOK = {
    "slo": _assumed("99.9%", "the running example of The Site Reliability Workbook, chapter 5"),
    "slo_period": _assumed("720h", "the running example of The Site Reliability Workbook, chapter 5"),
    "horizon": _assumed("2h"),
}

DEFAULTS: Mapping[str, Default] = MappingProxyType(
    {
        f"service.{key}": default
        for table in (_TRAFFIC, _REQUESTS, _TELEMETRY, _OPERATORS, _CLUSTER, _LOOK)
        for key, default in table.items()
    }
)
"""Every default of a service. Releases have none: what is wrong with one is a supposition, not a guess."""
