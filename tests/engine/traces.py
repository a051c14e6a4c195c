"""Playing the controller traces of Argo Rollouts through the engine (tests/conformance/vectors/argo.json)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import (
    Aborted,
    MeasurementTaken,
    Paused,
    PhaseChanged,
    PolicyChanged,
    Promoted,
    ReleaseAsked,
    Resumed,
    Role,
    RunChanged,
    Scale,
    SetWeight,
    StatusPatched,
    StepCompleted,
    StepsSkipped,
)
from rolloutsim.policy.model import (
    Analysis,
    AnalysisStep,
    BlueGreen,
    Canary,
    IntOrPercent,
    JobProvider,
    Metric,
    Pause,
    Policy,
    ProgressThreshold,
    PrometheusProvider,
    SetCanaryScale,
    Step,
    TrafficRouting,
)
from rolloutsim.policy.model import (
    SetWeight as SetWeightStep,
)
from tests.engine.fake_world import FakeWorld, Happened

UNITS = {"h": 3_600_000, "m": 60_000, "s": 1_000}
LETTERS = {
    MeasurementPhase.SUCCESSFUL: "S",
    MeasurementPhase.FAILED: "F",
    MeasurementPhase.INCONCLUSIVE: "I",
    MeasurementPhase.ERROR: "E",
}
ROLES = {
    Role.STABLE: "stableService",
    Role.CANARY: "canaryService",
    Role.ACTIVE: "activeService",
    Role.PREVIEW: "previewService",
}


# --- a trace's spec as a policy -------------------------------------------------------------------


def duration_ms(value: int | str | None) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) or value.isdigit():
        return int(value) * 1000
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", value))


def seconds(value: int | None) -> int | None:
    return None if value is None else value * 1000


class Reader:
    """Reads the spec of one trace."""

    def __init__(self, trace: Mapping[str, Any]) -> None:
        self.templates = trace["analysisTemplates"]
        self.outcomes = trace["outcomes"]

    def policy(self, spec: Mapping[str, Any]) -> Policy:
        strategy = spec["strategy"]
        if "canary" in strategy:
            chosen: Canary | BlueGreen = self.canary(strategy["canary"] or {})
        else:
            chosen = self.blue_green(strategy["blueGreen"])
        return Policy(
            "demo",
            chosen,
            replicas=spec.get("replicas", 1),
            progress_deadline_ms=spec.get("progressDeadlineSeconds", 600) * 1000,
            progress_deadline_abort=spec.get("progressDeadlineAbort", False),
            rollback_window_revisions=spec.get("rollbackWindow", {}).get("revisions"),
            revision_history_limit=spec.get("revisionHistoryLimit", 10),
            paused=spec.get("paused", False),
        )

    def canary(self, spec: Mapping[str, Any]) -> Canary:
        routing = spec.get("trafficRouting")
        threshold = spec.get("replicaProgressThreshold")
        background = spec.get("analysis")
        given = {"max_surge": spec.get("maxSurge"), "max_unavailable": spec.get("maxUnavailable")}
        return Canary(
            steps=tuple(self.step(step) for step in spec.get("steps", [])),
            **{name: int_or_percent(value) for name, value in given.items() if value is not None},
            stable_service=spec.get("stableService", ""),
            canary_service=spec.get("canaryService", ""),
            routing=None
            if routing is None
            else TrafficRouting(tuple(routing), max_weight=routing.get("maxTrafficWeight", 100)),
            background=None if background is None else self.analysis(background),
            starting_step=None if background is None else background.get("startingStep"),
            scale_down_delay_ms=seconds(spec.get("scaleDownDelaySeconds")),
            scale_down_delay_revision_limit=spec.get("scaleDownDelayRevisionLimit"),
            abort_scale_down_delay_ms=seconds(spec.get("abortScaleDownDelaySeconds")),
            dynamic_stable_scale=spec.get("dynamicStableScale", False),
            min_pods_per_replica_set=spec.get("minPodsPerReplicaSet"),
            progress_threshold=None
            if threshold is None
            else ProgressThreshold(threshold["value"], threshold["type"] == "Percent"),
        )

    def step(self, step: Mapping[str, Any]) -> Step:
        ((kind, body),) = step.items()
        if kind == "setWeight":
            return SetWeightStep(body)
        if kind == "pause":
            return Pause(duration_ms(body.get("duration")))
        if kind == "setCanaryScale":
            match_weight = body.get("matchTrafficWeight", False)
            return SetCanaryScale(body.get("replicas"), body.get("weight"), match_weight)
        if kind == "analysis":
            return AnalysisStep(self.analysis(body))
        raise NotImplementedError(kind)

    def analysis(self, body: Mapping[str, Any]) -> Analysis:
        names = [template["templateName"] for template in body["templates"]]
        metrics = tuple(self.metric(m) for name in names for m in self.templates[name])
        dry_run = tuple(rule["metricName"] for rule in body.get("dryRun", []))
        return Analysis(metrics, dry_run=dry_run, templates=tuple(names))

    def metric(self, body: Mapping[str, Any]) -> Metric:
        limits = {
            "failure_limit": body.get("failureLimit"),
            "inconclusive_limit": body.get("inconclusiveLimit"),
            "consecutive_error_limit": body.get("consecutiveErrorLimit"),
            "consecutive_success_limit": body.get("consecutiveSuccessLimit"),
        }
        endless = "R" in self.outcomes.get(body["name"], ())
        return Metric(
            body["name"],
            JobProvider() if endless else PrometheusProvider("up"),
            interval_ms=duration_ms(body.get("interval")),
            initial_delay_ms=duration_ms(body.get("initialDelay")) or 0,
            count=None if body.get("count") is None else int(body["count"]),
            **{name: int(value) for name, value in limits.items() if value is not None},
        )

    def blue_green(self, spec: Mapping[str, Any]) -> BlueGreen:
        pre, post = spec.get("prePromotionAnalysis"), spec.get("postPromotionAnalysis")
        return BlueGreen(
            spec["activeService"],
            spec.get("previewService", ""),
            preview_replica_count=spec.get("previewReplicaCount"),
            auto_promotion_enabled=spec.get("autoPromotionEnabled", True),
            auto_promotion_ms=spec.get("autoPromotionSeconds", 0) * 1000,
            scale_down_delay_ms=seconds(spec.get("scaleDownDelaySeconds")),
            scale_down_delay_revision_limit=spec.get("scaleDownDelayRevisionLimit"),
            abort_scale_down_delay_ms=seconds(spec.get("abortScaleDownDelaySeconds")),
            pre_promotion=None if pre is None else self.analysis(pre),
            post_promotion=None if post is None else self.analysis(post),
        )


def int_or_percent(value: int | str) -> IntOrPercent:
    if isinstance(value, int):
        return IntOrPercent(value)
    return IntOrPercent(int(value.removesuffix("%")), percent=True)


# --- playing --------------------------------------------------------------------------------------


class Player:
    """One trace on a fake world. Revisions are named as the trace names ReplicaSets."""

    def __init__(self, trace: Mapping[str, Any]) -> None:
        self.trace = trace
        self.reader = Reader(trace)
        self.spec = trace["spec"]
        policy = self.reader.policy(self.spec)
        self.world = FakeWorld(policy, self.ready_ms, trace["outcomes"])
        self.switches: list[tuple[int, Role, str]] = []

    def ready_ms(self, revision: str) -> int:
        given = self.trace["podReadySeconds"]
        value = given.get(image(revision), given.get("*", 0))
        return value if value < 0 else value * 1000

    def play(self) -> None:
        script: list[tuple[int, Callable[[], object]]] = [(0, lambda: self.release("v1"))]
        script += [(action["at"] * 1000, self.deed(action)) for action in self.trace["actions"]]
        until = self.trace["untilSeconds"] * 1000
        self.world.run(until, script)

    def deed(self, action: Mapping[str, Any]) -> Callable[[], object]:
        match action["do"]:
            case "image":
                return lambda: self.release(action["image"])
            case "status":
                return lambda: self.patch_status(action["status"])
            case "patchSpec":
                return lambda: self.patch_spec(action["patch"]["spec"])
            case "unready":
                return lambda: self.world.break_pods(f"RS({action['image']})", action.get("count", 0))
        raise NotImplementedError(action)

    def release(self, name: str) -> None:
        self.world.hear(ReleaseAsked(self.world.now, f"RS({name})"))

    def patch_status(self, patch: Mapping[str, Any]) -> None:
        self.world.hear(
            StatusPatched(
                self.world.now,
                clear_pauses="pauseConditions" in patch,
                controller_pause=patch.get("controllerPause"),
                step_index=patch.get("currentStepIndex"),
                abort=patch.get("abort"),
                promote_full=patch.get("promoteFull"),
            )
        )

    def patch_spec(self, patch: Mapping[str, Any]) -> None:
        self.spec = merged(self.spec, patch)
        self.world.hear(PolicyChanged(self.world.now, self.reader.policy(self.spec)))

    # --- what came of it --------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        """The events of the trace, in the trace's own words."""
        first = self.trace.get("traceFromSeconds", 0)
        events = [event for item in self.world.happened if (event := told(item)) is not None]
        events += [{"t": action["at"], "e": "action"} for action in self.trace["actions"]]
        events += self.service_events()
        last = self.trace["untilSeconds"]
        return [event for event in events if first <= event["t"] < last]

    def service_events(self) -> list[dict[str, Any]]:
        selected: dict[Role, str] = {}
        settled: dict[tuple[int, Role], str] = {}
        for item in self.world.happened:
            if type(item.what).__name__ == "SetService":
                settled[item.at, item.what.role] = item.what.revision  # type: ignore[union-attr]
        events = []
        for (at, role), revision in sorted(settled.items(), key=lambda entry: entry[0][0]):
            if selected.get(role) != revision:
                selected[role] = revision
                events.append(
                    {"t": at // 1000, "e": "service", "service": self.name(role), "to": image(revision)}
                )
        return events

    def name(self, role: Role) -> str:
        (strategy,) = self.spec["strategy"].values()
        return str(strategy[ROLES[role]])

    def final(self) -> dict[str, Any]:
        state = self.world.session.state
        status, facts = state.status, state.facts
        return {
            "phase": status.phase,
            "message": re.sub(r"RS\([^)]*\)", "RS", status.message),
            "currentStepIndex": status.step_index,
            "canaryWeight": None if status.weights is None else status.weights.canary,
            "replicaSets": {image(r.id): self.replica_set(r.id) for r in facts.revisions},
        }

    def replica_set(self, revision: str) -> str:
        state = self.world.session.state
        known = next(r for r in state.facts.revisions if r.id == revision)
        words = [f"{known.available}/{known.desired}"]
        if known.scale_down_at is not None:
            words.append(f"deadline@{known.scale_down_at // 1000}")
        if state.status.stable == revision:
            words.append("stable")
        if state.facts.asked == revision:
            words.append("current")
        words += sorted(f"svc:{self.name(r)}" for r, s in self.world.services.items() if s == revision)
        return " ".join(words)


def image(revision: str) -> str:
    return revision[3:-1]


def merged(old: Any, patch: Any) -> Any:
    """JSON merge patch."""
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    result = {**old, **{key: merged(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in result.items() if value is not None}


def told(item: Happened) -> dict[str, Any] | None:
    """One happening as an event of a trace; None if traces do not tell it."""
    body: dict[str, Any]
    match item.what:
        case Scale(_, revision, replicas) if item.before != replicas:
            body = {"e": "scale", "rs": image(revision), "from": item.before, "to": replicas}
        case SetWeight(_, weight) if item.before != weight:
            body = {"e": "set_weight", "weight": weight}
        case PhaseChanged(phase, message, index):
            body = {"e": "phase", "phase": phase.value, "message": message}
            if index is not None:
                body["currentStepIndex"] = index
        case StepCompleted(index, total, step):
            body = {"e": "step_completed", "detail": f"{index}/{total} completed ({step})"}
        case Paused(reason):
            body = {"e": "RolloutPaused", "detail": f"Rollout is paused ({reason})"}
        case Resumed():
            body = {"e": "RolloutResumed", "detail": "Rollout is resumed"}
        case StepsSkipped(reason):
            body = {"e": "skip_steps", "detail": reason}
        case Aborted(_, _, message):
            body = {"e": "aborted", "detail": message}
        case Promoted(_, number, reason):
            detail = f"Rollout completed update to revision {number} : {reason}"
            body = {"e": "promoted", "detail": detail}
        case RunChanged(run, phase):
            body = {"e": "analysisrun", "run": run, "phase": str(phase)}
        case MeasurementTaken(run, metric, _, phase):
            body = {"e": "measurement", "run": run, "metric": metric, "outcome": LETTERS[phase]}
        case _:
            return None
    return {"t": item.at // 1000, **body}


def normalised(event: Mapping[str, Any]) -> dict[str, Any]:
    """A policy knows the duration of a pause, not its spelling: ``pause: 30`` is ``pause: 30s``."""
    event = dict(event)
    if event["e"] == "step_completed":
        event["detail"] = re.sub(r"\(pause: (\d+)\)", r"(pause: \1s)", event["detail"])
    return event
