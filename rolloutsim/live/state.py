"""The state of a rollout in the cluster: one ConfigMap, ``rolloutsim-NAME``, so that any machine can resume.

Every write of the executor is conditional on the resourceVersion that it read. Another process may ask for
something at any time, without a Lease: ``abort: "true"``, or a command. The executor's next write notices
it. A ConfigMap holds 1 MiB at most: a state that comes near it goes in with only the last measurement of
each metric, which is all that decisions need, and says so; the journal has them all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from rolloutsim.engine import State
from rolloutsim.engine.codec import from_json, to_json
from rolloutsim.errors import ExecutorError
from rolloutsim.live.port import (
    CONFIG_MAP,
    Conflict,
    Invalid,
    Kubernetes,
    NotFound,
    Object,
    Ref,
    Refused,
)
from rolloutsim.live.writes import settled, version_of

__all__ = ["LIMIT_BYTES", "OWNER_LABEL", "Saved", "StateStore", "StateUnreadable", "Superseded"]

OWNER_LABEL = "rolloutsim.dev/rollout"
"""The label on everything that a rollout owns; its value is the rollout's name."""

LIMIT_BYTES = 1_000_000
"""Of all keys and values; the API server refuses more than 1,048,576 (Kubernetes, "ConfigMaps")."""


class Superseded(Refused):
    """Another executor has taken the rollout over: this one stops."""


class StateUnreadable(ExecutorError):
    """The ConfigMap does not hold a state that this version can read, or cannot hold this one."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What is kept of a rollout. ``plan`` and ``command`` are JSON texts that others give a meaning.

    ``fence`` is the number of lease transitions under which it was written: a write under an older one is
    refused. ``sequence`` is the number of the last journal record that the state contains. ``trimmed``:
    measurements that were left out for their size.
    """

    state: State | None
    policy_digest: str
    sequence: int = 0
    plan: str = ""
    fence: int = 0
    abort: bool = False
    abort_reason: str = ""
    command: str = ""
    trimmed: int = 0
    resource_version: str = ""


