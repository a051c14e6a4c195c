"""A recorded or simulated rollout as a Prometheus server: its query API, read-only, on this machine alone.

Grafana, ``promtool query`` and scripts ask it as they ask the server in production. Paths, parameters, forms
of answers and status codes are those of Prometheus 3.5 (docs/querying/api.md, web/api/v1/api.go). A query
without a time is asked at the end of the recording: there is no other now.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rolloutsim.promql import LOOKBACK_MS, PromQLError, Query, SeriesStore, compile_query
from rolloutsim.promql.api_json import error_json, result_json, success_json
from rolloutsim.promql.catalog import label_names, label_values, series_matching, time_range
from rolloutsim.promql.intake import rfc3339_ms, seconds_ms, value_of
from rolloutsim.promql.lexer import duration_ms

__all__ = ["MAX_POINTS", "QueryApi", "QueryServer"]

MAX_POINTS = 11_000
"""Steps of a range query (Prometheus, web/api/v1/api.go)."""
MAX_BODY = 1 << 20
"""Bytes of a request's body."""

_HOSTS = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]+)?", re.IGNORECASE)
_LABEL_VALUES = re.compile(r"/api/v1/label/([^/]+)/values")
_KEPT = 2_000
"""Selectors whose series are remembered; beyond that all are forgotten and looked up again."""

Parameters = Mapping[str, Sequence[str]]
Answer = tuple[HTTPStatus, str]


class _BadRequest(Exception):
    """A request that cannot be understood; the message is for its sender."""


class QueryApi:
    """Prometheus' query API over one store: from a path and its parameters to a status and JSON text.

    left_closed : windows hold samples at their very start too, as in Prometheus 2.
    """

    def __init__(self, store: SeriesStore, *, left_closed: bool = False) -> None:
        self.store = store
        self.left_closed = left_closed
        span = time_range(store)
        self.now_ms = span[1] if span else 0
        self._one_at_a_time = threading.Lock()
        self._paths: dict[str, Callable[[Parameters], str]] = {
            "/api/v1/query": self._query,
            "/api/v1/query_range": self._query_range,
            "/api/v1/series": self._series,
            "/api/v1/labels": self._labels,
            "/api/v1/metadata": lambda parameters: success_json({}),
            "/api/v1/status/buildinfo": lambda parameters: success_json(_build()),
        }

    def answer(self, path: str, parameters: Parameters) -> Answer:
        """The answer to a request; all that can be wrong with one is an answer too."""
        label = _LABEL_VALUES.fullmatch(path)
        action = self._paths.get(path)
        try:
            if label is not None:
                return HTTPStatus.OK, self._label_values(unquote(label.group(1)), parameters)
            if action is not None:
                return HTTPStatus.OK, action(parameters)
        except _BadRequest as error:
            return HTTPStatus.BAD_REQUEST, error_json("bad_data", str(error))
        except PromQLError as error:
            return HTTPStatus.UNPROCESSABLE_ENTITY, error_json("execution", error.message)
        return HTTPStatus.NOT_FOUND, error_json("not_found", f"{path} is not answered here")

    def _query(self, parameters: Parameters) -> str:
        asked = _time(parameters, "time")
        at_ms = self.now_ms if asked is None else asked
        query, lookback_ms = _compiled(parameters), _lookback(parameters)
        with self._one_at_a_time:
            self._forget()
            query.refuse_excess(self.store)
            result = query.evaluate(self.store, at_ms, left_closed=self.left_closed, lookback_ms=lookback_ms)
        return success_json(result_json(result, at_ms))

    def _query_range(self, parameters: Parameters) -> str:
        first_ms, last_ms = _needed_time(parameters, "start"), _needed_time(parameters, "end")
        if last_ms < first_ms:
            raise _BadRequest('invalid parameter "end": end timestamp must not be before start time')
        step_ms = _duration(parameters, "step")
        if step_ms <= 0:
            raise _BadRequest(
                'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
                "Try a positive integer"
            )
        if (last_ms - first_ms) // step_ms > MAX_POINTS:
            raise _BadRequest(
                "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
                "resolution (?step=XX)"
            )
        query, lookback_ms = _compiled(parameters), _lookback(parameters)
        if query.result not in ("scalar", "vector"):
            raise _BadRequest(
                f'invalid parameter "query": invalid expression type "{query.result}" for range query, must '
                "be Scalar or instant Vector"
            )
        with self._one_at_a_time:
            self._forget()
            result = query.evaluate_range(
                self.store,
                first_ms,
                last_ms,
                step_ms,
                left_closed=self.left_closed,
                lookback_ms=lookback_ms,
            )
        return success_json(result_json(result, last_ms))

    def _series(self, parameters: Parameters) -> str:
        if not parameters.get("match[]"):
            raise _BadRequest("no match[] parameter provided")
        return _limited([dict(labels) for labels in self._matching(parameters)], parameters)

    def _labels(self, parameters: Parameters) -> str:
        return _limited(label_names(self._matching(parameters)), parameters)

    def _label_values(self, name: str, parameters: Parameters) -> str:
        return _limited(label_values(self._matching(parameters), name), parameters)

    def _matching(self, parameters: Parameters) -> list[Any]:
        first, last = (_time(parameters, name) for name in ("start", "end"))
        try:
            return series_matching(self.store, parameters.get("match[]", ()), first, last)
        except PromQLError as error:
            raise _BadRequest(f'invalid parameter "match[]": {_told(error)}') from None

    def _forget(self) -> None:
        """Let go of what dropped queries found, so that a server that is asked much does not grow."""
        if len(self.store.resolved) > _KEPT:
            self.store.resolved.clear()


