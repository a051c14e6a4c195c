"""A person's command to the controller: the patches that ``kubectl argo rollouts`` would send.

Source: Argo Rollouts, ``pkg/kubectl-argo-rollouts/cmd`` (promote, abort, retry, pause). Status goes to the
status subresource, ``spec.paused`` to the object itself. All values are absolute, so a command that is sent
twice does no more than once, but for the index of a skipped step, which is read first and sent as read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rolloutsim.errors import ExecutorError
from rolloutsim.live.argo.kinds import ROLLOUT
from rolloutsim.live.inbox import Verb
from rolloutsim.live.port import Object, Ref

__all__ = ["Write", "command_writes"]


@dataclass(frozen=True, slots=True)
class Write:
    """A merge patch of the Rollout or (``subresource`` status) of its status."""

    ref: Ref
    subresource: str
    patch: Object

    @property
    def kubectl(self) -> str:
        """The same by hand, without the plugin."""
        where = f" --subresource={self.subresource}" if self.subresource else ""
        patch = json.dumps(self.patch, separators=(",", ":"))
        target = f"{ROLLOUT.resource} {self.ref.name} -n {self.ref.namespace}"
        return f"kubectl patch {target}{where} --type=merge -p '{patch}'"


def command_writes(verb: Verb, rollout: Mapping[str, Any]) -> tuple[Write, ...]:
    """The patches of a command, for a Rollout as it was read just now.

    Raises
    ------
    ExecutorError : the command does not apply to this Rollout.
    """
    metadata = rollout["metadata"]
    ref = Ref(ROLLOUT, metadata.get("namespace", "default"), metadata["name"])
    writes = tuple(Write(ref, where, patch) for where, patch in _PATCHES[verb](rollout))
    if not writes:
        raise ExecutorError(
            f"{verb} changes nothing: the rollout {ref.name} is at {_state(rollout)}; look at its status"
        )
    return writes


Patches = Iterator[tuple[str, Object]]


def _promote(rollout: Mapping[str, Any]) -> Patches:
    status, strategy = rollout.get("status", {}), rollout["spec"]["strategy"]
    if rollout["spec"].get("paused"):
        yield "", {"spec": {"paused": False}}
    canary = "canary" in strategy
    if status.get("pauseConditions"):
        step = status.get("canary", {}).get("currentStepAnalysisRunStatus", {})
        if canary and step.get("status") == "Inconclusive" and status.get("controllerPause"):
            behind = {
                "pauseConditions": None,
                "controllerPause": False,
                "currentStepIndex": _next(rollout),
            }
            yield "status", {"status": behind}
        else:
            yield "status", {"status": {"pauseConditions": None}}
    elif canary and _steps(rollout) and status.get("currentStepIndex", 0) < len(_steps(rollout)):
        yield "status", {"status": {"pauseConditions": None, "currentStepIndex": _next(rollout)}}


def _promote_full(rollout: Mapping[str, Any]) -> Patches:
    status = rollout.get("status", {})
    if status.get("currentPodHash") != status.get("stableRS"):
        yield "status", {"status": {"promoteFull": True}}


def _skip_step(rollout: Mapping[str, Any]) -> Patches:
    if _steps(rollout):
        yield "status", {"status": {"pauseConditions": None, "currentStepIndex": _next(rollout)}}


def _skip_all_steps(rollout: Mapping[str, Any]) -> Patches:
    if steps := _steps(rollout):
        yield "status", {"status": {"pauseConditions": None, "currentStepIndex": len(steps)}}


def _pause(rollout: Mapping[str, Any]) -> Patches:
    yield "", {"spec": {"paused": True}}


def _resume(rollout: Mapping[str, Any]) -> Patches:
    yield "", {"spec": {"paused": False}}


def _abort(rollout: Mapping[str, Any]) -> Patches:
    yield "status", {"status": {"abort": True}}


def _retry(rollout: Mapping[str, Any]) -> Patches:
    yield "status", {"status": {"abort": False}}


_PATCHES: Mapping[Verb, Callable[[Mapping[str, Any]], Patches]] = {
    Verb.PROMOTE: _promote,
    Verb.PROMOTE_FULL: _promote_full,
    Verb.SKIP_STEP: _skip_step,
    Verb.SKIP_ALL_STEPS: _skip_all_steps,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.ABORT: _abort,
    Verb.RETRY: _retry,
}


def _steps(rollout: Mapping[str, Any]) -> list[Any]:
    return rollout["spec"]["strategy"].get("canary", {}).get("steps") or []


def _next(rollout: Mapping[str, Any]) -> int:
    index: int = rollout.get("status", {}).get("currentStepIndex") or 0
    return min(index + 1, len(_steps(rollout)))


def _state(rollout: Mapping[str, Any]) -> str:
    return str(rollout.get("status", {}).get("phase", "an unknown phase"))
