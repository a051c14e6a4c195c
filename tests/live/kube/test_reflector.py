"""The reflector: the newest state arrives, whatever happens to the watch, and stopping is quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rolloutsim.lab import Server
from rolloutsim.live.kubeconfig import Access, Credentials
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.port import CONFIG_MAP, Object, Ref
from rolloutsim.live.reflector import Reflector, follow
from tests.live.kube.standing import Site


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def config(name: str, value: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value}}


class Heard:
    """What was reported, and a way to wait for it."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        self.told: list[tuple[str, str | None]] = []
        self.troubles: list[str] = []
        self._changed = threading.Condition()

    def report(self, ref: Ref, body: Object | None) -> None:
        with self._changed:
            if body is None:
                self.now.pop(ref.name, None)
            else:
                self.now[ref.name] = body["data"]["v"]
            self.told.append((ref.name, self.now.get(ref.name)))
            self._changed.notify_all()

    def trouble(self, message: str) -> None:
        with self._changed:
            self.troubles.append(message)
            self._changed.notify_all()

    def until(self, done: Callable[[], bool], timeout_s: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(done, timeout_s), (self.now, self.troubles)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def reflector(site: Site, heard: Heard) -> Iterator[Reflector]:
    made = Reflector(
        site.api,
        CONFIG_MAP,
        site.namespace,
        heard.report,
        now_ms=now_ms,
        trouble=heard.trouble,
        watch_s=1,
    )
    yield made
    made.stop()


def write(server: Server, name: str, value: str) -> None:
    server.apply({**config(name, value), "metadata": {"name": name, "namespace": "shop"}})


def test_lists_then_follows(server: Server, reflector: Reflector, heard: Heard) -> None:
    write(server, "a", "1")
    assert reflector.silent_ms is None
    reflector.start()
    heard.until(lambda: heard.now == {"a": "1"})
    write(server, "a", "2")
    write(server, "b", "1")
    heard.until(lambda: heard.now == {"a": "2", "b": "1"})
    server.delete("ConfigMap", "a", "shop")
    heard.until(lambda: heard.now == {"b": "1"})
    assert reflector.silent_ms is not None
    assert heard.troubles == []


def test_a_watch_that_ends_goes_on_where_it_was(server: Server, reflector: Reflector, heard: Heard) -> None:
    write(server, "a", "1")
    reflector.start()
    heard.until(lambda: heard.now == {"a": "1"})
    time.sleep(2.2)
    write(server, "a", "2")
    heard.until(lambda: heard.now == {"a": "2"})
    assert heard.told == [("a", "1"), ("a", "2")]
    lists = [seen for seen in server.requests if seen.method == "GET" and "watch" not in seen.url]
    assert len(lists) == 1


def test_what_changed_while_the_server_was_down_arrives(
    server: Server, reflector: Reflector, heard: Heard
) -> None:
    write(server, "a", "1")
    write(server, "gone", "1")
    reflector.start()
    heard.until(lambda: len(heard.now) == 2)
    server.stop()
    write(server, "a", "2")
    server.delete("ConfigMap", "gone", "shop")
    heard.until(lambda: bool(heard.troubles))
    server.expire_history()
    server.start()
    heard.until(lambda: heard.now == {"a": "2"})
    heard.until(lambda: heard.troubles[-1] == "")
    assert heard.troubles[0].startswith("watch configmaps ended")


def test_too_old_lists_again(server: Server, reflector: Reflector, heard: Heard) -> None:
    write(server, "a", "1")
    reflector.start()
    heard.until(lambda: heard.now == {"a": "1"})
    for round_ in range(3):
        server.expire_history()
        server.cut_watches()
        write(server, "a", str(round_))
        server.expire_history()
        heard.until(lambda value=str(round_): heard.now == {"a": value})  # type: ignore[misc]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_errors_are_waited_out(server: Server, reflector: Reflector, heard: Heard, code: int) -> None:
    server.faults.answer(code, 4, method="GET")
    write(server, "a", "1")
    reflector.start()
    heard.until(lambda: heard.now == {"a": "1"})


def test_the_last_state_is_never_lost_under_cuts(server: Server, reflector: Reflector, heard: Heard) -> None:
    reflector.start()
    for number in range(60):
        write(server, f"c{number % 3}", str(number))
        if number % 7 == 0:
            server.cut_watches()
        if number % 13 == 0:
            server.expire_history()
    heard.until(lambda: heard.now == {"c0": "57", "c1": "58", "c2": "59"})


def test_stop_is_quick_and_final(server: Server, site: Site, heard: Heard) -> None:
    reflector = Reflector(site.api, CONFIG_MAP, site.namespace, heard.report, now_ms=now_ms, watch_s=60)
    reflector.start()
    write(server, "a", "1")
    heard.until(lambda: heard.now == {"a": "1"})
    began = time.monotonic()
    reflector.stop()
    assert time.monotonic() - began < 1.0
    write(server, "a", "2")
    time.sleep(0.1)
    assert heard.now == {"a": "1"}


def test_stop_during_back_off_is_quick(server: Server, reflector: Reflector, heard: Heard) -> None:
    server.stop()
    reflector.start()
    heard.until(lambda: bool(heard.troubles))
    began = time.monotonic()
    reflector.stop()
    assert time.monotonic() - began < 2.0
    assert heard.told == []


def test_a_silent_server_is_noticed(server: Server, heard: Heard) -> None:
    api = HttpKubernetes(
        Access("lab", server.url, credentials=Credentials(token=server.token)), timeout_s=0.5
    )
    reflector = Reflector(
        api, CONFIG_MAP, "shop", heard.report, now_ms=now_ms, trouble=heard.trouble, watch_s=1
    )
    server.faults.slow(3.0, 1, method="GET", path="watch=")
    reflector.start()
    heard.until(lambda: bool(heard.troubles))
    assert "did not answer" in heard.troubles[0]
    assert reflector.silent_ms is not None
    assert reflector.silent_ms >= 1_000
    reflector.stop()
    api.close()


@pytest.mark.cluster
def test_one_reflector_for_each_object(cluster: Site, heard: Heard) -> None:
    refs = [cluster.ref(CONFIG_MAP, name) for name in ("a", "b")]
    for name in ("a", "b", "c"):
        cluster.api.create(cluster.ref(CONFIG_MAP, name), config(name, "1"))
    reflectors = follow(cluster.api, refs, heard.report, now_ms=now_ms, watch_s=2)
    for reflector in reflectors:
        reflector.start()
    heard.until(lambda: heard.now == {"a": "1", "b": "1"})
    for name in ("a", "c"):
        cluster.api.merge_patch(cluster.ref(CONFIG_MAP, name), {"data": {"v": "2"}})
    heard.until(lambda: heard.now == {"a": "2", "b": "1"})
    cluster.api.delete(refs[1])
    heard.until(lambda: heard.now == {"a": "2"})
    for reflector in reflectors:
        reflector.stop()
