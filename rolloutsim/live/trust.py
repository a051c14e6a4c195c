"""Whom measurements over TLS trust: loaded once, and again when its file has changed.

To load the authorities of a system takes some 30 ms of a processor, more than the measurement itself.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import httpx

from rolloutsim.prometheus import tls_context

__all__ = ["Trust"]


class Trust:
    """TLS contexts by what they trust. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, bool], tuple[int, ssl.SSLContext]] = {}

    def context(self, ca_file: str = "", *, insecure: bool = False) -> ssl.SSLContext:
        """For the authorities of a PEM file, "" for the system's; ``insecure`` trusts anybody.

        Raises
        ------
        ExecutorError : the file cannot be read or holds no certificate.
        """
        key = (ca_file, insecure)
        changed_ns = _changed_ns(ca_file)
        with self._lock:
            known = self._known.get(key)
            if known is None or known[0] != changed_ns:
                made = httpx.create_ssl_context(verify=tls_context(ca_file, insecure=insecure))
                known = self._known[key] = (changed_ns, made)
            return known[1]


def _changed_ns(file: str) -> int:
    """When a file was last changed; 0 for one that cannot be looked at, or for none."""
    try:
        return Path(file).stat().st_mtime_ns if file else 0
    except OSError:
        return 0
