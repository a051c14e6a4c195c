"""One executor of one rollout: the Lease, the state, the watches, the loop; from beginning to end.

An executor is made, takes the Lease, begins, runs and closes. To begin is to recover: a first run, a new
release, and a rollout that another machine left are one path. Commands of people come through the ConfigMap,
so that they need no connection to this process; `Executor.inbox` takes those of this process itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Any

from rolloutsim.engine import (
    PolicyChanged,
    ReleaseAsked,
    State,
    awaits_person,
    start,
)
from rolloutsim.errors import ExecutorError
from rolloutsim.live.clock import counted_s
from rolloutsim.live.cluster import ClusterTraffic, ClusterWorkload
from rolloutsim.live.complaints import DEAF_MS, Complaints
from rolloutsim.live.hands import Doings, Hands, Onlooker, Renewing
from rolloutsim.live.inbox import Inbox
from rolloutsim.live.journal import manifest_of
from rolloutsim.live.lease import Fenced, Lease, LeaseLost
from rolloutsim.live.loop import Loop, Memory
from rolloutsim.live.measure import Measurer
from rolloutsim.live.memory import ClusterMemory, NoMemory
from rolloutsim.live.observer import Observer
from rolloutsim.live.port import LEASE, ApiError, Kubernetes, Object, Ref
from rolloutsim.live.prediction import Prediction
from rolloutsim.live.recovery import snapshot, take_up
from rolloutsim.live.reflector import Reflector
from rolloutsim.live.release import Release, release_of
from rolloutsim.live.routers import router_for
from rolloutsim.live.secrets import ClusterSecrets
from rolloutsim.live.state import OWNER_LABEL, Saved, StateStore
from rolloutsim.live.surroundings import Surroundings, Turn
from rolloutsim.live.target import Target
from rolloutsim.live.traffic_probe import Prober
from rolloutsim.live.workload import SlotPair
from rolloutsim.policy import digest
from rolloutsim.policy.model import Canary, Policy

__all__ = ["Ending", "Executor", "ending"]

LOOK_AGAIN_MS = 2_000
"""Between two attempts to get a Lease that another executor holds."""
PROBLEM_MS = 10_000
"""A router that needs longer than this has a problem that people should know of."""


class Ending(StrEnum):
    """How a rollout stands when the engine has nothing more to do."""

    PROMOTED = "promoted"
    ABORTED = "aborted"
    WAITING = "waiting"
    """For a person."""
    GOING_ON = "going on"


def ending(policy: Policy, state: State, due: int | None) -> Ending:
    """How a rollout stands; ``due`` is the engine's deadline."""
    if awaits_person(policy, state):
        return Ending.WAITING
    if due is not None:
        return Ending.GOING_ON
    return Ending.ABORTED if state.status.abort else Ending.PROMOTED


