"""One reconcile pass in progress: a mutable working copy of a `State`, frozen again at its end.

The facts do not move while a pass acts (``rollout/context.go`` of Argo Rollouts builds its context in the
same way); what the pass decides about revisions, pauses and runs is collected here. Nothing of this
module outlives a decision.
"""

from __future__ import annotations

import json
from dataclasses import replace

from rolloutsim.engine.analysis import RunState
from rolloutsim.engine.codec import to_json
from rolloutsim.engine.events import (
    Action,
    CreateRevision,
    CreateTemplate,
    Event,
    RemoveRevision,
    RemoveRoutes,
    Role,
    Scale,
    SetRoute,
    SetService,
    SetWeight,
)
from rolloutsim.engine.experiment import TemplateState
from rolloutsim.engine.replicas import Pair, Picture
from rolloutsim.engine.state import (
    INCONCLUSIVE_PAUSE,
    Decision,
    Facts,
    Note,
    PauseChanges,
    PauseCondition,
    Recorded,
    Revision,
    RunSeen,
    ServiceFact,
    State,
    Status,
    Waiting,
    with_revisions,
)
from rolloutsim.policy.model import BlueGreen, Canary, Policy, SetHeaderRoute, SetMirrorRoute

__all__ = ["FIRST_BACKOFF_MS", "LAST_BACKOFF_MS", "LOST_ANSWER_MS", "RESYNC_MS", "Work"]

LOST_ANSWER_MS = 30_000
"""A write whose answer does not come is tried again after this time."""
RESYNC_MS = 15 * 60_000
"""Argo Rollouts looks at everything again after this time, whatever happens."""
FIRST_BACKOFF_MS = 1
LAST_BACKOFF_MS = 10_000
"""Rate limiter of the controller's work queue: 1 ms doubling to 10 s."""
NO_CHANGES = PauseChanges()


