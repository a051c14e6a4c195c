"""The identity of a policy: canonical text, and its hash.

Two manifests that mean the same have one digest. It covers strategy, metrics, limits, replicas, deadlines
and target. It leaves out what names the policy (name, namespace, kind, template names), what an operator
does to a running rollout (``paused``, ``restartAt``), what changes no decision (metadata, anti-affinity) and
what the simulation says about itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from rolloutsim.policy.metric import canonical_json
from rolloutsim.policy.model import Analysis, BlueGreen, Canary, Policy

__all__ = ["canonical", "digest"]

LEFT_OUT: Mapping[type, frozenset[str]] = {
    Policy: frozenset({"name", "namespace", "kind", "paused", "restart_at_ms", "not_modelled"}),
    Analysis: frozenset({"templates"}),
    Canary: frozenset({"extra_json"}),
    BlueGreen: frozenset({"extra_json"}),
}


def canonical(policy: Policy) -> str:
    """The policy as JSON text: sorted keys, no white space, types named; floats only as rates of gates."""
    return canonical_json(_plain(policy))


def digest(policy: Policy) -> str:
    """``sha256:`` and the hash of `canonical`, in hexadecimal."""
    return "sha256:" + hashlib.sha256(canonical(policy).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        left_out = LEFT_OUT.get(type(value), frozenset())
        content = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name not in left_out}
        return {"type": type(value).__name__, **content}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
