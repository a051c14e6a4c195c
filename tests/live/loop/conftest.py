"""A namespace with the service ``api`` in it for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.conftest import namespace
from tests.live.ground import Ground, available, populate, tend_embedded, tended
from tests.live.kube.standing import Site, eventually


@pytest.fixture
def ground(request: pytest.FixtureRequest, real: Site | None) -> Iterator[Ground]:
    """On the embedded server; for a test that is marked 'cluster' in the cluster of ``--kubeconfig``."""
    if real is None or request.node.get_closest_marker("cluster") is None:
        site: Site = request.getfixturevalue("site")
        made = Ground(site.api, site.namespace)
        tend_embedded(request.getfixturevalue("server"), made)
        populate(made)
        yield made
        return
    with namespace(real.api) as name:
        made = Ground(real.api, name)
        with tended(made, controllers=real.controllers):
            populate(made)
            eventually(lambda: available(made, "api-a") == 2, 60.0)
            yield made
