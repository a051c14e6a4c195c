"""A load generator: steady or as fast as it goes, over keep-alive connections, in a process of its own.

``python -m rolloutsim.lab.load PORT HOST RATE CONNECTIONS`` asks 127.0.0.1:PORT for HOST until its standard
input ends, and prints its totals once a second and at the end, each as a line of JSON. RATE is requests a
second, evenly spaced (the time that an answer takes does not slow the next request down); 0 means that each
connection asks again as soon as it is answered.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rolloutsim.lab.loop import monotonic_s

__all__ = ["Load", "Totals", "main"]


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of the requests: by status (0: no answer), and of those answered 200 by version."""

    statuses: dict[int, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        """All requests that came to an end."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Requests that were not answered 200."""
        return self.sent - self.statuses.get(200, 0)


class Load:
    """A running load generator."""

    def __init__(self, port: int, host: str, *, rate: float = 0.0, connections: int = 8) -> None:
        self._command = [sys.executable, "-m", "rolloutsim.lab.load", str(port), host, str(rate)]
        self._command.append(str(connections))
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.totals = Totals()
        """As of the last second."""

    def start(self) -> Load:
        """Begin."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._listen, name="lab-load", daemon=True)
        self._reader.start()
        return self

    def stop(self) -> Totals:
        """End, and say what became of all requests."""
        process, reader = self._process, self._reader
        if process is not None and reader is not None and process.stdin is not None:
            process.stdin.close()
            reader.join(10.0)
            process.wait(5.0)
            self._process = None
        return self.totals

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                told = json.loads(line)
                statuses = {int(status): count for status, count in told["statuses"].items()}
                self.totals = Totals(statuses, told["versions"])


class _Generator:
    def __init__(self, port: int, host: str, rate: float, connections: int) -> None:
        self._port, self._rate, self._connections = port, rate, connections
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._statuses: Counter[int] = Counter()
        self._versions: Counter[str] = Counter()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._ends = False

    async def run(self) -> None:
        stopped = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        workers = [self._steady()] if self._rate else [self._busy() for _ in range(self._connections)]
        tasks = [asyncio.ensure_future(worker) for worker in workers]
        while not stopped.done():
            await asyncio.wait([stopped], timeout=1.0)
            self._tell()
        self._ends = True
        await asyncio.wait(tasks, timeout=5.0)
        self._tell()

    def _tell(self) -> None:
        told: dict[str, Any] = {"statuses": self._statuses, "versions": self._versions}
        print(json.dumps(told), flush=True)  # noqa: T201

    async def _busy(self) -> None:
        while not self._ends:
            await self._ask()

    async def _steady(self) -> None:
        due, open_requests = monotonic_s(), set()
        while not self._ends:
            task = asyncio.ensure_future(self._ask())
            open_requests.add(task)
            task.add_done_callback(open_requests.discard)
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - monotonic_s()))
        if open_requests:
            await asyncio.wait(open_requests, timeout=3.0)

    async def _ask(self) -> None:
        """One request; a connection that fails is not used again, and the request is not repeated."""
        try:
            if self._idle:
                reader, writer = self._idle.pop()
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            self._statuses[0] += 1
            await asyncio.sleep(0.05)
            return
        try:
            writer.write(self._request)
            status, body, keeps = await asyncio.wait_for(_answer(reader), 10.0)
        except (TimeoutError, OSError, EOFError, ValueError):
            self._statuses[0] += 1
            writer.close()
            return
        self._statuses[status] += 1
        if status == 200:
            self._versions[str(json.loads(body).get("version", ""))] += 1
        if keeps:
            self._idle.append((reader, writer))
        else:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    body = await reader.readexactly(int(length)) if length else b"{}"
    return status, body, bool(length) and b"connection: close" not in head


def main() -> None:
    """Read the arguments and run."""
    port, host, rate, connections = sys.argv[1:5]
    with suppress(BrokenPipeError):  # whoever wanted to know the totals is gone
        asyncio.run(_Generator(int(port), host, float(rate), int(connections)).run())


if __name__ == "__main__":
    main()
