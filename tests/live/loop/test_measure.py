"""Measurements in threads: answers in the inbox, secrets filled in and blotted out, web checks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from rolloutsim.conditions import JsonResult, ScalarResult, StringResult
from rolloutsim.engine import Measure, Measured, MeasureError, Outcome, TerminateMeasurement
from rolloutsim.engine.events import Span
from rolloutsim.errors import ExecutorError
from rolloutsim.live.inbox import Inbox
from rolloutsim.live.jsonpath import first_match
from rolloutsim.live.measure import Instrument, Measurer, Question
from rolloutsim.live.queries import PrometheusQueries, WebChecks
from rolloutsim.policy.model import OtherProvider, PrometheusProvider, SecretArgument, WebProvider
from rolloutsim.prometheus import Server
from tests.live.loop.answering import Answer, Asked, answering


class StandingClock:
    """A clock that stands still, some way ahead of the machine's."""

    def __init__(self, now: int = 10_000, ahead: int = 0) -> None:
        self.now = now
        self.ahead = ahead

    def now_ms(self) -> int:
        return self.now

    def ahead_ms(self) -> int:
        return self.ahead

    def wait(self, inbox: Inbox, until_ms: int | None) -> None:
        raise AssertionError


class Vault:
    def __init__(self, values: Mapping[tuple[str, str], str]) -> None:
        self._values = values

    def read(self, secret: str, key: str) -> str:
        if (secret, key) not in self._values:
            raise ExecutorError(f"there is no secret {secret}")
        return self._values[secret, key]


ARGUMENTS = (SecretArgument("token", "monitoring", "token"),)
VAULT = Vault({("monitoring", "token"): "t0p-s3cret"})


def measured(
    provider: Any,
    instrument: Instrument,
    arguments: tuple[SecretArgument, ...] = (),
    clock: StandingClock | None = None,
    spans: tuple[Span, ...] = (),
) -> Measured:
    inbox = Inbox()
    measurer = Measurer(inbox, clock or StandingClock(), {type(provider): instrument}, VAULT)
    measurer.start(Measure("1", "run", "metric", 3, provider, spans), arguments, 9_000)
    assert inbox.wait(5.0)
    (fact,) = inbox.drain()
    assert isinstance(fact, Measured)
    return fact


def test_an_answer_comes_through_the_inbox() -> None:
    asked: list[Question] = []

    def instrument(question: Question) -> Outcome:
        asked.append(question)
        return ScalarResult(0.5)

    spans = (Span(1_000, 4_000, 5.0), Span(4_000, None, 25.0))
    clock = StandingClock(ahead=2_000)
    answer = measured(PrometheusProvider("up"), instrument, clock=clock, spans=spans)
    assert answer == Measured(10_000, "run", "metric", 3, 9_000, 10_000, ScalarResult(0.5))
    assert asked[0].at_ms == 7_000
    assert asked[0].request.spans == (Span(-1_000, 2_000, 5.0), Span(2_000, None, 25.0))


def test_secrets_are_filled_in_for_the_question_only() -> None:
    asked: list[Question] = []

    def instrument(question: Question) -> Outcome:
        asked.append(question)
        return MeasureError("the server said: t0p-s3cret is wrong")

    settings = json.dumps({"headers": [{"key": "Authorization", "value": "Bearer {{args.token}}"}]})
    provider = PrometheusProvider("up", settings_json=settings)
    answer = measured(provider, instrument, ARGUMENTS)
    assert answer.outcome == MeasureError("the server said: *** is wrong")
    filled = asked[0].request.provider
    assert isinstance(filled, PrometheusProvider)
    assert "Bearer t0p-s3cret" in filled.settings_json
    assert asked[0].confidential
    assert "t0p-s3cret" not in repr(asked[0])


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (StringResult("got t0p-s3cret"), StringResult("got ***")),
        (
            JsonResult({"t0p-s3cret": ["t0p-s3cret", 1, None]}),
            JsonResult({"***": ["***", 1, None]}),
        ),
    ],
)
def test_an_answer_that_repeats_a_secret(outcome: Outcome, shown: Outcome) -> None:
    provider = WebProvider("http://127.0.0.1/{{args.token}}")
    assert measured(provider, lambda question: outcome, ARGUMENTS).outcome == shown


def test_a_secret_that_is_missing_is_an_error_of_the_measurement() -> None:
    arguments = (SecretArgument("token", "nowhere", "token"),)
    answer = measured(PrometheusProvider("up"), lambda question: ScalarResult(1.0), arguments)
    assert answer.outcome == MeasureError("there is no secret nowhere")


def test_a_provider_that_nobody_can_measure() -> None:
    inbox = Inbox()
    measurer = Measurer(inbox, StandingClock(), {}, VAULT)
    measurer.start(Measure("1", "run", "metric", 1, OtherProvider("datadog")), (), 0)
    assert inbox.wait(5.0)
    (fact,) = inbox.drain()
    assert isinstance(fact, Measured)
    assert isinstance(fact.outcome, MeasureError)
    assert "datadog cannot be measured" in fact.outcome.message


def test_a_defect_of_an_instrument_is_an_error_and_hides_its_text() -> None:
    def broken(question: Question) -> Outcome:
        raise KeyError("t0p-s3cret")

    answer = measured(PrometheusProvider("{{args.token}}"), broken, ARGUMENTS)
    assert isinstance(answer.outcome, MeasureError)
    assert "KeyError" in answer.outcome.message
    assert "s3cret" not in answer.outcome.message


