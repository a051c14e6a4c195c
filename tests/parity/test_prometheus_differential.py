"""A simulated rollout, asked here and in a real Prometheus server: the same queries, the same answers.

The samples go through OpenMetrics text, ``promtool tsdb create-blocks-from openmetrics`` and a server that
is started for this module on a free port and ended with it. Both sides are asked over HTTP.

A server of the 2.x line has left-closed ranges, which the evaluator can have as well. Else 2.42 differs in
`older_extrapolation`, which must explain every difference but those in `DIFFERENCES`; both must be there.
"""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import urlopen

import pytest

from rolloutsim.policy import load_policy
from rolloutsim.promql import compile_query, ranges
from rolloutsim.promql.intake import sample_records
from rolloutsim.promql.openmetrics import read_openmetrics, write_openmetrics
from rolloutsim.promql.windows import WINDOW_FUNCTIONS, Samples, Times, Window
from rolloutsim.serve import QueryApi, QueryServer
from rolloutsim.sim.run import trace_run
from rolloutsim.sim.scenario_file import load_scenario
from tests.parity.promql_generator import Generator

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = ROOT / "scenarios"
QUERIES, TIMES = 200, 20
READY_S = 30

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus and promtool are not installed (Debian: apt-get install prometheus)",
    ),
]


# --- the two sides --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """One of the servers."""

    url: str

    def get(self, path: str, **parameters: Any) -> tuple[int, Any]:
        """Status and document of a request; a list is a parameter that is given several times."""
        target = urlsplit(self.url)
        connection = HTTPConnection(target.hostname or "", target.port, timeout=60)
        try:
            connection.request("GET", f"{path}?{urlencode(parameters, doseq=True, quote_via=quote)}")
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body.startswith(b"{") else None
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Both:
    """This evaluator and Prometheus over the same samples; times of samples in ms; its version."""

    ours: Side
    theirs: Side
    times_ms: tuple[int, ...]
    version: tuple[int, ...]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("prometheus")
    policy = load_policy(SCENARIOS / "policies/canary-guarded.yaml")
    files = [SCENARIOS / "services/api.yaml", SCENARIOS / "releases/error-step-20pp.yaml"]
    scenario = load_scenario("+".join(map(str, files)))
    _, records = trace_run(policy, scenario, seed=1)
    samples = [record for record in records if record["kind"] == "sample"]
    text = "".join(write_openmetrics(sample_records(samples)))
    (folder / "run.om").write_text(text, encoding="utf-8")
    _run("promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "run.om", folder / "data")
    version = _run("prometheus", "--version")
    found = re.search(r"version (\d+)\.(\d+)", version)
    assert found is not None, version
    number = int(found.group(1)), int(found.group(2))
    api = QueryApi(read_openmetrics(text), left_closed=number[0] < 3)
    with QueryServer(api, 0) as ours, _prometheus(folder) as theirs:
        thread = threading.Thread(target=ours.serve_forever)
        thread.start()
        times = tuple(sorted({record["at"] for record in samples}))
        try:
            yield Both(Side(ours.url), Side(theirs), times, number)
        finally:
            ours.shutdown()
            thread.join()


def _run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@contextmanager
def _prometheus(folder: Path) -> Iterator[str]:
    """A server over ``folder/data``; its address. It is ended, and nothing else, when the block is left."""
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1m}\n", encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(10 * READY_S):
            try:
                with urlopen(f"http://{address}/-/ready", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        else:
            pytest.fail(f"not ready after {READY_S} s: {(folder / 'log').read_text()}")
        yield f"http://{address}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


# --- comparing ------------------------------------------------------------------------------------

RELATIVE = 1e-9

DIFFERENCES = {
    "bottomk(2, predict_linear(http_request_duration_seconds_count[1m] @ 1767571500, 600))": "2.42 answers "
    "only the first step of a range query where predict_linear looks at a fixed time"
}
"""Range queries that 2.42 answers otherwise, and why; each of them must really differ."""

OLDER = (2, 42)
"""The version that `older_extrapolation` is known to hold for."""


def older_extrapolation(times: Times, values: Samples, window: Window) -> float | None:
    """``increase`` in Prometheus 2.42 (promql/functions.go, extrapolatedRate).

    A counter is first extended to where it was zero, and only if that is 1.1 mean distances away or more by
    half a distance instead; 3.5 takes the half distance first and does not pass zero. They differ where a
    series begins inside the window with less than about a distance's worth on it.
    """
    if len(values) < 2:
        return None
    drops = (before for before, after in pairwise(values) if after < before)
    change = values[-1] - values[0] + sum(drops)
    sampled = (times[-1] - times[0]) / 1000
    distance = sampled / (len(values) - 1)
    before, after = (times[0] - window.start) / 1000, (window.end - times[-1]) / 1000
    if change > 0 and values[0] >= 0:
        before = min(before, sampled * (values[0] / change))
    reach = sum(edge if edge < distance * 1.1 else distance / 2 for edge in (before, after))
    return change * ((sampled + reach) / sampled)


@contextmanager
def older_rules() -> Iterator[None]:
    """Queries that are compiled inside follow `older_extrapolation`."""

    def older_rate(times: Times, values: Samples, window: Window) -> float | None:
        increase = older_extrapolation(times, values, window)
        return None if increase is None else increase / (window.range_ms / 1000)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "_EXTRAPOLATED", {})
        patch.setitem(WINDOW_FUNCTIONS, "increase", older_extrapolation)
        patch.setitem(WINDOW_FUNCTIONS, "rate", older_rate)
        compile_query.cache_clear()
        yield
    compile_query.cache_clear()


