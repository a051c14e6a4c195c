"""Credentials on the wire: TLS contexts, bearer tokens, credential plugins.

A token travels over TLS only, unless the server is this very machine. Nothing here logs or keeps what it
sends; a plugin runs as the kubeconfig says, without a shell.

Source: Kubernetes, "Authenticating" (client-go credential plugins, ``client.authentication.k8s.io``).
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from rolloutsim.live.kubeconfig import Access, AccessError, Credentials, Plugin

__all__ = ["authentication", "is_loopback", "tls_context"]

PLUGIN_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
PLUGIN_TIMEOUT_S = 60


def is_loopback(url: str) -> bool:
    """Does the URL name this very machine?"""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(access: Access) -> ssl.SSLContext:
    """The TLS context of a connection, where a plugin may add a client certificate.

    One for a server without TLS trusts nobody and is never used: loading the system's authorities takes
    longer than most requests.

    Raises
    ------
    AccessError : a certificate or key that does not load.
    """
    if not access.server.startswith("https://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = ssl.create_default_context(cadata=access.authority or None)
    except (ssl.SSLError, ValueError):
        raise AccessError(
            f"the certificate authority of context {access.context!r} is not PEM text"
        ) from None
    # Python 3.13 made this the default; the authorities of many clusters lack what it asks for
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.credentials.certificate:
        _load_pair(context, access.credentials.certificate, access.credentials.key, access)
    return context


def _load_pair(context: ssl.SSLContext, certificate: str, key: str, access: Access) -> None:
    with _private_file(certificate) as chain, _private_file(key) as secret:
        try:
            context.load_cert_chain(chain, secret)
        except (ssl.SSLError, OSError):
            raise AccessError(
                f"the client certificate and key of user {access.user!r} do not load; mend the kubeconfig"
            ) from None


@contextmanager
def _private_file(text: str) -> Iterator[str]:
    """OpenSSL reads keys from files only: one that only this user can read, for this moment."""
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        yield name
    finally:
        Path(name).unlink()


def authentication(access: Access, context: ssl.SSLContext) -> httpx.Auth | None:
    """How requests prove who they are; a plugin's client certificate goes into ``context``.

    Raises
    ------
    AccessError : credentials would travel in the clear, or the plugin fails.
    """
    credentials = access.credentials
    if not access.server.startswith("https://") and not credentials.empty and not is_loopback(access.server):
        raise AccessError(
            f"{access.server} is not https, so credentials would travel in the clear; use an https server"
        )
    if credentials.token_file or credentials.token:
        return _Token(credentials)
    if credentials.plugin:
        return _PluginToken(credentials.plugin, access, context)
    if credentials.username:
        return httpx.BasicAuth(credentials.username, credentials.password)
    return None


class _Token(httpx.Auth):
    """A fixed token, or one in a file that somebody renews: it is read for every request."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token, path = self._credentials.token, self._credentials.token_file
        if path is not None:
            try:
                token = path.read_text().strip()
            except OSError as error:
                raise AccessError(f"cannot read the token file {path}: {error.strerror}") from None
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


class _PluginToken(httpx.Auth):
    """The token of a credential plugin, asked for again when the server refuses it."""

    def __init__(self, plugin: Plugin, access: Access, context: ssl.SSLContext) -> None:
        if plugin.api_version not in PLUGIN_VERSIONS:
            raise AccessError(
                f"the credential plugin {plugin.command} speaks {plugin.api_version or 'no version'}; "
                f"expected {' or '.join(PLUGIN_VERSIONS)}"
            )
        self._plugin = plugin
        self._access = access
        self._lock = threading.Lock()
        status = self._run()
        self._token = str(status.get("token") or "")
        if status.get("clientCertificateData"):
            certificate, key = str(status["clientCertificateData"]), str(status.get("clientKeyData") or "")
            _load_pair(context, certificate, key, access)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        used = self._token
        if not used:
            yield request
            return
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code != 401:
            return
        with self._lock:
            if self._token == used:
                self._token = str(self._run().get("token") or "")
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    def _run(self) -> dict[str, Any]:
        plugin = self._plugin
        environment = {**os.environ, **dict(plugin.environment)}
        environment["KUBERNETES_EXEC_INFO"] = json.dumps(self._request())
        try:
            done = subprocess.run(
                [plugin.command, *plugin.args],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=PLUGIN_TIMEOUT_S,
                check=True,
            )
            status = json.loads(done.stdout)["status"]
        except OSError as error:
            hint = f"; {plugin.hint}" if plugin.hint else ""
            raise AccessError(f"cannot run {plugin.command}: {error.strerror}{hint}") from None
        except subprocess.SubprocessError:
            raise AccessError(f"the credential plugin {plugin.command} failed; run it by hand") from None
        except (ValueError, KeyError, TypeError):
            raise AccessError(f"the credential plugin {plugin.command} printed no ExecCredential") from None
        if not isinstance(status, dict) or not (status.get("token") or status.get("clientCertificateData")):
            raise AccessError(f"the credential plugin {plugin.command} gave neither token nor certificate")
        return status

    def _request(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": False}
        if self._plugin.cluster_info:
            spec["cluster"] = {"server": self._access.server}
        return {"apiVersion": self._plugin.api_version, "kind": "ExecCredential", "spec": spec}
