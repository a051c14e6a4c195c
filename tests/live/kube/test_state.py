"""The state in the cluster: unchanged there and back, conditional, and open to a request from anybody."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import Snapshot, start
from rolloutsim.engine.analysis import MetricState, RunState
from rolloutsim.engine.codec import to_json
from rolloutsim.engine.measurements import Measurement
from rolloutsim.engine.state import Revision, State
from rolloutsim.lab import Server
from rolloutsim.live import state as state_module
from rolloutsim.live.port import AlreadyExists, Refused, Unknown
from rolloutsim.live.state import OWNER_LABEL, Saved, StateStore, StateUnreadable, Superseded
from rolloutsim.policy.model import Metric, PrometheusProvider
from tests.live.kube.standing import Site, canary_policy


def engine_state(measurements: int = 0) -> State:
    snapshot = Snapshot(at=5, revisions=(Revision("abc", 1, 0, 2, 2, 2, 2),), stable="abc", weight=0)
    state = start(canary_policy("httproute/api"), snapshot)
    if not measurements:
        return state
    metric = Metric("errors", PrometheusProvider("up"))
    taken = tuple(
        Measurement(number, number * 10, number * 10 + 1, MeasurementPhase.SUCCESSFUL, "[0.01]" * 20)
        for number in range(1, measurements + 1)
    )
    run = RunState("run", 0, (MetricState(metric, measurements=taken, attempts=measurements),))
    return replace(state, runs=(run,))


@pytest.fixture
def saved() -> Saved:
    return Saved(engine_state(3), "sha256:1", sequence=7, plan='{"a":1}', fence=2)


@pytest.mark.cluster
class TestStore:
    def test_there_and_back(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        assert store.read() is None
        written = store.write(saved, None)
        assert replace(written, resource_version="") == saved
        assert store.read() == written
        with pytest.raises(AlreadyExists):
            store.write(saved, None)

    def test_a_second_writer_is_refused(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        first = store.write(saved, None)
        second = store.write(replace(saved, sequence=8), first)
        with pytest.raises(Superseded, match="another executor wrote"):
            store.write(replace(saved, sequence=9), first)
        assert store.read() == second

    def test_who_took_over_shuts_the_other_out(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        old = store.write(saved, None)
        taken = store.write(replace(saved, fence=3), old)
        with pytest.raises(Superseded):
            store.write(replace(saved, sequence=8), old)
        with pytest.raises(Superseded, match="took over"):
            store.write(replace(saved, sequence=8, fence=2), taken)

    def test_keys_that_are_left_out_go(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        first = store.write(saved, None)
        store.write(replace(saved, state=None, plan=""), first)
        read = store.read()
        assert read is not None
        assert (read.state, read.plan) == (None, "")

    def test_an_abort_that_comes_in_between_stays_and_shows(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        first = store.write(saved, None)
        other = StateStore(cluster.api, cluster.namespace, "api")
        assert other.ask_abort("the shop is on fire")
        assert other.ask_abort("the shop is on fire")
        second = store.write(replace(saved, sequence=8), first)
        assert (second.abort, second.abort_reason) == (True, "the shop is on fire")
        third = store.write(replace(second, sequence=9), second)
        assert third.abort
        done = store.write(replace(third, sequence=10, abort=False), third)
        assert (done.abort, done.abort_reason) == (False, "")
        assert store.read() == done

    def test_a_person_may_write_abort_by_hand(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        store.write(saved, None)
        cluster.api.merge_patch(store.ref, {"data": {"abort": "true"}})
        read = store.read()
        assert read is not None
        assert read.abort

    def test_a_newer_command_is_not_wiped_out_with_the_old_one(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        store.write(saved, None)
        assert store.ask('{"id":"1"}')
        base = store.read()
        assert base is not None
        assert store.ask('{"id":"2"}')
        written = store.write(replace(base, command=""), base)
        assert written.command == '{"id":"2"}'
        assert store.write(replace(written, command=""), written).command == ""

    def test_nothing_to_ask(self, cluster: Site) -> None:
        assert not StateStore(cluster.api, cluster.namespace, "api").ask_abort()

    def test_what_is_not_ours_is_left_alone(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": store.ref.name},
            "data": {"x": "1"},
        }
        cluster.api.create(store.ref, body)
        with pytest.raises(StateUnreadable, match=OWNER_LABEL):
            store.read()
        with pytest.raises(Refused, match="nothing was asked"):
            store.ask_abort()
        with pytest.raises(AlreadyExists):
            store.write(saved, None)
        assert cluster.api.get(store.ref)["data"] == {"x": "1"}

    def test_damage_is_told(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        store.write(saved, None)
        for data in ({"state": "{"}, {"state": '{"kind":"State"}'}, {"sequence": "x"}):
            cluster.api.merge_patch(store.ref, {"data": data})
            with pytest.raises(StateUnreadable, match="version that wrote it"):
                store.read()

    def test_delete_what_was_read(self, cluster: Site, saved: Saved) -> None:
        store = StateStore(cluster.api, cluster.namespace, "api")
        written = store.write(saved, None)
        store.delete(written)
        assert store.read() is None
        store.delete(written)


def test_a_lost_answer_is_recognised_by_reading(server: Server, site: Site, saved: Saved) -> None:
    store = StateStore(site.api, site.namespace, "api")
    first = store.write(saved, None)
    server.faults.lose(1, method="PATCH")
    with pytest.raises(Unknown):
        store.write(replace(saved, sequence=8), first)
    read = store.read()
    assert read is not None
    assert (read.fence, read.sequence) == (2, 8)


class TestSize:
    def test_a_large_state_goes_in_without_its_old_measurements_and_says_so(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved = Saved(engine_state(2_000), "sha256:1")
        whole = len(json.dumps(to_json(saved.state)))
        monkeypatch.setattr(state_module, "LIMIT_BYTES", whole // 2)
        store = StateStore(site.api, site.namespace, "api")
        written = store.write(saved, None)
        assert written.trimmed == 1_999
        read = store.read()
        assert read is not None
        assert read.trimmed == 1_999
        assert read.state is not None
        (kept,) = read.state.runs[0].metrics[0].measurements
        assert kept.attempt == 2_000
        assert read.state.runs[0].metrics[0].attempts == 2_000

    def test_the_limit_is_the_servers(self, site: Site) -> None:
        store = StateStore(site.api, site.namespace, "api")
        saved = Saved(None, "sha256:1", plan="x" * (state_module.LIMIT_BYTES - 100))
        assert store.write(saved, None).resource_version

    def test_what_cannot_fit_is_refused(self, site: Site) -> None:
        store = StateStore(site.api, site.namespace, "api")
        with pytest.raises(StateUnreadable, match="shorten the policy"):
            store.write(Saved(engine_state(), "d", plan="x" * 1_000_000), None)
        with pytest.raises(StateUnreadable, match="shorten the policy"):
            store.write(Saved(None, "d", plan="x" * 1_000_000), None)
        assert store.read() is None


def test_every_field_survives(site: Site, saved: Saved) -> None:
    """A new field of `Saved` that is not written would be lost on the way."""
    full = replace(saved, abort=True, abort_reason="why", command="{}", trimmed=4)
    for field in dataclasses.fields(full):
        if field.name != "resource_version":
            assert getattr(full, field.name), field.name
    store = StateStore(site.api, site.namespace, "api")
    written = store.write(full, None)
    read = store.read()
    assert read == replace(full, resource_version=written.resource_version)
