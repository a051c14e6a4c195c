"""Rules about the switch of a Service from one version to the other, what outlives it, and the way back.

Source: Argo Rollouts, rollout/bluegreen.go and rollout/service.go: the active Service is left alone while a
pod of the new version is missing, also after an abort (issue 2824 of argoproj/argo-rollouts).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import Rollout
from rolloutsim.lint.words import duration
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.references import SERVICE_FIELDS

__all__ = ["CHECKS"]

LONG_LIVED = re.compile(r"(?:^|[-./])(?:grpc|grpcs|grpc-web|h2c|ws|wss|websockets?|mqtt|amqp)(?:$|[-./\d])")
"""Names of ports and application protocols whose connections outlive a switch."""
STICKY = re.compile(r"(?:^|/)(?:affinity|session-cookie-.*|upstream-hash-by)$")
"""Annotations of ingress-nginx that keep a user where he was."""
HOOKS = {"helm.sh/hook": ("pre-upgrade",), "argocd.argoproj.io/hook": ("PreSync", "Sync")}
"""Annotations of a Job that runs before the new version does, or while it is put in place."""
TIME_TO_NOTICE_MS = 300_000
DEFAULT_ABORT_DELAY_MS = 30_000
LONG_ABORT_DELAY_MS = 600_000


def _abort_trap(subject: Rollout) -> Iterator[Hit]:
    blue_green = subject.blue_green
    if blue_green is None or blue_green.post_promotion is None:
        return
    delay = blue_green.abort_scale_down_delay_ms
    delay = DEFAULT_ABORT_DELAY_MS if delay is None else delay
    if 0 < delay < LONG_ABORT_DELAY_MS:
        reason = (
            "if one new pod is not available when this analysis fails, the active Service stays on the new "
            f"version, whose pods are removed {duration(delay)} later: nobody is served"
        )
        yield Hit(subject.document, (*subject.strategy_path, "postPromotionAnalysis"), reason)


def _short_way_back(subject: Rollout) -> Iterator[Hit]:
    blue_green = subject.blue_green
    if blue_green is None or blue_green.post_promotion is not None:
        return
    delay = blue_green.scale_down_delay_ms
    if delay is not None and 0 < delay < TIME_TO_NOTICE_MS:
        given = "" if "scaleDownDelaySeconds" in subject.fields else " (the default)"
        reason = (
            f"the old pods go {duration(delay)}{given} after the switch: from then on a way back starts pods"
        )
        yield Hit(subject.document, (*subject.strategy_path, "scaleDownDelaySeconds"), reason)


def _long_lived(subject: Rollout) -> Iterator[Hit]:
    """Ports of the Services that switch, and of the pods of the rollout."""
    if "pingPong" in subject.fields or not any(subject.fields.get(field) for field in SERVICE_FIELDS):
        return
    blue_green = subject.blue_green
    if blue_green is not None and (blue_green.scale_down_delay_ms or 0) >= LONG_ABORT_DELAY_MS:
        return
    for document, path, name in _ports(subject):
        if LONG_LIVED.search(name.lower()):
            reason = f"{name!r} connections stay on the old pods after the switch, and break when those go"
            yield Hit(document, path, reason)
            return


def _ports(subject: Rollout) -> Iterator[tuple[Document, Path, str]]:
    names = {subject.fields.get(field) for field in SERVICE_FIELDS}
    for service in subject.bundle.of_kind("Service"):
        if service.name not in names:
            continue
        for index, port in _mappings(service.spec.get("ports")):
            for field in ("appProtocol", "name"):
                if isinstance(port.get(field), str):
                    yield service, ("spec", "ports", index, field), port[field]
    pod = subject.document.spec.get("template", {}).get("spec", {})
    for i, container in enumerate(pod.get("containers", [])):
        for j, port in _mappings(container.get("ports")):
            if isinstance(port.get("name"), str):
                place: Path = ("spec", "template", "spec", "containers", i, "ports", j, "name")
                yield subject.document, place, port["name"]


def _mappings(items: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings of a list, in a part of a manifest whose shape nobody has checked."""
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield index, item


def _seconds_ignored(subject: Rollout) -> Iterator[Hit]:
    blue_green = subject.blue_green
    if blue_green is None or blue_green.auto_promotion_enabled:
        return
    if subject.fields.get("autoPromotionSeconds"):
        reason = "autoPromotionEnabled is false: no time promotes, only a person"
        yield Hit(subject.document, (*subject.strategy_path, "autoPromotionSeconds"), reason)


def _sticky(subject: Rollout) -> Iterator[Hit]:
    routing = subject.fields.get("trafficRouting", {})
    path: Path = (*subject.strategy_path, "trafficRouting")
    places: list[Path] = []
    if routing.get("alb", {}).get("stickinessConfig", {}).get("enabled"):
        places.append((*path, "alb", "stickinessConfig"))
    nginx = routing.get("nginx", {})
    for field in ("additionalIngressAnnotations", "canaryIngressAnnotations"):
        places += [(*path, "nginx", field, name) for name in nginx.get(field, {}) if STICKY.search(name)]
    for place in places[:1]:
        reason = "a user stays with the version that he got first: a weight decides for newcomers only"
        yield Hit(subject.document, place, reason)


def _migration(subject: Rollout) -> Iterator[Hit]:
    """Jobs beside a strategy that keeps two versions in use."""
    if subject.canary is None and subject.blue_green is None:
        return
    for job in subject.bundle.of_kind("Job"):
        annotations = job.data.get("metadata", {}).get("annotations")
        for name, phases in HOOKS.items():
            given = annotations.get(name) if isinstance(annotations, dict) else None
            if isinstance(given, str) and any(phase.strip() in phases for phase in given.split(",")):
                reason = f"Job {job.name!r} runs first, and both versions then live with what it changed"
                yield Hit(job, ("metadata", "annotations", name), reason)


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS040",
            "blue-green-abort-trap",
            Severity.WARNING,
            "while a new pod is unavailable an abort does not switch back, yet removes the new pods",
            f"abortScaleDownDelaySeconds: {LONG_ABORT_DELAY_MS // 1000} or more, and an alert on aborts",
        ),
        _abort_trap,
    ),
    Check(
        Rule(
            "RS041",
            "short-way-back",
            Severity.WARNING,
            "the old version is gone before anybody can have noticed: the way back is not a switch any more",
            "make scaleDownDelaySeconds as long as you need to notice (900), or add a postPromotionAnalysis",
        ),
        _short_way_back,
    ),
    Check(
        Rule(
            "RS042",
            "long-lived-connections",
            Severity.WARNING,
            "a Service switch moves new connections only; long-lived ones break when the old pods go",
            "drain with a long scaleDownDelaySeconds and let clients reconnect; ALB and Istio have pingPong",
        ),
        _long_lived,
    ),
    Check(
        Rule(
            "RS043",
            "promotion-seconds-ignored",
            Severity.WARNING,
            "autoPromotionSeconds has no effect when autoPromotionEnabled is false",
            "remove one of the two",
        ),
        _seconds_ignored,
    ),
    Check(
        Rule(
            "RS044",
            "sticky-sessions",
            Severity.WARNING,
            "with sticky sessions the share of users on the new version is not the weight",
            "leave stickiness out while a canary runs, or make its duration short against the pauses",
        ),
        _sticky,
    ),
    Check(
        Rule(
            "RS045",
            "migration-beside-rollout",
            Severity.WARNING,
            "a Job changes something before both versions are in use, and no abort changes it back",
            "let it only add (expand), and remove what is old in a later release (contract)",
        ),
        _migration,
    ),
)
