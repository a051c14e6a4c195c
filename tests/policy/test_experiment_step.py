"""The step ``experiment`` as it is read: templates, analyses with their tags, and what is refused."""

from __future__ import annotations

import pytest

from rolloutsim.errors import PolicyError
from rolloutsim.policy import digest, load_policy_text
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.export import export_policy
from rolloutsim.policy.model import ExperimentArgument, ExperimentStep, ExperimentTemplate, PodHashArgument

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    canary:
      steps:
        - experiment:
            duration: 5m
            scaleDownDelaySeconds: 0
            dryRun: [{metricName: ratio}]
            templates:
              - {name: baseline, specRef: stable}
              - {name: trial, specRef: canary, replicas: 3, metadata: {labels: {app: other}}}
            analyses:
              - name: compare
                templateName: compare
                requiredForCompletion: true
                args:
                  - {name: a, value: "{{templates.baseline.podTemplateHash}}"}
                  - {name: b, value: "{{ templates.trial.replicaset.name }}"}
                  - {name: c, valueFrom: {podTemplateHashValue: Latest}}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: compare}
spec:
  args: [{name: a}, {name: b}, {name: c}]
  metrics:
    - name: ratio
      interval: 1m
      provider: {prometheus: {query: 'up{a="{{args.a}}",b="{{args.b}}",c="{{args.c}}"}'}}
"""


def step_of(text: str) -> ExperimentStep:
    (step,) = load_policy_text(text).strategy.steps  # type: ignore[union-attr]
    assert isinstance(step, ExperimentStep)
    return step


def test_templates_and_analyses_are_read() -> None:
    step = step_of(MANIFEST)
    assert (step.duration_ms, step.scale_down_delay_ms) == (300_000, 0)
    assert step.templates[0] == ExperimentTemplate("baseline", canary=False)
    trial = step.templates[1]
    assert (trial.canary, trial.replicas, trial.weight, trial.apart) == (True, 3, None, True)
    (one,) = step.analyses
    assert (one.name, one.required, one.analysis.dry_run) == ("compare", True, ("ratio",))
    assert one.analysis.late == (
        ExperimentArgument("a", "{{templates.baseline.podTemplateHash}}"),
        ExperimentArgument("b", "{{ templates.trial.replicaset.name }}"),
        PodHashArgument("c", latest=True),
    )
    assert list(analyses_of(load_policy_text(MANIFEST))) == [one.analysis]
    assert load_policy_text(MANIFEST).not_modelled == ()


def test_an_experiment_goes_round() -> None:
    policy = load_policy_text(MANIFEST)
    written = export_policy(policy, "argo")
    again = load_policy_text(written.text)
    assert again.strategy == policy.strategy
    assert digest(again) == digest(policy)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("specRef: stable", "specRef: other", "expected canary or stable"),
        ("name: trial", "name: baseline", "two templates of the experiment have the same name"),
        (
            "templates.trial.replicaset",
            "templates.gone.replicaset",
            "it names nothing of the experiment's templates",
        ),
        ("replicas: 3", "replicas: -3", "a number of pods cannot be negative"),
        ("templateName: compare", "templateName: gone", "'gone'"),
        ("duration: 5m", "duration: soon", "soon"),
        ("{{args.c}}", "{{args.d}}", "failed to resolve"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(old: str, new: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        load_policy_text(MANIFEST.replace(old, new))
    assert caught.value.at is not None
