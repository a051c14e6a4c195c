"""Questions to a trace and to recorded samples on the command line."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rolloutsim.cli import app
from rolloutsim.plots.answer import plot_answer
from rolloutsim.policy import load_policy
from rolloutsim.promql import STALE_NAN, Labels, Matrix, Series, compile_query
from rolloutsim.promql.intake import sample_records
from rolloutsim.sim.run import trace_run
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.trace import read_trace, write_trace

ROOT = Path(__file__).parent.parent.parent
START = 1_767_571_200
PAGE = "".join(f'hits_total{{job="api"}} {60 * n} {START + 60 * n}\n' for n in range(11)) + "# EOF\n"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["query", *map(str, arguments)])


def fine(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    return result.stderr


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated run, released at START."""
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    policy = load_policy(ROOT / "scenarios/policies/canary-guarded.yaml")
    files = [ROOT / "scenarios/services/api.yaml", ROOT / "scenarios/releases/error-step-20pp.yaml"]
    write_trace(path, *trace_run(policy, load_scenario("+".join(map(str, files)))))
    return path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.om"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_a_trace_answers_what_the_run_would_have(trace: Path) -> None:
    query = 'sum by (status) (rate(http_requests_total{app_version="v2"}[2m]))'
    document = json.loads(fine(query, "--trace", trace, "--at", "4m", "-o", "json"))
    store = sample_records(read_trace(trace).of("sample"))
    wanted = compile_query(query).evaluate_range(store, (START + 240) * 1000, (START + 240) * 1000, 1)
    assert document["status"] == "success"
    found = {one["metric"]["status"]: one["value"] for one in document["data"]["result"]}
    assert found == {
        one.labels["status"]: [START + 240, str(one.values[0]).removesuffix(".0")] for one in wanted.series
    }
    assert set(found) == {"200", "500"}


@pytest.mark.parametrize(
    "at", ["2026-01-05T00:04:00Z", f"{START + 240}", f"{START + 240}.0", "4m", "+4m", "240s"]
)
def test_one_time_in_all_its_forms(trace: Path, at: str) -> None:
    assert fine("time()", "--trace", trace, "--at", at) == f"{START + 240}\n"


def test_times_before_the_release(trace: Path) -> None:
    assert fine("time()", "--trace", trace, "--at", "-1h30m") == f"{START - 5400}\n"
    assert fine("time()", "--trace", trace, "--at=-30s") == f"{START - 30}\n"


def test_without_a_time_it_is_the_end(page: Path) -> None:
    assert fine("hits_total", "--trace", page) == 'at 2026-01-05T00:10:00Z\nhits_total{job="api"}  600\n'


def test_a_range_as_a_table(trace: Path, page: Path) -> None:
    first, last = f"{START + 60}", f"{START + 200}"
    assert fine("hits_total + 0", "--trace", page, "--from", first, "--to", last, "--step", "90") == (
        '{job="api"}\n  2026-01-05T00:01:00Z   60\n  2026-01-05T00:02:30Z  120\n'
    )
    span = ("--from", "-1m", "--to", "1h1m", "--step", "31m30s500ms")
    shown = fine("vector(time())", "--trace", trace, *span)
    assert [line.split()[1] for line in shown.splitlines()[1:]] == ["-1m", "+30m30.5s"]


def test_nothing_is_said_to_be_nothing(page: Path) -> None:
    assert "no data" in fine("nothing", "--trace", page)
    assert "no data" in fine("nothing", "--trace", page, "--step", "1m")
    assert fine('"text"', "--trace", page) == "text\n"


