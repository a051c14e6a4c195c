"""Reports: what they say, that they escape it, and how a real browser takes them."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copyfile

import pytest
from typer.testing import CliRunner

from rolloutsim.cli import app
from rolloutsim.errors import InputError
from rolloutsim.report import report
from tests.report.browser import CHROMIUM, browser

ARTICLE = "scenarios/article"
TABLES_THAT_ARE_CUT = (
    "[...document.querySelectorAll('.wide')].filter(t => t.scrollWidth > t.clientWidth).length"
)


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
    replayed = folder / "replayed.json"
    incident = ["replay", "crates-io-2023-07-20", "--runs", "2", "-o", "json", "--out", str(replayed)]
    assert run(app, incident).exit_code == 0
    vetted, suite = folder / "vetted.json", folder / "suite"
    suite.mkdir()
    for fault in ("err-step-2pp", "err-step-20pp", "healthy"):
        copyfile(f"scenarios/faults/{fault}.yaml", suite / f"{fault}.yaml")
    bars = [
        "p_detect>=0.9@err-step-2pp",
        "p_detect>=0.9@err-step-20pp",
        "time_to_detect_s_p90<=10m@err-step-20pp",
    ]
    asked = [word for bar in bars for word in ("--require", bar)]
    reason = ["--waive", "p_detect@err-step-20pp=<b>known</b>"]
    world = ["scenarios/policies/canary-guarded.yaml", "--service", "scenarios/services/api.yaml"]
    few = ["--suite", str(suite), "--max-runs", "60", "--jobs", "1"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rolloutsim.evidence.nearest.SCREENED", 6)
        answer = run(app, ["vet", *world, *asked, *reason, *few, "-o", "json"])
    assert answer.exit_code == 1
    vetted.write_text(answer.stdout, encoding="utf-8")
    return {"compared": compared, "one": one, "trace": trace, "replayed": replayed, "vetted": vetted}


def test_a_comparison_says_what_each_policy_stops(files: dict[str, Path]) -> None:
    text = report(files["compared"])
    assert "rolling was played too seldom to say" in text
    assert "Good releases" in text
    assert "seed 1, 20 runs of each" in text


def test_a_replay_says_who_would_have_caught_it(files: dict[str, Path]) -> None:
    text = report(files["replayed"])
    assert "2 of 3 policies would have caught it" in text
    assert "not seen: errors-5xx read the same as for a good release" in text
    assert "No combination of the assumed values gives another verdict" in text
    assert "nearly all traffic is downloads" in text
    assert "Model, with assumptions listed: 2 source, 7 derived, 4 assumed" in text
    assert "Broken Crate Downloads" in text


def test_a_vetting_gives_its_verdict_its_bars_and_what_would_change_it(files: dict[str, Path]) -> None:
    text = report(files["vetted"])
    assert "Failed: api misses 1 of 2 bars (1 waived): p_detect&gt;=0.9@err-step-2pp." in text
    assert "threshold of error-rate: 0.05 → 0.02" in text
    assert "&lt;b&gt;known&lt;/b&gt;" in text
    assert "≤ 10 min" in text
    assert "seed 1" in text
    assert json.loads(files["vetted"].read_text(encoding="utf-8"))["suite"]["digest"] in text


@pytest.mark.parametrize(
    ("verdict", "low", "says", "tone"),
    [
        ("passed", 0.97, "Passed: api meets all 1 bars", "good"),
        ("inconclusive", 0.5, "runs do not tell", "open"),
    ],
)
def test_a_vetting_that_did_not_fail(
    files: dict[str, Path], tmp_path: Path, verdict: str, low: float, says: str, tone: str
) -> None:
    document = json.loads(files["vetted"].read_text(encoding="utf-8"))
    document.update(verdict=verdict, nearestPassingChange=None, bars=document["bars"][:1])
    document["bars"][0].update(verdict=verdict, judged={"value": 1.0, "low": low, "high": 1.0, "runs": 100})
    path = tmp_path / "vetted.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    text = report(path)
    assert says in text
    assert f'class="verdict {tone}"' in text
    assert ("least room" in text) == (verdict == "passed")


def test_bars_that_were_not_judged_have_no_figure(files: dict[str, Path], tmp_path: Path) -> None:
    """Too few runs for a mean leave a bar without an interval."""
    document = json.loads(files["vetted"].read_text(encoding="utf-8"))
    for bar in document["bars"]:
        bar.update(verdict="inconclusive", judged={"value": None, "low": None, "high": None, "runs": 5})
    document["verdict"] = "inconclusive"
    path = tmp_path / "vetted.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    text = report(path)
    assert "<img" not in text
    assert "More runs (--max-runs)" in text


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
        ('{"kind": "Losses"}', r"no report of this kind of file \(got 'Losses'\)"),
        ('{"a": 1}', "no report of this kind of file; give a trace"),
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
    """No console error, no missing image, no request, nothing wider than a phone or a sheet, no table cut."""
    assert CHROMIUM, "install chromium to run this test"
    with browser() as page:
        for name, path in files.items():
            html = tmp_path / f"{name}.html"
            html.write_text(report(path), encoding="utf-8")
            for width, media in ((375, ""), (1200, ""), (794, "print")):
                page.call("Emulation.setEmulatedMedia", media=media)
                page.open(html, width=width)
                images = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
                assert images == [True], name
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
                assert page.evaluate(TABLES_THAT_ARE_CUT) == 0, (name, width)
                assert page.evaluate("performance.getEntriesByType('resource').length") <= len(images)
            assert page.call("Page.printToPDF")["data"], name
        assert page.complaints == []
