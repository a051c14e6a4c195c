"""A client for Prometheus' HTTP API: queries now and over time, with results as the engine wants them.

Paths, parameters and forms of answers are those of Prometheus, docs/querying/api.md. Whether a window holds
samples at its very start (Prometheus 2) or not (3) is the server's to say. A query changes nothing, so it is
asked again when a connection breaks or a gateway gives up, as long as its time lasts. No message of this
module holds a header, a query or the password of an address.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from rolloutsim.conditions import Result, ScalarResult, VectorResult
from rolloutsim.engine import MeasureError, Outcome
from rolloutsim.errors import ExecutorError, InputError
from rolloutsim.promql import Matrix, Series, SeriesStore
from rolloutsim.promql.api_json import read_api_json
from rolloutsim.promql.intake import value_of

__all__ = [
    "MAX_ANSWER",
    "Prometheus",
    "Server",
    "is_loopback",
    "read_limited",
    "refuse_in_the_clear",
    "tls_context",
]

MAX_ANSWER = 32 << 20
"""Bytes of an answer; a query for more is a mistake."""
FIRST_PAUSE_S = 0.2
"""Before a query is asked again; doubles each time."""
CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
"""Headers that hold a secret whatever their value is."""
BUSY = (429, 502, 503, 504)
"""Statuses with which a server or a gateway says: not now."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a metrics server is and how to talk to it. ``headers`` may hold secrets and are never shown.

    ``confidential``: they do, even if none of them is a header of credentials. ``ca_file`` is a PEM file of
    the authorities to trust instead of the system's; ``insecure`` trusts anybody.
    """

    address: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    confidential: bool = False
    ca_file: str = ""
    insecure: bool = False

    @property
    def shown(self) -> str:
        """The address for messages, without a user's name and password."""
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "") + parts.path


