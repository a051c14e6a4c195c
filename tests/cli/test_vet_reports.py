"""A vetting as table, Markdown, JUnit and SARIF: made-up runs whose truth is known."""

from __future__ import annotations

import json
from functools import cache
from xml.etree import ElementTree

import pytest

from rolloutsim.cli.vet_reports import junit, sarif
from rolloutsim.cli.vet_table import markdown, table, value_text
from rolloutsim.evidence.bars import bars_on
from rolloutsim.evidence.document import vetting_json
from rolloutsim.evidence.nearest import Search, nearest_passing
from rolloutsim.evidence.suite import standard_suite
from rolloutsim.evidence.vet import Vetting, vet_with
from rolloutsim.evidence.waivers import Waiver
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import Policy
from tests.evidence.made_up import GUARDED, bernoulli, policy, suite

BARS = (
    "p_detect>=0.95@err-step-2pp",
    "p_detect>=0.95@leak",
    "p_false_abort<=0.02@healthy",
    "bad_requests_p95<=2000@err-step-2pp",
    "p_false_abort<=0.1@noisy-baseline",
)


def chance(policy: Policy, name: str) -> float:
    (analysis,) = analyses_of(policy)
    if name == "err-step-2pp":
        return 1.0 if "0.03" in analysis.metrics[0].success_condition else 0.25
    return 0.1 if name == "noisy-baseline" else 0.0


@cache
def found() -> tuple[Vetting, Search]:
    """One bar failed and could be mended, one waived, one inconclusive."""
    faults = suite("err-step-2pp", "leak", "healthy", "noisy-baseline", "no-traffic")
    player = bernoulli(chance)
    waiver = Waiver("p_detect", "leak", "comes after the canary | seen by the monthly drill")
    vetting = vet_with(player, policy(), faults, bars_on(faults, BARS), waivers=[waiver])
    without = vet_with(player, policy(), faults, bars_on(faults, BARS[:4]), waivers=[waiver])
    return vetting, nearest_passing(player, policy(), faults, without, max_runs=1600)


def test_the_table() -> None:
    lines = table(*found()).splitlines()
    assert max(map(len, lines)) <= 100
    rows = {line.split("  ")[0]: line for line in lines if "@" in line}
    assert rows["p_detect>=0.95@err-step-2pp"].endswith("100  failed")
    assert rows["p_detect>=0.95@leak"].endswith("100  failed (waived)")
    assert "100 % of runs within" in rows["bad_requests_p95<=2000@err-step-2pp"]
    assert rows["p_false_abort<=0.1@noisy-baseline"].endswith("1600  inconclusive")
    text = " ".join(line.strip() for line in lines)
    assert "failed: of 5 bars 2 passed, 1 failed, 1 inconclusive, 1 waived; 2340 runs" in text
    assert "threshold of error-rate 0.05 -> 0.03 (p_detect@err-step-2pp" in text
    assert "-> 100 %; the other 2 still pass; 21 tried)" in text
    assert "no-traffic (healthy)" in text
    assert "waived: p_detect>=0.95@leak: comes after the canary" in text


def test_a_large_number_has_no_exponent() -> None:
    (bar,) = bars_on(standard_suite("scenarios/services/api.yaml"), ["bad_requests_p95<=5000@leak"])
    assert [value_text(bar, value) for value in (20_353.4, 9_999.9, 5.3871)] == ["20,353", "10,000", "5.387"]


def test_the_summary_is_markdown() -> None:
    text = markdown(*found())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert rows[0] == "| bar | found | 95 % bounds | runs | verdict | with the change |"
    assert rows[2].endswith("| 100 | failed | 100 % passed |")
    assert "- waived `p_detect>=0.95@leak`: comes after" in text
    assert "with the change" not in markdown(found()[0], None)


def test_junit() -> None:
    root = ElementTree.fromstring(junit(found()[0]))
    (one,) = root
    assert (one.get("tests"), one.get("failures"), one.get("skipped")) == ("5", "2", "1")
    kinds = [failure.get("type") for failure in root.iter("failure")]
    assert kinds == ["failed", "inconclusive"]


def test_sarif_marks_the_line_that_would_change() -> None:
    (log,) = sarif(*found(), [str(GUARDED)])["runs"]
    assert [result["level"] for result in log["results"]] == ["error", "error", "warning"]
    assert [rule["id"] for rule in log["tool"]["driver"]["rules"]] == ["vet/p_detect", "vet/p_false_abort"]
    assert log["results"][1]["suppressions"][0]["justification"].startswith("comes after")
    for result in log["results"]:
        assert log["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        region = result["locations"][0]["physicalLocation"]["region"]
        line = GUARDED.read_text().splitlines()[region["startLine"] - 1]
        assert line[region["startColumn"] - 1 :].startswith("successCondition:")


def test_without_a_suggestion_sarif_marks_the_strategy() -> None:
    (log,) = sarif(found()[0], Search((), None, 3, 0, complete=True), [str(GUARDED)])["runs"]
    region = log["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert GUARDED.read_text().splitlines()[region["startLine"] - 1].strip() == "strategy:"


def test_sarif_is_valid() -> None:
    """Against the parts of the schema that code hosts look at."""
    jsonschema = pytest.importorskip("jsonschema")
    text = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
    region = {"type": "object", "properties": {"startLine": {"type": "integer", "minimum": 1}}}
    schema = {
        "type": "object",
        "required": ["version", "runs"],
        "properties": {
            "version": {"const": "2.1.0"},
            "runs": {
                "items": {
                    "required": ["tool", "results"],
                    "properties": {
                        "results": {
                            "items": {
                                "required": ["ruleId", "level", "message", "locations"],
                                "properties": {
                                    "level": {"enum": ["none", "note", "warning", "error"]},
                                    "message": text,
                                    "locations": {
                                        "items": {
                                            "properties": {
                                                "physicalLocation": {
                                                    "required": ["artifactLocation", "region"],
                                                    "properties": {"region": region},
                                                }
                                            }
                                        }
                                    },
                                },
                            }
                        }
                    },
                }
            },
        },
    }
    jsonschema.validate(sarif(*found(), [str(GUARDED)]), schema)


def test_json_has_no_number_that_json_does_not_know() -> None:
    text = json.dumps(vetting_json(*found()), allow_nan=False)
    change = json.loads(text)["nearestPassingChange"]
    assert change["changes"] == [{"what": "threshold of error-rate", "before": "0.05", "after": "0.03"}]
