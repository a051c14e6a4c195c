"""``rolloutsim test`` from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from rolloutsim.cli import app

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted((ROOT / "scenarios" / "tests").glob("*.yaml"))
CANARY = ROOT / "scenarios" / "article" / "canary.yaml"
FAILING = f"""\
policy: {CANARY}
tests:
  - name: a sentence that is so long that it cannot stand in one line of a terminal of 100 columns
    measurements: {{error-rate: [0.01, 0.2]}}
    expect:
      - {{at: 2m, weight: 30}}
  - name: it aborts
    measurements: {{error-rate: [0.01, 0.2]}}
    outcome: aborted
"""


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    file = tmp_path / "failing.yaml"
    file.write_text(FAILING, encoding="utf-8")
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["test", *map(str, arguments)])


def test_shipped_tests_pass() -> None:
    result = run(*SHIPPED)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "  ok    the fourth failed measurement aborts, not the third\n" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(" passed, 0 failed")


def test_a_failure_shows_what_happened_in_100_columns(failing: Path) -> None:
    result = run(failing)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].startswith("  FAIL  a sentence")
    assert "        line 6: expected at 2m: weight 30" in lines
    assert "            but weight 9.1, phase Paused (CanaryPauseStep), 1 step done, 1 new pod" in lines
    assert any(line.endswith("successCondition result[0] < 0.05 does not hold") for line in lines)
    assert lines[-2:] == ["  ok    it aborts", "2 tests: 1 passed, 1 failed"]


def test_json(failing: Path) -> None:
    result = run(failing, "-o", "json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["kind"], document["passed"], document["failed"]) == ("PolicyTests", 1, 1)
    first, second = document["tests"]
    assert (first["passed"], first["outcome"], first["line"]) == (False, "aborted", 3)
    (failure,) = first["failures"]
    assert (failure["line"], failure["expected"], failure["at_s"]) == (6, "at 2m: weight 30", 120)
    assert {"at_s": 0.0, "what": "weight 9.1"} in first["timeline"]
    assert (second["passed"], second["failures"], second["timeline"]) == (True, [], [])


def test_junit(failing: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.xml"
    assert run(failing, SHIPPED[0], "--junit", out).exit_code == 1
    root = ElementTree.parse(out).getroot()
    assert [suite.get("failures") for suite in root] == ["1", "0"]
    first = out.read_bytes()
    run(failing, SHIPPED[0], "--junit", out)
    assert out.read_bytes() == first


def test_mistakes_are_one_line_and_exit_code_2(failing: Path, tmp_path: Path) -> None:
    failing.write_text(FAILING.replace("weight: 30", "wait: 30"), encoding="utf-8")
    for arguments, message in (
        ((tmp_path / "nowhere.yaml",), "nowhere.yaml: the file cannot be read"),
        ((failing,), "failing.yaml:6:18: tests[0].expect[0].wait: unknown field 'wait'; did you mean"),
        ((SHIPPED[0], "--junit", tmp_path / "no" / "out.xml"), "the directory does not exist"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert message in line
    assert run().exit_code == 2
