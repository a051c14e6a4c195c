"""Policies together with the documents that they were read from.

A `Policy` is frozen data without positions. What comments on a policy (a lint) works on the pair of the
policy and its document instead: the paths of both run in parallel (``spec.strategy.canary.steps[2]`` is
``strategy.steps[2]``), and `LocatedPolicy.metric_places` says where the metrics of an analysis stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.errors import PolicyError, Position
from rolloutsim.policy.analysis_templates import TEMPLATE_KINDS
from rolloutsim.policy.document import Bundle, Document, Path
from rolloutsim.policy.load import READERS, check_kind, plain_policies, refuse_autoscaler
from rolloutsim.policy.model import Policy

__all__ = ["LocatedPolicy", "key_position", "locate_policies"]


@dataclass(frozen=True, slots=True)
class LocatedPolicy:
    """A policy, the document that it was read from, and the documents that this one may refer to.

    The document of two Deployments behind a Service is the Service, that of a pair of Ingresses the main one.
    """

    policy: Policy
    document: Document
    bundle: Bundle

    def templates(self, analysis: Mapping[str, Any]) -> tuple[Document, ...]:
        """The templates that the content of an analysis names, in the order of their metrics.

        Outer templates come before the ones they nest, namespaced ones before cluster ones, each once.
        """
        found: dict[int, Document] = {}
        self._collect(self.document, analysis.get("templates", ()), found)
        ordered = [t for kind in TEMPLATE_KINDS.values() for t in found.values() if t.kind == kind]
        return tuple(ordered)

    def metric_places(self, path: Path, analysis: Mapping[str, Any]) -> tuple[tuple[Document, Path], ...]:
        """Where each metric of the analysis at ``path`` stands, in the order of `Analysis.metrics`."""
        own = ((self.document, (*path, "metrics", i)) for i in range(len(analysis.get("metrics", ()))))
        named = (
            (template, ("spec", "metrics", i))
            for template in self.templates(analysis)
            for i in range(len(template.spec.get("metrics", ())))
        )
        return (*own, *named)

    def _collect(
        self, asking: Document, references: Iterable[Mapping[str, Any]], found: dict[int, Document]
    ) -> None:
        for reference in references:
            kind = TEMPLATE_KINDS[reference.get("clusterScope", False)]
            template = self.bundle.find(kind, reference["templateName"], asking.namespace)
            if template is not None and id(template) not in found:
                found[id(template)] = template
                self._collect(template, template.spec.get("templates", ()), found)


def locate_policies(
    documents: Sequence[Document], dialect: Dialect
) -> tuple[tuple[LocatedPolicy, ...], tuple[PolicyError, ...]]:
    """Every policy in these documents that can be read, and for each other one what is wrong with it.

    Unlike `load_policies` it goes on after an error, and documents without a policy are no error.
    """
    errors: list[PolicyError] = []
    known: list[Document] = []
    for document in documents:
        try:
            check_kind(document)
            known.append(document)
        except PolicyError as error:
            errors.append(error)
    try:
        bundle = Bundle(tuple(known))
    except PolicyError as error:
        return (), (*errors, error)
    policies: list[LocatedPolicy] = []
    rollouts = bundle.of_kind(*READERS)
    for document in rollouts:
        try:
            policy = READERS[document.kind](bundle.use(document), bundle, dialect)
            refuse_autoscaler(policy, bundle)
            policies.append(LocatedPolicy(policy, document, bundle))
        except PolicyError as error:
            errors.append(error)
    if not rollouts:
        try:
            for policy in plain_policies(bundle):
                refuse_autoscaler(policy, bundle)
                policies.append(LocatedPolicy(policy, _plain_document(policy, bundle), bundle))
        except PolicyError as error:
            errors.append(error)
    return tuple(policies), tuple(errors)


def _plain_document(policy: Policy, bundle: Bundle) -> Document:
    pair = policy.kind == "Deployment" and len(policy.target.deployments) > 1
    found = bundle.find("Service" if pair else policy.kind, policy.name, policy.namespace)
    assert found is not None, policy
    return found


def key_position(document: Document, path: Path) -> Position:
    """Where the key (or the item of a list) at ``path`` stands, or the nearest one above it that exists.

    `Document.position` gives the place of the value instead, which for a block is the line below.
    """
    node, at = document.root, document.root.at
    for part in path:
        children = node.value
        if isinstance(children, Mapping) and part in children:
            node, at = children[str(part)], node.keys[str(part)]
        elif isinstance(children, tuple) and isinstance(part, int) and part < len(children):
            node = children[part]
            at = node.at
        else:
            break
    return at
