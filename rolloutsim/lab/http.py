"""The transport: HTTP/1.1 on loopback, one thread for each connection."""

from __future__ import annotations

import ipaddress
import json
import select
import socket
import ssl
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from rolloutsim.lab.api import Request
from rolloutsim.lab.faults import Fault
from rolloutsim.lab.refusals import status_object, unauthorized
from rolloutsim.lab.watch import Watch

if TYPE_CHECKING:
    from rolloutsim.lab.server import Server

__all__ = ["Listener"]

MAX_BODY = 3 * 1024 * 1024
"""Bytes of a request's body (k8s.io/apiserver, MaxRequestBodyBytes)."""


class Listener(ThreadingHTTPServer):
    """The listening socket of a server; ``host`` has to be a loopback address (ValueError)."""

    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, owner: Server, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"the emulator listens on loopback only, not on {host}")
        self.owner = owner
        self.ends = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), _Connection)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection and remember it, so that it can be ended."""
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end(self) -> None:
        """Stop listening and end all connections, idle ones and watches too."""
        self.ends = True
        self.shutdown()
        self.server_close()
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours; anything else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Connection(BaseHTTPRequestHandler):
    """One connection: requests in, each answer out in one piece."""

    server: Listener
    protocol_version = "HTTP/1.1"
    server_version = "rolloutsim-emulator"
    sys_version = ""
    wbufsize = -1  # head and body leave together; apart, the second waits for the client's acknowledgement

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def _handle(self) -> None:
        body = self._read_body()
        if body is None:
            return
        owner = self.server.owner
        fault = owner.faults.take(self.command, self.path)
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        user = owner.access.user(self.headers.get("Authorization", ""))
        if user is None:
            self._send(401, unauthorized().status)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body, user)
        if fault is not None and (fault.code or fault.lost):
            self._fail(fault, request)
            return
        answer = owner.serve(request)
        if answer.watch is not None:
            self._stream(owner.watch(answer.watch, self._is_gone))
        else:
            self._send(answer.code, answer.body, answer.warnings)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def _fail(self, fault: Fault, request: Request) -> None:
        if fault.acted:
            self.server.owner.serve(request)
        if fault.lost:
            self.close_connection = True
            _cut(self.connection)
            return
        told = {429: "the server has received too many requests and has asked us to try again later"}
        body = status_object(fault.code, told.get(fault.code, "an injected fault of the emulator"))
        if fault.retry_after_s is not None:
            body["details"] = {"retryAfterSeconds": fault.retry_after_s}
        self._send(fault.code, body, retry_after_s=fault.retry_after_s)

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self._send(411, status_object(411, "a body needs its length"))
            return None
        if int(length) > MAX_BODY:
            self.close_connection = True
            self._send(413, status_object(413, f"Request entity too large: limit is {MAX_BODY}"))
            return None
        return self.rfile.read(int(length))

    def _send(
        self, code: int, body: Any, warnings: tuple[str, ...] = (), retry_after_s: int | None = None
    ) -> None:
        plain = isinstance(body, str)
        data = (body if plain else json.dumps(body, separators=(",", ":")) + "\n").encode()
        self.send_response(code, _phrase(code))
        self.send_header("Content-Type", "text/plain; charset=utf-8" if plain else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for warning in warnings:
            self.send_header("Warning", f"299 - {json.dumps(warning)}")
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _stream(self, watch: Watch) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for line in watch.lines():
            if line:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
        if watch.gone():
            self.close_connection = True
            _cut(self.connection)
        else:
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

    def _is_gone(self) -> bool:
        if self.server.ends:
            return True
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        if not isinstance(self.connection, ssl.SSLSocket):
            return not self.connection.recv(1, socket.MSG_PEEK)
        self.connection.setblocking(False)  # TLS has no peeking, and a client that watches says no more
        try:
            return not self.connection.recv(1)
        except ssl.SSLWantReadError:
            return False
        finally:
            self.connection.setblocking(True)


def _phrase(code: int) -> str:
    return HTTPStatus(code).phrase if code in set(HTTPStatus) else "Unknown"
