"""Unit tests of policies: what holds, what does not, and what is said about it."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rolloutsim.rehearsal import Verdict, junit_xml, load_cases, rehearse
from rolloutsim.rehearsal.case import End

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "scenarios" / "tests").glob("*.yaml"))
CANARY = ROOT / "scenarios" / "article" / "canary.yaml"

POLICY = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  replicas: 4
  progressDeadlineSeconds: 120
  selector: {matchLabels: {app: shop}}
  template: {metadata: {labels: {app: shop}}}
  strategy:
    canary:
      stableService: shop
      canaryService: shop-canary
      trafficRouting: {plugins: {fake: {}}}
      steps:
        - setWeight: 10
        - analysis:
            templates: [{templateName: errors}]
            args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]
        - setWeight: 50
        - pause: {}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: hash}]
  metrics:
    - name: errors
      interval: 30s
      count: 3
      successCondition: result[0] < 0.05
      failureCondition: result[0] > 0.5
      inconclusiveLimit: 1
      provider:
        prometheus:
          query: errors{hash="{{args.hash}}"}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}}
---
apiVersion: v1
kind: Service
metadata: {name: shop-canary}
spec: {selector: {app: shop}}
"""


@pytest.fixture
def run(tmp_path: Path):
    """A test with this body (YAML flow entries) on the policy above."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")

    def play(body: str) -> Verdict:
        file = tmp_path / "test.yaml"
        file.write_text(f"policy: policy.yaml\ntests:\n  - name: it\n{body}", encoding="utf-8")
        (case,) = load_cases(file)
        return rehearse(case)

    return play


def said(verdict: Verdict) -> str:
    """What is said about the only failure."""
    (failure,) = verdict.failures
    return f"{failure.expected} | {failure.got}"


# --- shipped tests --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_tests_hold(path: Path) -> None:
    for case in load_cases(path):
        verdict = rehearse(case)
        assert verdict.passed, verdict.failures


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_tests_notice_other_limits(path: Path, tmp_path: Path) -> None:
    policy = re.search(r"^policy: (.*)$", path.read_text(), re.MULTILINE)
    assert policy is not None
    text = (path.parent / policy.group(1)).read_text(encoding="utf-8")
    broken = re.sub(r"failureLimit: \d+", "failureLimit: 40", text).replace("count: 10", "count: 50")
    broken = broken.replace("progressDeadlineSeconds: 300", "progressDeadlineSeconds: 400")
    broken = re.sub(r"falseAbortRate: \S+", "falseAbortRate: 0.000001%", broken)
    broken = broken.replace("isNaN(result[0]) || ", "").replace("len(result) == 0 || ", "")
    (tmp_path / "policy.yaml").write_text(broken, encoding="utf-8")
    tests = path.read_text().replace(policy.group(0), "policy: policy.yaml")
    (tmp_path / "tests.yaml").write_text(tests, encoding="utf-8")
    assert any(not rehearse(case).passed for case in load_cases(tmp_path / "tests.yaml"))


# --- what a test can expect -----------------------------------------------------------------------

GOOD = "    measurements: {errors: [0.01]}\n"


@pytest.mark.parametrize(
    "expected",
    [
        "{at: 0s, weight: 10, step: 1}",
        "{at: 59s, weight: 10, phase: Progressing}",
        "{at: 1m, weight: 50, phase: Paused, step: 3, pods: 2}",
        "{at: 30s, metric: errors, verdict: Successful, value: 0.01}",
        '{at: 30s, metric: errors, value: "[0.01]"}',
        "{by: 1m, event: step-completed, message: ''}",
        "{at: 1m, event: paused}",
        "{at: 1m, analysis: Successful}",
        "{by: 10m, weight: 50}",
        "{phase: Paused}",
        "{metric: errors}",
    ],
)
def test_what_is_so_may_be_expected(run, expected: str) -> None:
    if "message: ''" in expected:
        expected = expected.replace(", message: ''", "")
    assert run(f"{GOOD}    expect:\n      - {expected}\n").passed


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("{at: 30s, weight: 50}", "at 30s: weight 50 | weight 10, phase Progressing"),
        ("{at: 30s, pods: 4}", "4 new pods | weight 10"),
        ("{by: 30s, weight: 50}", "by 30s: weight 50 | weight 10"),
        (
            "{at: 1m, step: 4}",
            "at 1m: 4 steps done | weight 50, phase Paused (CanaryPauseStep), 3 steps done, 2 new",
        ),
        ("{at: 1m, event: promoted}", "at 1m: promoted | there was no such event"),
        ("{at: 50s, event: paused}", "at 50s: paused | that was so at 1m, not at 50s"),
        ("{by: 50s, event: paused}", "| the last such event was at 1m: paused: CanaryPauseStep"),
        ("{at: 45s, metric: errors}", "errors measured | that was so at 0s, 30s, 1m, not at 45s"),
        (
            "{at: 30s, metric: errors, verdict: Failed}",
            "errors Failed | errors #2 Successful, value [0.01]: successCondition result[0] < 0.05 holds",
        ),
        ("{at: 30s, metric: errors, value: 0.02}", "value 0.02 | errors #2 Successful, value [0.01]"),
        (
            "{at: 45s, metric: errors, verdict: Failed}",
            "| no measurement of errors at 45s, only at 0s, 30s, 1m",
        ),
        ("{at: 1m, analysis: Failed}", "analysis Failed | there was no such event"),
        ("{at: 1m, event: paused, message: tired}", "message with 'tired' | paused: CanaryPauseStep"),
    ],
)
def test_what_is_not_so_is_told_with_what_was(run, expected: str, message: str) -> None:
    assert message in said(run(f"{GOOD}    expect:\n      - {expected}\n"))


@pytest.mark.parametrize(
    ("never", "message"),
    [
        ("paused", "never: paused | at 1m: paused: CanaryPauseStep"),
        ("{weight: 50}", "never: weight 50 | at 1m: weight 50"),
        ("{metric: errors, verdict: Successful}", "| at 0s: errors #1 Successful, value [0.01]"),
        ("{weight: 10, before: 10s}", "never before 10s: weight 10 | at 0s: weight 10"),
        ("{event: paused, weight: 50}", "at 1m: paused"),
    ],
)
def test_never_is_broken_at_its_first_time(run, never: str, message: str) -> None:
    assert message in said(run(f"{GOOD}    never: [{never}]\n"))


@pytest.mark.parametrize(
    "never", ["aborted", "{weight: 50, before: 59s}", "{event: paused, weight: 10}", "{phase: Healthy}"]
)
def test_never_holds(run, never: str) -> None:
    assert run(f"{GOOD}    never: [{never}]\n").passed


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (GOOD, "paused"),
        (f"{GOOD}    commands: [{{at: 2m, do: promote}}]\n", "promoted"),
        (f"{GOOD}    commands: [{{at: 2m, do: abort}}]\n", "aborted"),
        ("    measurements: {errors: [0.6]}\n", "aborted"),
        (f"{GOOD}    pods: {{ready_after: never}}\n", "degraded"),
        (f"{GOOD}    until: 45s\n", "progressing"),
    ],
)
def test_outcomes(run, body: str, outcome: str) -> None:
    assert run(f"{body}    outcome: {outcome}\n").passed
    other = "paused" if outcome != "paused" else "promoted"
    failed = run(f"{body}    outcome: {other}\n")
    assert (failed.end, len(failed.failures)) == (End(outcome), 1)


def test_another_outcome_is_told_with_its_reason(run) -> None:
    aborted = said(run("    measurements: {errors: [0.6]}\n    outcome: promoted\n"))
    assert aborted.startswith("outcome promoted | at 0s: aborted: ")
    assert "failed (1) > failureLimit (0)" in aborted
    held = said(run(f"{GOOD}    until: 5m\n    outcome: promoted\n"))
    assert "paused at 5m, where the test ends: weight 50, phase Paused" in held


def test_the_timeline_is_that_around_the_failures(run) -> None:
    body = f"{GOOD}    until: 1h\n    commands: [{{at: 30m, do: pause}}, {{at: 31m, do: resume}}]\n"
    verdict = run(f"{body}    expect:\n      - {{at: 0s, weight: 5}}\n      - {{at: 1h, weight: 5}}\n")
    assert len(verdict.failures) == 2
    times = [at_ms for at_ms, _ in verdict.timeline]
    assert times == sorted(times)
    texts = [text for _, text in verdict.timeline]
    assert "command pause" in texts
    assert "weight 10" in texts
    assert sum(text.startswith("… ") for text in texts) <= 1
    assert run(f"{body}    expect:\n      - {{at: 0s, weight: 10}}\n").timeline == ()


def test_an_experiment_is_rehearsed_too(run, tmp_path: Path) -> None:
    """Its analysis takes the given measurements, and its phases stand in the timeline."""
    trial = (
        "        - experiment:\n"
        "            templates: [{name: trial, specRef: canary}]\n"
        "            analyses:\n"
        "              - name: check\n"
        "                templateName: errors\n"
        "                requiredForCompletion: true\n"
        '                args: [{name: hash, value: "{{templates.trial.podTemplateHash}}"}]\n'
    )
    text = POLICY.replace("      steps:\n", f"      steps:\n{trial}")
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    assert run("    measurements: {errors: [0.6]}\n    never: [{weight: 10}]\n    outcome: aborted\n").passed
    early = run(f"{GOOD}    until: 5m\n    expect: [{{at: 0s, weight: 10}}]\n    outcome: paused\n")
    assert any(line.startswith("experiment v2-2-0 ") for _, line in early.timeline)
    assert run(f"{GOOD}    until: 5m\n    expect: [{{at: 5m, weight: 50}}]\n    outcome: paused\n").passed


def test_the_last_instant_belongs_to_the_test(run) -> None:
    assert run(f"{GOOD}    until: 1m\n    expect: [{{at: 1m, weight: 50}}]\n    outcome: paused\n").passed


def test_a_little_is_not_nothing(run, tmp_path: Path) -> None:
    policy = POLICY.replace("{plugins: {fake: {}}}", "{plugins: {fake: {}}, maxTrafficWeight: 1000}")
    (tmp_path / "policy.yaml").write_text(policy.replace("setWeight: 10", "setWeight: 3"), encoding="utf-8")
    assert run(f"{GOOD}    expect: [{{at: 0s, weight: 0.3%}}]\n").passed
    assert "weight 0 | weight 0.3" in said(run(f"{GOOD}    expect: [{{at: 0s, weight: 0}}]\n"))


# --- what a test gives ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "verdict", "said"),
    [
        ("0.01", "Successful", "[0.01]"),
        ("0.3", "Inconclusive", "[0.3]"),
        ("0.6", "Failed", "[0.6]"),
        ("[0.6, 0.01]", "Failed", "[0.6,0.01]"),
        ("NaN", "Inconclusive", "[NaN]"),
        (".inf", "Failed", "[+Inf]"),
        ("[]", "Error", "[]"),
        ("nil", "Error", ""),
        ("~", "Error", ""),
        ("error", "Error", ""),
        ("timeout", "Error", ""),
        ("Failed", "Failed", ""),
    ],
)
def test_given_measurements_are_judged_by_the_conditions(run, given: str, verdict: str, said: str) -> None:
    at = "30s" if given == "timeout" else "0s"  # the default time-out of a query
    value = f', value: "{said}"' if said else ""
    body = f"    measurements: {{errors: [{given}, 0.01]}}\n"
    assert run(f"{body}    expect:\n      - {{at: {at}, metric: errors, verdict: {verdict}{value}}}\n").passed


def test_the_last_measurement_holds_for_ever_and_runs_share_the_list(run) -> None:
    """After a retry a new run goes on in the list where the first one stopped."""
    body = "    measurements: {errors: [0.6, 0.01, 0.02]}\n    commands: [{at: 5m, do: retry}]\n"
    expect = """\
    expect:
      - {at: 0s, event: aborted}
      - {at: 5m, metric: errors, value: 0.01}
      - {at: 5m30s, metric: errors, value: 0.02}
      - {at: 6m, metric: errors, value: 0.02}
    outcome: paused
