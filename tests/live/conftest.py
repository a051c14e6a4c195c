"""A Kubernetes API for each test: the embedded server, or the one that ``--kubeconfig`` names."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rolloutsim.lab import Server
from rolloutsim.live.kubeconfig import Access, Credentials, load_access
from rolloutsim.live.kubernetes import HttpKubernetes
from rolloutsim.live.port import DEPLOYMENT, NAMESPACE, Kubernetes, Ref
from tests.live.kube.standing import Site, deployment


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    """The embedded server, with the faults that it can play."""
    api = HttpKubernetes(
        Access("lab", server.url, credentials=Credentials(token=server.token)), timeout_s=2.0
    )
    server.create("Namespace", {"metadata": {"name": "shop"}})
    yield Site(api, "shop", controllers=False)
    api.close()


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> Iterator[Site | None]:
    """The cluster of ``--kubeconfig``; one Deployment of its own shows whether a controller is at work."""
    kubeconfig = request.config.getoption("--kubeconfig")
    if not kubeconfig:
        yield None
        return
    api = HttpKubernetes(load_access(kubeconfig=kubeconfig), timeout_s=10.0)
    with namespace(api) as name:
        site = Site(api, name, controllers=False)
        ref = site.ref(DEPLOYMENT, "d")
        api.create(ref, deployment("d", {"app": "d"}, "none:1"))
        deadline = time.monotonic() + 5
        while not api.get(ref).get("status", {}).get("observedGeneration") and time.monotonic() < deadline:
            time.sleep(0.1)
        controllers = bool(api.get(ref).get("status", {}).get("observedGeneration"))
    yield Site(api, "", controllers)
    api.close()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, real: Site | None) -> Iterator[Site]:
    """Any API server: a namespace of its own, deleted afterwards with all that is in it."""
    if real is None:
        yield request.getfixturevalue("site")
        return
    with namespace(real.api) as name:
        yield Site(real.api, name, real.controllers)


@contextmanager
def namespace(api: Kubernetes) -> Iterator[str]:
    name = f"rolloutsim-test-{uuid.uuid4().hex[:8]}"
    ref = Ref(NAMESPACE, "", name)
    api.create(ref, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        api.delete(ref)