def _compiled(parameters: Parameters) -> Query:
    try:
        return compile_query(_first(parameters, "query"))
    except PromQLError as error:
        if error.kind == "parse":
            raise _BadRequest(f'invalid parameter "query": {_told(error)}') from None
        raise


def _told(error: PromQLError) -> str:
    place = f"{error.line}:{error.column}" if error.line else "unknown position"
    return f"{place}: parse error: {error.message}"


def _first(parameters: Parameters, name: str) -> str:
    return next(iter(parameters.get(name, ())), "")


def _time(parameters: Parameters, name: str) -> int | None:
    return _needed_time(parameters, name) if _first(parameters, name) else None


def _needed_time(parameters: Parameters, name: str) -> int:
    text = _first(parameters, name)
    at_ms = rfc3339_ms(text)
    try:
        return seconds_ms(text) if at_ms is None else at_ms
    except ValueError:
        raise _BadRequest(f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp') from None


def _duration(parameters: Parameters, name: str) -> int:
    """Milliseconds of a number of seconds or a duration such as 1m30s."""
    text = _first(parameters, name)
    try:
        return int(value_of(text) * 1000)
    except (ValueError, OverflowError):
        length = duration_ms(text) if text[:1].isdigit() else None
    if length is None:
        raise _BadRequest(f'invalid parameter "{name}": cannot parse "{text}" to a valid duration')
    return length


def _lookback(parameters: Parameters) -> int:
    """The lookback in ms; ``timeout`` is looked at only for its form, since no query runs long here."""
    if _first(parameters, "timeout"):
        _duration(parameters, "timeout")
    if not _first(parameters, "lookback_delta"):
        return LOOKBACK_MS
    lookback_ms = _duration(parameters, "lookback_delta")
    if lookback_ms <= 0:
        raise _BadRequest('invalid parameter "lookback_delta": it must be positive')
    return lookback_ms


def _limited(items: list[Any], parameters: Parameters) -> str:
    text = _first(parameters, "limit") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _BadRequest('invalid parameter "limit": limit must be non-negative')
    limit = int(text)
    if 0 < limit < len(items):
        return success_json(items[:limit], ["results truncated due to limit"])
    return success_json(items)


def _build() -> dict[str, str]:
    """What clients ask for to know which functions there are: those of Prometheus 3.5."""
    return {
        "version": "3.5.0",
        "revision": f"rolloutsim {version('rolloutsim')}",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }


class QueryServer(ThreadingHTTPServer):
    """An HTTP server for a `QueryApi`, on 127.0.0.1 and nowhere else; port 0 takes a free one.

    ``url`` is its address. Answers only requests whose Host is this machine, so that no web page can reach it
    under a name of its own. Raises OSError if the port is taken.
    """

    daemon_threads = True

    def __init__(self, api: QueryApi, port: int) -> None:
        self.api = api
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours; anything else is shown."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, writes each answer at once."""

    server: QueryServer
    protocol_version = "HTTP/1.1"
    server_version = "rolloutsim"
    sys_version = ""
    timeout = 60
    wbufsize = -1  # head and body leave together; apart, the second waits for the client's acknowledgement

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a body needs its length")
        elif len(length) > 9 or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {MAX_BODY} bytes")
        else:
            self._answer(self.rfile.read(int(length)).decode("utf-8", "replace"))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def _answer(self, body: str) -> None:
        target = urlsplit(self.path)
        if _HOSTS.fullmatch(self.headers.get("Host", "")) is None:
            self._refuse(HTTPStatus.FORBIDDEN, "only 127.0.0.1 and localhost are answered here")
        elif target.path in ("/-/ready", "/-/healthy"):
            self._send(HTTPStatus.OK, "text/plain; charset=utf-8", "rolloutsim is ready.\n")
        else:
            try:
                parameters = _form(body)
                for name, values in _form(target.query).items():
                    parameters.setdefault(name, []).extend(values)
            except ValueError:
                self._refuse(HTTPStatus.BAD_REQUEST, "too many parameters")
                return
            status, text = self.server.api.answer(target.path, parameters)
            self._send(status, "application/json", text)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer, and end the connection: what follows on it may be the rest of the refused request."""
        self.close_connection = True
        self._send(status, "application/json", error_json("bad_data", why))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _form(text: str) -> dict[str, list[str]]:
    return parse_qs(text, keep_blank_values=True, max_num_fields=1000)
