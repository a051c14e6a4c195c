"""Bundles and timelines: what is written, what is taken out, and what is refused with its remedy."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from rolloutsim.cli.record import record
from rolloutsim.cli.replay import replay
from rolloutsim.errors import RolloutsimError
from rolloutsim.evidence.recorded import (
    BundleError,
    Did,
    Recorder,
    TimelineError,
    load_timeline,
    read_bundle,
    record_bundle,
    selectors_of,
)
from rolloutsim.evidence.recorded.redact import Redaction
from rolloutsim.policy import load_policy
from rolloutsim.prometheus import Server
from rolloutsim.promql import SeriesStore
from rolloutsim.promql.intake import sample_records
from rolloutsim.report import report
from rolloutsim.sim.run import trace_run
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.trace import write_trace
from tests.evidence.calibration.histories import served

ROOT = Path(__file__).parents[3]
RAN = ROOT / "scenarios/policies/httproute-canary.yaml"
STAGED = "data/incidents/policies/staged-5xx.yaml"
START = 1_767_571_200_000
app = typer.Typer()
app.command()(record)
app.command()(replay)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a rollout that was stopped."""
    path = tmp_path_factory.mktemp("rollout") / "run.jsonl"
    scenario = load_scenario(
        f"{ROOT}/scenarios/services/api.yaml+{ROOT}/scenarios/releases/error-step-20pp.yaml"
    )
    write_trace(path, *trace_run(load_policy(RAN), scenario))
    return path


@pytest.fixture(scope="module")
def url(rollout: Path) -> Iterator[str]:
    lines = (json.loads(line) for line in rollout.read_text(encoding="utf-8").splitlines())
    store = sample_records(line for line in lines if line["kind"] == "sample")
    labels = {"__name__": "logins_total", "app_version": "v1", "api_token": "s3cret-token-value"}
    store.append(labels, START, 1.0)
    store.append(labels, START + 15_000, 2.0)
    with served(store) as address:
        yield address


STRETCH = ("--from", "2026-01-05T00:00:00Z", "--to", "2026-01-05T01:00:00Z", "--by", "app_version")
REVERSED = ("--from", STRETCH[3], "--to", STRETCH[1], *STRETCH[4:])


