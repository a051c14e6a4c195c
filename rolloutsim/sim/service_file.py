"""A service out of its section of a scenario file: traffic, requests, telemetry, people, cluster."""

from __future__ import annotations

import re
from pathlib import Path

from rolloutsim.errors import ScenarioError
from rolloutsim.policy.document import dotted
from rolloutsim.policy.yaml_source import Scalar
from rolloutsim.sim.clients_file import read_checks, read_connections, read_sessions
from rolloutsim.sim.platform_file import count, read_cluster
from rolloutsim.sim.quantities import (
    UnfitValue,
    at_least,
    choice,
    duration_ms,
    flag,
    number,
    positive,
    positive_ms,
    probability,
    rate_rps,
    seconds,
    share,
    text,
    time_ms,
)
from rolloutsim.sim.requests.file import read_requests
from rolloutsim.sim.scenario import (
    ConstantRate,
    DiurnalRate,
    Gap,
    Latency,
    Logs,
    Operators,
    RecordedRate,
    Resources,
    Service,
    Telemetry,
    Traffic,
    WorkingHours,
)
from rolloutsim.sim.section import Section
from rolloutsim.sim.traffic_file import read_recorded_rate, started_at
from rolloutsim.telemetry import PLACEHOLDERS, PRESETS, unknown_placeholders

__all__ = ["SERVICE_FIELDS", "read_service"]

SERVICE_FIELDS = (
    "traffic",
    "error_rate",
    "error_icc",
    "latency",
    "telemetry",
    "operators",
    "cluster",
    "slo",
    "slo_period",
    "horizon",
    "sessions",
    "connections",
    "checks",
    "requests",
)

_RATE_KINDS = ("rate_rps", "diurnal", "recorded")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def read_service(name: str, spec: Section) -> Service:
    """The service that a ``spec`` describes.

    Raises
    ------
    ScenarioError : a field that is unknown, missing, of the wrong type or out of range.
    """
    latency = _latency(spec)
    return Service(
        name=name,
        traffic=_traffic(spec),
        error_rate=spec.read("error_rate", share),
        error_icc=spec.read("error_icc", _correlation),
        latency=latency,
        telemetry=_telemetry(spec.section("telemetry")),
        operators=_operators(spec.section("operators")),
        cluster=read_cluster(spec.section("cluster")),
        slo=spec.read("slo", _objective),
        slo_period_ms=spec.read("slo_period", positive_ms),
        horizon_ms=spec.read("horizon", positive_ms),
        sessions=read_sessions(spec),
        connections=read_connections(spec),
        checks=read_checks(spec),
        requests=read_requests(spec, latency.median_s, latency.sigma),
    )


def _latency(spec: Section) -> Latency:
    section = spec.section("latency").only("median", "sigma")
    return Latency(section.read("median", seconds), section.read("sigma", positive))


def _traffic(spec: Section) -> Traffic:
    traffic = spec.section("traffic").only(*_RATE_KINDS, "dispersion")
    given = [kind for kind in _RATE_KINDS if traffic.has(kind)]
    if len(given) != 1:
        why = f"traffic is given {len(given)} times" if given else "the service has no traffic"
        raise spec.error("traffic", why, fix=f"give one of {', '.join(_RATE_KINDS)}")
    rate: ConstantRate | DiurnalRate | RecordedRate
    if traffic.has("rate_rps"):
        rate = ConstantRate(traffic.read("rate_rps", rate_rps))
    elif traffic.has("diurnal"):
        rate = _diurnal(traffic.section("diurnal"))
    else:
        rate = _recorded(traffic.section("recorded"))
    return Traffic(rate, traffic.read("dispersion", at_least(1.0)))


def _diurnal(day: Section) -> DiurnalRate:
    day.only("mean_rps", "amplitude", "period", "phase")
    return DiurnalRate(
        mean_rps=day.read("mean_rps", rate_rps),
        amplitude=day.read("amplitude", _amplitude),
        period_ms=day.read("period", positive_ms),
        phase_ms=day.read("phase", time_ms),
    )


def _recorded(record: Section) -> RecordedRate:
    record.only("file", "scale", "release_at")
    name = record.read("file", text)
    file = record.directory / name
    if Path(name).is_absolute() or not file.is_file():
        raise record.error("file", "there is no such file", name, "give its path relative to this file")
    scale = record.read("scale", positive)
    return started_at(read_recorded_rate(file, scale), record.read("release_at", duration_ms))


