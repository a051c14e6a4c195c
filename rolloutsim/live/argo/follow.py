"""Follow a Rollout: watch what its controller does, and let the shadow judge it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rolloutsim.errors import ExecutorError
from rolloutsim.live.argo.commands import Write, command_writes
from rolloutsim.live.argo.kinds import ANALYSIS_RUN, KINDS, ROLLOUT
from rolloutsim.live.argo.shadow import Difference, Shadow
from rolloutsim.live.argo.view import View, view_of
from rolloutsim.live.clock import Clock, elapsed_ms
from rolloutsim.live.complaints import DEAF_MS, Complaints
from rolloutsim.live.inbox import Inbox, Verb
from rolloutsim.live.journal import Journal, manifest_of
from rolloutsim.live.port import REPLICA_SET, SERVICE, Kubernetes, NotFound, Object, Ref
from rolloutsim.live.reflector import Reflector
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry

__all__ = ["Follower", "apply_manifests"]

WATCHED = (ROLLOUT, REPLICA_SET, SERVICE, ANALYSIS_RUN)


def apply_manifests(
    api: Kubernetes, documents: Iterable[Mapping[str, Any]], namespace: str, *, dry_run: bool = False
) -> tuple[Ref, ...]:
    """Apply Rollouts and analysis templates, templates first; other kinds are not ours to apply.

    Raises
    ------
    ExecutorError : the API refuses one; what was applied before it stays.
    """
    ours = [document for document in documents if document["kind"] in KINDS]
    applied: list[Ref] = []
    for document in sorted(ours, key=lambda one: one["kind"] == ROLLOUT.name):
        kind = KINDS[document["kind"]]
        metadata = document["metadata"]
        where = metadata.get("namespace", namespace) if kind.namespaced else ""
        ref = Ref(kind, where, metadata["name"])
        api.apply(ref, dict(document), dry_run=dry_run)
        applied.append(ref)
    return tuple(applied)


class Follower:
    """One Rollout under an installed controller.

    ``told`` is called with each view that differs from the one before. The shadow begins once the Rollout
    is at rest, since our engine cannot know how an update in flight came to where it is; ``journal`` then
    opens its journal, given its manifest.
    """

    def __init__(
        self,
        api: Kubernetes,
        ref: Ref,
        policy: Policy,
        clock: Clock,
        *,
        journal: Callable[[Mapping[str, Any]], Journal],
        told: Callable[[View], object] = lambda view: None,
        note: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        self.shadow: Shadow | None = None
        self._api = api
        self._ref = ref
        self._policy = policy
        self._clock = clock
        self._journal = journal
        self._note = note
        self._complaints = Complaints(note, elapsed_ms)
        self._stopping = False
        self._told = told
        self._inbox = Inbox()
        self._objects: dict[Ref, Object] = {}
        self._lock = threading.Lock()
        self._view: View | None = None
        self._recording: Journal | None = None
        self._reflectors = [
            Reflector(api, kind, ref.namespace, self._keep, now_ms=elapsed_ms, trouble=self._trouble)
            for kind in WATCHED
        ]

    @property
    def first_difference(self) -> Difference | None:
        """Where our engine and the controller first parted."""
        return self.shadow.first if self.shadow is not None else None

    def command(self, verb: Verb) -> tuple[Write, ...]:
        """Send a command as the controller's own command line does; returns what was written.

        Raises
        ------
        ExecutorError : there is no such Rollout, the command does not apply, or the API refuses.
        """
        try:
            writes = command_writes(verb, self._api.get(self._ref))
        except NotFound as error:
            raise ExecutorError(f"there is no {self._ref} in {self._ref.namespace}; name another") from error
        for write in writes:
            self._api.merge_patch(write.ref, write.patch, subresource=write.subresource)
        return writes

    def stop(self) -> None:
        """Let `follow` return after its present look; from any thread."""
        self._stopping = True
        self._inbox.ring()

    def follow(self, done: Callable[[View], bool]) -> View | None:
        """Watch until ``done`` says so of a view, or `stop` is called; the last view, if any."""
        for reflector in self._reflectors:
            reflector.start()
        try:
            while True:
                due = self._look()
                if self._stopping or (self._view is not None and done(self._view)):
                    return self._view
                self._clock.wait(self._inbox, due)
                self._inbox.drain()
        finally:
            for reflector in self._reflectors:
                reflector.stop()

    def _keep(self, ref: Ref, body: Object | None) -> None:
        with self._lock:
            if body is None:
                self._objects.pop(ref, None)
            else:
                self._objects[ref] = body
        self._inbox.ring()

    def _record(self, entry: Entry) -> None:
        assert self._recording is not None
        self._recording.record(entry)

    def _trouble(self, sentence: str) -> None:
        if sentence:
            self._complaints.met("hearing", f"the cluster cannot be heard: {sentence}", patience_ms=DEAF_MS)
        else:
            self._complaints.over("hearing", "the cluster can be heard again")

    def _look(self) -> int | None:
        with self._lock:
            rollout = self._objects.get(self._ref)
            of_kind = [
                [body for ref, body in self._objects.items() if ref.kind is kind] for kind in WATCHED[1:]
            ]
        if rollout is None:
            return None
        view = view_of(rollout, *of_kind)
        at = self._clock.now_ms()
        if view != self._view:
            self._view = view
            self._told(view)
        if self.shadow is None:
            if not view.at_rest:
                return None
            self.shadow = Shadow(self._policy, view, at, self._record)
            beginning = self.shadow.session.state
            self._recording = self._journal(manifest_of("shadow", self._policy, beginning, at))
        seeing = not self.shadow.blind
        due = self.shadow.look(view, at)
        if seeing and self.shadow.blind:
            self._note(self.shadow.blind)
        return due
