"""``calibrate`` on the command line: what it writes, what it says, and what it refuses in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from rolloutsim.cli.calibrate import calibrate
from rolloutsim.errors import RolloutsimError
from rolloutsim.promql.openmetrics import write_openmetrics
from rolloutsim.sim.scenario import ConstantRate, DiurnalRate
from rolloutsim.sim.scenario_file import load_scenario
from tests.evidence.calibration.histories import (
    END_MS,
    HOUR_MS,
    between,
    history,
    labelled,
    served,
    service,
    together,
)

TO = ("--to", "2026-01-05T00:00:00Z")
POLICY = "scenarios/policies/httproute-canary.yaml"
app = typer.Typer()
app.command()(calibrate)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(*words: object) -> str:
    """The sentence of an error that the package raises on purpose."""
    result = run(*words)
    assert isinstance(result.exception, RolloutsimError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    known = service(DiurnalRate(20.0, 0.5), dispersion=3.0, error_rate=0.02)
    stores = {f"api-{k}": history(known, 24, seed=k + 1) for k in range(3)}
    with served(labelled(stores)) as address:
        yield address


def test_it_writes_a_service_and_the_rate_of_false_aborts(url: str, tmp_path: Path) -> None:
    out = tmp_path / "shop.yaml"
    words = ["--prometheus", url, "--service", "api", "--last", "1d", *TO, "-o", out]
    result = run(*words, "--aa", POLICY, "--starts", 10)
    assert result.exit_code == 0, result.output
    scenario = load_scenario(f"{out}+scenarios/releases/good.yaml")
    assert scenario.service.name == "api"
    assert scenario.service.error_rate == pytest.approx(0.02, rel=0.1)
    assert (tmp_path / "shop-traffic.csv").read_text(encoding="utf-8").startswith("t_s,rate_rps\n0,")
    assert "measured: traffic by time of day, mean 60" in result.stderr
    assert "not measured: traffic.recorded.release_at" in result.stderr
    assert "not measured: not in a history of requests, so at their defaults" in result.stderr
    assert f"wrote {out}, {tmp_path / 'shop-traffic.csv'}" in result.stderr
    assert result.stdout.startswith("policy api: 0 of 10 releases of nothing aborted, 0 %\n")
    assert "1 days are too few" in result.stdout
    assert "pods drawn at random from 3 pods" in result.stdout
    assert "assumed:" in result.stdout


def test_it_reads_files_as_query_does(tmp_path: Path) -> None:
    page = tmp_path / "history.om"
    page.write_text("".join(write_openmetrics(history(service(ConstantRate(5.0)), 3))), encoding="utf-8")
    result = run("--trace", page, "--service", "api", "-o", tmp_path / "api.yaml")
    assert result.exit_code == 0, result.output
    assert "measured: traffic.rate_rps" in result.stderr
    text = (tmp_path / "api.yaml").read_text(encoding="utf-8")
    assert "history.om" in text
    assert "left_closed" not in text, "a file does not say of which server it is"
    load_scenario(f"{tmp_path / 'api.yaml'}+scenarios/releases/good.yaml")


def test_a_release_in_the_history_is_told_with_how_to_leave_it_out(tmp_path: Path) -> None:
    quiet, end = history(service(ConstantRate(5.0)), 6), END_MS
    begun = end - 2 * HOUR_MS
    old, new = between(quiet, 0, begun + 600_000), between(quiet, begun, end, app_version="1.4.3")
    page = tmp_path / "history.om"
    page.write_text("".join(write_openmetrics(together(old, new))), encoding="utf-8")
    words = ("--trace", page, "--service", "api", "-o", tmp_path / "api.yaml")
    (said,) = [line for line in run(*words).stderr.splitlines() if "release (" in line]
    assert said.startswith("warning: this history looks as if it held a release (2026-01-04T22:0")
    assert ": app_version 1.4.3 begins to get requests), and traffic, dispersion, errors" in said
    advised = said.rpartition(", ")[2].split()
    assert advised[0::2] == ["--to", "--last"]
    again = run(*words, *advised)
    assert again.exit_code == 0, again.output
    assert "release (" not in again.stderr


def test_a_secret_in_a_selector_is_not_written_down(url: str, tmp_path: Path) -> None:
    out = tmp_path / "api.yaml"
    words = ["--prometheus", url, "--service", "api", "--last", "6h", *TO, "-o", out]
    result = run(*words, "--requests", 'http_requests_total{service="api", api_token!="s3cret"}')
    assert result.exit_code == 0, result.output
    text = out.read_text(encoding="utf-8")
    assert 'api_token!=\\"redacted-1\\"' in text
    assert "s3cret" not in text


def test_metrics_of_ones_own_names(url: str, tmp_path: Path) -> None:
    selector = 'http_requests_total{service="api"}'
    words = ["--prometheus", url, "--service", "shop/api", "--last", "6h", *TO, "-o", tmp_path / "x.yaml"]
    result = run(*words, "--requests", selector)
    assert result.exit_code == 0, result.output
    assert "not measured: telemetry.preset" in result.stderr
    assert "not measured: error_rate, error_icc: no counter of errors is known (--errors)" in result.stderr
    assert "not measured: latency: no histogram is known (--latency)" in result.stderr
    assert load_scenario(f"{tmp_path / 'x.yaml'}+scenarios/releases/good.yaml").service.name == "shop-api"
    given = ["--errors", f'{selector[:-1]}, status="500"}}', "--latency", "http_request_duration_seconds"]
    whole = run(*words, "--requests", selector, *given)
    assert "measured: error_rate 2" in whole.stderr
    assert "measured: latency.sigma 0.6" in whole.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--service", "apis"], "has no service 'apis' in http_requests_total; there are api"),
        (["--service", "api", "--pod-label", "podd"], "has the label 'podd'; they have app_version, pod,"),
        (["--service", "api", "--requests", "foo_total"], "has no samples of foo_total between"),
        (["--service", "api", "--requests", "rate(foo[5m])"], "--requests is no selector"),
        (["--service", "api", "--errors", "foo_total"], "--errors and --latency come with --requests"),
        (["--service", "api", "--last", "3"], "--last is no time of more than 0"),
        (["--service", "api", "--to", "yesterday"], "--to is no time"),
        (["--service", "api", "--to", "2020-01-01T00:00:00Z"], "has no request counter of a known exporter"),
        (["--service", "api", "--aa", "scenarios/article/rolling.yaml"], "asks Prometheus nothing"),
        (["--service", "api", "--aa", POLICY, "--by", "status"], "by a pattern on status"),
    ],
)
def test_mistakes_are_told_in_a_sentence(url: str, tmp_path: Path, words: list[str], why: str) -> None:
    said = refused("--prometheus", url, "--last", "6h", *TO, "-o", tmp_path / "api.yaml", *words)
    assert why in said
    assert "\n" not in said


def test_one_place_and_a_yaml_file(tmp_path: Path) -> None:
    assert "from one place" in refused("--service", "api", "-o", tmp_path / "api.yaml")
    address = "http://127.0.0.1:9"
    assert "is a YAML file" in refused(
        "--prometheus", address, "--service", "api", "-o", tmp_path / "api.json"
    )


def test_a_server_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolloutsim.evidence.calibration.source.QUERY_MS", 300)
    said = refused(
        "--prometheus", "http://somebody:s3cret@127.0.0.1:9", "--service", "api", "-o", tmp_path / "a.yaml"
    )
    assert "cannot be reached" in said
    assert "s3cret" not in said