def _telemetry(section: Section) -> Telemetry:
    section.only(
        "preset",
        "labels",
        "scrape_interval",
        "scrape_phase",
        "lag",
        "missed",
        "gaps",
        "query_time",
        "counters_from_zero",
        "left_closed",
        "discovery",
        "history",
        "unlabelled",
        "mislabelled",
        "resources",
        "logs",
    )
    unlabelled = section.read("unlabelled", probability)
    mislabelled = section.read("mislabelled", probability)
    if unlabelled + mislabelled > 1.0:
        raise section.error("mislabelled", "more than all requests are counted elsewhere")
    interval = section.read("scrape_interval", positive_ms)
    phase = section.read_or("scrape_phase", "random", duration_ms)
    if phase is not None and phase >= interval:
        raise section.error("scrape_phase", "the phase is shorter than the scrape interval", f"{phase} ms")
    return Telemetry(
        preset=section.read("preset", choice(*PRESETS)),
        labels=_labels(section),
        scrape_interval_ms=interval,
        scrape_phase_ms=phase,
        lag_ms=section.read("lag", duration_ms),
        missed=section.read("missed", share),
        gaps=tuple(_gap(gap) for gap in section.sections("gaps")),
        query_ms=section.read("query_time", duration_ms),
        counters_from_zero=section.read("counters_from_zero", flag),
        left_closed=section.read("left_closed", flag),
        discovery_ms=section.read("discovery", duration_ms),
        history_ms=section.read("history", duration_ms),
        unlabelled=unlabelled,
        mislabelled=mislabelled,
        resources=_resources(section.section("resources")) if section.has("resources") else None,
        logs=_logs(section.section("logs")) if section.has("logs") else None,
    )


def _resources(section: Section) -> Resources:
    section.only("memory_mb", "memory_limit_mb", "cpu_per_request")
    return Resources(
        memory_bytes=section.read("memory_mb", positive) * 1e6,
        memory_limit_bytes=section.read("memory_limit_mb", positive) * 1e6,
        cpu_s=section.read("cpu_per_request", seconds),
    )


def _logs(section: Section) -> Logs:
    section.only("rate", "classes", "exponent", "baseline")
    return Logs(
        rate=section.read("rate", share),
        classes=section.read("classes", count),
        exponent=section.read("exponent", positive),
        baseline_ms=section.read("baseline", duration_ms),
    )


def _labels(telemetry: Section) -> tuple[tuple[str, str], ...]:
    labels: dict[str, str] = {}
    for name, node in telemetry.children("labels").items():
        path = dotted((*telemetry.path, "labels", name))
        if not isinstance(node.value, str):
            fix = 'put the value in quotes; "" takes a label of the preset away'
            raise ScenarioError("expected text", at=node.at, path=path, fix=fix)
        if not _LABEL_NAME.fullmatch(name) or name.startswith("__") or name == "le":
            raise ScenarioError("this cannot be the name of a label", at=node.at, path=path, value=name)
        for placeholder in unknown_placeholders(node.value):
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise ScenarioError(
                "the value has a placeholder that nothing fills in",
                at=node.at,
                path=path,
                value=f"{{{placeholder}}}",
                fix=f"known are {known}",
            )
        labels[name] = node.value
    return tuple(sorted(labels.items()))


def _gap(section: Section) -> Gap:
    section.only("start", "end")
    gap = Gap(section.read("start", time_ms), section.read("end", time_ms))
    if gap.end_ms <= gap.start_ms:
        raise section.error("end", "the gap ends before it starts", f"{gap.end_ms / 1000:g} s")
    return gap


def _operators(section: Section) -> Operators:
    section.only("promote", "notice_excess", "notice_after", "respond", "slow", "rubber_stamp", "hours")
    return Operators(
        promote=section.delay_or("promote", "never"),
        notice_excess=section.read_or("notice_excess", "never", share),
        notice_after_ms=section.read("notice_after", duration_ms),
        respond=section.delay("respond"),
        slow_s=section.read("slow", seconds),
        rubber_stamp=section.read("rubber_stamp", probability),
        hours=_hours(section.section("hours")) if section.has("hours") else None,
    )


def _hours(section: Section) -> WorkingHours:
    section.only("start", "end", "released")
    start, end = section.read("start", _time_of_day), section.read("end", _time_of_day)
    if end <= start:
        raise section.error("end", "the working day ends before it starts", f"{end / 3_600_000:g} h")
    return WorkingHours(start, end, section.read("released", _time_of_day))


def _time_of_day(value: Scalar) -> int:
    found = duration_ms(value)
    if found > 86_400_000:
        raise UnfitValue("a time of day is at most 24h", "write 9h30m for half past nine")
    return found


def _correlation(value: Scalar) -> float:
    found = number(value)
    if not 0.0 <= found < 1.0:
        raise UnfitValue("a correlation of errors is at least 0 and below 1", "0 is independent errors")
    return found


def _amplitude(value: Scalar) -> float:
    found = number(value)
    if not 0.0 <= found <= 1.0:
        raise UnfitValue(
            "the amplitude lies between 0 and 1, else the rate would be negative",
            "for a peak p times the trough it is (p - 1) / (p + 1)",
        )
    return found


def _objective(value: Scalar) -> float:
    found = share(value)
    if found in (0.0, 1.0):
        raise UnfitValue("an objective of 0 % or 100 % leaves no error budget to count", "99.9% is common")
    return found
