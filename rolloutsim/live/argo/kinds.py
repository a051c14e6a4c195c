"""The kinds of Argo Rollouts (argoproj.io/v1alpha1), and the label by which it knows revisions."""

from __future__ import annotations

from rolloutsim.live.port import Kind

__all__ = ["ANALYSIS_RUN", "ANALYSIS_TEMPLATE", "CLUSTER_ANALYSIS_TEMPLATE", "HASH_LABEL", "KINDS", "ROLLOUT"]

GROUP, VERSION = "argoproj.io", "v1alpha1"

ROLLOUT = Kind(GROUP, VERSION, "rollouts", "Rollout")
ANALYSIS_RUN = Kind(GROUP, VERSION, "analysisruns", "AnalysisRun")
ANALYSIS_TEMPLATE = Kind(GROUP, VERSION, "analysistemplates", "AnalysisTemplate")
CLUSTER_ANALYSIS_TEMPLATE = Kind(
    GROUP, VERSION, "clusteranalysistemplates", "ClusterAnalysisTemplate", namespaced=False
)

KINDS = {kind.name: kind for kind in (ROLLOUT, ANALYSIS_TEMPLATE, CLUSTER_ANALYSIS_TEMPLATE)}
"""What a user's files may hold for the controller."""

HASH_LABEL = "rollouts-pod-template-hash"
"""On ReplicaSets, and in the selectors of the Services that the controller points."""
