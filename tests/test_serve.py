"""A store as a Prometheus server, asked by a real HTTP client."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from rolloutsim.promql import SeriesStore
from rolloutsim.serve import MAX_BODY, QueryApi, QueryServer

START = 1_767_571_200
TIMES = range(START * 1000, START * 1000 + 600_001, 15_000)


@pytest.fixture(scope="module")
def store() -> SeriesStore:
    return SeriesStore.from_series(
        ({"__name__": name, "job": job}, TIMES, [float(at // 1000 - START) for at in TIMES])
        for name, job in (("hits_total", "a"), ("hits_total", "b"), ("up", "a"))
    )


@pytest.fixture(scope="module")
def url(store: SeriesStore) -> Iterator[str]:
    with QueryServer(QueryApi(store), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def get(url: str, path: str, **parameters: Any) -> Any:
    with urlopen(f"{url}{path}?{urlencode(parameters, doseq=True)}", timeout=30) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        return json.load(answer)


def refused(url: str, path: str, **parameters: Any) -> tuple[int, str, str]:
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{url}{path}?{urlencode(parameters, doseq=True)}", timeout=30)
    with caught.value as error:
        document = json.load(error)
    assert document["status"] == "error"
    return error.code, document["errorType"], document["error"]


def data(url: str, path: str, **parameters: Any) -> Any:
    document = get(url, path, **parameters)
    assert document["status"] == "success"
    return document["data"]


def test_an_instant_query(url: str) -> None:
    assert data(url, "/api/v1/query", query="sum by (job) (hits_total) / 60", time=START + 60) == {
        "resultType": "vector",
        "result": [
            {"metric": {"job": "a"}, "value": [START + 60, "1"]},
            {"metric": {"job": "b"}, "value": [START + 60, "1"]},
        ],
    }
    moment = "2026-01-05T00:01:00.500Z"
    assert data(url, "/api/v1/query", query="time()", time=moment) == {
        "resultType": "scalar",
        "result": [START + 60.5, f"{START + 60}.5"],
    }


def test_now_is_the_end_of_the_recording(url: str) -> None:
    found = data(url, "/api/v1/query", query="up")
    assert found["result"][0]["value"] == [START + 600, "600"]


def test_a_range_query(url: str) -> None:
    found = data(url, "/api/v1/query_range", query="up", start=START, end="2026-01-05T00:02:00Z", step="1m")
    assert found == {
        "resultType": "matrix",
        "result": [
            {
                "metric": {"__name__": "up", "job": "a"},
                "values": [[START, "0"], [START + 60, "60"], [START + 120, "120"]],
            }
        ],
    }


def test_lookback_can_be_asked_for(url: str) -> None:
    asked = {"query": "up", "time": START + 610}
    assert data(url, "/api/v1/query", **asked)["result"]
    assert data(url, "/api/v1/query", **asked, lookback_delta="5s")["result"] == []


def test_forms_are_read_as_queries_are(url: str) -> None:
    body = urlencode({"query": "1 + 1", "time": START}).encode()
    with urlopen(Request(f"{url}/api/v1/query", data=body), timeout=30) as answer:
        assert json.load(answer)["data"]["result"] == [START, "2"]


def test_what_there_is(url: str) -> None:
    assert data(url, "/api/v1/labels") == ["__name__", "job"]
    assert data(url, "/api/v1/labels", **{"match[]": "nothing"}) == []
    assert data(url, "/api/v1/label/job/values", **{"match[]": "hits_total"}) == ["a", "b"]
    assert data(url, "/api/v1/label/__name__/values") == ["hits_total", "up"]
    assert data(url, "/api/v1/label/__name__/values", start=START + 601) == []
    assert data(url, "/api/v1/series", **{"match[]": ["up", 'hits_total{job="b"}']}) == [
        {"__name__": "hits_total", "job": "b"},
        {"__name__": "up", "job": "a"},
    ]
    cut = get(url, "/api/v1/series", **{"match[]": '{job!=""}', "limit": 1})
    assert (len(cut["data"]), cut["warnings"]) == (1, ["results truncated due to limit"])
    assert data(url, "/api/v1/metadata") == {}
    assert data(url, "/api/v1/status/buildinfo")["version"].startswith("3.")
    for path in ("ready", "healthy"):
        with urlopen(f"{url}/-/{path}", timeout=30) as answer:
            assert answer.status == 200


RANGE = {"query": "up", "start": 0, "end": 9, "step": 1}
NESTED = "sum_over_time(max_over_time(up[3h:1s])[3h:1s])"


@pytest.mark.parametrize(
    ("path", "parameters", "why"),
    [
        ("query", {}, 'invalid parameter "query": unknown position: parse error'),
        ("query", {"query": "sum(up"}, "1:4: parse error: '(' is never closed"),
        ("query", {"query": "up", "time": "soon"}, '"soon" to a valid timestamp'),
        ("query", {"query": "up", "timeout": "x"}, '"x" to a valid duration'),
        ("query", {"query": "up", "lookback_delta": "0"}, "must be positive"),
        ("query", {"query": 'up{a=~"("}'}, "no RE2 pattern"),
        ("query", {"query": f'up{{a=~"{"(a{100}){100}" * 20}"}}'}, "no RE2 pattern"),
        ("query_range", RANGE | {"step": ""}, '"step"'),
        ("query_range", RANGE | {"step": 0}, "zero or negative"),
        ("query_range", RANGE | {"start": 10}, '"end"'),
        ("query_range", RANGE | {"start": ""}, '"start"'),
        ("query_range", RANGE | {"end": 1e9}, "11,000 points"),
        ("query_range", RANGE | {"query": "up[1m]"}, "must be Scalar"),
        ("series", {}, "no match[] parameter"),
        ("series", {"match[]": "up{"}, 'invalid parameter "match[]"'),
        ("labels", {"limit": "-1"}, "non-negative"),
    ],
)
def test_requests_that_mean_nothing(url: str, path: str, parameters: dict[str, Any], why: str) -> None:
    code, kind, message = refused(url, f"/api/v1/{path}", **parameters)
    assert (code, kind) == (400, "bad_data")
    assert why in message


@pytest.mark.parametrize(
    ("path", "parameters", "why"),
    [
        ("query", {"query": "up + on () hits_total"}, "match"),
        ("query", {"query": "max_over_time(up[1y:1s])"}, "11000 points"),
        ("query", {"query": NESTED}, "1000000 evaluations"),
        ("query_range", RANGE | {"end": 9000, "query": "max_over_time(up[1h:1s])"}, "1000000 evaluations"),
    ],
)
def test_queries_that_fail(url: str, path: str, parameters: dict[str, Any], why: str) -> None:
    code, kind, message = refused(url, f"/api/v1/{path}", **parameters)
    assert (code, kind) == (422, "execution")
    assert why in message


def test_paths_that_are_not_there(url: str) -> None:
    assert refused(url, "/api/v1/nothing")[:2] == (404, "not_found")
    assert refused(url, "/")[:2] == (404, "not_found")


def test_a_step_longer_than_the_range(url: str) -> None:
    assert data(url, "/api/v1/query_range", **RANGE | {"step": "1e300"})["result"] == []


def request(url: str, method: str, path: str, headers: dict[str, str]) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:3000", 200),
        ("127.0.0.1", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost@evil.example", 403),
        ("", 403),
    ],
)
def test_only_this_machine_is_answered(url: str, host: str, status: int) -> None:
    for path in ("/api/v1/labels", "/-/ready"):
        assert request(url, "GET", path, {"Host": host}) == status


def test_bodies_are_bounded(url: str) -> None:
    path = "/api/v1/query"
    assert request(url, "POST", path, {}) == 411
    assert request(url, "POST", path, {"Content-Length": "ten"}) == 411
    assert request(url, "POST", path, {"Content-Length": str(MAX_BODY + 1)}) == 413
    assert request(url, "POST", path, {"Content-Length": "9" * 30}) == 413
    assert request(url, "GET", f"{path}?{'&'.join(['a=b'] * 1001)}", {}) == 400
    assert request(url, "DELETE", path, {}) == 501


def test_one_connection_takes_many_requests(url: str) -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        for number in range(3):
            connection.request("GET", f"/api/v1/query?query={number}")
            assert json.load(connection.getresponse())["data"]["result"][1] == str(number)
    finally:
        connection.close()


def test_it_listens_on_loopback_alone(store: SeriesStore) -> None:
    with QueryServer(QueryApi(store), 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(OSError, match="in use"):
            QueryServer(QueryApi(store), server.server_address[1])


def test_a_client_that_leaves_is_no_error(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    target = urlsplit(url)
    with socket.create_connection((target.hostname, target.port)) as client:
        client.sendall(b"GET /api/v1/labels HTTP/1.1\r\nHost: localh")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert data(url, "/api/v1/labels")
    assert capfd.readouterr().err == ""


def test_many_queries_leave_little_behind(store: SeriesStore) -> None:
    api = QueryApi(store)
    for number in range(2_200):
        api.answer("/api/v1/query", {"query": [f"up offset {number}s"]})
    assert len(store.resolved) < 2_100


def test_ranges_of_the_second_version(store: SeriesStore) -> None:
    asked = {"query": ["count_over_time(up[1m])"], "time": [str(START + 300)]}
    counts = []
    for left_closed in (False, True):
        _, text = QueryApi(store, left_closed=left_closed).answer("/api/v1/query", asked)
        counts.append(json.loads(text)["data"]["result"][0]["value"][1])
    assert counts == ["4", "5"]


def test_an_empty_store_answers_too() -> None:
    status, text = QueryApi(SeriesStore()).answer("/api/v1/query", {"query": ["up"]})
    assert (status, json.loads(text)["data"]["result"]) == (200, [])


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    page = tmp_path / "page.om"
    page.write_text(f"up 1 {START}\n# EOF\n", encoding="utf-8")
    command = [str(Path(sys.executable).with_name("rolloutsim")), "serve", str(page), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            assert data(url, "/api/v1/query", query="up")["result"][0]["value"] == [START, "1"]
        finally:
            process.send_signal(2)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "1 series" in said
    assert "Traceback" not in said
