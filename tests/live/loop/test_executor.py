"""An executor on the real clock: in good times on any API server, in bad ones on the embedded one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rolloutsim.engine import Action, Event, Observation, State, from_json
from rolloutsim.errors import ExecutorError
from rolloutsim.lab import Server
from rolloutsim.live.clock import SystemClock, elapsed_ms
from rolloutsim.live.executor import Ending, Executor
from rolloutsim.live.inbox import Command, Verb
from rolloutsim.live.journal import FileJournal, beginning_of, joined
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.memory import command_json
from rolloutsim.live.release import Release
from rolloutsim.live.state import StateStore
from rolloutsim.live.surroundings import Surroundings
from rolloutsim.policy.load import load_policy_text
from rolloutsim.policy.model import Policy
from rolloutsim.session import Entry, replay
from rolloutsim.trace import read_trace
from tests.live.ground import NEW, NEXT, Ground, available
from tests.live.kube.standing import eventually

POLICY = load_policy_text("""
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata: {name: api}
spec:
  replicas: 2
  target:
    deployments: [api-a, api-b]
    service: api-stable
    route: {kind: HTTPRoute, name: api}
    revisionLabel: slot
  strategy:
    canary:
      stableService: api-stable
      canaryService: api-canary
      scaleDownDelaySeconds: 1
      abortScaleDownDelaySeconds: 1
      steps:
        - setWeight: 20
        - pause: {duration: 1s}
        - setWeight: 50
        - pause: {}
        - setWeight: 100
""")


class Crew:
    """Executors of one test; all are ended with it."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground = ground
        self.folder = folder
        self.notes: list[str] = []
        self.entries: list[Entry] = []
        self._ends: list[Callable[[], object]] = []

    def connect(self) -> HttpKubernetes:
        api = HttpKubernetes(self.ground.api.access)
        self._ends.append(api.close)
        return api

    def executor(self, holder: str = "one", *, lease_s: int = 15, writes: bool = True) -> Executor:
        around = Surroundings(
            clock=SystemClock,
            elapsed_ms=elapsed_ms,
            journal=lambda manifest: FileJournal(self.folder / f"{holder}.jsonl", manifest),
            instruments={},
            holder=holder,
            heard=self.entries.append,
            note=self.notes.append,
            lease_s=lease_s,
        )
        executor = Executor(self.connect(), self.ground.namespace, "api", around, writes=writes)
        self._ends.insert(0, executor.close)
        return executor

    @contextmanager
    def running(self, executor: Executor, over: Any = None) -> Iterator[list[Any]]:
        """Execute in a thread; what `run` returns or raises is in the list when the block is left."""
        found: list[Any] = []

        def run() -> None:
            try:
                found.append(executor.run(over))
            except ExecutorError as error:
                found.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield found
            thread.join(15.0)
        finally:
            executor.stop()
            thread.join(5.0)

    def ask(self, verb: Verb, actor: str = "ann") -> None:
        store = StateStore(self.connect(), self.ground.namespace, "api")
        assert store.ask(command_json(Command(verb, actor, f"{verb} {time.monotonic_ns()}")))

    def close(self) -> None:
        for end in self._ends:
            end()


