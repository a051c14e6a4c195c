"""What the controller's objects say, as one frozen picture.

Sources: Argo Rollouts, ``RolloutStatus``, ``AnalysisRunStatus`` and the labels of its ReplicaSets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rolloutsim.conditions import MeasurementPhase, Result, ScalarResult, VectorResult
from rolloutsim.engine import Revision, Role
from rolloutsim.live.argo.kinds import HASH_LABEL

__all__ = ["Taken", "View", "view_of"]

REVISION = "rollout.argoproj.io/revision"
SERVICE_FIELDS = {
    "stableService": Role.STABLE,
    "canaryService": Role.CANARY,
    "activeService": Role.ACTIVE,
    "previewService": Role.PREVIEW,
}

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """A finished measurement of an analysis run; ``run`` is its name without the Rollout's.

    ``result`` is what its text can be read back as; None where it cannot, and only ``phase`` is known.
    """

    run: str
    metric: str
    attempt: int
    started: int
    finished: int
    phase: MeasurementPhase
    result: Result | None
    message: str


@dataclass(frozen=True, slots=True)
class View:
    """A Rollout, its ReplicaSets, its Services and its analysis runs as they were read."""

    asked: str
    stable: str
    step_index: int | None
    replicas: int
    paused: bool
    pauses: tuple[str, ...]
    abort: bool
    promote_full: bool
    weight: int | None
    verified: bool | None
    phase: str
    message: str
    revisions: tuple[Revision, ...]
    services: tuple[tuple[Role, str], ...]
    taken: tuple[Taken, ...]

    @property
    def at_rest(self) -> bool:
        """Nothing is being rolled out, and the pods that run have been seen."""
        seen = any(revision.id == self.stable for revision in self.revisions)
        return seen and self.asked == self.stable and not self.abort


def view_of(
    rollout: Body, replica_sets: Iterable[Body], services: Iterable[Body], runs: Iterable[Body]
) -> View:
    """Read the objects. Objects of other Rollouts are left out; a status that is not there yet is empty."""
    metadata, spec, status = rollout["metadata"], rollout["spec"], rollout.get("status", {})
    uid = metadata.get("uid", "")
    canary = status.get("canary", {})
    weights = canary.get("weights") or {}
    return View(
        asked=status.get("currentPodHash", ""),
        stable=status.get("stableRS", ""),
        step_index=status.get("currentStepIndex"),
        replicas=spec.get("replicas", 1),
        paused=spec.get("paused", False),
        pauses=tuple(condition["reason"] for condition in status.get("pauseConditions") or ()),
        abort=status.get("abort", False),
        promote_full=status.get("promoteFull", False),
        weight=weights.get("canary", {}).get("weight"),
        verified=weights.get("verified"),
        phase=status.get("phase", ""),
        message=status.get("message", ""),
        revisions=tuple(sorted(_revisions(replica_sets, uid), key=lambda revision: revision.number)),
        services=tuple(_services(spec["strategy"], services)),
        taken=tuple(taken for run in runs if _owned(run, uid) for taken in _taken(run, metadata["name"])),
    )


def _owned(body: Body, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in body["metadata"].get("ownerReferences", ()))


def _revisions(replica_sets: Iterable[Body], uid: str) -> Iterable[Revision]:
    for body in replica_sets:
        metadata, status = body["metadata"], body.get("status", {})
        if not _owned(body, uid) or HASH_LABEL not in metadata.get("labels", {}):
            continue
        yield Revision(
            metadata["labels"][HASH_LABEL],
            int(metadata.get("annotations", {}).get(REVISION, 0)),
            _time_ms(metadata.get("creationTimestamp")),
            body["spec"].get("replicas", 1),
            status.get("replicas", 0),
            status.get("readyReplicas", 0),
            status.get("availableReplicas", 0),
        )


def _services(strategy: Body, services: Iterable[Body]) -> Iterable[tuple[Role, str]]:
    (fields,) = strategy.values()
    selectors = {body["metadata"]["name"]: body["spec"].get("selector") or {} for body in services}
    for field, role in SERVICE_FIELDS.items():
        name = (fields or {}).get(field)
        if name in selectors:
            yield role, selectors[name].get(HASH_LABEL, "")


def _taken(run: Body, rollout: str) -> Iterable[Taken]:
    name = run["metadata"]["name"].removeprefix(f"{rollout}-")
    for metric in run.get("status", {}).get("metricResults") or ():
        measurements = metric.get("measurements") or ()
        # the controller keeps the last measurements only; the counters know of all of them
        counted = sum(metric.get(k, 0) for k in ("successful", "failed", "inconclusive", "error"))
        open_ones = sum("finishedAt" not in one for one in measurements)
        first = counted + open_ones - len(measurements) + 1
        for attempt, one in enumerate(measurements, start=first):
            if "finishedAt" in one:
                yield Taken(
                    name,
                    metric["name"],
                    attempt,
                    _time_ms(one.get("startedAt")),
                    _time_ms(one["finishedAt"]),
                    MeasurementPhase(one["phase"]),
                    _result(one.get("value", "")),
                    one.get("message", ""),
                )


def _result(text: str) -> Result | None:
    """A Prometheus value as the controller writes it: ``[0.1,NaN]`` for a vector, ``0.1`` for a scalar."""
    listed = text.startswith("[") and text.endswith("]")
    parts = text[1:-1].split(",") if listed else [text]
    if listed and not text[1:-1]:
        return VectorResult(())
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        return None
    return VectorResult(values) if listed else ScalarResult(values[0])


def _time_ms(text: str | None) -> int:
    if not text:
        return 0
    return round(datetime.fromisoformat(text).timestamp() * 1000)
