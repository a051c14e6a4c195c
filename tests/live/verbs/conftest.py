"""A cluster with a service in it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import namespace
from tests.live.kube.standing import Site
from tests.live.verbs.stage import Stage, stage, stage_in


@pytest.fixture
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Site | None
) -> Iterator[Stage]:
    """The embedded server; for a test that is marked 'cluster' the cluster of ``--kubeconfig``, if given."""
    monkeypatch.setenv("ROLLOUTSIM_JOURNAL", str(tmp_path / "journals"))
    if real is None or request.node.get_closest_marker("cluster") is None:
        with stage(tmp_path) as made:
            yield made
        return
    kubeconfig = request.config.getoption("--kubeconfig")
    with (
        namespace(real.api) as name,
        stage_in(tmp_path, kubeconfig, name, controllers=real.controllers) as made,
    ):
        yield made
