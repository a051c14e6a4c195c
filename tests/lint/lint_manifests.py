"""Manifests without any finding, which the tests of this folder damage in one place."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
ARTICLE = ROOT / "scenarios" / "article"
POLICIES = ROOT / "scenarios" / "policies"

ERRORS = """\
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  args: [{name: service}, {name: hash}]
  metrics:
    - name: error-rate
      initialDelay: 2m
      interval: 2m
      successCondition: len(result) == 0 || isNaN(result[0]) || result[0] < 0.05
      provider:
        prometheus:
          query: >-
            sum(rate(errors{service="{{args.service}}", hash="{{args.hash}}"}[2m]))
            / sum(rate(requests{service="{{args.service}}", hash="{{args.hash}}"}[2m]))
"""
"""The analysis of the share of errors, as the canary and the experiment ask for it."""

CANARY = (
    """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  replicas: 10
  progressDeadlineAbort: true
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, ports: [{name: http, containerPort: 3000}]}]}
  strategy:
    canary:
      stableService: api
      canaryService: api-canary
      trafficRouting: {istio: {virtualService: {name: api}}}
      steps:
        - setWeight: 10
        - pause: {duration: 10m}
        - setWeight: 50
        - pause: {duration: 10m}
      analysis:
        templates: [{templateName: errors}]
        startingStep: 1
        args:
          - {name: service, value: api}
          - {name: hash, valueFrom: {podTemplateHashValue: Latest}}
---
"""
    + ERRORS
    + """\
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: api-canary}
spec: {selector: {app: api}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec: {http: [{route: [{destination: {host: api}}, {destination: {host: api-canary}}]}]}
"""
)

PODS = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  replicas: 10
  progressDeadlineAbort: true
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    canary:
      maxSurge: 1
      steps:
        - setWeight: 10
        - pause: {duration: 10m}
        - analysis:
            templates: [{templateName: smoke}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: smoke}
spec:
  metrics:
    - name: smoke
      provider: {job: {spec: {}}}
"""
"""A canary by pods alone."""

EXPERIMENT = (
    """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  replicas: 10
  progressDeadlineAbort: true
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    canary:
      maxSurge: 1
      steps:
        - experiment:
            duration: 10m
            templates:
              - {name: baseline, specRef: stable}
              - {name: candidate, specRef: canary}
            analyses:
              - name: errors
                templateName: errors
                args:
                  - {name: service, value: api}
                  - {name: hash, value: "{{templates.candidate.podTemplateHash}}"}
---
"""
    + ERRORS
)
"""A canary by pods alone whose gate is an experiment."""

BLUE_GREEN = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api}
spec:
  replicas: 10
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
  strategy:
    blueGreen:
      activeService: api
      previewService: api-preview
      scaleDownDelaySeconds: 300
      prePromotionAnalysis:
        templates: [{templateName: checks}]
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: checks}
spec:
  metrics:
    - name: checks
      initialDelay: 2m
      count: 3
      interval: 2m
      successCondition: len(result) == 0 || result[0] < 5
      provider: {prometheus: {query: 'sum(rate(errors{service="api-preview"}[2m]))'}}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: api-preview}
spec: {selector: {app: api}, ports: [{port: 80}]}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template: {metadata: {labels: {app: api}}}
"""


def changed(text: str, *edits: tuple[str, str]) -> str:
    """``text`` with the first occurrence of each first part replaced; it has to be there."""
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text