def test_record_then_replay(url: str, rollout: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "inc.bundle"
    taken = run("record", "--prometheus", url, *STRETCH, "-p", RAN, "-o", bundle)
    assert taken.exit_code == 0, taken.output
    assert "app_version v1, v2; every 15 s with 0 gaps" in taken.output
    told = run("replay", bundle, "--ran", RAN, "--as-run", rollout, "-p", "staged-5xx", "-p", "warn-only-5xx")
    assert told.exit_code == 0, told.output
    assert max(len(line) for line in told.output.splitlines()) <= 100
    assert "2/2   all" in told.output
    assert "modelled from there on" in told.output
    assert "extrapolation: from" in told.output
    unfaithful = run("replay", bundle, "--ran", STAGED, "--as-run", rollout)
    assert unfaithful.exit_code == 1
    assert "no other policy was played" in " ".join(unfaithful.output.split())
    asked = ("replay", bundle, "--ran", RAN, "--as-run", rollout, "-p", "warn-only-5xx", "-o", "json")
    answer = json.loads(run(*asked).output)
    assert answer["spec"]["faithful"]
    file = tmp_path / "answer.json"
    file.write_text(json.dumps(answer), encoding="utf-8")
    page = report(file)
    assert "all of it is measured" in page
    assert "modelled from there on" in page
    assert "extrapolation from" in page
    file.write_text(unfaithful_json := run(*asked[:3], STAGED, *asked[4:]).output, encoding="utf-8")
    assert not json.loads(unfaithful_json)["spec"]["faithful"]
    assert "was decided otherwise than then" in report(file)
    assert answer["spec"]["policies"][0]["end"] == "aborted"
    proposal = tmp_path / "proposal.yaml"
    proposal.write_text(RAN.read_text(encoding="utf-8").replace("failureLimit: 2", "failureLimit: 0"))
    of_one_name = run("replay", bundle, "--ran", RAN, "--as-run", rollout, "-p", proposal).output
    assert of_one_name.count("\nhttproute-canary  aborted") == 1
    assert of_one_name.count("\nproposal          aborted") == 1
    proposal.write_text(RAN.read_text(encoding="utf-8").replace('service="api"', 'service="cart"'))
    elsewhere = run("replay", bundle, "--as-run", rollout, "-p", proposal).output
    assert 'http_requests_total{service="cart"}, which the recording does not have' in " ".join(
        elsewhere.split()
    )
    unchecked = run("replay", bundle, "--as-run", rollout, "-p", "warn-only-5xx")
    assert unchecked.exit_code == 0
    assert "Not checked: whether the recording leads to what was decided then" in unchecked.output
    file.write_text(run(*asked[:2], *asked[4:]).output, encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8"))["spec"]["faithful"] is None
    assert "Not checked: whether the recording leads" in report(file)
    assert "was decided otherwise than then" not in report(file)
    assert str(run("replay", tmp_path / "none.bundle", "-p", RAN).exception).endswith("record writes one")
    without = run("replay", bundle, "--ran", RAN)
    assert isinstance(without.exception, TimelineError)
    assert "--as-run" in str(without.exception)


def test_what_is_taken_is_what_the_policies_read(tmp_path: Path) -> None:
    assert selectors_of([load_policy(RAN)], "app_version") == ('http_requests_total{service="api"}',)


def test_raw_samples_keep_their_times_and_secrets_stay_behind(url: str, tmp_path: Path) -> None:
    client = Recorder(Server(url))
    try:
        manifest, samples = record_bundle(
            client, url, ["http_requests_total", "logins_total"], START, START + 600_000, "app_version",
            "http_requests_total",
        )  # fmt: skip
    finally:
        client.close()
    text = json.dumps([manifest, samples])
    assert "s3cret" not in text
    assert manifest["redacted"] == {"api_token": 1}
    assert {record["at"] % 15_000 for record in samples} != {0}
    assert manifest["values"] == ["v1", "v2"]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("status", "500", False),
        ("path", "/api/orders", False),
        ("pod", "api-5d4f7c9b8-x2x7q", False),
        ("revision", "5d4f7c9b8", False),
        ("authority", "shop.example.com", False),
        ("token", "x", True),
        ("db_password", "x", True),
        ("session_id", "7", True),
        ("url", "https://shop.example/reset?lang=en&access_token=4f1", True),
        ("url", "https://bucket.example/a?X-Amz-Signature=4f1", True),
        ("url", "redis://:hunter2@cache:6379", True),
        ("url", "https://shop.example/search?q=keys&page=2", False),
        ("header", "Bearer abcdefgh12345", True),
        ("dsn", "postgres://me:pw@db/x", True),
        ("who", "jane.doe@example.com", True),
        ("key", "AKIAABCDEFGHIJKLMNOP", True),
        ("jwt", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0NTY", True),
        ("digest", "0123456789abcdef0123456789abcdef", True),
    ],
)  # fmt: skip
def test_what_is_taken_for_a_secret(name: str, value: str, secret: bool) -> None:
    redaction = Redaction(("app_version",))
    shown = redaction({name: value, "app_version": "jane@example.com"})
    assert (shown[name] != value) == secret
    assert shown["app_version"] == "jane@example.com"
    assert redaction({"other": "x", name: value})[name] == shown[name]


def test_a_secret_in_a_selector_stays_behind_too(url: str) -> None:
    secret = 'logins_total{app_version="v1", api_token="s3cret-token-value"}'
    client = Recorder(Server(url))
    try:
        manifest, samples = record_bundle(
            client, url, [secret], START, START + 600_000, "app_version", "http_requests_total"
        )
    finally:
        client.close()
    assert samples
    assert "s3cret" not in json.dumps([manifest, samples])
    assert manifest["selectors"] == ['logins_total{app_version="v1", api_token="redacted-1"}']
    assert samples[0]["labels"]["api_token"] == "redacted-1"


def test_record_refuses_with_a_remedy(url: str, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "b")
    base = ("record", "--prometheus", url)
    for words, why in (
        ((*base, *STRETCH, *out), "--match"),
        ((*base, *STRETCH, *out, "--match", "no_such_total"), "look at the times"),
        ((*base, *STRETCH[:5], "color", *out, "--match", "http_requests_total"), "--by one of: app_version"),
        ((*base, "--from", "noon", *STRETCH[2:], *out, "--match", "up"), "RFC 3339"),
        ((*base, *REVERSED, *out, "--match", "up"), "--from comes before"),
        ((*base, *STRETCH, *out, "--match", "rate(up[1m])"), "is a selector"),
        (("record", "--prometheus", "ftp://x", *STRETCH, *out, "--match", "up"), "write http://HOST:PORT"),
    ):  # fmt: skip
        result = run(*words)
        assert isinstance(result.exception, RolloutsimError), (words, result.output)
        assert why in str(result.exception)


# --- files that are wrong ---------------------------------------------------------------------------


MANIFEST: dict[str, Any] = {
    "kind": "manifest", "world": "recorded", "from": START, "to": START + 600_000, "by": "app_version",
    "requests": "http_requests_total",
}  # fmt: skip


def sample(at: int, value: object = 1.0, **labels: str) -> dict[str, Any]:
    named = {"__name__": "http_requests_total", "app_version": "v1", **labels}
    return {"kind": "sample", "at": at, "labels": {k: v for k, v in named.items() if v}, "value": value}


WRONG: dict[str, tuple[list[dict[str, Any]], int, str, str]] = {
    "no samples": ([MANIFEST], 0, "holds no samples", "--match"),
    "no such label": (
        [MANIFEST, sample(START, app_version="", job="api")],
        1,
        "'app_version'",
        "--by one of: job",
    ),
    "no request counter": ([MANIFEST, sample(START, __name__="up")], 1, "http_requests_total", "--requests"),
    "seconds": ([MANIFEST, sample(START), sample(START // 1000)], 3, "two clocks are mixed", "milliseconds"),
    "another day": ([MANIFEST, sample(START + 90_000_000)], 2, "two clocks are mixed", "of one server"),
    "NaN in a counter": ([MANIFEST, sample(START), sample(START + 1, "NaN")], 3, "not a number", "exporter"),
    "backwards": ([MANIFEST, sample(START + 9), sample(START)], 3, "not later", "do not join two"),
    "no value": ([MANIFEST, {**sample(START), "value": None}], 2, "no sample", "complete trace"),
    "text": ([MANIFEST, sample(START, "many")], 2, "not a number", "complete trace"),
    "another trace": ([{"kind": "manifest", "world": "simulated"}], 1, "no 'by'", "rolloutsim record"),
    "times as text": ([{**MANIFEST, "to": "noon"}], 1, "no time 'to'", "rolloutsim record"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_bundle_is_refused_with_its_line_and_a_remedy(case: str, tmp_path: Path) -> None:
    records, line, why, remedy = WRONG[case]
    path = tmp_path / "wrong.bundle"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    assert caught.value.at.line == line
    assert why in str(caught.value)
    assert remedy in str(caught.value)


def test_gaps_are_found(tmp_path: Path) -> None:
    path = tmp_path / "gap.bundle"
    times = [START + 15_000 * k for k in range(40) if not 10 <= k < 15]
    records = [MANIFEST, *(sample(at, float(at - START)) for at in times)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    bundle = read_bundle(path)
    assert bundle.interval_ms == 15_000
    assert [(gap.start_ms - START, gap.end_ms - START) for gap in bundle.gaps] == [(135_000, 225_000)]


TIMELINE = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: Timeline
spec:
  stable: v1
  new: v2
  started: 2026-01-05T00:00:00Z
  ready_s: 9
  events:
    - {at: 2026-01-05T00:00:09Z, weight: 5}
    - {at: 2026-01-05T00:04:09Z, did: aborted}
"""


def test_a_timeline_file_says_what_the_events_of_the_rollout_say(rollout: Path, tmp_path: Path) -> None:
    path = tmp_path / "as-run.yaml"
    path.write_text(TIMELINE, encoding="utf-8")
    written, traced = load_timeline(path), load_timeline(rollout)
    assert [(m.did, m.weight) for m in written.decisions()] == [(m.did, m.weight) for m in traced.decisions()]
    assert written.started_ms == traced.started_ms
    assert written.ready_ms == 9000
    end = written.end()
    assert end is not None
    assert end.did is Did.ABORTED


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("weight: 5}", "weight: 500}", 9, "give 0 to 100"),
        ("weight: 5}", "weight: 5, did: aborted}", 9, "a weight or a word"),
        ("00:00:09Z", "00:09:09Z", 3, "sort them"),
        ("00:00:09Z, w", "00:00:09, w", 9, "end it with Z"),
        ("did: aborted", "did: exploded", 10, "events[1].did"),
        ("kind: Timeline", "kind: Timelime", 2, "kind"),
        ("  stable: v1\n", "", 3, "'stable' is missing"),
    ],
)
def test_a_wrong_timeline_is_refused_with_its_line(
    old: str, new: str, line: int, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "as-run.yaml"
    path.write_text(TIMELINE.replace(old, new), encoding="utf-8")
    with pytest.raises(TimelineError) as caught:
        load_timeline(path)
    assert caught.value.at.line == line
    assert why in str(caught.value)


# --- a real server ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("prometheus") and shutil.which("promtool")), reason="needs Prometheus")
def test_a_real_server_gives_the_samples_that_it_scraped(rollout: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in rollout.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line["kind"] == "sample" and line["value"] != "StaleNaN"]
    wanted = sample_records(line for line in kept if line["labels"]["__name__"] == "http_requests_total")
    _backfill(wanted, tmp_path)
    with _server(tmp_path) as address:
        client = Recorder(Server(address))
        try:
            manifest, samples = record_bundle(
                client, address, ["http_requests_total"], START, START + 3_600_000, "app_version",
                "http_requests_total",
            )  # fmt: skip
        finally:
            client.close()
    found = sample_records(samples)
    assert manifest["interval_ms"] == 15_000
    for index in range(len(found)):
        times, values = found.samples(index)
        original = wanted.samples(wanted.add_series(found.labels(index)))
        begin = original[0] > START - 900_000
        until = begin & (original[0] <= START + 3_600_000)
        assert times.tolist() == original[0][until].tolist()
        assert values.tolist() == original[1][until].tolist()


def _backfill(store: SeriesStore, folder: Path) -> None:
    rows = ["# TYPE http_requests counter"]
    for index in range(len(store)):
        labels = ",".join(f'{k}="{v}"' for k, v in store.labels(index).items() if k != "__name__")
        times, values = store.samples(index)
        rows += [
            f"http_requests_total{{{labels}}} {v!r} {t / 1000:.3f}"
            for t, v in zip(times.tolist(), values.tolist(), strict=True)
        ]
    text = folder / "samples.om"
    text.write_text("\n".join([*rows, "# EOF"]) + "\n", encoding="utf-8")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True)


class _server:
    """A Prometheus server over a folder, on a free port."""

    def __init__(self, folder: Path) -> None:
        (folder / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
        self.folder = folder

    def __enter__(self) -> str:
        import socket
        from urllib.error import URLError
        from urllib.request import urlopen

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/data", "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                with urlopen(f"{address}/-/ready", timeout=1) as answer:
                    if answer.status == 200:
                        return address
            except (URLError, OSError):
                pass
            time.sleep(0.1)
        self.process.kill()
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
