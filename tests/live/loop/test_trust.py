"""Measurements over TLS: whom to trust is loaded once, and again when its file is another one."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

import pytest

from rolloutsim.conditions import JsonResult, ScalarResult
from rolloutsim.engine import MeasureError
from rolloutsim.errors import ExecutorError
from rolloutsim.lab import self_signed
from rolloutsim.live.queries import PrometheusQueries, WebChecks
from rolloutsim.live.trust import Trust
from rolloutsim.policy.model import PrometheusProvider, WebProvider
from rolloutsim.prometheus import Server
from tests.live.loop.answering import answering
from tests.live.loop.test_measure import question

FOUR = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1, "4"]}})


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each time that authorities are loaded."""
    found: list[str] = []
    true = ssl.create_default_context

    def counted(*args: object, **kwargs: object) -> ssl.SSLContext:
        found.append(str(kwargs))
        return true(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    return found


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_authorities_are_loaded_once_for_all_measurements(tmp_path: Path, loaded: list[str]) -> None:
    pair = self_signed(tmp_path)
    with answering(lambda asked: (200, FOUR), pair) as server:
        queries = PrometheusQueries({"": Server(server.url, ca_file=str(pair[0]))})
        for _ in range(5):
            assert queries(question(PrometheusProvider("up"))) == ScalarResult(4.0)
    assert len(loaded) == 1


def test_a_renewed_authority_is_trusted_from_then_on(tmp_path: Path, loaded: list[str]) -> None:
    old, new = (self_signed(folder(tmp_path / name)) for name in ("old", "new"))
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(old[0].read_bytes())
    with answering(lambda asked: (200, FOUR), new) as server:
        queries = PrometheusQueries({"": Server(server.url, ca_file=str(trusted))})
        provider = PrometheusProvider("up", timeout_ms=300)
        refused = queries(question(provider))
        assert isinstance(refused, MeasureError)
        assert "CERTIFICATE_VERIFY_FAILED" in refused.message
        trusted.write_bytes(new[0].read_bytes())
        os.utime(trusted, ns=(1, trusted.stat().st_mtime_ns + 1))
        assert queries(question(provider)) == ScalarResult(4.0)
    assert len(loaded) == 2


def test_web_checks_load_authorities_once_and_only_for_tls(tmp_path: Path, loaded: list[str]) -> None:
    checks = WebChecks()
    with answering(lambda asked: (200, "true")) as server:
        provider = WebProvider(server.url, "{$}", 5_000, "{}")
        assert checks(question(provider)) == JsonResult(True)
    assert not loaded
    with answering(lambda asked: (200, "true"), self_signed(tmp_path)) as server:
        refused = checks(question(WebProvider(server.url, "{$}", 5_000, "{}")))
        assert isinstance(refused, MeasureError)
        for _ in range(3):
            insecure = WebProvider(server.url, "{$}", 5_000, json.dumps({"insecure": True}))
            assert checks(question(insecure)) == JsonResult(True)
    assert len(loaded) <= 1


def test_contexts_are_told_apart(tmp_path: Path) -> None:
    trust = Trust()
    assert trust.context() is trust.context()
    assert trust.context().verify_mode is ssl.CERT_REQUIRED
    assert trust.context(insecure=True).verify_mode is ssl.CERT_NONE
    certificate, _ = self_signed(tmp_path)
    assert trust.context(str(certificate)) is not trust.context()
    with pytest.raises(ExecutorError, match="cannot be read; give a file of PEM certificates"):
        trust.context(str(tmp_path / "none.pem"))
