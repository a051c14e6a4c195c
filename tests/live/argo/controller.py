"""A stand-in for the Argo Rollouts controller: what it would have written, out of a simulated rollout.

The decisions are those of our own engine, so nothing here proves that the real controller agrees with it;
the conformance traces do that. What is tested is the reading of the controller's objects, and that a
controller which does something else is found out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rolloutsim.engine import Role, RunPhase, State, decide, start
from rolloutsim.engine.analysis import RunState
from rolloutsim.live.argo.kinds import HASH_LABEL
from rolloutsim.policy.model import BlueGreen, Canary, Policy
from rolloutsim.session import Entry
from rolloutsim.sim.beginning import beginning
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.world import World

NAME, UID = "api", "1234"
Objects = tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]


def played(policy: Policy, scenario: Scenario, seed: int = 1) -> list[tuple[int, State]]:
    """The states at rest of a simulated rollout, each with its time."""
    entries: list[Entry] = []
    World(policy, scenario, seed, 0, record=entries.append).play()
    state = start(policy, beginning(policy))
    states = [(state.now - 5000, state)]
    for entry in entries:
        state = decide(policy, state, entry.seen).state
        if states[-1][0] == entry.seen.at:
            states.pop()
        states.append((entry.seen.at, state))
    return states


@dataclass
class Controller:
    """Its objects second by second, a second late."""

    policy: Policy
    states: list[tuple[int, State]]

    def seconds(self) -> Iterator[tuple[int, Objects]]:
        """(time in ms, objects) once a second, from the beginning to a minute after the last change."""
        index, first = 0, self.states[0][0]
        for at in range(first, self.states[-1][0] + 60_000, 1000):
            while index + 1 < len(self.states) and self.states[index + 1][0] <= at - 1000:
                index += 1
            yield at, self.objects(self.states[index][1])

    def objects(self, state: State) -> Objects:
        strategy = self.policy.strategy
        assert isinstance(strategy, Canary | BlueGreen)
        names = {
            Role.STABLE: getattr(strategy, "stable_service", ""),
            Role.CANARY: getattr(strategy, "canary_service", ""),
            Role.ACTIVE: getattr(strategy, "active_service", ""),
            Role.PREVIEW: getattr(strategy, "preview_service", ""),
        }
        fields = {f"{role}Service": name for role, name in names.items() if name}
        services = [
            {"metadata": {"name": names[fact.role]}, "spec": {"selector": {HASH_LABEL: fact.revision}}}
            for fact in state.facts.services
        ]
        kind = "canary" if isinstance(strategy, Canary) else "blueGreen"
        rollout = {
            "metadata": {"name": NAME, "uid": UID},
            "spec": {
                "replicas": state.facts.replicas,
                "paused": state.facts.paused,
                "strategy": {kind: fields},
            },
            "status": self.status(state),
        }
        sets = [self.replica_set(revision) for revision in state.facts.revisions]
        return rollout, sets, services, [self.run(run) for run in state.runs]

    def status(self, state: State) -> dict[str, Any]:
        status = state.status
        written: dict[str, Any] = {
            "currentPodHash": state.facts.asked or status.current or status.stable,
            "stableRS": status.stable,
            "abort": status.abort,
            "promoteFull": status.promote_full,
            "phase": status.phase,
            "message": status.message,
            "pauseConditions": [{"reason": pause.reason} for pause in status.pauses],
            "canary": {},
        }
        if status.step_index is not None:
            written["currentStepIndex"] = status.step_index
        if status.weights is not None:
            written["canary"]["weights"] = {
                "canary": {"weight": state.facts.weight},
                "verified": state.facts.verified,
            }
        return written

    def replica_set(self, revision: Any) -> dict[str, Any]:
        return {
            "metadata": {
                "name": f"{NAME}-{revision.id}",
                "labels": {HASH_LABEL: revision.id},
                "annotations": {"rollout.argoproj.io/revision": str(revision.number)},
                "creationTimestamp": stamp(revision.created_at),
                "ownerReferences": [{"uid": UID}],
            },
            "spec": {"replicas": revision.desired},
            "status": {
                "replicas": revision.created,
                "readyReplicas": revision.ready,
                "availableReplicas": revision.available,
            },
        }

    def run(self, run: RunState) -> dict[str, Any]:
        results = []
        for metric in run.metrics:
            kept = [
                {
                    "phase": str(one.phase),
                    "value": one.value,
                    "message": one.message,
                    "startedAt": stamp(one.started),
                    **({} if one.finished is None else {"finishedAt": stamp(one.finished)}),
                }
                for one in metric.measurements
            ]
            finished = sum("finishedAt" in one for one in kept)
            dropped = metric.measurements[0].attempt - 1 if metric.measurements else 0
            # which counter holds the dropped ones does not matter: they are only added up
            results.append(
                {"name": metric.metric.name, "successful": dropped + finished, "measurements": kept}
            )
        return {
            "metadata": {"name": f"{NAME}-{run.name}", "ownerReferences": [{"uid": UID}]},
            "status": {"phase": str(run.phase or RunPhase.PENDING), "metricResults": results},
        }


def stamp(at: int) -> str:
    """As Kubernetes writes a time: whole seconds."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
