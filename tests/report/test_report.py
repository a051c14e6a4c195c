"""Reports: what they say, that they escape it, and how a real browser takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rolloutsim.cli import app
from rolloutsim.errors import InputError
from rolloutsim.report import report
from tests.report.browser import CHROMIUM, browser

ARTICLE = "scenarios/article"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A comparison, a simulation and a trace, as their verbs write them."""
    folder = tmp_path_factory.mktemp("report")
    compared, one, trace = folder / "compared.json", folder / "one.json", folder / "trace.jsonl"
    canary, rolling = f"{ARTICLE}/canary.yaml", f"{ARTICLE}/rolling.yaml"
    worlds = f"{ARTICLE}/worlds/error-20pp.yaml,{ARTICLE}/worlds/good.yaml"
    run = CliRunner().invoke
    common = ["--runs", "20", "-o", "json", "--jobs", "1"]
    assert (
        run(app, ["compare", canary, rolling, "-s", worlds, *common, "--out", str(compared)]).exit_code == 0
    )
    alone = ["simulate", canary, "-s", f"{ARTICLE}/worlds/error-20pp.yaml", *common]
    assert run(app, [*alone, "--out", str(one), "--trace", str(trace)]).exit_code == 0
    return {"compared": compared, "one": one, "trace": trace}


def test_a_comparison_says_what_each_policy_stops(files: dict[str, Path]) -> None:
    text = report(files["compared"])
    assert "rolling was played too seldom to say" in text
    assert "Good releases" in text
    assert "seed 1, 20 runs of each" in text


def test_a_rollout_is_told_in_order(files: dict[str, Path]) -> None:
    text = report(files["trace"])
    assert "Aborted after 0:10:" in text
    assert text.index("step 1 of 7 done") < text.index("step 3 of 7 done") < text.index(">aborted<")


def test_the_same_file_gives_the_same_bytes(files: dict[str, Path]) -> None:
    for path in files.values():
        assert report(path) == report(path)


def test_names_cannot_bring_in_markup(files: dict[str, Path], tmp_path: Path) -> None:
    document = json.loads(files["one"].read_text(encoding="utf-8"))
    document["summary"][0]["policy"] = "<script>alert(1)</script>"
    document["notes"].append('"><img src=x onerror=alert(1)>')
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    text = report(path)
    assert "<script" not in text
    assert "<img src=x" not in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"kind": "Losses"}', "no report of this kind"),
        ('{"kind": "Comparison", "notes": []}', "has no 'summary'"),
        ("nothing\n", "not JSON"),
        ("", "begins with a manifest"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "other"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=why):
        report(path)


def test_the_verb_writes_a_file(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert CliRunner().invoke(app, ["report", str(files["one"]), "-o", str(out)]).exit_code == 0
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_a_browser_shows_it_whole(files: dict[str, Path], tmp_path: Path) -> None:
    """No console error, no missing image, no request, nothing wider than a phone."""
    assert CHROMIUM, "install chromium to run this test"
    with browser() as page:
        for name, path in files.items():
            html = tmp_path / f"{name}.html"
            html.write_text(report(path), encoding="utf-8")
            for width in (375, 1200):
                page.open(html, width=width)
                images = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
                assert images == [True], name
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
                assert page.evaluate("performance.getEntriesByType('resource').length") <= len(images)
            assert page.call("Page.printToPDF")["data"], name
        assert page.complaints == []
