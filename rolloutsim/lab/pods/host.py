"""The process in which all pods run: ``python -m rolloutsim.lab.pods.host``.

It takes commands as JSON lines on standard input and tells what happens as JSON lines on standard output:

* ``{"do": "start", "id", "name", "service", "version", "image", "ports", "profile"}`` ->
  ``{"event": "started", "id", "address"}``, then ``ready`` after the profile's start time;
* ``{"do": "set", "id", "profile"}`` -> ``ready`` or ``unready`` if that changes;
* ``{"do": "stop", "id", "wait_s"}`` -> ``{"event": "ended", "id"}`` when it has served for that long.

It ends with its standard input, so it cannot outlive who started it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from rolloutsim.lab.pods.app import App
from rolloutsim.lab.pods.profile import Profile

__all__ = ["Host", "main"]

_START_SPREAD = 0.1
"""Pods of one start time become ready up to this share later than each other, as on real nodes."""
_LAST_WORDS_S = 0.2
"""How long requests that are being answered may take after the end."""


class Host:
    """The running pods, by id."""

    def __init__(self) -> None:
        self._apps: dict[str, App] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._addresses = _addresses()

    def obey(self, command: dict[str, Any]) -> None:
        """Carry out one command."""
        actions: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
            "start": self._start,
            "set": self._set,
            "stop": self._stop,
        }
        task = asyncio.ensure_future(actions[command.pop("do")](**command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(
        self,
        id: str,
        name: str,
        service: str,
        version: str,
        image: str,
        ports: list[int],
        profile: dict[str, Any],
    ) -> None:
        app = App(name, service, version, image, Profile(**profile))
        self._apps[id] = app
        while True:
            try:
                await app.listen(next(self._addresses), ports)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                app.ends = False
        _tell("started", id, address=app.address)
        await asyncio.sleep(app.profile.start_s * (1 + _START_SPREAD * _share(name)))
        self._judge(id, app)

    async def _set(self, id: str, profile: dict[str, Any]) -> None:
        app = self._apps.get(id)
        if app is not None:
            started = app.ready or app.profile.never_ready
            app.profile = Profile(**profile)
            if started:
                self._judge(id, app)

    async def _stop(self, id: str, wait_s: float) -> None:
        app = self._apps.get(id)
        if app is not None:
            await asyncio.sleep(wait_s)
            app.close()
            self._apps.pop(id, None)
        _tell("ended", id)
        if app is not None:
            await asyncio.sleep(_LAST_WORDS_S)
            app.abort()

    def _judge(self, id: str, app: App) -> None:
        ready = not app.profile.never_ready
        if id in self._apps and ready != app.ready:
            app.ready = ready
            _tell("ready" if ready else "unready", id)


def _addresses() -> Iterator[str]:
    """Loopback addresses, from a corner of 127/8 that differs between processes."""
    at = os.getpid() * 256
    while True:
        at += 1
        first, second, third = at >> 16 & 255, at >> 8 & 255, at & 255
        if 0 < third < 255 and (first, second) != (0, 0):
            yield f"127.{first}.{second}.{third}"


def _share(name: str) -> float:
    """A number in [0, 1) that depends on a name only."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") / 2**32


def _tell(event: str, id: str, **more: str) -> None:
    sys.stdout.write(json.dumps({"event": event, "id": id, **more}) + "\n")
    sys.stdout.flush()


async def _run() -> None:
    host, reader = Host(), asyncio.StreamReader(limit=1 << 20)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    while line := await reader.readline():
        host.obey(json.loads(line))


def main() -> None:
    """Run until standard input ends."""
    asyncio.run(_run())


if __name__ == "__main__":
    import signal

    # Ctrl-C is for the process that started this one: it decides when pods end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