def test_samples_go_out_and_come_back(trace: Path, tmp_path: Path) -> None:
    every, ratio = '{__name__=~".+"}[1y]', "sum(rate(http_requests_total[1m]))"
    outputs = {"openmetrics": "run.om", "csv": "run.csv", "json": "run.json"}
    for form, name in outputs.items():
        assert fine(every, "--trace", trace, "-o", form, "--out", tmp_path / name) == ""
    answers = {
        fine(ratio, "--trace", path, "--at", f"{START + 180}")
        for path in (tmp_path / n for n in outputs.values())
    }
    assert len(answers) == 1
    assert answers.pop().splitlines()[1] == fine(ratio, "--trace", trace, "--at", "3m").splitlines()[1]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_has_the_same_bytes(trace: Path, tmp_path: Path, kind: str) -> None:
    paths = [tmp_path / f"{name}.{kind}" for name in "ab"]
    for path in paths:
        fine("sum by (status) (rate(http_requests_total[1m]))", "-t", trace, "--plot", path, "--unit", "1/s")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_ranges_of_the_second_version(page: Path) -> None:
    asked = ("count_over_time(hits_total[2m])", "--trace", page)
    assert fine(*asked).split()[-1] == "2"
    assert fine(*asked, "--left-closed").split()[-1] == "3"


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_syntax_error_shows_its_place(page: Path) -> None:
    *_, line, caret = refused("sum(rate(hits_total[1m)", "--trace", page).splitlines()
    assert line == "sum(rate(hits_total[1m)"
    assert caret == " " * line.index(")") + "^"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--at", "soon"), "--at is no time"),
        (("--at", "10m"), "--at is counted from a release"),
        (("--at", "++10m"), "--at is no time"),
        (("--from", f"{START}000"), "--from is no time: .*milliseconds"),
        (("--from", "nan"), "--from is no time"),
        (("--from", f"{START}", "--to", f"{START - 1}"), "--to is before --from"),
        (("--step", "0"), "--step is no time"),
        (("--step", "-5"), "--step is no time"),
        (("--step", "5 m"), "--step is no time"),
        (("--step", "1ms"), "more than 11000 steps"),
        (("--at", "5", "--step", "1m"), "--at is one time"),
        (("--plot", "figure.doc"), "figure.doc: a figure is PNG"),
        (("--out", "no/such/out"), "no/such/out: the directory"),
    ],
)
def test_wrong_options_are_named(page: Path, arguments: tuple[str, ...], why: str) -> None:
    message = refused("hits_total", "--trace", page, *arguments)
    assert len(message.splitlines()) == 1 or "11000" in why
    assert re.search(why, message)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("page.om", "hits 1 2\n", "page.om:2: there is no # EOF"),
        ("page.txt", "# EOF\n", "page.txt: the file holds no samples"),
        ("page.csv", "time,job\n", "page.csv:1: the header has no column 'value'"),
        ("page.json", "{}", "page.json: data.resultType: only a matrix"),
        ("page.jsonl", "{}\n", "page.jsonl:1: a trace record needs a kind"),
        ("page.prom", "hits \xff 1\n", "page.prom: the file is not text in UTF-8"),
        ("page.jsonl", '{"kind":"manifest"}\n{"kind":"sample"}\n', "sample 1 of the trace"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: str, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    assert why in refused("up", "--trace", path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("trace.jsonl", "page.csv"):
        assert "No such file" in refused("up", "--trace", tmp_path / name)


def test_results_without_names_are_no_openmetrics(page: Path) -> None:
    assert "has no name" in refused("rate(hits_total[5m])", "--trace", page, "-o", "openmetrics")
    assert "a text is no sample" in refused('"x"', "--trace", page, "-o", "csv")


def test_a_port_that_is_taken(page: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", str(page), "--port", port])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: port {port} cannot be taken")


# --- the figure -----------------------------------------------------------------------------------


def test_a_figure_breaks_its_lines_and_names_its_axes() -> None:
    times = (0, 60_000, 120_000, 240_000, 300_000)
    matrix = Matrix(
        tuple(
            Series(Labels((("job", str(n)), ("zone", "x"))), times, (0.0, 1.0, 2.0, float("inf"), STALE_NAN))
            for n in range(20)
        )
    )
    figure = plot_answer(matrix, query="sum(rate(hits[1m]))", unit="1/s", start_ms=60_000)
    (axes,) = (axes for axes in figure.axes[0].child_axes)
    assert axes.get_title(loc="left") == "sum(rate(hits[1m]))"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("minutes since the release", "1/s")
    minutes, values = axes.lines[0].get_data()
    assert list(minutes) == [-1, 0, 1, 1, 3, 4]
    assert [value == value for value in values] == [True, True, True, False, False, False]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:2] == ["job=0", "job=1"]
    assert len(legend.get_texts()) == 16
    assert legend.get_title().get_text() == "the first 16 of 20 series"
    empty = plot_answer(Matrix(()), query="nothing")
    assert [text.get_text() for text in empty.axes[0].child_axes[0].texts] == ["no data"]
