"""Gates that cannot see in time, and tests that peek."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rolloutsim.lint import Finding, Scrapes, Traffic, lint
from tests.lint.lint_manifests import POLICIES, ROOT
from tests.lint.test_lint_command import run

GATED = (POLICIES / "api-gated.yaml").read_text(encoding="utf-8")
SIZE = ("              margin: 1.25 # good pods differ by chance\n", "              smallestRatio: 2\n")
Z = GATED.replace("test: rateRatio", "test: twoProportionZ").replace(SIZE[0], "").replace(SIZE[1], "")


def found(tmp_path: Path, text: str, rps: float | None = None) -> list[Finding]:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    traffic = None if rps is None else Traffic(rps, 0.01)
    findings = lint([[str(path)]], scrapes=Scrapes(traffic=traffic)).findings
    return [finding for finding in findings if finding.rule.id in ("RS055", "RS056")]


def test_a_gate_without_enough_traffic_is_told_what_would_do(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, GATED, rps=5.0)
    assert finding.rule.id == "RS055"
    assert finding.path == "spec.strategy.canary.analysis.metrics[0].gate"
    assert re.search(r"catches 2.000% in \d+% of the rollouts within the 25 min", finding.reason)
    minutes = re.search(r"(\d+) min", finding.fix)
    assert minutes is not None
    longer = GATED.replace(
        "        - setWeight: 50\n        - pause: {duration: 10m}",
        f"        - setWeight: 50\n        - pause: {{duration: {int(minutes.group(1)) - 13}m}}",
    )
    assert not found(tmp_path, longer, rps=5.0), "it does"


def test_enough_traffic_or_none_stated_is_fine(tmp_path: Path) -> None:
    assert not found(tmp_path, GATED, rps=25.0)
    assert not found(tmp_path, GATED)


def test_a_gate_on_latency_needs_traffic_too(tmp_path: Path) -> None:
    """One answer in fifty is slower than half a second, and twice as many must not pass."""
    path = tmp_path / "policy.yaml"
    path.write_text(GATED.replace("service: api}", "service: api, slowerThan: 500ms}"), encoding="utf-8")

    def hits(rps: float, median_s: float | None) -> list[Finding]:
        scrapes = Scrapes(traffic=Traffic(rps, 0.01, median_s, 0.6))
        return [one for one in lint([[str(path)]], scrapes=scrapes).findings if one.rule.id == "RS055"]

    (finding,) = hits(2.0, 0.15)
    assert re.search(r"2\.2\d+% slow answers the gate 'errors' catches 4\.4\d+% in", finding.reason)
    assert not hits(20.0, 0.15)
    assert not hits(2.0, None), "nobody said how long answers take"


@pytest.mark.parametrize("test", ["twoProportionZ", "fisherExact", "betaPosterior"])
def test_a_test_for_one_look_that_is_looked_at_often(tmp_path: Path, test: str) -> None:
    (finding,) = found(tmp_path, Z.replace("twoProportionZ", test))
    assert finding.rule.id == "RS056"
    assert "looked at 100 times" in finding.reason


def test_the_command_reads_a_service() -> None:
    service = ROOT / "scenarios" / "services" / "checkout-low-traffic.yaml"
    shown = run(POLICIES / "api-gated.yaml", "--service", str(service)).stdout
    assert "RS055" in shown
    assert "what would do" in shown or "larger effect" in shown
