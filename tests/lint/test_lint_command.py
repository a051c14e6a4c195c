"""``rolloutsim lint``: forms of the report, exit codes, options."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rolloutsim.cli import app
from rolloutsim.lint import RULES
from tests.lint.lint_manifests import ARTICLE, CANARY, DEPLOYMENT, ROOT, changed

WARNING = changed(CANARY, ("setWeight: 50", "setWeight: 5"))
ERROR = changed(CANARY, ("      trafficRouting:", "      scaleDownDelaySeconds: 0\n      trafficRouting:"))
SILENCED = changed(WARNING, ("setWeight: 5", "setWeight: 5 # rolloutsim: ignore RS021 on purpose"))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["lint", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file of each kind."""
    monkeypatch.chdir(tmp_path)
    texts = {"clean": CANARY, "note": DEPLOYMENT, "warning": WARNING, "error": ERROR, "silenced": SILENCED}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


# --- exit codes ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("clean.yaml",), 0),
        (("note.yaml",), 0),
        (("warning.yaml",), 0),
        (("error.yaml",), 1),
        (("clean.yaml", "error.yaml"), 1),
        (("note.yaml", "--strict"), 0),
        (("warning.yaml", "--strict"), 1),
        (("silenced.yaml", "--strict"), 0),
        (("warning.yaml", "--strict", "--disable", "RS021"), 0),
        (("error.yaml", "--disable", "RS021,RS033"), 0),
        (("--rules",), 0),
        ((), 2),
        (("absent.yaml",), 2),
        (("clean.yaml", "--disable", "RS999"), 2),
        (("clean.yaml", "--scrape-interval", "often"), 2),
        (("clean.yaml", "--scrape-interval", "0s"), 2),
        (("clean.yaml", "-o", "xml"), 2),
    ],
)
@pytest.mark.parametrize("form", ["table", "json", "sarif"])
def test_exit_codes(arguments: tuple[str, ...], code: int, form: str) -> None:
    result = run(*(arguments if "-o" in arguments else (*arguments, "-o", form)))
    assert result.exit_code == code, result.output
    if code == 2:
        assert result.stdout == ""
        assert "Traceback" not in result.stderr


def test_a_file_that_does_not_load_fails_and_the_others_are_linted(folder: Path) -> None:
    (folder / "broken.yaml").write_text("a: [", encoding="utf-8")
    result = run("broken.yaml", "warning.yaml")
    assert result.exit_code == 1
    assert "RS001" in result.stdout
    assert "RS021" in result.stdout


def test_a_directory_means_its_yaml_files(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "error.yaml").rename(folder / "below" / "error.yml")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "broken.yaml").write_text("a: [", encoding="utf-8")
    files = json.loads(run(".", "-o", "json").stdout)["files"]
    assert files == ["below/error.yml", "clean.yaml", "note.yaml", "silenced.yaml", "warning.yaml"]
    (folder / "empty").mkdir()
    assert run("empty").exit_code == 2


# --- forms of the report ---------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
def test_the_table_shows_place_path_value_reason_and_fix() -> None:
    shown = run("warning.yaml", "silenced.yaml").stdout
    line = WARNING[: WARNING.index("setWeight: 5\n")].count("\n") + 1
    assert shown.splitlines()[:4] == [
        f"warning.yaml:{line}:11: warning RS021 decreasing-weight",
        "    spec.strategy.canary.steps[2].setWeight: 5",
        "    the weight goes from 10 down to 5: pods are removed before it drops",
        "    fix: sort the weights; to go back, abort",
    ]
    assert "2 files: 0 errors, 1 warning, 0 notes, 1 silenced by comments" in shown
    assert "assumed: a scrape every 30s (--scrape-interval)" in shown


def test_the_table_is_at_most_100_columns_wide() -> None:
    shown = run(ROOT / "scenarios/policies").stdout
    places = [line for line in shown.splitlines() if not line.startswith(str(ROOT))]
    assert len(places) > 50
    assert max(map(len, places)) <= 100


def test_the_scrape_interval_decides_and_is_no_assumption_any_more() -> None:
    file = ARTICLE / "canary.yaml"
    assert "RS070" not in run(file).stdout
    slow = run(file, "--scrape-interval", "1m").stdout
    assert "RS070" in slow
    assert "assumed" not in slow
    assert "[2m] with a scrape every 1m holds 2 samples" in " ".join(slow.split())


