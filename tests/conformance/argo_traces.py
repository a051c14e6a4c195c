"""Playing traces of the Argo Rollouts controller: their inputs to a simulation's, its events to theirs.

A trace is played by the policy loader, the loop and the cluster of a simulation; only the router, which is
perfect here, and the measurements, which come out as letters say, are the tests' own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import simpy

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    Event,
    ExperimentChanged,
    Measure,
    MeasureError,
    MeasurementTaken,
    Outcome,
    Paused,
    PhaseChanged,
    PolicyChanged,
    Promoted,
    ReleaseAsked,
    Resumed,
    Revision,
    Role,
    RunChanged,
    Scale,
    Snapshot,
    StatusPatched,
    StepCompleted,
    StepsSkipped,
    start,
)
from rolloutsim.policy import load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry, Session
from rolloutsim.sim.cluster import Cluster
from rolloutsim.sim.loop import Loop

OUTCOMES: dict[str, Outcome] = {
    "S": MeasurementPhase.SUCCESSFUL,
    "F": MeasurementPhase.FAILED,
    "I": MeasurementPhase.INCONCLUSIVE,
    "E": MeasureError("boom"),
}
LETTERS = {phase: str(phase)[0] for phase in MeasurementPhase}
SERVICES = {
    Role.STABLE: "stableService",
    Role.CANARY: "canaryService",
    Role.ACTIVE: "activeService",
    Role.PREVIEW: "previewService",
}
LABELS = {"app": "demo"}
POD = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "demo", "image": "demo"}]}}


class Player:
    """Plays one trace. A revision is named as the trace names its ReplicaSet: ``RS(image)``."""

    def __init__(self, case: Mapping[str, Any]) -> None:
        self.case = case
        self.spec = case["spec"]
        self.heard: list[dict[str, Any]] = []
        self.sizes: dict[str, int] = {}
        self.weight: int | None = None
        self.switches: dict[tuple[int, Role], str] = {}
        env = simpy.Environment()
        policy = self.policy()
        self.session = Session(policy, start(policy, Snapshot()), self.record)
        self.loop = Loop(env, self.session, self, self)
        self.loop.cluster = Cluster(env, self.pod_start, self.loop.pods_changed)

    def play(self) -> None:
        self.loop.hear(ReleaseAsked(0, "RS(v1)"))
        for action in self.case["actions"]:
            self.loop.after(action["at"] * 1000, self.deed(action))
        self.loop.env.run(until=self.case["untilSeconds"] * 1000)

    # --- what goes in -----------------------------------------------------------------------------

    def policy(self) -> Policy:
        """What the loader reads from the spec, its templates and its Services."""
        spec = {**self.spec, "selector": {"matchLabels": LABELS}, "template": POD}
        manifests = [manifest("argoproj.io/v1alpha1", "Rollout", "demo", spec)]
        for name, metrics in self.case["analysisTemplates"].items():
            measured = {"metrics": [{**m, "provider": self.provider(m["name"])} for m in metrics]}
            manifests.append(manifest("argoproj.io/v1alpha1", "AnalysisTemplate", name, measured))
        names = sorted(set(self.services().values()))
        manifests += [manifest("v1", "Service", name, {"selector": LABELS}) for name in names]
        return load_policy_text("\n---\n".join(map(json.dumps, manifests)))

    def services(self) -> dict[Role, str]:
        (strategy,) = self.spec["strategy"].values()
        return {role: strategy[field] for role, field in SERVICES.items() if field in (strategy or {})}

    def provider(self, metric: str) -> dict[str, Any]:
        """A query; a job where a measurement has to be able to run on."""
        if "R" in self.case["outcomes"].get(metric, ()):
            return {"job": {"spec": {"template": POD}}}
        return {"prometheus": {"address": "http://prometheus", "query": "up"}}

    def deed(self, action: Mapping[str, Any]) -> Callable[[], None]:
        def do() -> None:
            self.tell({"e": "action"})
            now = self.loop.now
            match action["do"]:
                case "image":
                    self.loop.hear(ReleaseAsked(now, f"RS({action['image']})"))
                case "status":
                    self.loop.hear(patched(now, action["status"]))
                case "patchSpec":
                    self.spec = merged(self.spec, action["patch"]["spec"])
                    self.loop.hear(PolicyChanged(now, self.policy()))
                case "unready":
                    self.loop.cluster.fail(f"RS({action['image']})", action.get("count", 0))
                case other:
                    raise NotImplementedError(other)

        return do

    def pod_start(self, revision: str, ordinal: int) -> int | None:
        given = self.case["podReadySeconds"]
        seconds: int = given.get(image(revision), given.get("*", 0))
        return None if seconds < 0 else seconds * 1000

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome] | None:
        letters = self.case["outcomes"].get(request.metric) or ["S"]
        outcome = OUTCOMES.get(letters[min(request.attempt, len(letters)) - 1])
        return None if outcome is None else (0, outcome)

    # --- what comes out ---------------------------------------------------------------------------

    def tell(self, body: Mapping[str, Any]) -> None:
        self.heard.append({"t": self.loop.now // 1000, **body})

    def record(self, entry: Entry) -> None:
        for event in entry.events:
            if not isinstance(event, ExperimentChanged):  # traces do not tell of experiments
                self.tell(body_of(event))
        for action in entry.actions:
            if isinstance(action, Scale):
                before = self.sizes.get(action.revision, 0)
                self.sizes[action.revision] = action.replicas
                if before != action.replicas:
                    rs = image(action.revision)
                    self.tell({"e": "scale", "rs": rs, "from": before, "to": action.replicas})

    def set_weight(self, weight: int) -> None:
        if weight != self.weight:
            self.weight = weight
            self.tell({"e": "set_weight", "weight": weight})

    def set_service(self, role: Role, revision: str) -> None:
        self.switches[self.loop.now, role] = revision

    def service_events(self) -> Iterator[dict[str, Any]]:
        selected: dict[Role, str] = {}
        for (at, role), revision in self.switches.items():
            if selected.get(role) != revision:
                selected[role] = revision
                name = self.services()[role]
                yield {"t": at // 1000, "e": "service", "service": name, "to": image(revision)}

    def events(self) -> list[dict[str, Any]]:
        """The events of the time that the trace tells of; those of Services come last."""
        first = self.case.get("traceFromSeconds", 0)
        return [event for event in (*self.heard, *self.service_events()) if event["t"] >= first]

    def final(self) -> dict[str, Any]:
        facts, status = self.session.state.facts, self.session.state.status
        return {
            "phase": status.phase,
            "message": re.sub(r"RS\([^)]*\)", "RS", status.message),
            "currentStepIndex": status.step_index,
            "canaryWeight": None if status.weights is None else status.weights.canary,
            "replicaSets": {image(r.id): self.replica_set(r) for r in facts.revisions},
        }

    def replica_set(self, revision: Revision) -> str:
        pool = self.loop.cluster.pools[revision.id]
        words = [f"{pool.available}/{pool.desired}"]
        if revision.scale_down_at is not None:
            words.append(f"deadline@{revision.scale_down_at // 1000}")
        if self.session.state.status.stable == revision.id:
            words.append("stable")
        if self.session.state.facts.asked == revision.id:
            words.append("current")
        selected = {role: to for (_, role), to in self.switches.items()}
        words += sorted(f"svc:{self.services()[role]}" for role, to in selected.items() if to == revision.id)
        return " ".join(words)


def manifest(version: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def image(revision: str) -> str:
    return revision[3:-1]


def patched(at: int, patch: Mapping[str, Any]) -> StatusPatched:
    return StatusPatched(
        at,
        clear_pauses="pauseConditions" in patch,
        controller_pause=patch.get("controllerPause"),
        step_index=patch.get("currentStepIndex"),
        abort=patch.get("abort"),
        promote_full=patch.get("promoteFull"),
    )


def merged(old: Any, patch: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    result = {**old, **{key: merged(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in result.items() if value is not None}


def body_of(event: Event) -> dict[str, Any]:
    """An event in the words of a trace, which has none for an experiment."""
    match event:
        case PhaseChanged(phase, message, index):
            body = {"e": "phase", "phase": phase.value, "message": message}
            return body if index is None else {**body, "currentStepIndex": index}
        case StepCompleted(index, total, step):
            return {"e": "step_completed", "detail": f"{index}/{total} completed ({step})"}
        case Paused(reason):
            return {"e": "RolloutPaused", "detail": f"Rollout is paused ({reason})"}
        case Resumed():
            return {"e": "RolloutResumed", "detail": "Rollout is resumed"}
        case StepsSkipped(reason):
            return {"e": "skip_steps", "detail": reason}
        case Aborted(_, _, message):
            return {"e": "aborted", "detail": message}
        case Promoted(_, number, reason):
            return {"e": "promoted", "detail": f"Rollout completed update to revision {number} : {reason}"}
        case RunChanged(run, phase):
            return {"e": "analysisrun", "run": run, "phase": phase.value}
        case MeasurementTaken(run, metric, _, phase):
            return {"e": "measurement", "run": run, "metric": metric, "outcome": LETTERS[phase]}
        case ExperimentChanged():
            raise NotImplementedError(event)
