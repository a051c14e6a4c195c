"""Run the peers: compile the C loops once into a temporary directory, start each as a process of its own.

A peer whose compiler or package is not there is None. happysim needs Python 3.13: where this Python is older,
`HAPPYSIM_PYTHON` in the environment names one that has it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import ROOT, Rate

__all__ = ["Peers"]

HERE = Path(__file__).parent
PACKAGES = {"cimba_pool": "cimba", "ciw_pool": "ciw", "happysim_canary": "happysimulator"}


class Peers:
    """A context in which the peers can be run; the compiled ones vanish with it."""

    def __enter__(self) -> Peers:
        self._directory = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def compiled(self, name: str, *arguments: str) -> Rate | None:
        """A loop in C: ``arguments`` come before the seed."""
        if shutil.which("gcc") is None:
            return None
        program = Path(self._directory.name, name)
        if not program.exists():
            source = HERE / f"{name}.c"
            subprocess.run(
                ["gcc", "-O3", "-march=native", "-o", str(program), str(source), "-lm"], check=True
            )
        return lambda seed: _rate([str(program), *arguments, str(seed)])

    def python(self, name: str, seconds: float) -> Rate | None:
        """A peer in Python, for so many simulated seconds."""
        needed = PACKAGES.get(name, "simpy")
        interpreter = sys.executable
        if needed == "happysimulator":
            interpreter = os.environ.get("HAPPYSIM_PYTHON", interpreter)
        if subprocess.run([interpreter, "-c", f"import {needed}"], capture_output=True).returncode != 0:
            return None
        command = [interpreter, "-W", "ignore", "-m", f"tests.benchmarks.peers.{name}", str(seconds)]
        return lambda seed: _rate([*command, str(seed)])


def _rate(command: list[str]) -> float:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["requests"] / found["cpu_s"])
