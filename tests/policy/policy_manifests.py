"""Manifests that the tests of this folder start from and damage in one place."""

from __future__ import annotations

from pathlib import Path

SCENARIOS = Path(__file__).parents[2] / "scenarios"
ARTICLE = SCENARIOS / "article"

CANARY = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: api
spec:
  replicas: 4
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    canary:
      steps:
        - setWeight: 20
        - pause: {duration: 5m}
      analysis:
        templates:
          - templateName: errors
        args:
          - name: service
            value: api
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: errors
spec:
  args:
    - name: service
  metrics:
    - name: errors
      interval: 1m
      successCondition: result[0] < 0.05
      provider:
        prometheus:
          query: sum(rate(http_requests_total{service="{{args.service}}"}[2m]))
"""

BLUE_GREEN = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: api
spec:
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    blueGreen:
      activeService: api
      previewService: api-preview
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}}
---
apiVersion: v1
kind: Service
metadata: {name: api-preview}
spec: {selector: {app: api}}
"""

NATIVE = """\
apiVersion: rolloutsim.dev/v1alpha1
kind: RolloutPolicy
metadata:
  name: api
spec:
  replicas: 4
  target:
    deployments: [api-a, api-b]
    service: api
    route: {kind: HTTPRoute, name: api}
  strategy:
    canary:
      canaryService: api-canary
      steps:
        - setWeight: 20
        - pause: {}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 3
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
"""


def changed(text: str, old: str, new: str) -> str:
    """``text`` with the first ``old`` replaced; it has to be there."""
    assert old in text, old
    return text.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    """The line, counted from 1, in which ``part`` first stands."""
    return text[: text.index(part)].count("\n") + 1