class StateStore:
    """The ConfigMap of one rollout."""

    def __init__(self, api: Kubernetes, namespace: str, rollout: str) -> None:
        self.ref = Ref(CONFIG_MAP, namespace, f"rolloutsim-{rollout}")
        self._api = api
        self._rollout = rollout

    def read(self) -> Saved | None:
        """What the cluster holds; None: this rollout has never run here.

        Raises
        ------
        StateUnreadable : the ConfigMap is not ours, or is damaged.
        """
        try:
            return self.parse(self._api.get(self.ref))
        except NotFound:
            return None

    def parse(self, body: Object) -> Saved:
        """The content of the ConfigMap, as a watch brings it. Raises `StateUnreadable`."""
        if body.get("metadata", {}).get("labels", {}).get(OWNER_LABEL) != self._rollout:
            raise StateUnreadable(
                f"{self.ref} has no label {OWNER_LABEL}={self._rollout}, so it is not this rollout's; "
                "rename one of the two"
            )
        data = body.get("data") or {}
        try:
            return Saved(
                state=from_json(State, json.loads(data["state"])) if "state" in data else None,
                policy_digest=data["policyDigest"],
                sequence=int(data["sequence"]),
                plan=data.get("plan", ""),
                fence=int(data["fence"]),
                abort=data.get("abort") == "true",
                abort_reason=data.get("abortReason", ""),
                command=data.get("command", ""),
                trimmed=int(data.get("trimmed", "0")),
                resource_version=version_of(body),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise StateUnreadable(
                f"{self.ref} does not hold a state that this version can read ({error}); "
                "use the version that wrote it, or delete it to begin anew"
            ) from None

    def write(self, saved: Saved, base: Saved | None) -> Saved:
        """Save; ``base`` is what was last read or written (None: there was nothing). Returns what is there.

        An abort or a command that came in meanwhile stays, and shows in the answer.
        The state in the answer is the one given, untrimmed.

        Raises
        ------
        Superseded : another executor wrote since, or somebody deleted the state.
        Unknown : read again, and compare ``fence`` and ``sequence``.
        StateUnreadable : it does not fit even without its measurements.
        """
        if base is not None and saved.fence < base.fence:
            raise Superseded(f"{self.ref} was written by an executor that took over; this one stops")
        data, trimmed = _fitting(saved)
        if base is None:
            return self._created(saved, data, trimmed)
        known = base

        def attempt() -> Saved:
            nonlocal known
            try:
                return self._patched(data, trimmed, saved, known, base)
            except Conflict:
                known = self._interfered(known)
                raise

        return settled(attempt)

    def ask_abort(self, reason: str = "", then: str = "") -> bool:
        """Ask whoever executes the rollout to abort it; False: there is no such rollout. Needs no Lease.

        ``then`` is a command to be heard right after it. What was asked before and nobody heard is void: a
        pause would keep the pods of what is aborted.
        """
        return self._ask({"abort": "true", "abortReason": reason, "command": then})

    def ask(self, command: str) -> bool:
        """Leave a command (JSON text) for the executor; the last one stands. False: no such rollout."""
        return self._ask({"command": command})

    def delete(self, saved: Saved) -> None:
        """Remove the ConfigMap that was read. Raises `Conflict` if it changed since."""
        try:
            self._api.delete(self.ref, resource_version=saved.resource_version)
        except NotFound:
            return

    # --- requests ---------------------------------------------------------------------------------

    def _ask(self, data: dict[str, str]) -> bool:
        test = {"op": "test", "path": f"/metadata/labels/{_pointer(OWNER_LABEL)}", "value": self._rollout}
        additions = [{"op": "add", "path": f"/data/{key}", "value": value} for key, value in data.items()]
        try:
            self._api.json_patch(self.ref, [test, *additions])
        except NotFound:
            return False
        except Invalid:
            raise Refused(f"{self.ref} is not this rollout's, so nothing was asked of it") from None
        return True

    def _created(self, saved: Saved, data: dict[str, str], trimmed: int) -> Saved:
        metadata = {
            "name": self.ref.name,
            "namespace": self.ref.namespace,
            "labels": {OWNER_LABEL: self._rollout, "app.kubernetes.io/managed-by": "rolloutsim"},
        }
        body: Object = {
            "apiVersion": CONFIG_MAP.api_version,
            "kind": CONFIG_MAP.name,
            "metadata": metadata,
            "data": {**data, **_requests(saved)},
        }
        written = self._api.create(self.ref, body)
        return replace(saved, trimmed=trimmed, resource_version=version_of(written))

    def _patched(self, data: dict[str, str], trimmed: int, saved: Saved, known: Saved, base: Saved) -> Saved:
        asked: dict[str, Any] = {}
        if base.abort and not saved.abort:
            asked.update(abort=None, abortReason=None)
        elif saved.abort and not base.abort:
            asked.update(abort="true", abortReason=saved.abort_reason)
        if base.command and not saved.command and known.command == base.command:
            asked.update(command=None)
        patch = {
            "metadata": {"resourceVersion": known.resource_version},
            "data": {**dict.fromkeys(OPTIONAL), **data, **asked},
        }
        body = self._api.merge_patch(self.ref, patch)
        written = body.get("data") or {}
        return replace(
            saved,
            trimmed=trimmed,
            abort=written.get("abort") == "true",
            abort_reason=written.get("abortReason", ""),
            command=written.get("command", ""),
            resource_version=version_of(body),
        )

    def _interfered(self, known: Saved) -> Saved:
        """What is there now, if only a request came in."""
        found = self.read()
        if found is None or (found.fence, found.sequence) != (known.fence, known.sequence):
            raise Superseded(f"another executor wrote {self.ref}, or somebody deleted it; this one stops")
        return found


OPTIONAL = ("state", "plan", "trimmed")
"""Keys of our own that a later write may leave out."""


def _pointer(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _requests(saved: Saved) -> dict[str, str]:
    asked = {"abort": "true", "abortReason": saved.abort_reason} if saved.abort else {}
    return {**asked, **({"command": saved.command} if saved.command else {})}


# --- size -----------------------------------------------------------------------------------------


def _fitting(saved: Saved) -> tuple[dict[str, str], int]:
    """The data of the ConfigMap, and how many measurements were left out so that it fits."""
    data = _data(saved)
    if _size(data) <= LIMIT_BYTES:
        return data, saved.trimmed
    if saved.state is None:
        raise StateUnreadable(f"the plan is larger than {LIMIT_BYTES:,} bytes; shorten the policy")
    state, left_out = _trimmed(saved.state)
    shorter = replace(saved, state=state, trimmed=saved.trimmed + left_out)
    data = _data(shorter)
    if _size(data) > LIMIT_BYTES:
        raise StateUnreadable(
            f"the state and the plan are {_size(data):,} bytes, more than the {LIMIT_BYTES:,} that a "
            "ConfigMap holds; shorten the policy's metrics"
        )
    return data, shorter.trimmed


def _data(saved: Saved) -> dict[str, str]:
    data = {
        "policyDigest": saved.policy_digest,
        "sequence": str(saved.sequence),
        "fence": str(saved.fence),
    }
    if saved.state is not None:
        data["state"] = json.dumps(to_json(saved.state), separators=(",", ":"), sort_keys=True)
    if saved.plan:
        data["plan"] = saved.plan
    if saved.trimmed:
        data["trimmed"] = str(saved.trimmed)
    return data


def _size(data: dict[str, str]) -> int:
    return sum(len(key) + len(value.encode()) for key, value in data.items())


def _trimmed(state: State) -> tuple[State, int]:
    """The state with the last measurement of each metric, and how many were left out."""
    runs, left_out = [], 0
    for run in state.runs:
        metrics = []
        for metric in run.metrics:
            left_out += max(0, len(metric.measurements) - 1)
            metrics.append(replace(metric, measurements=metric.measurements[-1:]))
        runs.append(replace(run, metrics=tuple(metrics)))
    return replace(state, runs=tuple(runs)), left_out
