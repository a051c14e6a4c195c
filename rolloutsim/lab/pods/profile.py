"""How the emulated application behaves: what its image and its annotations make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rolloutsim.lab.objects import Object

__all__ = ["ANNOTATION", "ENVIRONMENT", "Profile", "profile_of"]

ANNOTATION = "lab.rolloutsim.dev/"
"""Prefix of annotations: ``lab.rolloutsim.dev/error-rate: "0.2"``."""
ENVIRONMENT = "LAB_"
"""Prefix of environment variables of the container: ``LAB_ERROR_RATE``."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Behaviour of one version.

    error_rate : share of requests that are answered 500, 0 to 1.
    latency_s : median of the log-normal time to answer; 0 answers at once. latency_sigma : its spread.
    start_s : from the pod's start to readiness. never_ready : it never becomes ready, or ready no more.
    shutdown_s : how long it goes on serving after it was told to end.
    """

    error_rate: float = 0.0
    latency_s: float = 0.0
    latency_sigma: float = 0.5
    start_s: float = 0.5
    never_ready: bool = False
    shutdown_s: float = 0.0

    def to_json(self) -> Object:
        """As plain data."""
        return asdict(self)


def profile_of(pod: Object, owner: Object | None) -> Profile:
    """The profile of a pod: its containers' environment, its annotations, and those of its Deployment.

    The last wins, so that ``kubectl annotate deployment NAME lab.rolloutsim.dev/error-rate=0.2`` changes
    running pods. A value that cannot be read is passed over, as an application would ignore it.
    """
    values: dict[str, Any] = {}
    for container in pod["spec"].get("containers") or ():
        environment = {each["name"]: each.get("value", "") for each in container.get("env") or ()}
        values |= _named(environment, ENVIRONMENT, lambda name: name.upper())
    for thing in filter(None, (pod, owner)):
        annotations = thing["metadata"].get("annotations") or {}
        values |= _named(annotations, ANNOTATION, lambda name: name.replace("_", "-"))
    return Profile(**values)


def _named(texts: Mapping[str, str], prefix: str, spelt: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(Profile):
        text = texts.get(prefix + spelt(field.name))
        if text is None:
            continue
        if field.name == "never_ready":
            found[field.name] = text.lower() in ("1", "true", "yes")
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        if 0 <= value < 1e6:
            found[field.name] = value
    return found