def difference(ours: tuple[int, Any], theirs: tuple[int, Any], *, ranked: bool = False) -> str | None:
    """What distinguishes two answers; None if nothing does. Ties in ``ranked`` ones may fall either way."""
    if ours[0] != theirs[0] or ours[1]["status"] != theirs[1]["status"]:
        return f"{ours[0]} {ours[1].get('error')}, not {theirs[0]} {theirs[1].get('error')}"
    if ours[1]["status"] == "error":
        kinds = ours[1]["errorType"], theirs[1]["errorType"]
        return None if kinds[0] == kinds[1] else f"{kinds[0]}, not {kinds[1]}"
    mine, other = ours[1]["data"], theirs[1]["data"]
    if mine["resultType"] != other["resultType"]:
        return f"{mine['resultType']}, not {other['resultType']}"
    got, want = _points(mine), _points(other)
    if ranked:
        got, want = ({(): sorted(chain.from_iterable(one.values()))} for one in (got, want))
    if got.keys() != want.keys():
        return f"series {sorted(got.keys() ^ want.keys())} on one side only"
    for labels, points in want.items():
        mismatch = len(got[labels]) != len(points) or any(
            a[0] != b[0] or not _close(float(a[1]), float(b[1]))
            for a, b in zip(got[labels], points, strict=True)
        )
        if mismatch:
            return f"{dict(labels)}: {got[labels]}, not {points}"
    return None


def _points(data: Any) -> dict[tuple[Any, ...], list[Any]]:
    """Times and values by series."""
    if data["resultType"] in ("scalar", "string"):
        return {(): [data["result"]]}
    found = {
        tuple(sorted(one["metric"].items())): one.get("values") or [one["value"]] for one in data["result"]
    }
    assert len(found) == len(data["result"])
    return found