"""
    assert run(body + expect).passed


def test_series_are_read_by_the_policys_query(run) -> None:
    body = """\
    interval: 10s
    series:
      - {series: 'errors{hash="v1"}', values: 0.9x60}
      - {series: 'errors{hash="v2"}', values: '_x3 0.01 0.02 0.03 0.6x60', from: -30s}
    expect:
      - {at: 0s, metric: errors, value: 0.01}
      - {at: 30s, metric: errors, verdict: Failed, value: 0.6}
      - {at: 30s, event: aborted}
"""
    assert run(body).passed


def test_a_stale_series_is_an_empty_result(run) -> None:
    body = """\
    interval: 10s
    series: [{series: 'errors{hash="v2"}', values: 0.01 stale _x8}]
    expect: [{at: 30s, metric: errors, verdict: Error, value: "[]"}]
"""
    assert run(body).passed


def test_without_until_a_test_ends_with_its_series(run) -> None:
    verdict = run(
        """\
    series: [{series: 'errors{hash="v2"}', values: 0.01x5}]
    outcome: promoted
"""
    )
    assert verdict.case.until_ms == 300_000
    assert "paused at 5m, where the test ends" in said(verdict)


def test_pods_are_ready_when_the_test_says(run) -> None:
    body = f"{GOOD}    pods: {{ready_after: 20s}}\n    replicas: 10\n"
    assert run(
        f"{body}    expect: [{{at: 19s, weight: 0, pods: 0}}, {{at: 20s, weight: 10, pods: 1}}]\n"
    ).passed


def test_commands(run) -> None:
    body = f"""\
{GOOD}    commands:
      - {{at: 10s, do: skip-step}}
      - {{at: 20s, do: pause}}
      - {{at: 40s, do: resume}}
      - {{at: 2m, do: release}}
      - {{at: 4m, do: promote-full}}
    expect:
      - {{at: 10s, weight: 50, step: 3}}
      - {{at: 2m, step: 1, weight: 10}}
      - {{at: 4m, event: promoted}}
    outcome: promoted
