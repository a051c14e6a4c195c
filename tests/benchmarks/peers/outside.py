"""Run the peers: compile the C loops once into a temporary directory, start each as a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measure import ROOT

__all__ = ["Peers", "missing"]

HERE = Path(__file__).parent
Rate = Callable[[int], float]
"""Seed -> requests per CPU second."""


def missing(program: str) -> bool:
    return shutil.which(program) is None


class Peers:
    """A context in which the peers can be run; the compiled ones vanish with it."""

    def __enter__(self) -> Peers:
        self._directory = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def compiled(self, name: str, *arguments: str) -> Rate:
        """A loop in C: ``arguments`` come before the seed."""
        program = Path(self._directory.name, name)
        if not program.exists():
            source = HERE / f"{name}.c"
            subprocess.run(
                ["gcc", "-O3", "-march=native", "-o", str(program), str(source), "-lm"], check=True
            )
        return lambda seed: _rate([str(program), *arguments, str(seed)])

    def python(self, name: str, seconds: float) -> Rate:
        """A peer in Python, for so many simulated seconds."""
        command = [sys.executable, "-W", "ignore", "-m", f"tests.benchmarks.peers.{name}", str(seconds)]
        return lambda seed: _rate([*command, str(seed)])


def _rate(command: list[str]) -> float:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["requests"] / found["cpu_s"])
