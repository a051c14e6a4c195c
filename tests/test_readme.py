"""The README's promises: its two lines, its Python, its files."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def set_up_lines() -> list[str]:
    return [line for line in README.splitlines() if line.startswith("python3 -m venv ")]


def test_two_lines_set_up_and_run_the_main_job_and_the_tests() -> None:
    main_job, tests = set_up_lines()
    assert [block.strip() for block in blocks("sh")[:2]] == [main_job, tests]
    assert main_job.split("&&")[-1].split()[:2] == [".venv/bin/rolloutsim", "compare"]
    assert tests.endswith("&& .venv/bin/pytest")
    assert ".venv/bin/pip install -q -e '.[test]'" in tests


def test_continuous_integration_runs_these_two_lines() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "grep '^python3 -m venv ' README.md" in script
    assert 'bash -c "$tests"' in script
    assert 'bash -c "$main_job"' in script


def test_commands_name_files_that_exist() -> None:
    named = [word for block in blocks("sh") for word in shlex.split(block) if word.startswith("scenarios/")]
    assert named
    for word in named:
        for part in word.split("+"):
            assert list(ROOT.glob(part)), part


def test_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "9. Accepting Warranty or Additional Liability." in text


def test_changelog_has_an_unreleased_section() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    assert "### Added" in text


def test_the_python_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it stands, with fewer runs."""
    (example,) = blocks("python")
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    fewer = example.replace("runs=400", "runs=4").replace("[bad])", "[bad], runs=4)")
    assert fewer.count("runs=4") == 2
    (tmp_path / "example.py").write_text(fewer, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path("example.py")
    assert len(names["both"].differences) == 1
    assert (tmp_path / "one-run.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_table_of_the_vetting_is_what_the_command_prints() -> None:
    (command,) = [block for block in blocks("sh") if block.startswith("rolloutsim vet ")]
    (shown,) = [block for block in blocks("text") if "verdict\np_detect>=" in block]
    words = shlex.split(command)[1:5]
    ran = subprocess.run(
        [sys.executable, "-m", "rolloutsim", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1, ran.stderr
    assert shown in ran.stdout
