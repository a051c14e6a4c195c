"""``pytest -m cluster --kubeconfig FILE`` asks that cluster, wherever FILE is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from rolloutsim.live.pytest_option import CLONE, joined

ENTRY = entry_points(group="pytest11", name="rolloutsim.live.pytest_option")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["-m", "cluster", "--kubeconfig", "f"], ["-m", "cluster", "--kubeconfig=f"]),
        (["--kubeconfig=f", "tests"], ["--kubeconfig=f", "tests"]),
        (["--kubeconfig"], ["--kubeconfig"]),
        ([], []),
    ],
)
def test_option_and_file_become_one_word(given: list[str], meant: list[str]) -> None:
    assert list(joined(given)) == meant


@pytest.fixture(params=["inside", "outside"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file, and no kubeconfig: to collect tests nobody asks a cluster."""
    if request.param == "inside":
        return CLONE / "pyproject.toml"
    assert ENTRY, "this clone was installed before it had its entry point; install it again"
    (tmp_path / "kubeconfig").touch()
    return tmp_path / "kubeconfig"


@pytest.mark.slow
def test_the_file_is_no_path_of_tests(file: Path) -> None:
    others = [one for one in (CLONE / "tests").iterdir() if one.name != "live"]
    passed_over = [f"--ignore={one}" for one in others if one.name not in ("conftest.py", "__init__.py")]
    words = ["-m", "cluster", "--kubeconfig", file, "--collect-only", "-qq", "-n", "0", *passed_over]
    asked = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "-p", "no:cacheprovider"],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "tests/live/verbs/test_commands.py: " in asked.stdout
