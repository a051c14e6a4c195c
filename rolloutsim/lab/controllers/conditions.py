"""The conditions of a Deployment: Available and Progressing (pkg/controller/deployment/progress.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rolloutsim.lab.controllers.arithmetic import limits_of
from rolloutsim.lab.objects import Object, time_text

__all__ = ["DONE", "conditions_of"]

DONE = "NewReplicaSetAvailable"
"""Reason of Progressing once a rollout is complete; it stays so while no new one begins."""


def conditions_of(
    spec: Mapping[str, Any],
    before: Object,
    numbers: Mapping[str, int],
    new: str,
    since_ms: int,
    now_ms: int,
) -> list[Object]:
    """The conditions now.

    before : the status until now, whose transition times are kept. new : the new ReplicaSet's name.
    since_ms : when something last changed. A deadline that has passed does not roll anything back.
    """
    replicas = spec["replicas"]
    least = replicas - limits_of(spec).unavailable
    if numbers["availableReplicas"] >= least:
        available = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    last: Object = next(
        (each for each in before.get("conditions") or () if each["type"] == "Progressing"), {}
    )
    stays = last.get("reason") == DONE and numbers["updatedReplicas"] == numbers["replicas"]
    done = (
        numbers["updatedReplicas"] == numbers["replicas"] == numbers["availableReplicas"] == replicas and new
    )
    deadline_s = spec.get("progressDeadlineSeconds", 600)
    if spec.get("paused"):
        progressing = ("Unknown", "DeploymentPaused", "Deployment is paused")
    elif done or (stays and new in last["message"]):
        told = f'ReplicaSet "{new}" has successfully progressed.'
        progressing = ("True", DONE, told)
    elif now_ms - since_ms >= 1000 * deadline_s:
        progressing = (
            "False",
            "ProgressDeadlineExceeded",
            f'ReplicaSet "{new}" has timed out progressing.',
        )
    else:
        progressing = ("True", "ReplicaSetUpdated", f'ReplicaSet "{new}" is progressing.')
    return [
        _condition("Available", available, before, now_ms),
        _condition("Progressing", progressing, before, now_ms),
    ]


def _condition(kind: str, state: tuple[str, str, str], before: Object, now_ms: int) -> Object:
    status, reason, message = state
    now = time_text(now_ms)
    old: Object | None = next((each for each in before.get("conditions") or () if each["type"] == kind), None)
    if old is not None and (old["status"], old["reason"], old["message"]) == state:
        return old
    changed = old is None or old["status"] != status
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now if changed or old is None else old["lastTransitionTime"],
    }