class Prometheus:
    """One server. Safe to use from several threads. ``trust``: instead of what the server's settings say.

    Raises
    ------
    ExecutorError : the address is none, a secret would travel in the clear, or the CA file cannot be read.
    """

    def __init__(self, server: Server, trust: ssl.SSLContext | None = None) -> None:
        self._server = server
        parts = urlsplit(server.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            given = "what was given" if "@" in server.address else repr(server.address)
            raise ExecutorError(
                f"{given} is no address of a metrics server; write http://HOST:PORT or https://HOST"
            )
        secret = server.confidential or parts.password is not None
        refuse_in_the_clear(server.address, server.headers, confidential=secret)
        self._http = httpx.Client(
            base_url=server.address.rstrip("/") + "/",
            headers=dict(server.headers),
            # whom to trust takes 30 ms to load, and nobody asks in the clear
            verify=parts.scheme == "https"
            and (trust or tls_context(server.ca_file, insecure=server.insecure)),
        )

    def close(self) -> None:
        self._http.close()

    def instant(self, query: str, at_ms: int, timeout_ms: int = 30_000) -> Outcome:
        """What a query finds at a time, as Argo Rollouts' provider hands it on, or why it found nothing.

        A matrix is flattened and a string refused (Argo Rollouts, ``metricproviders/prometheus``).
        """
        return self._outcome("query", {"query": query, "time": _seconds(at_ms)}, timeout_ms)

    def matrix(self, query: str, at_ms: int, timeout_ms: int = 30_000) -> Matrix:
        """The samples that a range selector finds at a time.

        Raises
        ------
        ExecutorError : the server cannot be asked, or does not answer with series.
        """
        store = self._store(self._ask("query", {"query": query, "time": _seconds(at_ms)}, timeout_ms))
        found = []
        for index in range(len(store)):
            times, values = store.samples(index)
            found.append(Series(store.labels(index), tuple(times.tolist()), tuple(values.tolist())))
        return Matrix(tuple(found))

    def over(self, query: str, start_ms: int, end_ms: int, step_ms: int, timeout_ms: int = 30_000) -> Outcome:
        """What a range query finds: all its values, series by series."""
        return self._outcome("query_range", _range(query, start_ms, end_ms, step_ms), timeout_ms)

    def series(
        self, query: str, start_ms: int, end_ms: int, step_ms: int, timeout_ms: int = 30_000
    ) -> SeriesStore:
        """The points of a range query as series with their labels.

        Raises
        ------
        ExecutorError : the server cannot be asked, or does not answer with series.
        """
        return self._store(self._ask("query_range", _range(query, start_ms, end_ms, step_ms), timeout_ms))

    def _store(self, text: str) -> SeriesStore:
        try:
            return read_api_json(text, source=self._server.shown)
        except InputError as error:
            raise ExecutorError(str(error)) from None

    def _outcome(self, what: str, parameters: Mapping[str, str], timeout_ms: int) -> Outcome:
        try:
            text = self._ask(what, parameters, timeout_ms)
        except ExecutorError as error:
            return MeasureError(str(error))
        try:
            return _result(json.loads(text)["data"])
        except (KeyError, TypeError, ValueError):
            return MeasureError(f"{self._server.shown} answered with something else than Prometheus' JSON")

    def _ask(self, what: str, parameters: Mapping[str, str], timeout_ms: int) -> str:
        """The body of a successful answer."""
        ends = _monotonic_s() + timeout_ms / 1000
        pause_s = FIRST_PAUSE_S
        form = {**parameters, "timeout": f"{timeout_ms}ms"}
        while True:
            left_s = ends - _monotonic_s()
            try:
                status, text = self._once(what, form, max(0.001, left_s))
                why = f"{self._server.shown} answered with status {status}"
            except httpx.TimeoutException:
                raise ExecutorError(
                    f"{self._server.shown} did not answer within {timeout_ms} ms; is the query too wide, or "
                    "the server too busy?"
                ) from None
            except httpx.TransportError as error:
                status, text, why = 503, "", _unreachable(self._server, error)
            if status == 200:
                return text
            if status not in BUSY:
                raise ExecutorError(_refusal(self._server, status, text))
            if _monotonic_s() + pause_s >= ends:
                raise ExecutorError(f"{why}; is it up, and the address right?")
            time.sleep(pause_s)
            pause_s *= 2

    def _once(self, what: str, form: Mapping[str, str], timeout_s: float) -> tuple[int, str]:
        """POST, as clients of the API do, since queries are long; GET for a server that has no POST."""
        path = f"api/v1/{what}"
        status, text = self._exchange("POST", path, timeout_s, data=form)
        if status in (405, 501):
            status, text = self._exchange("GET", path, timeout_s, params=form)
        return status, text

    def _exchange(self, method: str, path: str, timeout_s: float, **content: Any) -> tuple[int, str]:
        with self._http.stream(method, path, timeout=timeout_s, **content) as response:
            body = read_limited(response, MAX_ANSWER, _monotonic_s() + timeout_s)
            if body is None:
                raise ExecutorError(
                    f"{self._server.shown} answered with more than {MAX_ANSWER >> 20} MiB; ask for less"
                )
            return response.status_code, body.decode("utf-8", "replace")


def read_limited(response: httpx.Response, limit: int, ends_s: float) -> bytes | None:
    """The body of a streamed answer; None if it is longer than ``limit`` bytes.

    Raises
    ------
    httpx.ReadTimeout : the body is not complete at the time ``ends_s`` of the monotonic clock, in seconds.
    """
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > limit:
            return None
        if _monotonic_s() > ends_s:
            raise httpx.ReadTimeout("the body took too long", request=response.request)
        parts.append(part)
    return b"".join(parts)


def refuse_in_the_clear(address: str, headers: Mapping[str, str], *, confidential: bool) -> None:
    """Raises ExecutorError if credentials, or anything ``confidential``, would leave here without TLS."""
    parts = urlsplit(address)
    secret = confidential or any(name.lower() in CREDENTIALS for name in headers)
    if secret and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ExecutorError(
            f"the credentials for {Server(address).shown} would travel in the clear; give it an https address"
        )


def tls_context(ca_file: str, *, insecure: bool) -> ssl.SSLContext | bool:
    """Whom to trust: the authorities of a file, the system's (True), or anybody (False).

    Raises
    ------
    ExecutorError : the file cannot be read or holds no certificate.
    """
    if insecure:
        return False
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ExecutorError(
            f"the authorities of {ca_file!r} cannot be read; give a file of PEM certificates"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that nothing leaves it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _result(data: Any) -> Result | MeasureError:
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return ScalarResult(value_of(result[1]))
    if kind == "vector":
        return VectorResult(tuple(value_of(one["value"][1]) for one in result))
    if kind == "matrix":
        return VectorResult(tuple(value_of(value) for one in result for _, value in one["values"]))
    return MeasureError("Prometheus metric type not supported")


def _range(query: str, start_ms: int, end_ms: int, step_ms: int) -> dict[str, str]:
    times = {"start": start_ms, "end": end_ms, "step": step_ms}
    return {"query": query, **{name: _seconds(value) for name, value in times.items()}}


def _seconds(ms: int) -> str:
    sign, (seconds, rest) = "-" if ms < 0 else "", divmod(abs(ms), 1000)
    return f"{sign}{seconds}.{rest:03d}"


def _refusal(server: Server, status: int, text: str) -> str:
    if status in (401, 403):
        return f"{server.shown} refused the credentials (status {status}); look at the secret and its header"
    try:
        said = json.loads(text)
        kind, why = str(said["errorType"]), str(said["error"])
    except (KeyError, TypeError, ValueError):
        return f"{server.shown} answered with status {status} and no Prometheus error; is the address right?"
    return f"{server.shown} could not evaluate the query ({kind}): {why}"


def _unreachable(server: Server, error: httpx.TransportError) -> str:
    reason = str(error) or type(error).__name__
    return f"{server.shown} cannot be reached: {reason}"


def _monotonic_s() -> float:
    return time.monotonic()  # noqa: TID251 - how long to wait for a server is no decision
