"""Policies: from the manifests that users have to plain frozen data.

::

    from rolloutsim.policy import digest, load_policy

    policy = load_policy("scenarios/article/canary.yaml")
    digest(policy)  # 'sha256:...'

What a policy is made of stands in `rolloutsim.policy.model`.
"""

from rolloutsim.policy.digest import canonical, digest
from rolloutsim.policy.load import load_policies, load_policy, load_policy_text
from rolloutsim.policy.metric import validate_metric
from rolloutsim.policy.model import Policy
from rolloutsim.policy.validate import validate_rollout

__all__ = [
    "Policy",
    "canonical",
    "digest",
    "load_policies",
    "load_policy",
    "load_policy_text",
    "validate_metric",
    "validate_rollout",
]
