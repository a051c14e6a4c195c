"""An API server of its own for each test, and one client for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rolloutsim.lab import Server


class Client:
    """Plain HTTP to a server, as one user."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token or server.token}"}
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=10, trust_env=False)

    def __call__(
        self, method: str, path: str, body: Any = None, media: str = "application/json", **query: Any
    ) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        answer = self.http.request(
            method, path, content=content, params=query, headers={"Content-Type": media}
        )
        return answer.status_code, answer.json()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def call(server: Server) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.http.close()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
