"""The embedded server as a server: where it listens, how it answers, many clients at once."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from rolloutsim.lab import Server


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