"""
    assert run(body).passed


# --- JUnit ----------------------------------------------------------------------------------------


def test_junit(run) -> None:
    failed = run(f"{GOOD}    expect:\n      - {{at: 30s, weight: 50}}\n      - {{at: 1m, event: aborted}}\n")
    passed = run(f"{GOOD}    outcome: paused\n")
    text = junit_xml([failed, passed])
    assert text == junit_xml([failed, passed])
    root = ElementTree.fromstring(text)
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    (suite,) = root
    first, second = suite
    assert (first.get("name"), first.get("classname"), first.get("line")) == ("it", "shop", "3")
    (failure,) = first
    assert "expected at 30s: weight 50, but weight 10" in (failure.get("message") or "")
    assert "line 7: expected at 1m: aborted\nbut there was no such event" in (failure.text or "")
    assert "errors #2 Successful" in (failure.text or "")
    assert list(second) == []


def test_junit_holds_any_name(run, tmp_path: Path) -> None:
    verdict = run(f"{GOOD}    outcome: paused\n")
    file = tmp_path / "test.yaml"
    file.write_text(file.read_text().replace("name: it", 'name: "<a>&\\x01\\u2028"'), encoding="utf-8")
    (case,) = load_cases(file)
    text = junit_xml([Verdict(case, verdict.end, ())])
    name = ElementTree.fromstring(text)[0][0].get("name")
    assert name == "<a>&\N{REPLACEMENT CHARACTER}\u2028"
