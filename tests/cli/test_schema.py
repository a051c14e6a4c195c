"""``rolloutsim schema``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rolloutsim.cli import app

SCHEMAS = Path(__file__).parent.parent.parent / "scenarios" / "schema"


@pytest.mark.parametrize("kind", ["policy", "service", "release", "scenario", "test"])
def test_prints_what_is_checked_in(kind: str) -> None:
    result = CliRunner().invoke(app, ["schema", kind])
    assert result.exit_code == 0
    assert result.stdout == (SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")
    assert json.loads(result.stdout)["$schema"].startswith("http://json-schema.org/draft-07")


def test_another_kind_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["schema", "poem"])
    assert result.exit_code == 2
    assert result.stdout == ""
