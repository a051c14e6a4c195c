"""The state in the cluster: requests of others, writes without an answer, another executor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from rolloutsim.engine import Revision, Snapshot, State, start
from rolloutsim.errors import ExecutorError
from rolloutsim.lab import Server
from rolloutsim.live.inbox import Command, Fact, Verb
from rolloutsim.live.lease import LeaseLost
from rolloutsim.live.loop import NotSaved
from rolloutsim.live.memory import ClusterMemory, command_json, command_of
from rolloutsim.live.state import Saved, StateStore
from rolloutsim.policy.model import Canary, Policy
from tests.live.kube.standing import Site

POLICY = Policy("api", Canary(), replicas=2)
STATE = start(POLICY, Snapshot(5, (Revision("v1", 1, 5, 2, 2, 2, 2, wanted=2),), "v1"))
FRAME = Saved(None, "sha256:0", plan="{}")
NOBODY = frozenset[str]()


@dataclass
class Kept:
    store: StateStore
    memory: ClusterMemory
    delivered: list[Fact] = field(default_factory=list)
    fence: int = 1

    def saved(self) -> Saved:
        found = self.store.read()
        assert found is not None
        return found


def kept(site: Site, found: Saved | None = None) -> Kept:
    delivered: list[Fact] = []
    store = StateStore(site.api, site.namespace, "api")
    fence = [1]
    memory = ClusterMemory(store, found, FRAME, fence=lambda: fence[0], deliver=delivered.append)
    return Kept(store, memory, delivered)


@pytest.fixture
def one(cluster: Site) -> Kept:
    return kept(cluster)


def later(at: int) -> State:
    return replace(STATE, now=at, dirty=not STATE.dirty)


@pytest.mark.cluster
def test_a_state_comes_back_as_it_was(one: Kept) -> None:
    one.memory.save(STATE, 3, NOBODY)
    one.memory.save(later(9), 8, NOBODY)
    saved = one.saved()
    assert (saved.state, saved.sequence, saved.plan) == (later(9), 8, "{}")


@pytest.mark.cluster
def test_a_command_is_delivered_once_and_taken_away_once_it_is_obeyed(one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    command = Command(Verb.PROMOTE, "ann", "c1")
    assert one.store.ask(command_json(command))
    one.memory.notice(one.saved())
    one.memory.notice(one.saved())
    assert one.delivered == [command]
    one.memory.save(later(7), 2, NOBODY)
    assert one.saved().command != ""
    one.memory.save(later(8), 3, frozenset({"c1"}))
    assert one.saved().command == ""
    assert one.delivered == [command]


@pytest.mark.cluster
def test_a_command_that_nobody_watched_comes_with_the_next_save(one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    assert one.store.ask(command_json(Command(Verb.PAUSE, "bob", "c2")))
    one.memory.save(later(7), 2, NOBODY)
    assert one.delivered == [Command(Verb.PAUSE, "bob", "c2")]


@pytest.mark.cluster
def test_an_abort_is_obeyed_once_and_may_be_asked_for_again(one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    assert one.store.ask_abort("errors everywhere")
    one.memory.notice(one.saved())
    (first,) = one.delivered
    assert isinstance(first, Command)
    assert (first.verb, first.actor) == (Verb.ABORT, "errors everywhere")
    one.memory.save(later(7), 2, frozenset({first.id}))
    assert not one.saved().abort
    assert one.store.ask_abort("again")
    one.memory.notice(one.saved())
    second = one.delivered[-1]
    assert isinstance(second, Command)
    assert second.id != first.id


@pytest.mark.cluster
def test_what_is_asked_survives_the_executor(cluster: Site) -> None:
    first = kept(cluster)
    first.memory.save(STATE, 1, NOBODY)
    assert first.store.ask(command_json(Command(Verb.PROMOTE, "ann", "c1")))
    first.memory.save(later(7), 2, NOBODY)
    second = kept(cluster, first.saved())
    second.memory.notice(first.saved())
    assert second.delivered == [Command(Verb.PROMOTE, "ann", "c1")]
    second.memory.save(later(8), 0, frozenset({"c1"}))
    assert second.saved().command == ""


@pytest.mark.cluster
def test_a_command_of_another_version_is_dropped(one: Kept) -> None:
    assert command_of('{"verb": "dance"}') is None
    assert command_of("not json") is None
    one.memory.save(STATE, 1, NOBODY)
    assert one.store.ask('{"verb": "dance"}')
    one.memory.notice(one.saved())
    one.memory.save(later(7), 2, NOBODY)
    one.memory.save(later(8), 3, NOBODY)
    assert one.delivered == []
    assert one.saved().command == ""


def test_a_save_without_an_answer_that_happened_is_a_save(server: Server, one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    server.faults.lose(1, method="PATCH", path="/configmaps/")
    one.memory.save(later(7), 2, NOBODY)
    assert one.saved().sequence == 2
    one.memory.save(later(8), 3, NOBODY)
    assert one.saved().sequence == 3


def test_a_save_without_an_answer_that_did_not_happen_is_tried_again(server: Server, one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    server.faults.lose(1, method="PATCH", path="/configmaps/", acted=False)
    with pytest.raises(NotSaved, match="cannot be saved"):
        one.memory.save(later(7), 2, NOBODY)
    one.memory.save(later(8), 3, NOBODY)
    assert one.saved().sequence == 3


def test_a_first_save_without_an_answer(server: Server, one: Kept) -> None:
    server.faults.lose(1, method="POST", path="/configmaps")
    one.memory.save(STATE, 0, NOBODY)
    assert one.saved().sequence == 0


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_in_trouble_means_not_now(server: Server, one: Kept, code: int) -> None:
    one.memory.save(STATE, 1, NOBODY)
    server.faults.answer(code, 9, method="PATCH", path="/configmaps/")
    with pytest.raises(NotSaved):
        one.memory.save(later(7), 2, NOBODY)
    server.faults.clear()
    one.memory.save(later(8), 3, NOBODY)


def test_a_server_that_is_down_means_not_now(server: Server, one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    server.stop()
    with pytest.raises(NotSaved):
        one.memory.save(later(7), 2, NOBODY)
    server.start()
    one.memory.save(later(8), 3, NOBODY)


@pytest.mark.cluster
def test_another_executor_ends_this_one(cluster: Site, one: Kept) -> None:
    one.memory.save(STATE, 1, NOBODY)
    other = StateStore(cluster.api, cluster.namespace, "api")
    other.write(replace(FRAME, state=later(6), sequence=0, fence=2), one.saved())
    with pytest.raises(ExecutorError, match="this one stops") as caught:
        one.memory.save(later(7), 2, NOBODY)
    assert not isinstance(caught.value, NotSaved)
    assert one.saved().fence == 2


def test_a_lease_that_ran_out_means_not_now(site: Site) -> None:
    def lapsed() -> int:
        raise LeaseLost("the Lease ran out")

    store = StateStore(site.api, site.namespace, "api")
    memory = ClusterMemory(store, None, FRAME, fence=lapsed, deliver=lambda fact: None)
    with pytest.raises(NotSaved, match="the Lease ran out"):
        memory.save(STATE, 0, NOBODY)
    assert store.read() is None