class Executor:
    """Executes the rollout ``name`` in a namespace. ``writes`` False: it looks, measures and decides only."""

    def __init__(
        self, api: Kubernetes, namespace: str, name: str, around: Surroundings, *, writes: bool = True
    ) -> None:
        self.inbox = around.inbox
        self._around = around
        self._name = name
        self._namespace = namespace
        self._writes = writes
        lease = Ref(LEASE, namespace, f"rolloutsim-{name}")
        self._lease = Lease(
            api,
            lease,
            around.holder,
            now_ms=around.elapsed_ms,
            duration_s=around.lease_s,
            labels={OWNER_LABEL: name},
        )
        self._fence = 0
        self._api: Kubernetes = Fenced(api, self._lease.check)
        self._store = StateStore(self._api, namespace, name)
        self._measurer: Measurer | None = None
        self._prober: Prober | None = None
        self._reflectors: list[Reflector] = []
        self._stopping = False
        self._complaints = Complaints(around.note, around.elapsed_ms)
        self._deaf: set[Ref] = set()
        self._waits_since: int | None = None
        self.prediction: Prediction | None = None
        """Of what is asked for; known once it has begun."""
        self.loop: Loop
        self.observer: Observer

    # --- beginning --------------------------------------------------------------------------------

    def take(self, patience_ms: int = 0) -> None:
        """Get the Lease; wait for it at most that long.

        Raises
        ------
        ExecutorError : another executor holds it.
        """
        if not self._writes:
            return
        clock, began_ms = self._around.clock(0), self._around.elapsed_ms()
        while holder := self._lease.acquire():
            if self._around.elapsed_ms() - began_ms >= patience_ms:
                raise ExecutorError(
                    f"{self._name} is being executed by {holder}; see rolloutsim status, or wait for its end"
                )
            clock.wait(Inbox(), clock.now_ms() + LOOK_AGAIN_MS)
        self._fence = self._lease.token.transitions

    def begin(self, release: Release | None = None) -> None:
        """Go on from where the cluster stands; ``release`` is what is asked for now, None: what was before.

        Raises
        ------
        ExecutorError : there is nothing to resume, or the cluster is not what the policy needs.
        """
        found = self._store.read() if self._writes else None
        asked, before = self._asked(release, found)
        held = before[0] if before is not None else asked
        policy = held.policy
        slots = SlotPair(self._api, policy, self._namespace)
        router = router_for(self._api, policy, self._namespace)
        self.observer = Observer(self._api, slots, router, changed=self.inbox.ring)
        self.observer.look()
        saved = None if found is None else found.state
        clock = self._around.clock(0 if saved is None else saved.now)
        state = saved or start(
            policy, snapshot(policy, self.observer.slots(), self.observer.routed(), clock.now_ms())
        )
        templates = {**held.templates, **asked.templates}
        asked = replace(asked, templates=templates)
        self.prediction = asked.prediction
        after = None
        if found is not None and found.state is not None and before is not None:
            after = {"journal": before[1], "seq": found.sequence}
        world = "live" if self._writes else "shadow"
        manifest = manifest_of(world, policy, state, clock.now_ms(), asked.prediction, after)
        journal = self._around.journal(manifest)
        self._measurer = Measurer(
            self.inbox, clock, self._around.instruments, ClusterSecrets(self._api, self._namespace)
        )
        memory = self._memory(asked, found, journal.name)
        self.loop = Loop(
            policy,
            state,
            clock=clock,
            inbox=self.inbox,
            look=self.observer.facts,
            hands=self._hands(slots, router, templates),
            memory=memory,
            journal=journal,
            heard=self._around.heard,
            note=self._around.note,
            shared=not self._writes,
        )
        if saved is None:
            for seen in self.observer.facts():
                self.loop.know(seen)
        self._probe(asked)
        take_up(self.loop)
        self._ask(asked)
        if found is not None and isinstance(memory, ClusterMemory):
            # what people asked for while nobody executed it; the save that obeys it takes it away
            memory.notice(found)
        self._watch(memory)

    def _asked(
        self, release: Release | None, found: Saved | None
    ) -> tuple[Release, tuple[Release, str] | None]:
        """What is asked for now, and what was asked for when the state was saved, and by which journal."""
        before = release_of(found.plan) if found is not None and found.plan else None
        if release is not None and before is not None and release.policy.target != before[0].policy.target:
            raise ExecutorError(
                f"{self._name} acts on other objects than before; when nothing is under way, delete "
                f"{self._store.ref} and run it anew"
            )
        if release is not None:
            return release, before
        if before is None:
            raise ExecutorError(
                f"{self._name} was never executed in {self._namespace}; there is nothing to resume"
            )
        return before[0], before

    def _ask(self, asked: Release) -> None:
        """Tell the engine what it does not know: another policy, another revision."""
        session = self.loop.session
        at = self.loop.read_clock()
        if asked.policy != session.policy:
            self.loop.hear(PolicyChanged(at, asked.policy))
        facts = session.state.facts
        if (facts.asked, facts.fields) != (asked.revision, asked.fields):
            self.loop.hear(ReleaseAsked(at, asked.revision, asked.fields))

    def _probe(self, asked: Release) -> None:
        """Have each weight borne out by requests, if that is asked for; a rollback never waits for them."""
        strategy = asked.policy.strategy
        routing = strategy.routing if isinstance(strategy, Canary) else None
        if asked.probe is None or routing is None or not (self._writes and self._around.probes):
            return
        self._prober = Prober(
            asked.probe,
            routing.max_weight,
            changed=self.inbox.ring,
            wanted=lambda: not self.loop.session.state.status.abort,
        )
        self.observer.prove = self._prober.verify

    def _hands(self, slots: SlotPair, router: Any, templates: Mapping[str, Object]) -> Doings:
        assert self._measurer is not None
        if not self._writes:
            return Onlooker(self._measurer)
        workload = ClusterWorkload(
            slots, router, templates.get, lambda: self.loop.session.state.status.stable
        )
        target = Target(workload, ClusterTraffic(router), self.observer, slots.refs)
        return Renewing(Hands(target, target, self._measurer), self._keep_lease)

    def _memory(self, asked: Release, found: Saved | None, journal: str) -> Memory:
        if not self._writes:
            return NoMemory()
        frame = Saved(None, digest(asked.policy), plan=asked.text(journal))
        return ClusterMemory(self._store, found, frame, fence=self._token, deliver=self.inbox.put)

    def _token(self) -> int:
        """The fence of this executor's hold. Raises LeaseLost, or ExecutorError if another had it between."""
        transitions = self._lease.token.transitions
        if transitions != self._fence:
            raise ExecutorError(f"another executor had {self._name} in between; this one stops: resume it")
        return transitions

    def _watch(self, memory: Memory) -> None:
        """Follow each of the rollout's objects, and the requests in its ConfigMap."""
        reports: dict[Ref, Callable[[Ref, Object | None], object]] = dict.fromkeys(
            self.observer.refs, self.observer.take
        )
        if isinstance(memory, ClusterMemory):
            reports[self._store.ref] = lambda ref, body: self._noticed(memory, body)
        for ref, report in reports.items():
            reflector = Reflector(
                self._api,
                ref.kind,
                ref.namespace,
                report,
                now_ms=self._around.elapsed_ms,
                fields=f"metadata.name={ref.name}",
                trouble=partial(self._trouble, ref),
            )
            self._reflectors.append(reflector)
            reflector.start()

    def _trouble(self, ref: Ref, sentence: str) -> None:
        """One of the watches cannot hear the cluster, or ("") can again; all of them are one trouble."""
        if sentence:
            self._deaf.add(ref)
            self._complaints.met(
                "hearing",
                f"the cluster cannot be heard, and everything stays as it is until it can: {sentence}",
                patience_ms=DEAF_MS,
            )
            return
        self._deaf.discard(ref)
        if not self._deaf:
            self._complaints.over("hearing", "the cluster can be heard again")

    def _noticed(self, memory: ClusterMemory, body: Object | None) -> None:
        if body is None:
            return
        try:
            memory.notice(self._store.parse(body))
        except ExecutorError as error:
            self._around.note(str(error))

    # --- running ----------------------------------------------------------------------------------

    def run(self, over: Callable[[Policy, State, int | None], bool] | None = None) -> Ending:
        """Execute until the rollout is over, or `stop` is called; how it stands then.

        ``over`` is asked after each turn; by default a rollout is over when the engine has nothing more to do
        and waits for nobody.

        Raises
        ------
        ExecutorError : this executor may not go on: another one took over, or the journal cannot be written.
        """
        ended = over or _ended
        while True:
            began_s = counted_s()
            due = self.loop.turn()
            took_s = counted_s() - began_s
            self._tell_problem()
            session = self.loop.session
            stands = ending(session.policy, session.state, session.due())
            self._waits_since = self._waiting(stands)
            self._around.turned(Turn(took_s, self.loop.ticked, self._waits_since))
            if self._stopping or ended(session.policy, session.state, session.due()):
                return stands
            self.loop.wait(self._wake_at(due))
            self._keep_lease()

    def stop(self) -> None:
        """Let `run` return after its present turn; from any thread."""
        self._stopping = True
        self.inbox.ring()

    def close(self) -> None:
        """End the watches, and let the next executor in."""
        for reflector in self._reflectors:
            reflector.stop()
        if self._measurer is not None:
            self._measurer.stop()
        if self._prober is not None:
            self._prober.stop()
        if self._writes:
            try:
                self._lease.release()
            except ApiError as error:
                self._around.note(f"the Lease runs out by itself in a moment: {error}")

    def _wake_at(self, due: int | None) -> int | None:
        if not self._writes:
            return due
        renewal = self.loop.read_clock() + max(0, self._lease.renew_at_ms - self._around.elapsed_ms())
        return renewal if due is None else min(due, renewal)

    def _waiting(self, stands: Ending) -> int | None:
        """Since when a person is waited for: a pause has its time, and what a person paused has none."""
        if stands is not Ending.WAITING:
            return None
        state = self.loop.session.state
        if not state.facts.paused:
            return min(pause.since for pause in state.status.pauses)
        return self.loop.read_clock() if self._waits_since is None else self._waits_since

    def _tell_problem(self) -> None:
        """What keeps a weight from being read or verified is worth a word once it lasts."""
        problem = self.observer.routed().problem
        if problem:
            self._complaints.met("route", problem, patience_ms=PROBLEM_MS)
        else:
            self._complaints.over("route", "the weight can be read and verified again")

    def _keep_lease(self) -> None:
        """Renew the Lease if it is time; one that ran out is taken again unless another was faster."""
        if not self._writes or self._lease.renew_at_ms > self._around.elapsed_ms():
            return
        try:
            if self._lease.remaining_ms > 0:
                self._lease.renew()
            elif holder := self._lease.acquire():
                raise ExecutorError(f"{holder} executes {self._name} now; this executor stops")
            else:
                self._token()
        except LeaseLost as error:
            raise ExecutorError(str(error)) from None
        except ApiError as error:
            self._complaints.met(
                "lease",
                f"the Lease cannot be renewed: {error}; it is tried again, and once it has run out nothing "
                "is done",
            )
            return
        self._complaints.over("lease", "the Lease is renewed again")


def _ended(policy: Policy, state: State, due: int | None) -> bool:
    return ending(policy, state, due) in (Ending.PROMOTED, Ending.ABORTED)
