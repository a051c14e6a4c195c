"""A cluster with a service in it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.verbs.stage import Stage, stage


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("ROLLOUTSIM_JOURNAL", str(tmp_path / "journals"))
    with stage(tmp_path) as made:
        yield made
