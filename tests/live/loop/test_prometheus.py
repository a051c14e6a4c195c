"""The Prometheus client: typed results, time, errors in one sentence, retries, secrets."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import parse_qs

import pytest

from rolloutsim.conditions import ScalarResult, VectorResult
from rolloutsim.engine import MeasureError, Outcome
from rolloutsim.errors import ExecutorError
from rolloutsim.prometheus import Prometheus, Server
from tests.live.loop.answering import Answer, Asked, answering


def success(kind: str, result: Any) -> Answer:
    return 200, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


def ask(answer: Any, **kwargs: Any) -> Outcome:
    with answering(answer) as server:
        client = Prometheus(Server(server.url))
        try:
            return client.instant("up", 1_000, **kwargs)
        finally:
            client.close()


VECTOR = [{"metric": {}, "value": [1, "0.5"]}, {"metric": {"a": "b"}, "value": [1, "NaN"]}]
MATRIX = [
    {"metric": {}, "values": [[1, "1"], [2, "2"]]},
    {"metric": {"a": "b"}, "values": [[1.5, "+Inf"]]},
]


@pytest.mark.parametrize(
    ("kind", "result", "expected"),
    [
        ("vector", VECTOR, VectorResult((0.5, float("nan")))),
        ("vector", [], VectorResult(())),
        ("scalar", [1, "3.25"], ScalarResult(3.25)),
        ("matrix", MATRIX, VectorResult((1.0, 2.0, float("inf")))),
        ("string", [1, "x"], MeasureError("Prometheus metric type not supported")),
    ],
)
def test_results_are_typed_as_argo_rollouts_types_them(kind: str, result: Any, expected: Outcome) -> None:
    assert ask(lambda asked: success(kind, result)) == expected


def test_a_query_is_asked_about_a_time() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Answer:
        seen.append(asked)
        return success("vector", [])

    with answering(answer) as server:
        client = Prometheus(Server(server.url + "/prefix/", {"Authorization": "Bearer abc"}))
        client.instant('up{a="b"}', 1_767_571_200_040, 2_000)
        client.over("up", 0, 60_000, 15_000)
        client.close()
    first, second = seen
    form = {name: values[0] for name, values in parse_qs(first.body).items()}
    assert (first.method, first.path) == ("POST", "/prefix/api/v1/query")
    assert form == {"query": 'up{a="b"}', "time": "1767571200.040", "timeout": "2000ms"}
    assert first.headers["Authorization"] == "Bearer abc"
    assert second.path == "/prefix/api/v1/query_range"
    assert parse_qs(second.body)["step"] == ["15.000"]


def test_a_server_without_post_is_asked_with_get() -> None:
    outcome = ask(lambda asked: (405, "") if asked.method == "POST" else success("scalar", [1, "7"]))
    assert outcome == ScalarResult(7.0)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    answers = iter([(status, ""), success("scalar", [1, "1"])])
    assert ask(lambda asked: next(answers)) == ScalarResult(1.0)


def error(status: int, kind: str, why: str) -> Answer:
    return status, json.dumps({"status": "error", "errorType": kind, "error": why})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(422, "execution", "many-to-many"), ["could not evaluate the query (execution): many-to-many"]),
        (error(400, "bad_data", "parse error"), ["(bad_data): parse error"]),
        ((401, "no"), ["refused the credentials", "status 401"]),
        ((404, "<html>"), ["status 404", "is the address right?"]),
        ((500, "oops"), ["status 500"]),
        ((200, "<html>"), ["something else than Prometheus' JSON"]),
        ((200, '{"status":"success","data":{"resultType":"vector","result":[{"histogram":[]}]}}'), ["JSON"]),
    ],
)
def test_what_goes_wrong_is_one_sentence(answer: Answer, words: list[str]) -> None:
    outcome = ask(lambda asked: answer)
    assert isinstance(outcome, MeasureError)
    assert all(word in outcome.message for word in words), outcome.message
    assert "http://127.0.0.1:" in outcome.message


def test_a_slow_server_is_not_waited_for() -> None:
    def slow(asked: Asked) -> Answer:
        time.sleep(0.5)
        return success("vector", [])

    began = time.monotonic()
    outcome = ask(slow, timeout_ms=150)
    assert time.monotonic() - began < 2.0
    assert isinstance(outcome, MeasureError)
    assert "did not answer within 150 ms" in outcome.message


def test_a_server_that_is_down_is_tried_for_the_time_of_the_query() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = Prometheus(Server(address))
    began = time.monotonic()
    outcome = client.instant("up", 0, 700)
    client.close()
    assert 0.2 <= time.monotonic() - began < 2.0
    assert isinstance(outcome, MeasureError)
    assert "cannot be reached" in outcome.message


def test_secrets_do_not_travel_in_the_clear() -> None:
    with pytest.raises(ExecutorError, match="in the clear"):
        Prometheus(Server("http://prometheus.example:9090", {"Authorization": "Bearer s3cret"}))
    with pytest.raises(ExecutorError, match="in the clear"):
        Prometheus(Server("http://prometheus.example:9090", {"X-Tenant": "t"}, confidential=True))
    with pytest.raises(ExecutorError, match="in the clear"):
        Prometheus(Server("http://me:s3cret@prometheus.example"))
    Prometheus(Server("http://prometheus.example:9090", {"X-Scope-OrgID": "team"})).close()
    Prometheus(Server("https://prometheus.example", {"Authorization": "Bearer s3cret"})).close()


def test_no_message_holds_a_password() -> None:
    server = Server("http://me:s3cret@127.0.0.1:1", {"Authorization": "Bearer t0ken"})
    assert "s3cret" not in server.shown
    assert "t0ken" not in repr(server)
    client = Prometheus(server)
    outcome = client.instant("up", 0, 100)
    client.close()
    assert isinstance(outcome, MeasureError)
    assert "s3cret" not in outcome.message
    assert "t0ken" not in outcome.message


@pytest.mark.parametrize("address", ["prometheus:9090", "ftp://x", "http://", ""])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ExecutorError, match="no address of a metrics server"):
        Prometheus(Server(address))


def test_what_is_no_address_is_shown_as_it_was_given_but_for_a_password() -> None:
    with pytest.raises(ExecutorError, match=r"^'prometheus' is no address"):
        Prometheus(Server("prometheus"))
    with pytest.raises(ExecutorError, match=r"^what was given is no address") as refused:
        Prometheus(Server("me:s3cret@prometheus:9090"))
    assert "s3cret" not in str(refused.value)


def test_authorities_that_cannot_be_read() -> None:
    with pytest.raises(ExecutorError, match="PEM"):
        Prometheus(Server("https://prometheus.example", ca_file="/nonexistent.pem"))


def test_samples_keep_their_times_and_labels() -> None:
    def answer(asked: Asked) -> Answer:
        return success("matrix", MATRIX)

    with answering(answer) as server:
        client = Prometheus(Server(server.url))
        matrix = client.matrix("up[1m]", 2_000)
        store = client.series("up", 0, 2_000, 1_000)
        client.close()
    assert [(dict(one.labels), one.times_ms, one.values) for one in matrix.series] == [
        ({}, (1_000, 2_000), (1.0, 2.0)),
        ({"a": "b"}, (1_500,), (float("inf"),)),
    ]
    assert len(store) == 2


def test_an_answer_that_is_no_matrix() -> None:
    with answering(lambda asked: success("scalar", [1, "1"])) as server:
        client = Prometheus(Server(server.url))
        with pytest.raises(ExecutorError, match="only a matrix or a vector has series"):
            client.matrix("up[1m]", 0)
        client.close()