class Work:
    """The working copy. ``new`` is the revision that is asked for, ``stable`` the one that serves."""

    __slots__ = (
        "abort_message",
        "actions",
        "add_pauses",
        "backoff_ms",
        "blue_green",
        "canary",
        "changed",
        "clear_pauses",
        "counts",
        "current_experiment",
        "current_runs",
        "dirty",
        "events",
        "experiments",
        "exposed",
        "facts",
        "looked_at",
        "new",
        "notes",
        "now",
        "others",
        "picture",
        "picture_weights",
        "policy",
        "remove_abort",
        "remove_pauses",
        "retry_at",
        "revisions",
        "run_names",
        "runs",
        "services",
        "stable",
        "status",
        "unanswered",
        "waiting",
        "weights",
        "writes",
    )

    def __init__(self, policy: Policy, state: State, now: int) -> None:
        self.policy = policy
        self.now = now
        self.facts: Facts = state.facts
        self.status: Status = state.status
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.writes = state.writes
        self.runs: dict[str, RunState] = {run.name: run for run in state.runs}
        self.run_names = state.run_names
        self.waiting = state.waiting
        self.unanswered: tuple[Action, ...] = state.unanswered
        self.retry_at = state.retry_at
        self.backoff_ms = state.backoff_ms
        self.looked_at = state.looked_at
        self.exposed = state.exposed
        self.experiments = state.experiments
        self.changed = False
        self.dirty = state.dirty

    def open(self, revisions: tuple[Revision, ...]) -> None:
        """Start a pass, or its status half, over the ``revisions`` as the pass found them."""
        facts, status = self.facts, self.status
        # Each is read by the code of its own strategy only.
        self.canary: Canary = self.policy.strategy  # type: ignore[assignment]
        self.blue_green: BlueGreen = self.policy.strategy  # type: ignore[assignment]
        self.revisions = revisions
        # The last picture for replica arithmetic, and what it comes to: a pass asks for them several times.
        self.picture: Picture | None = None
        self.picture_weights: Recorded | None = None
        self.counts: Pair | None = None
        self.new: Revision | None = None
        self.stable: Revision | None = None
        self.others: list[Revision] = []
        for revision in revisions:
            other = True
            if revision.id == facts.asked:
                self.new = revision
                other = False
            if revision.id == status.stable:
                self.stable = revision
                other = False
            if other:
                self.others.append(revision)
        self.services: dict[Role, ServiceFact] = {}
        for service in facts.services:
            self.services[service.role] = service
        self.add_pauses: list[str] = []
        self.remove_pauses: list[str] = []
        self.clear_pauses = False
        self.abort_message: str | None = None
        self.remove_abort = status.abort and self.fully_promoted
        self.weights: Recorded | None = status.weights
        self.current_runs: list[RunSeen | None] = [None, None, None, None]
        self.current_experiment: RunSeen | None = None
        self.notes: list[Note] = []

    # --- questions --------------------------------------------------------------------------------

    @property
    def fully_promoted(self) -> bool:
        return self.status.stable == self.status.current

    @property
    def aborted(self) -> bool:
        return not self.remove_abort and (self.abort_message is not None or self.status.abort)

    @property
    def halted(self) -> bool:
        return self.facts.paused or self.pause(INCONCLUSIVE_PAUSE) is not None

    @property
    def template_changed(self) -> bool:
        return self.status.current != "" and self.status.current != self.facts.asked

    @property
    def number(self) -> int:
        """Number of the update in flight; 0 before its revision exists."""
        return 0 if self.new is None else self.new.number

    def pause(self, reason: str) -> PauseCondition | None:
        for condition in self.status.pauses:
            if condition.reason == reason:
                return condition
        return None

    def revision(self, name: str) -> Revision | None:
        for revision in self.revisions:
            if revision.id == name:
                return revision
        return None

    def selects(self, role: Role) -> str:
        service = self.services.get(role)
        return "" if service is None else service.revision

    def rollback_in_window(self) -> bool:
        """Whether this is a rollback within ``rollbackWindow.revisions``.

        The window counts the revisions that were created strictly between target and stable.
        """
        window = self.policy.rollback_window_revisions
        new, stable = self.new, self.stable
        if not window or window < 0 or new is None or stable is None or new.created_at >= stable.created_at:
            return False
        between = sum(new.created_at < r.created_at < stable.created_at for r in self.revisions)
        return between < window

    # --- writes -----------------------------------------------------------------------------------

    def next_id(self, kind: str) -> str:
        """A fresh action id: the number of the write, and what it is."""
        self.writes += 1
        return f"{self.writes}-{kind}"

    def measure_id(self) -> str:
        return self.next_id("measure")

    def _write(self, action: Action) -> None:
        self.actions.append(action)
        self.unanswered = (*self.unanswered, action)

    def create_revision(self, revision: str) -> None:
        number = 1 + max((r.number for r in self.facts.revisions if r.id != revision), default=0)
        self._write(CreateRevision(self.next_id("create"), revision, number))

    def remove_revision(self, revision: Revision) -> None:
        self._write(RemoveRevision(self.next_id("remove"), revision.id))

    def scale(self, revision: Revision, replicas: int, *, forget_deadline: bool) -> bool:
        """Ask for ``replicas`` pods; True if that is a change of size.

        The revision also remembers the rollout's replicas; scaled to 0 it forgets its scale-down
        deadline if ``forget_deadline``. If no size changes that is remembered at once, else with the answer.
        """
        wanted = self.facts.replicas
        if revision.desired == replicas:
            if revision.wanted != wanted:
                forget = replicas == 0 and forget_deadline
                self.remember(Note(revision.id, wanted, forget))
            return False
        self._scale(revision.id, replicas)
        self.notes.append(Note(revision.id, wanted, replicas == 0 and forget_deadline))
        return True

    def _scale(self, revision: str, replicas: int) -> None:
        self.unanswered = tuple(
            a for a in self.unanswered if not (isinstance(a, Scale) and a.revision == revision)
        )
        self._write(Scale(self.next_id("scale"), revision, replicas))

    def create_template(self, template: TemplateState) -> None:
        """Make the pods of an experiment's template exist."""
        name, like, apart = template.revision, template.like, template.spec.apart
        self._write(CreateTemplate(self.next_id("template"), name, like, template.pod_hash, apart))

    def scale_template(self, template: TemplateState, replicas: int) -> None:
        """Ask for so many pods of an experiment's template."""
        self._scale(template.revision, replicas)

    def set_service(self, role: Role, revision: str) -> None:
        """Point a Service at a revision; the rest of the pass sees it there."""
        self._write(SetService(self.next_id("service"), role, revision))
        self.services[role] = ServiceFact(role, revision, managed=True)

    def set_weight(self, weight: int, additional: tuple[tuple[str, int], ...]) -> None:
        self._write(SetWeight(self.next_id("weight"), weight, additional))

    def set_route(self, step: SetHeaderRoute | SetMirrorRoute) -> None:
        """Send the route of a step, as it stands, to the router."""
        route_json = json.dumps(to_json(step), sort_keys=True)
        self.actions.append(SetRoute(self.next_id("route"), step.name, route_json))
        self.set_facts(replace(self.facts, routes=True))

    def remove_routes(self) -> None:
        if self.facts.routes:
            self.actions.append(RemoveRoutes(self.next_id("routes")))
            self.set_facts(replace(self.facts, routes=False))

    # --- what the engine itself remembers ---------------------------------------------------------

    def free_name(self, base: str, *, experiment: bool = False) -> str:
        """The name of a new analysis run or experiment: ``base``, or with ``.1`` (``-1``) and so on."""
        kind, joint = ("experiment/", "-") if experiment else ("", ".")
        name, collisions = base, 0
        while kind + name in self.run_names:
            collisions += 1
            name = f"{base}{joint}{collisions}"
        self.run_names = (*self.run_names, kind + name)
        return name

    def set_facts(self, facts: Facts) -> None:
        if facts != self.facts:
            self.facts = facts
            self.changed = True

    def amend(self, revision: Revision) -> None:
        """Put an amended revision in the place of the one with its id."""
        revisions = tuple([revision if r.id == revision.id else r for r in self.facts.revisions])
        if revisions != self.facts.revisions:
            self.facts = with_revisions(self.facts, revisions)
            self.changed = True

    def remember(self, note: Note) -> None:
        """Write a note into its revision."""
        for known in self.facts.revisions:
            if known.id == note.revision:
                deadline = None if note.forget_deadline else known.scale_down_at
                self.amend(replace(known, wanted=note.wanted, scale_down_at=deadline))

    def set_deadline(self, revision: Revision, at: int | None) -> None:
        """Write or remove the scale-down deadline of a revision; the running pass does not see it yet."""
        for known in self.facts.revisions:
            if known.id == revision.id and known.scale_down_at != at:
                self.amend(replace(known, scale_down_at=at))

    def bump_number(self) -> None:
        """A revision that is asked for again gets the highest number (``syncReplicaSetRevision``)."""
        new = self.new
        if new is None:
            return
        highest = max([r.number for r in self.facts.revisions if r.id != new.id], default=0)
        if new.number > highest:
            return
        self.new = replace(new, number=highest + 1)
        if self.stable is not None and self.stable.id == new.id:
            self.stable = self.new
        self.revisions = tuple(self.new if r.id == new.id else r for r in self.revisions)
        self.amend(self.new)

    # --- the end ----------------------------------------------------------------------------------

    def wait(
        self,
        *,
        scaling_only: bool = False,
        created: bool = False,
        fast_rollback: bool = False,
        applied: str = "",
    ) -> Waiting:
        """What the status half of this pass will need."""
        changes = NO_CHANGES
        if self.add_pauses or self.remove_pauses or self.abort_message is not None or self.remove_abort:
            changes = PauseChanges(
                tuple(self.add_pauses), tuple(self.remove_pauses), self.abort_message, self.remove_abort
            )
        step, background, pre, post = self.current_runs
        runs = (step, background, pre, post)
        notes = tuple(self.notes)
        return Waiting(
            self.revisions,
            changes,
            self.weights,
            runs,
            notes,
            scaling_only,
            created,
            fast_rollback,
            applied,
            self.current_experiment,
        )

    def resume(self, waiting: Waiting) -> None:
        """Open the status half of a pass over the pods as the pass found them.

        The controller counts them in its cache, which the answers of its own writes do not reach.
        """
        for note in waiting.notes:
            self.remember(note)
        self.open(waiting.revisions)
        changes = waiting.changes
        self.add_pauses.extend(changes.add)
        self.remove_pauses.extend(changes.remove)
        self.abort_message = changes.abort
        self.remove_abort = self.remove_abort or changes.remove_abort

    def back_off(self) -> None:
        """Drop the pass: something refused it."""
        self.waiting = None
        self.unanswered = ()
        self.backoff_ms = min(max(FIRST_BACKOFF_MS, 2 * self.backoff_ms), LAST_BACKOFF_MS)
        self.retry_at = self.now + self.backoff_ms

    def freeze(self) -> Decision:
        state = State(
            self.now,
            self.facts,
            self.status,
            tuple(self.runs.values()),
            self.run_names,
            self.waiting,
            self.unanswered,
            self.retry_at,
            self.backoff_ms,
            self.writes,
            self.dirty,
            self.looked_at,
            self.exposed,
            self.experiments,
        )
        return Decision(state, tuple(self.actions), tuple(self.events))