@pytest.fixture
def crew(ground: Ground, tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(ground, tmp_path)
    yield crew
    crew.close()


def release(revision: str = "v2", image: str = NEW) -> Release:
    containers = [{"name": "api", "image": image}]
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": containers}}
    return Release(POLICY, revision, {revision: template})


def begun(crew: Crew, holder: str = "one", **wishes: Any) -> Executor:
    executor = crew.executor(holder, **wishes)
    executor.take()
    executor.begin(release())
    return executor


def switched(policy: Policy, state: State, due: int | None) -> bool:
    """The new revision is stable, and requests reach it by the stable Service."""
    return state.status.stable == state.facts.asked and state.facts.weight == 0 and not state.unanswered


def at_pause(executor: Executor) -> Callable[[], bool]:
    return lambda: (
        executor.loop.session.state.status.step_index == 3 and bool(executor.loop.session.state.status.pauses)
    )


def entries_of(path: Path) -> list[Entry]:
    """The entries of a journal file, as they were recorded."""
    found: dict[int, list[Any]] = {}
    for record in read_trace(path).records:
        kind = {"seen": Observation, "did": Action, "event": Event}[record["kind"]]
        found.setdefault(record["seq"], []).append((record["kind"], from_json(kind, record["value"])))
    return [
        Entry(
            seq,
            next(value for kind, value in parts if kind == "seen"),
            tuple(value for kind, value in parts if kind == "did"),
            tuple(value for kind, value in parts if kind == "event"),
        )
        for seq, parts in sorted(found.items())
    ]


# --- good times -----------------------------------------------------------------------------------


@pytest.mark.cluster
def test_a_rollout_is_promoted_by_a_person(ground: Ground, crew: Crew, tmp_path: Path) -> None:
    executor = begun(crew)
    with crew.running(executor, switched) as ends:
        eventually(at_pause(executor))
        assert ground.weights() == (50, 50)
        crew.ask(Verb.PROMOTE)
        eventually(lambda: bool(ends))
    assert executor.loop.session.state.status.stable == "v2"
    assert ground.weights() == (100, 0)
    executor.close()
    trace = read_trace(tmp_path / "one.jsonl")
    policy, state = beginning_of(trace)
    last = replay(policy, state, entries_of(tmp_path / "one.jsonl"))
    assert last.status == executor.loop.session.state.status
    saved = StateStore(crew.connect(), ground.namespace, "api").read()
    assert saved is not None
    assert saved.state is not None
    assert saved.state.status == last.status
    assert saved.command == ""


@pytest.mark.cluster
def test_an_abort_in_the_configmap_is_obeyed_within_seconds(ground: Ground, crew: Crew) -> None:
    executor = begun(crew)
    with crew.running(executor) as ends:
        eventually(at_pause(executor))
        assert StateStore(crew.connect(), ground.namespace, "api").ask_abort("errors")
        eventually(lambda: ground.weights() == (100, 0), 5.0)
        eventually(lambda: bool(ends))
    assert ends == [Ending.ABORTED]
    assert ground.replicas() == {"api-a": 2, "api-b": 0}
    saved = StateStore(crew.connect(), ground.namespace, "api").read()
    assert saved is not None
    assert not saved.abort


@pytest.mark.cluster
@pytest.mark.slow
def test_the_next_release_goes_into_the_other_slot(ground: Ground, crew: Crew) -> None:
    executor = begun(crew)
    executor.run(lambda policy, state, due: state.status.step_index == 3)
    executor.inbox.put(Command(Verb.PROMOTE_FULL, "ann"))
    executor.run(switched)
    assert ground.weights() == (100, 0)
    executor.close()
    # the old pods are gone by then
    ground.patch("Deployment", "api-a", {"spec": {"replicas": 0}})
    eventually(lambda: available(ground, "api-a") == 0)
    second = crew.executor("two")
    second.take()
    second.begin(release("v3", NEXT))
    with crew.running(second, switched) as ends:
        eventually(at_pause(second))
        assert ground.weights() == (50, 50)
        crew.ask(Verb.PROMOTE_FULL)
        eventually(lambda: bool(ends))
    assert second.loop.session.state.status.stable == "v3"


def test_a_shadow_writes_nothing(server: Server, crew: Crew) -> None:
    begun_at = len(server.requests)
    executor = crew.executor(writes=False)
    executor.take()
    executor.begin(release())
    decided = lambda policy, state, due: bool(state.unanswered)  # noqa: E731
    assert executor.run(decided) is Ending.GOING_ON
    executor.close()
    assert {seen.method for seen in list(server.requests)[begun_at:]} == {"GET"}
    assert any(entry.actions for entry in crew.entries)


def test_there_may_be_nothing_to_resume(crew: Crew) -> None:
    executor = crew.executor()
    executor.take()
    with pytest.raises(ExecutorError, match="was never executed"):
        executor.begin()


# --- two of them ----------------------------------------------------------------------------------


@pytest.mark.cluster
def test_of_two_executors_one_acts(ground: Ground, crew: Crew) -> None:
    begun(crew)
    with pytest.raises(ExecutorError, match="is being executed by one; see rolloutsim status, or wait"):
        crew.executor("two").take()


@pytest.mark.cluster
def test_another_machine_resumes_where_the_first_one_stopped(
    ground: Ground, crew: Crew, tmp_path: Path
) -> None:
    first = begun(crew)
    with crew.running(first, lambda policy, state, due: state.status.step_index == 3):
        pass
    first.close()
    second = crew.executor("two")
    second.take()
    second.begin()
    assert second.loop.session.state.status.step_index == 3
    with crew.running(second, switched) as ends:
        crew.ask(Verb.PROMOTE)
        eventually(lambda: bool(ends))
    second.close()
    records = joined([tmp_path / "one.jsonl", tmp_path / "two.jsonl"])
    steps = [r["value"]["index"] for r in records if r["value"]["kind"] == "StepCompleted"]
    assert steps == [1, 2, 3, 4, 5]


@pytest.mark.cluster
@pytest.mark.slow
def test_an_executor_that_was_replaced_stops(ground: Ground, crew: Crew) -> None:
    first = begun(crew, lease_s=6)
    with crew.running(first) as ends:
        eventually(at_pause(first))
        ground.patch("Lease", "rolloutsim-api", {"spec": {"holderIdentity": "two", "leaseTransitions": 9}})
        eventually(lambda: bool(ends), 12.0)
    assert isinstance(ends[0], ExecutorError)
    assert ground.weights() == (50, 50)


# --- bad times ------------------------------------------------------------------------------------


def _some(cases: list[tuple[Any, Any]], default: set[tuple[Any, Any]]) -> list[Any]:
    """Every case; those that are no default run with the slow tests."""
    return [case if case in default else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


PATHS = ("/deployments/", "/httproutes/", "/configmaps/", "/services/")
TROUBLES = [(code, path) for code in (409, 429, 500, 503) for path in PATHS]
LOSSES = [(acted, path) for acted in (True, False) for path in PATHS]


@pytest.mark.parametrize(("code", "path"), _some(TROUBLES, {(409, PATHS[0]), (500, PATHS[2])}))
def test_answers_of_a_server_in_trouble(
    server: Server, ground: Ground, crew: Crew, code: int, path: str
) -> None:
    executor = begun(crew)
    server.faults.answer(code, 2, method="PATCH", path=path, retry_after_s=0 if code == 429 else None)
    with crew.running(executor):
        eventually(at_pause(executor))
        executor.stop()
    assert ground.weights() == (50, 50)
    assert ground.replicas() == {"api-a": 2, "api-b": 1}


@pytest.mark.parametrize(("acted", "path"), _some(LOSSES, {(True, PATHS[1])}))
def test_writes_without_an_answer(server: Server, ground: Ground, crew: Crew, path: str, acted: bool) -> None:
    executor = begun(crew)
    server.faults.lose(2, method="PATCH", path=path, acted=acted)
    with crew.running(executor):
        eventually(at_pause(executor))
        executor.stop()
    assert ground.weights() == (50, 50)
    assert not [note for note in crew.notes if "somebody" in note]


@pytest.mark.slow
def test_a_server_that_is_down_for_a_while(server: Server, ground: Ground, crew: Crew) -> None:
    executor = begun(crew)
    with crew.running(executor):
        eventually(lambda: ground.weights() == (80, 20))
        server.stop()
        time.sleep(1.5)
        server.start()
        eventually(at_pause(executor))
        executor.stop()
    assert ground.weights() == (50, 50)
    assert crew.notes


@pytest.mark.parametrize("trouble", [pytest.param("cut", marks=pytest.mark.slow), "expired"])
def test_watches_that_end(server: Server, ground: Ground, crew: Crew, trouble: str) -> None:
    executor = begun(crew)
    with crew.running(executor, switched) as ends:
        eventually(at_pause(executor))
        server.cut_watches()
        if trouble == "expired":
            server.expire_history()
        crew.ask(Verb.PROMOTE)
        eventually(lambda: bool(ends))
    assert executor.loop.session.state.status.stable == "v2"


@pytest.mark.cluster
def test_a_foreign_weight_is_set_back(ground: Ground, crew: Crew) -> None:
    executor = begun(crew)
    with crew.running(executor):
        eventually(at_pause(executor))
        rules = ground.get("HTTPRoute", "api")["spec"]["rules"]
        rules[0]["backendRefs"][0]["weight"], rules[0]["backendRefs"][1]["weight"] = 10, 90
        ground.patch("HTTPRoute", "api", {"spec": {"rules": rules}})
        eventually(lambda: ground.weights() == (50, 50))
        executor.stop()


@pytest.mark.cluster
def test_a_journal_that_cannot_be_written_stops_everything(
    ground: Ground, crew: Crew, tmp_path: Path
) -> None:
    (tmp_path / "one.jsonl").write_text("")
    executor = crew.executor()
    executor.take()
    with pytest.raises(ExecutorError, match=r"journal .* cannot be written"):
        executor.begin(release())
    assert ground.weights() == (100, 0)
    assert ground.replicas() == {"api-a": 2, "api-b": 0}