def test_a_measurement_runs_once_and_can_be_ended() -> None:
    begun, inbox = threading.Semaphore(0), Inbox()

    def instrument(question: Question) -> Outcome:
        begun.release()
        assert question.stopped.wait(5.0)
        return ScalarResult(1.0)

    measurer = Measurer(inbox, StandingClock(), {PrometheusProvider: instrument}, VAULT)
    request = Measure("1", "run", "metric", 1, PrometheusProvider("up"))
    measurer.start(request, (), 0)
    measurer.start(request, (), 0)
    assert begun.acquire(timeout=5.0)
    measurer.terminate(TerminateMeasurement("2", "run", "metric", 1))
    assert inbox.wait(5.0)
    assert len(inbox.drain()) == 1
    assert not begun.acquire(blocking=False)


# --- Prometheus and web checks --------------------------------------------------------------------


def question(provider: Any) -> Question:
    return Question(Measure("1", "run", "metric", 1, provider), 1_000)


def test_a_policys_address_may_stand_for_another_server() -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1, "4"]}})
    with answering(lambda asked: (200, body)) as server:
        queries = PrometheusQueries({"http://prometheus:9090": Server(server.url, {"X-A": "1"})})
        settings = json.dumps({"headers": [{"key": "X-B", "value": "2"}]})
        provider = PrometheusProvider("up", "http://prometheus:9090", settings_json=settings)
        assert queries(question(provider)) == ScalarResult(4.0)
        headers = {name.lower(): value for name, value in server.asked[0].headers.items()}
    assert (headers["x-a"], headers["x-b"]) == ("1", "2")


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (PrometheusProvider("up"), "names no Prometheus address"),
        (PrometheusProvider("up", settings_json='{"authentication": {"sigv4": {}}}'), "sigv4"),
    ],
)
def test_what_the_executor_does_not_speak(provider: PrometheusProvider, words: str) -> None:
    outcome = PrometheusQueries({})(question(provider))
    assert isinstance(outcome, MeasureError)
    assert words in outcome.message


def web(answer: Any, **settings: Any) -> Outcome:
    with answering(answer) as server:
        json_path = settings.pop("json_path", "{$}")
        timeout_ms = settings.pop("timeout_ms", 5_000)
        provider = WebProvider(server.url + "/check", json_path, timeout_ms, json.dumps(settings))
        return WebChecks()(question(provider))


def test_a_web_check_finds_a_value() -> None:
    def answer(asked: Asked) -> Answer:
        assert (asked.method, asked.path) == ("GET", "/check")
        return 200, '{"data": {"ok": true, "rates": [0.1, 2]}}'

    assert web(answer, json_path="{$.data.ok}") == JsonResult(True)
    assert web(answer, json_path="{$.data.rates[-1]}") == JsonResult(2.0)
    missing = web(answer, json_path="{$.data.none}")
    assert isinstance(missing, MeasureError)


def test_a_web_check_sends_what_it_is_told() -> None:
    def answer(asked: Asked) -> Answer:
        assert asked.method == "POST"
        assert json.loads(asked.body) == {"a": 1}
        assert {name.lower(): v for name, v in asked.headers.items()}["x-key"] == "v"
        return 200, "fine"

    headers = [{"key": "X-Key", "value": "v"}]
    assert web(answer, method="POST", jsonBody={"a": 1}, headers=headers) == StringResult("fine")


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [(500, "{}", "non 2xx response code: 500"), (302, "", "non 2xx response code: 302")],
)
def test_a_web_check_that_fails(status: int, text: str, words: str) -> None:
    outcome = web(lambda asked: (status, text))
    assert isinstance(outcome, MeasureError)
    assert words in outcome.message


def test_a_web_check_that_takes_too_long() -> None:
    def slow(asked: Asked) -> Answer:
        time.sleep(0.4)
        return 200, "{}"

    outcome = web(slow, timeout_ms=100)
    assert isinstance(outcome, MeasureError)
    assert "did not answer within 100 ms" in outcome.message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "no address", "http://nowhere.invalid/?key=s3cret"])
def test_a_web_check_of_no_web_address(url: str) -> None:
    outcome = WebChecks()(question(WebProvider(url, timeout_ms=500)))
    assert isinstance(outcome, MeasureError)
    assert "s3cret" not in outcome.message


DOCUMENT = {"a": {"b": [{"c": 1}, {"c": 2}], "x-y": None}, "list": [3, 4]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("{$}", DOCUMENT),
        ("$", DOCUMENT),
        ("{$.a.b[0].c}", 1),
        ("{.a.b[1].c}", 2),
        ("{$.a.b[*].c}", 1),
        ("{$['a']['b'][-1]['c']}", 2),
        ('{$["a"]["x-y"]}', None),
        ("{$.a.x-y}", None),
        ("{.list[1]}", 4),
        ("list[0]", 3),
        ("{$.*.b[0].c}", 1),
    ],
)
def test_json_paths(path: str, value: Any) -> None:
    assert first_match(path, DOCUMENT) == value


@pytest.mark.parametrize("path", ["{$.nothing}", "{$.list[9]}", "{$.a[0]}", "{$.list.name}"])
def test_json_paths_that_find_nothing(path: str) -> None:
    with pytest.raises(LookupError, match="nothing at jsonPath"):
        first_match(path, DOCUMENT)


@pytest.mark.parametrize("path", ["{$.a[}", "{$..a}", "{$.a[?(@.b)]}", "{range .a}"])
def test_json_paths_that_are_none(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        first_match(path, DOCUMENT)
