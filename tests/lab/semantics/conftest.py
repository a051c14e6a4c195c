"""A namespace of the embedded server, or of the cluster that ``--kubeconfig`` names."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from rolloutsim.lab import Server
from rolloutsim.live.credentials import authentication, is_loopback, tls_context
from rolloutsim.live.kubeconfig import Access, Credentials, load_access
from tests.lab.semantics.api import Api, named


@pytest.fixture(scope="session")
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[[], httpx.Client]]:
    kubeconfig = request.config.getoption("--kubeconfig")
    with ExitStack() as stack:
        if kubeconfig:
            access = load_access(kubeconfig=kubeconfig)
        else:
            server = stack.enter_context(Server())
            access = Access("lab", server.url, credentials=Credentials(token=server.token))
        context = tls_context(access)
        yield lambda: httpx.Client(
            base_url=access.server,
            auth=authentication(access, context),
            verify=context,
            timeout=15,
            trust_env=not is_loopback(access.server),
        )


@pytest.fixture
def api(connect: Callable[[], httpx.Client]) -> Iterator[Api]:
    name = f"rolloutsim-test-{uuid.uuid4().hex[:8]}"
    with connect() as http:
        made = http.post("/api/v1/namespaces", json=named("v1", "Namespace", name))
        assert made.status_code == 201, made.text
        yield Api(connect, http, name)
        http.delete(f"/api/v1/namespaces/{name}")
