"""Programs that the lab starts beside itself, and that cannot outlive it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rolloutsim.errors import ExecutorError
from rolloutsim.lab.loop import monotonic_s

__all__ = ["Child", "find_program", "free_port"]

_POLL_S = 0.02


class Child:
    """One running program; what it says goes to a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        leash = Path(__file__).with_name("leash.py")
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(leash), *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for the lab, which ends its children in order
            )
        self._name = Path(command[0]).name

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the program is ready; raises ExecutorError if it ends before, or takes too long."""
        ends = monotonic_s() + timeout_s
        while not ready():
            if self._process.poll() is not None:
                raise ExecutorError(f"{self._name} ended at once; its last words are in {self.log}")
            if monotonic_s() > ends:
                self.stop()
                raise ExecutorError(f"{self._name} was not ready after {timeout_s:g} s; see {self.log}")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Let it end, and wait for that."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(8.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def find_program(name: str) -> str | None:
    """Where a program is: beside this Python (as packages install it), or on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
