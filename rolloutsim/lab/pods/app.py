"""One pod's HTTP server: answers, errors, latency, readiness, metrics.

It counts as an instrumented application does: `rolloutsim.telemetry`'s preset "app", in the text format that
Prometheus scrapes at ``/metrics``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from statistics import NormalDist

from rolloutsim.lab.pods.profile import Profile
from rolloutsim.telemetry import PRESETS, Labels, request_series

__all__ = ["App"]

_PRESET = PRESETS["app"]
_NORMAL = NormalDist()
_MAX_HEAD = 64 * 1024


class App:
    """A pod's application. ``name`` is the pod's; ``version`` its pod-template-hash.

    ``image`` is what runs in it; each answer names it in the header X-Image.
    """

    def __init__(self, name: str, service: str, version: str, image: str, profile: Profile) -> None:
        self.name, self.version, self.profile = name, version, profile
        self.header = b"X-Image: " + "".join(filter(str.isprintable, image)).encode()
        self.ready = False
        self.ends = False
        self.address = ""
        self._series = request_series(_PRESET, service, version)
        self._asked = 0
        self._statuses: Counter[int] = Counter()
        self._buckets = [0] * (len(_PRESET.bounds_s) + 1)
        self._seconds = 0.0
        self._connections: set[_Connection] = set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, address: str, ports: list[int]) -> None:
        """Take the address; raises OSError if a port of it is taken."""
        loop = asyncio.get_running_loop()
        try:
            for port in ports:
                make: Callable[[], _Connection] = lambda: _Connection(self)  # noqa: E731
                self._servers.append(await loop.create_server(make, address, port, backlog=512))
        except OSError:
            self.close()
            raise
        self.address = address

    def close(self) -> None:
        """Listen no more; idle connections end now, busy ones after their answer."""
        self.ends = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.finish()

    def abort(self) -> None:
        """End what is still open."""
        for connection in list(self._connections):
            connection.abort()

    def opened(self, connection: _Connection) -> None:
        """A connection was made."""
        self._connections.add(connection)

    def closed(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)

    def answer(self, path: str) -> tuple[int, bytes, float]:
        """Status, body and seconds to wait, for a request; it is counted."""
        if path.startswith("/metrics"):
            return 200, self._metrics().encode(), 0.0
        if path == "/ready":
            return (200, b"ready\n", 0.0) if self.ready else (503, b"not ready\n", 0.0)
        failure, spread = self._draws()
        status = 500 if failure < self.profile.error_rate else 200
        latency_s = self.profile.latency_s
        if latency_s:
            latency_s *= math.exp(self.profile.latency_sigma * _NORMAL.inv_cdf(spread))
        self._statuses[status] += 1
        self._buckets[bisect_left(_PRESET.bounds_s, latency_s)] += 1
        self._seconds += latency_s
        body = {"version": self.version, "pod": self.name, "status": status}
        return status, json.dumps(body).encode() + b"\n", latency_s

    def _draws(self) -> tuple[float, float]:
        """Two numbers in (0, 1) that depend only on the pod and on how many requests it had."""
        self._asked += 1
        digest = hashlib.blake2b(f"{self.name}:{self._asked}".encode(), digest_size=8).digest()
        one, other = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
        return (one + 0.5) / 2**32, (other + 0.5) / 2**32

    def _metrics(self) -> str:
        lines = [f"# TYPE {_PRESET.requests} counter"]
        for status, labels in ((200, self._series.success), (500, self._series.error)):
            if status == 200 or self._statuses[status]:
                lines.append(_sample(labels, self._statuses[status]))
        lines.append(f"# TYPE {_PRESET.durations} histogram")
        histogram, total = self._series.durations[0], 0
        for labels, count in zip(histogram.buckets, self._buckets, strict=True):
            total += count
            lines.append(_sample(labels, total))
        lines += [_sample(histogram.sum, self._seconds), _sample(histogram.count, total)]
        return "\n".join(lines) + "\n"


def _sample(labels: Labels, value: float) -> str:
    named = dict(labels)
    name = named.pop("__name__")
    inner = ",".join(f"{key}={json.dumps(text)}" for key, text in named.items())
    return f"{name}{{{inner}}} {value!r}"


class _Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time, the next waits in the buffer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._app.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._app.closed(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def finish(self) -> None:
        """End after the request that is being answered, or now."""
        if not self._busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            if len(self._buffer) > _MAX_HEAD:
                self.abort()
            return
        length = _content_length(head)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        path = head.split(b" ", 2)[1].decode("latin-1") if head.count(b" ") > 1 else "/"
        status, body, wait_s = self._app.answer(path)
        if wait_s > 0:
            self._busy = True
            asyncio.get_running_loop().call_later(wait_s, self._answered, status, body)
        else:
            self._answered(status, body)

    def _answered(self, status: int, body: bytes) -> None:
        self._busy = False
        if self._transport is None:
            return
        ends = self._app.ends
        phrase = {200: b"OK", 500: b"Internal Server Error"}.get(status, b"Service Unavailable")
        more = self._app.header + (b"\r\nConnection: close" if ends else b"")
        self._transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n%s\r\n\r\n%s"
            % (status, phrase, len(body), more, body)
        )
        if ends:
            self._transport.close()
        elif self._buffer:
            self._next()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return 0