def _close(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or (math.isfinite(a) and abs(a - b) <= RELATIVE * max(abs(a), abs(b)))


def _moments(both: Both) -> list[float]:
    """Times (s) of queries: half of them on a scrape and whole minutes after one, half anywhere."""
    draw = random.Random(11)
    first, last = both.times_ms[0] - 60_000, both.times_ms[-1] + 400_000
    on = [draw.choice(both.times_ms) + 60_000 * draw.randint(0, 3) for _ in range(TIMES // 2)]
    return [time_ms / 1000 for time_ms in on + [draw.randint(first, last) for _ in range(TIMES // 2)]]


def test_generated_queries(both: Both) -> None:
    """200 queries at 20 times."""
    cases = [
        ("/api/v1/query", {"query": query, "time": f"{moment:.3f}"})
        for query in Generator(7).queries(QUERIES)
        for moment in _moments(both)
    ]
    differing, answered = _compared(both, cases)
    assert differing == {}
    assert answered > len(cases) / 2, "most answers should hold something"


def test_generated_range_queries(both: Both) -> None:
    """Every step of a range query, and ``start()`` and ``end()``, which are those of the range."""
    first = both.times_ms[0] / 1000
    queries = Generator(19).queries(40)
    queries += [
        "http_requests_total @ start()",
        "rate(http_requests_total[5m] @ start())",
        "max_over_time(sum(rate(http_requests_total[1m]))[5m:30s] @ end()) - time()",
    ]
    cases = [
        ("/api/v1/query_range", {"query": query, "start": first + 890, "end": first + 1500, "step": 47})
        for query in queries
    ]
    differing, answered = _compared(both, cases)
    expected = DIFFERENCES if both.version == OLDER else {}
    assert {query: what for query, what in differing.items() if query not in expected} == {}
    assert set(expected) <= set(differing), "these do not differ any more"
    assert answered > len(cases) / 2


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("labels", {}),
        ("labels", {"match[]": ["http_requests_total"]}),
        ("label/status/values", {}),
        ("label/le/values", {"match[]": ['{app_version="v2"}', "up"]}),
        ("label/nothing/values", {}),
        ("series", {"match[]": ['http_requests_total{status="500"}', "up"]}),
        ("series", {"match[]": ['{__name__=~".*_(sum|count)"}']}),
        ("series", {}),
        ("series", {"match[]": ["{}"]}),
        ("series", {"match[]": ["rate(a[1m])"]}),
        ("metadata", {}),
        ("query", {"query": "1 + 1", "time": 0}),
        ("query", {"query": '"text"', "time": "2026-01-05T00:05:00.25Z"}),
        ("query", {"query": "sum("}),
        ("query", {}),
        ("query", {"query": "up", "time": "tomorrow"}),
        ("query", {"query": "http_requests_total + on () http_requests_total", "time": "1767571500"}),
        ("query_range", {"query": "up", "start": 0, "end": 1}),
        ("query_range", {"query": "up", "start": 0, "end": 1, "step": 0}),
        ("query_range", {"query": "up", "start": 1, "end": 0, "step": 1}),
        ("query_range", {"query": "up", "start": 0, "end": 11_000, "step": 1}),
        ("query_range", {"query": "up", "start": 0, "end": 11_001, "step": 1}),
        ("query_range", {"query": "up[1m]", "start": 0, "end": 1, "step": "1s"}),
        ("nothing", {}),
    ],
)
def test_other_requests(both: Both, path: str, parameters: dict[str, Any]) -> None:
    """Lists of series and labels, and what is refused: the same status, kind of error and data."""
    answers = [side.get(f"/api/v1/{path}", **parameters) for side in (both.ours, both.theirs)]
    (status, ours), (wanted, theirs) = answers
    assert status == wanted
    if theirs is None:
        return
    assert (ours["status"], ours.get("errorType")) == (theirs["status"], theirs.get("errorType"))
    assert ours.get("data") == theirs.get("data")


def test_promtool_reads_our_answers(both: Both) -> None:
    moment = str((both.times_ms[0] + 600_000) / 1000)
    ours, theirs = (
        _run("promtool", "query", "instant", f"--time={moment}", side.url, "sum(http_requests_total)")
        for side in (both.ours, both.theirs)
    )
    assert ours == theirs
    assert "=>" in ours


def _compared(both: Both, cases: list[tuple[str, dict[str, Any]]]) -> tuple[dict[str, str], int]:
    """The queries that differ, unexplained, and how; how many answers of Prometheus hold anything."""
    unlike: list[tuple[str, dict[str, Any], tuple[int, Any]]] = []
    answered = 0
    for path, asked in cases:
        theirs = both.theirs.get(path, **asked)
        answered += bool(theirs[1].get("data", {}).get("result"))
        if _unlike(both.ours.get(path, **asked), theirs, asked):
            unlike.append((path, asked, theirs))
    if both.version == OLDER:
        assert unlike, "the older extrapolation explains something"
        with older_rules():
            return _texts(both, unlike), answered
    return _texts(both, unlike), answered


def _texts(both: Both, cases: list[tuple[str, dict[str, Any], tuple[int, Any]]]) -> dict[str, str]:
    found = ((asked, _unlike(both.ours.get(path, **asked), theirs, asked)) for path, asked, theirs in cases)
    return {asked["query"]: f"{asked}: {what}" for asked, what in found if what is not None}


def _unlike(ours: tuple[int, Any], theirs: tuple[int, Any], asked: dict[str, Any]) -> str | None:
    return difference(ours, theirs, ranked="topk" in asked["query"] or "bottomk" in asked["query"])
