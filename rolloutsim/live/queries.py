"""Prometheus metrics, the counts of gates, and web checks: the instruments that ask over HTTP.

Settings and meaning are those of Argo Rollouts (``metricproviders/prometheus`` and ``webmetric``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from rolloutsim.conditions import JsonResult, StringResult
from rolloutsim.engine import MeasureError, Outcome
from rolloutsim.engine.counting import count_arms
from rolloutsim.live.jsonpath import first_match
from rolloutsim.live.measure import Question
from rolloutsim.live.trust import Trust
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import PrometheusProvider, WebProvider
from rolloutsim.prometheus import Prometheus, Server, read_limited, refuse_in_the_clear

__all__ = ["PrometheusQueries", "WebChecks"]

MAX_WEB_ANSWER = 1 << 20
"""Bytes of a web check's answer."""


class PrometheusQueries:
    """Asks the server that a metric names, or what stands for it here: for a result, or for a gate's counts.

    ``servers`` maps an address as a policy writes it to the server to ask instead; "" is for metrics that
    name none. A metric's own headers are added to the server's.
    """

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._servers = dict(servers)
        self._trust = Trust()

    def __call__(self, question: Question) -> Outcome:
        provider = question.request.provider
        assert isinstance(provider, PrometheusProvider | GatedCounts)
        settings = json.loads(provider.settings_json)
        if settings.get("authentication"):
            return MeasureError(
                "oauth2 and sigv4 are not spoken by this executor; give the metric a header instead"
            )
        known = self._servers.get(provider.address)
        if known is None and not provider.address:
            return MeasureError("the metric names no Prometheus address; give one to the metric or to run")
        known = known or Server(provider.address)
        server = Server(
            known.address,
            {**known.headers, **_headers(settings)},
            confidential=known.confidential or question.confidential,
            ca_file=known.ca_file,
            insecure=known.insecure or bool(settings.get("insecure")),
        )
        secure = urlsplit(server.address).scheme == "https"
        trust = self._trust.context(server.ca_file, insecure=server.insecure) if secure else None
        client = Prometheus(server, trust)
        try:
            return _asked(client, question)
        finally:
            client.close()


def _asked(client: Prometheus, question: Question) -> Outcome:
    provider = question.request.provider
    if isinstance(provider, GatedCounts):
        timeout_ms = provider.timeout_ms
        return count_arms(
            question.request, question.at_ms, lambda query, at_ms: client.matrix(query, at_ms, timeout_ms)
        )
    assert isinstance(provider, PrometheusProvider)
    if provider.range_query is not None:
        return MeasureError("a rangeQuery is not measured by this executor; write an instant query")
    return client.instant(provider.query, question.at_ms, provider.timeout_ms)


class WebChecks:
    """One HTTP request; its JSON answer at ``jsonPath``, or its text if it is no JSON."""

    def __init__(self) -> None:
        self._trust = Trust()

    def __call__(self, question: Question) -> Outcome:
        """Raises ExecutorError if a secret would travel in the clear."""
        return _web_check(question, self._trust)


def _web_check(question: Question, trust: Trust) -> Outcome:
    provider = question.request.provider
    assert isinstance(provider, WebProvider)
    settings = json.loads(provider.settings_json)
    if settings.get("authentication"):
        return MeasureError("oauth2 is not spoken by this executor; give the metric a header instead")
    url, headers = provider.url, _headers(settings)
    shown = _shown(url)
    if urlsplit(url).scheme not in ("http", "https"):
        return MeasureError(f"{shown} is no web address; write http://HOST/PATH or https://HOST/PATH")
    refuse_in_the_clear(url, headers, confidential=question.confidential)
    content: dict[str, Any] = {}
    if "jsonBody" in settings:
        content["json"] = settings["jsonBody"]
    elif "body" in settings:
        content["content"] = str(settings["body"])
    secure, insecure = urlsplit(url).scheme == "https", bool(settings.get("insecure", False))
    verify = trust.context(insecure=insecure) if secure else False
    timeout_s = provider.timeout_ms / 1000
    ends_s = time.monotonic() + timeout_s  # noqa: TID251 - how long to wait for a server is no decision
    try:
        with (
            httpx.Client(verify=verify) as client,
            client.stream(
                settings.get("method") or "GET", url, headers=headers, timeout=timeout_s, **content
            ) as response,
        ):
            body = read_limited(response, MAX_WEB_ANSWER, ends_s)
            status = response.status_code
    except httpx.TimeoutException:
        return MeasureError(f"{shown} did not answer within {provider.timeout_ms} ms")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return MeasureError(f"{shown} cannot be asked: {type(error).__name__}")
    if not 200 <= status < 300:
        return MeasureError(f"received non 2xx response code: {status}")
    if body is None:
        return MeasureError(f"{shown} answered with more than {MAX_WEB_ANSWER >> 20} MiB")
    return _value(provider.json_path, body.decode("utf-8", "replace"))


def _value(json_path: str, text: str) -> Outcome:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return StringResult(text)
    try:
        return JsonResult(first_match(json_path, document))
    except (LookupError, ValueError) as error:
        return MeasureError(str(error))


def _headers(settings: Mapping[str, Any]) -> dict[str, str]:
    return {str(one["key"]): str(one["value"]) for one in settings.get("headers") or ()}


def _shown(url: str) -> str:
    """The address without a user's name and password, and without its query."""
    return Server(url).shown
