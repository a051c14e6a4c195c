"""Where gates hold a rollout, and who may let it go on.

A background gate has to have passed before everybody gets the new version: at the end of the last step whose
weight leaves some traffic to stable (before a ``setWeight`` to all, or before the steps end). If it has not,
the rollout does not complete that step. It is paused (``GateUndecided``) at the weight that it has, the gate
goes on looking, and what comes first decides: a pass resumes the rollout, a failure aborts it, a person
promotes or aborts it. A gate that expires there leaves the choice to the person. A full promotion and a
rollback skip gates as they skip analyses.

An inline analysis needs no such rule: its step completes only when its run is successful.

``approvers`` of a gate that has not passed are the only people who may promote past it: end its pause, skip
the step that it holds, promote in full. An abort is always anybody's.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolloutsim.engine.analysis import RunState
from rolloutsim.engine.events import StatusPatched
from rolloutsim.engine.measurements import MetricState
from rolloutsim.engine.state import GATE_PAUSE, INCONCLUSIVE_PAUSE, State, Status
from rolloutsim.policy.gate_steps import evidence_step
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import Canary, Policy

__all__ = ["approvers_needed", "background_undecided"]


def background_undecided(run: RunState | None) -> bool:
    """Whether a background gate has not passed; also while its run has not begun."""
    return run is None or any(state.lacks_evidence for state in run.metrics)


def approvers_needed(policy: Policy, state: State, seen: StatusPatched) -> frozenset[str]:
    """Who may make this patch; empty: anybody. A patch by anybody else changes nothing."""
    if state.exposed is None or not _goes_past(policy, state, seen):
        return frozenset()
    needed: set[str] = set()
    for metric in _undecided(policy, state):
        provider = metric.metric.provider
        if isinstance(provider, GatedCounts):
            needed.update(provider.approvers)
    return frozenset(needed)


def _goes_past(policy: Policy, state: State, seen: StatusPatched) -> bool:
    """Whether the patch takes the rollout past a gate."""
    status = state.status
    if status.current == status.stable or status.abort:
        return False
    if seen.promote_full:
        return True
    held = any(pause.reason in (GATE_PAUSE, INCONCLUSIVE_PAUSE) for pause in status.pauses)
    last = evidence_step(policy.strategy)
    index = status.step_index or 0
    if seen.step_index is not None and (held or (last is not None and index <= last < seen.step_index)):
        return True
    return seen.clear_pauses and bool(status.pauses) and (held or index == last)


def _undecided(policy: Policy, state: State) -> Iterator[MetricState]:
    """The gates of the current runs that have not passed; before any background run, all of its gates."""
    runs = {run.name: run for run in state.runs}
    for seen in (state.status.step_run, state.status.pre_run, state.status.post_run):
        run = None if seen is None else runs.get(seen.name)
        yield from () if run is None else (metric for metric in run.metrics if metric.lacks_evidence)
    run = _background(state.status, runs)
    strategy = policy.strategy
    if run is not None:
        yield from (metric for metric in run.metrics if metric.lacks_evidence)
    elif isinstance(strategy, Canary) and strategy.background is not None:
        yield from (MetricState(metric) for metric in strategy.background.metrics)


def _background(status: Status, runs: dict[str, RunState]) -> RunState | None:
    return None if status.background_run is None else runs.get(status.background_run.name)