@pytest.mark.usefixtures("folder")
def test_json_has_one_object_per_finding() -> None:
    document = json.loads(run("warning.yaml", "silenced.yaml", "-o", "json").stdout)
    assert (document["apiVersion"], document["kind"]) == ("rolloutsim.dev/v1alpha1", "Lint")
    assert document["files"] == ["warning.yaml", "silenced.yaml"]
    assert document["counts"] == {"errors": 0, "warnings": 1, "notes": 0}
    assert document["assumptions"] == ["a scrape every 30s"]
    (finding,) = document["findings"]
    assert finding == {
        "file": "warning.yaml",
        "line": finding["line"],
        "column": 11,
        "path": "spec.strategy.canary.steps[2].setWeight",
        "value": 5,
        "rule": "RS021",
        "name": "decreasing-weight",
        "severity": "warning",
        "reason": finding["reason"],
        "fix": "sort the weights; to go back, abort",
    }
    (silenced,) = document["suppressed"]
    assert silenced["because"] == "on purpose"


def sarif(*arguments: str | Path) -> dict[str, Any]:
    document = json.loads(run(*arguments, "-o", "sarif").stdout)
    assert isinstance(document, dict)
    return document


@pytest.mark.usefixtures("folder")
def test_sarif_has_what_the_schema_requires() -> None:
    log = sarif("warning.yaml", "silenced.yaml", "error.yaml", "note.yaml")
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (only,) = log["runs"]
    driver = only["tool"]["driver"]
    assert driver["name"] == "rolloutsim"
    assert [rule["id"] for rule in driver["rules"]] == [rule.id for rule in RULES]
    for rule in driver["rules"]:
        assert set(rule) == {"id", "name", "shortDescription", "help", "defaultConfiguration"}
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    assert [result["ruleId"] for result in only["results"]] == ["RS021", "RS033", "RS053", "RS021"]
    for result in only["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert region["startLine"] >= 1
        assert region["startColumn"] >= 1
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert not uri.startswith("/")
        assert ":" not in uri
        assert Path(uri).is_file()
    assert [result.get("suppressions") for result in only["results"]] == [
        *[None] * 3,
        [{"kind": "inSource", "justification": "on purpose"}],
    ]


def test_sarif_uris_are_relative_to_the_working_directory(folder: Path) -> None:
    (folder / "two words.yaml").write_text(WARNING, encoding="utf-8")
    places = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in sarif(folder / "warning.yaml", "./two words.yaml")["runs"][0]["results"]
    ]
    assert places == ["warning.yaml", "two%20words.yaml"]


def test_a_finding_without_a_line_gets_the_first(folder: Path) -> None:
    (folder / "bad.yaml").write_bytes(b"\xff\xff")
    (result,) = sarif("bad.yaml")["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 1, "startColumn": 1}


def test_rules_are_listed() -> None:
    shown = run("--rules").stdout
    for rule in RULES:
        assert f"{rule.id}  {rule.severity:<8} {rule.name}\n" in shown
    assert max(map(len, shown.splitlines())) <= 100


# --- speed and reach -------------------------------------------------------------------------------


def test_help_imports_no_part_that_works() -> None:
    program = (
        "import sys; from rolloutsim.cli import app\n"
        "try: app(['lint', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'ruamel.yaml', 'rolloutsim.policy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_nothing_but_files_is_opened() -> None:
    """No socket, and no file but those of the command line (and of Python)."""
    program = """
import sys
seen = []
def watch(event, arguments):
    if event.startswith("socket."):
        seen.append(event)
    elif event == "open" and str(arguments[0]).endswith((".yaml", "config")):
        seen.append(str(arguments[0]))
sys.addaudithook(watch)
from rolloutsim.lint import lint
lint([[sys.argv[1]]])
assert seen == [sys.argv[1]], seen
"""
    subprocess.run([sys.executable, "-c", program, str(ARTICLE / "canary.yaml")], check=True)


def test_a_hundred_manifests_take_seconds_at_most(tmp_path: Path) -> None:
    for number in range(100):
        text = (ARTICLE / "canary.yaml").read_text(encoding="utf-8")
        (tmp_path / f"{number:03}.yaml").write_text(text, encoding="utf-8")
    begun = time.perf_counter()
    document = json.loads(run(tmp_path, "-o", "json").stdout)
    took_s = time.perf_counter() - begun
    sys.stdout.write(f"100 manifests: {took_s:.2f} s\n")
    assert len(document["files"]) == 100
    assert len(document["findings"]) == 900
    assert took_s < 20  # far above what it takes: only a quadratic mistake fails


def test_the_hook_runs_the_command(tmp_path: Path) -> None:
    from ruamel.yaml import YAML

    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("rolloutsim-lint", "python", False)
    (tmp_path / "a.yaml").write_text(CANARY, encoding="utf-8")
    command = [*hook["entry"].split(), *hook["args"]]
    assert command[:2] == ["rolloutsim", "lint"]
    program = "from rolloutsim.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
