"""The API server has the semantics that were measured on a real one."""

from __future__ import annotations

import contextlib
import threading
import time

import httpx
import pytest

from rolloutsim.lab import Server
from tests.lab import kubernetes_probe as probe


@pytest.fixture(scope="module")
def seen():
    with Server() as server:
        return probe.run(server.url, server.token)


@pytest.mark.parametrize("check", [check.__name__ for check in probe.CHECKS])
def test_as_the_real_api(seen, check):
    holds, note = seen[check]
    assert holds, note


def test_all_are_there():
    assert len(probe.CHECKS) == 49


def test_the_probe_tells_a_server_that_is_none():
    """A server without semantics fails nearly all: the checks can fail."""

    class Nothing(httpx.BaseTransport):
        def handle_request(self, request):
            return httpx.Response(201 if request.method == "POST" else 200, json={})

    probe.T.client = httpx.Client(base_url="http://none", transport=Nothing())
    old, probe.client = probe.client, lambda: httpx.Client(base_url="http://none", transport=Nothing())
    try:
        held = 0
        for check in probe.CHECKS:
            with contextlib.suppress(Exception):
                held += bool(check()[0])
    finally:
        probe.client = old
        probe.T.client.close()
    assert held <= 5


def test_loopback_only():
    with pytest.raises(ValueError, match="loopback only"):
        Server(host="0.0.0.0").start()


def test_head_and_body_leave_together(server):
    """Apart, each answer waits for the client's delayed acknowledgement: 40 ms."""
    with httpx.Client(headers={"Authorization": f"Bearer {server.token}"}, trust_env=False) as client:
        client.get(server.url + "/version")
        began = time.perf_counter()
        for _ in range(50):
            client.get(server.url + "/version")
        assert (time.perf_counter() - began) / 50 < 0.02


def test_many_threads_write_and_no_write_is_lost(server, call):
    server.create("ConfigMap", {"metadata": {"name": "n"}, "data": {}})

    def write(index: int) -> None:
        for turn in range(10):
            server.patch("ConfigMap", "n", {"data": {f"{index}-{turn}": "x"}})

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.get("ConfigMap", "n")["data"]) == 80
