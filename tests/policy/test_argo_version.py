"""The condition language of the controller's version reaches whoever reads a condition.

``0 < 1 < 2`` is a chain of comparisons on Argo Rollouts' master and a type error in v1.9.1;
``len('é') == 2`` counts bytes in v1.9.1 and characters on master.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rolloutsim import lint
from rolloutsim.cli import app
from rolloutsim.conditions import Dialect, MeasurementPhase, VectorResult, judge
from rolloutsim.engine.analysis import advance, create_run, record
from rolloutsim.engine.codec import from_json, to_json
from rolloutsim.engine.events import Measure, Measured
from rolloutsim.errors import PolicyError
from rolloutsim.lint.registry import DOES_NOT_LOAD
from rolloutsim.policy import digest, load_policy_text
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.export import export_policy

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: "api:1"}]}
  strategy:
    canary:
      steps:
        - setWeight: 20
        - analysis: {templates: [{templateName: gate}]}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: gate}
spec:
  metrics:
    - name: m
      successCondition: "CONDITION"
      provider: {prometheus: {address: "http://p", query: up}}
"""
BYTES = MANIFEST.replace("CONDITION", "len('é') == 2")
ONLY_MASTER = MANIFEST.replace("CONDITION", "if true { true } else { false }")


@pytest.mark.parametrize(
    ("dialect", "phase"),
    [(Dialect.MASTER, MeasurementPhase.FAILED), (Dialect.V1_9_1, MeasurementPhase.SUCCESSFUL)],
)
def test_the_engine_judges_as_the_version_does(dialect: Dialect, phase: MeasurementPhase) -> None:
    policy = load_policy_text(BYTES, dialect=dialect)
    (analysis,) = analyses_of(policy)
    run = advance(create_run("run", analysis, {}, 0), 0, lambda: "1")
    (asked,) = run.requests
    assert isinstance(asked, Measure)
    kept = from_json(type(run.run), to_json(run.run))
    judged = record(kept, Measured(0, "run", "m", 1, 0, 0, VectorResult((1.0,))), judge)
    assert judged.metrics[0].measurements[-1].phase is phase


def test_a_condition_that_the_version_cannot_read_is_refused() -> None:
    load_policy_text(ONLY_MASTER)
    with pytest.raises(PolicyError, match="successCondition"):
        load_policy_text(ONLY_MASTER, dialect=Dialect.V1_9_1)


def test_versions_are_different_policies_and_survive_an_export() -> None:
    master, release = (load_policy_text(BYTES, dialect=dialect) for dialect in Dialect)
    assert digest(master) != digest(release)
    for policy in (master, release):
        assert digest(export_policy(policy, "argo").policy) == digest(policy)


def test_lint_and_the_command_line_know_the_version(tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    file.write_text(ONLY_MASTER, encoding="utf-8")
    rules = [
        {finding.rule.id for finding in lint.lint([[str(file)]], dialect=dialect).findings}
        for dialect in Dialect
    ]
    assert DOES_NOT_LOAD.id not in rules[0]
    assert DOES_NOT_LOAD.id in rules[1]
    run = CliRunner().invoke
    assert run(app, ["export", str(file), "--to", "argo"]).exit_code == 0
    assert run(app, ["export", str(file), "--to", "argo", "--argo", "v1.9.1"]).exit_code != 0
