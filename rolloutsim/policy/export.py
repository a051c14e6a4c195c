"""A policy back to manifests, with a list of what they do not keep.

::

    exported = export_policy(load_policy("canary.yaml"), "argo", read_manifests("canary.yaml"))
    exported.text      # YAML
    exported.losses    # what is not in it, or not as it was

The export reads its own text back: a policy whose digest it keeps means the same, and every other difference
is a loss in the list, so nothing is dropped silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rolloutsim.conditions import Dialect
from rolloutsim.errors import PolicyError
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.document import Document
from rolloutsim.policy.export_argo import argo_documents
from rolloutsim.policy.export_loss import Loss, losses_between
from rolloutsim.policy.export_native import native_documents
from rolloutsim.policy.export_yaml import yaml_text
from rolloutsim.policy.load import load_policy_text, manifest_text, manifests
from rolloutsim.policy.model import Policy

__all__ = ["Exported", "Form", "Loss", "export_policy", "read_manifests"]


class Form(StrEnum):
    """What a policy can be written as."""

    ARGO = "argo"
    NATIVE = "native"


WRITERS = {Form.ARGO: argo_documents, Form.NATIVE: native_documents}
NOT_HELD = ("analysis:", "analysisRunMetadata:", "workloadRef:")
"""Beginnings of what `Policy.not_modelled` says about fields that a policy does not hold."""


@dataclass(frozen=True, slots=True)
class Exported:
    """``policy`` is what the text means when it is loaded."""

    text: str
    policy: Policy
    losses: tuple[Loss, ...]


def export_policy(
    policy: Policy,
    form: Form | str,
    originals: Sequence[Document] = (),
) -> Exported:
    """Write a policy.

    Parameters
    ----------
    form : ``argo`` (Rollout, AnalysisTemplates, Services) or ``native`` (RolloutPolicy).
    originals : the manifests that the policy was read from; what the policy does not hold is taken from
        them, and their other objects are kept.

    Raises
    ------
    PolicyError : the form has no such strategy, or a policy that was not loaded but built has values that
        no manifest can have.
    """
    documents, losses = WRITERS[Form(form)](policy, originals)
    dialects = (metric.dialect for analysis in analyses_of(policy) for metric in analysis.metrics)
    dialect = next(dialects, Dialect.MASTER)
    text = yaml_text(documents)
    try:
        exported = load_policy_text(text, f"{policy.name} as {form}", name=policy.name, dialect=dialect)
    except PolicyError as error:
        raise PolicyError(
            f"policy {policy.name!r} cannot be written: {error.why}",
            path=error.path,
            value=error.value,
            fix=error.fix,
        ) from error
    losses += _not_held(policy, exported)
    losses += _rewritten_templates(originals)
    return Exported(text, exported, losses_between(policy, exported, losses))


def read_manifests(*paths: str | Path) -> tuple[Document, ...]:
    """The documents of manifests that a policy has been loaded from; those in a List one by one."""
    return tuple(document for path in paths for document in manifests(manifest_text(path), str(path)))


def _not_held(policy: Policy, exported: Policy) -> list[Loss]:
    """Fields that the manifest had and neither the policy nor the export has."""
    gone = [note for note in policy.not_modelled if note not in exported.not_modelled]
    return [Loss(note.split(":")[0], "is not kept") for note in gone if note.startswith(NOT_HELD)]


def _rewritten_templates(originals: Sequence[Document]) -> list[Loss]:
    kinds = ("AnalysisTemplate", "ClusterAnalysisTemplate")
    names = [document.name for document in originals if document.kind in kinds]
    if not names:
        return []
    why = (
        "written anew: arguments of known value are filled in, nested and cluster templates become plain ones"
    )
    return [Loss(f"AnalysisTemplate {', '.join(names)}", why)]
