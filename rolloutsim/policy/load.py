"""Files to policies: read the documents, find what is a rollout among them, build its policy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath

from rolloutsim.conditions import Dialect
from rolloutsim.errors import PolicyError, Position
from rolloutsim.policy.argo import rollout_policy
from rolloutsim.policy.document import Bundle, Document, nearest
from rolloutsim.policy.ingress import ingress_policies
from rolloutsim.policy.kubernetes import blue_green_policies, check_deployment, deployment_policy
from rolloutsim.policy.model import BlueGreen, Canary, Policy
from rolloutsim.policy.native import native_policy
from rolloutsim.policy.yaml_source import MAX_CHARACTERS, read_documents

__all__ = [
    "KINDS",
    "READERS",
    "check_kind",
    "load_policies",
    "load_policy",
    "load_policy_text",
    "manifest_text",
    "manifests",
    "plain_policies",
    "policies_of",
    "refuse_autoscaler",
]

READERS = {"Rollout": rollout_policy, "RolloutPolicy": native_policy}
KINDS = (
    *READERS,
    "AnalysisTemplate",
    "ClusterAnalysisTemplate",
    "Service",
    "Deployment",
    "Ingress",
    "HTTPRoute",
)
"""The kinds that are read; others are left aside, and said so."""

_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_OBJECT_NAMES = (
    re.compile(rf"{_LABEL}(?:\.{_LABEL})*"),
    253,
    "lower-case letters, digits, '-' and '.', with a letter or a digit at both ends",
)
_SERVICE_NAMES = (
    re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?"),
    63,
    "lower-case letters, digits and '-', with a letter first and no '-' last",
)


def load_policy(*paths: str | FilePath, name: str | None = None, dialect: Dialect = Dialect.MASTER) -> Policy:
    """The policy in these files, which belong together (templates, Services, Deployments in any order).

    Parameters
    ----------
    paths : YAML files of one or more documents.
    name : which rollout, when the files hold several.
    dialect : the release of Argo Rollouts whose condition language is meant.

    Raises
    ------
    PolicyError : a file cannot be read, or something in it is wrong: with file, line, path and value.
    """
    return _select(load_policies(*paths, dialect=dialect), name, ", ".join(map(str, paths)))


def load_policies(*paths: str | FilePath, dialect: Dialect = Dialect.MASTER) -> tuple[Policy, ...]:
    """All policies in these files, in the order of the files; otherwise as `load_policy`."""
    if not paths:
        raise TypeError("load_policies() needs at least one file")
    documents: list[Document] = []
    for path in paths:
        documents += manifests(manifest_text(path), str(path))
    return policies_of(documents, ", ".join(map(str, paths)), dialect)


def load_policy_text(
    text: str, file: str = "<text>", *, name: str | None = None, dialect: Dialect = Dialect.MASTER
) -> Policy:
    """As `load_policy`, from YAML (or JSON) text; ``file`` is what messages call it."""
    return _select(policies_of(manifests(text, file), file, dialect), name, file)


def manifest_text(file: str | FilePath) -> str:
    """The text of a manifest file.

    Raises
    ------
    PolicyError : the file cannot be read, is too large, or is not UTF-8.
    """
    path = FilePath(file)
    at = Position(str(path))
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise PolicyError("the file is too large for a manifest", at=at, fix="is it the right file?")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PolicyError(f"the file cannot be read: {error.strerror}", at=at) from error
    except UnicodeDecodeError as error:
        raise PolicyError("the file is not UTF-8 text", at=at) from error


def manifests(text: str, file: str) -> Iterator[Document]:
    """The documents of a YAML text, those in a ``List`` one by one; ``file`` is what messages call it.

    Raises
    ------
    PolicyError : the text does not parse, or one of its documents is no manifest.
    """
    for node in read_documents(text, file):
        document = Document.of(node, file)
        items = node.value["items"] if isinstance(node.value, Mapping) and "items" in node.value else None
        if document.kind == "List" and items is not None and isinstance(items.value, tuple):
            yield from (Document.of(item, file) for item in items.value)
        else:
            yield document


def policies_of(documents: Iterable[Document], where: str, dialect: Dialect) -> tuple[Policy, ...]:
    """The policies of documents that belong together; ``where`` is what messages call them.

    Raises
    ------
    PolicyError : as `load_policy`.
    """
    bundle = Bundle(tuple(documents))
    for document in bundle.documents:
        check_kind(document)
    policies = [
        READERS[document.kind](bundle.use(document), bundle, dialect) for document in bundle.of_kind(*READERS)
    ]
    if not policies:
        policies = list(plain_policies(bundle))
    if not policies:
        kinds = sorted({document.kind for document in bundle.documents})
        held = f"they hold {', '.join(kinds)}" if kinds else "they are empty"
        raise PolicyError(
            f"no rollout in the files: {held}",
            at=Position(where),
            fix="a Rollout, a RolloutPolicy or a Deployment is needed",
        )
    for policy in policies:
        refuse_autoscaler(policy, bundle)
    ignored = tuple(f"{document.label} is not used by the policy" for document in bundle.unused())
    return tuple(replace(policy, not_modelled=policy.not_modelled + ignored) for policy in policies)


def plain_policies(bundle: Bundle) -> Iterator[Policy]:
    """Policies of plain objects; each kind of reading takes what the ones before left over."""
    for document in bundle.of_kind("Deployment"):
        check_deployment(document)
    yield from ingress_policies(bundle)
    yield from blue_green_policies(bundle)
    for document in bundle.unused():
        if document.kind == "Deployment":
            yield deployment_policy(document, bundle)


def _check_name(document: Document) -> None:
    """Refuse a name that a cluster would refuse; no cluster sees a RolloutPolicy."""
    if document.kind == "RolloutPolicy":
        return
    pattern, longest, rule = _SERVICE_NAMES if document.kind == "Service" else _OBJECT_NAMES
    if len(document.name) > longest or not pattern.fullmatch(document.name):
        why = f"a cluster refuses this name; a {document.kind} has {rule}, at most {longest}"
        raise document.error(("metadata", "name"), why, document.name)


def check_kind(document: Document) -> None:
    """Refuse a document of a known kind that has no name, and a kind that is misspelt."""
    if document.kind in KINDS:
        if not document.name:
            why = f"the {document.kind} has no name"
            raise document.error(("metadata", "name"), why, fix="add metadata.name")
        _check_name(document)
        return
    hint = nearest(document.kind, list(KINDS), cutoff=0.8)
    if hint:
        raise document.error(("kind",), "unknown kind", document.kind, fix=hint)


def refuse_autoscaler(policy: Policy, bundle: Bundle) -> None:
    """Two slots are sized by the policy: an autoscaler on one of them would work against it."""
    if not isinstance(policy.strategy, Canary | BlueGreen):
        return
    for scaler in bundle.of_kind("HorizontalPodAutoscaler"):
        reference = scaler.spec.get("scaleTargetRef", {})
        if isinstance(reference, dict) and reference.get("name") in policy.target.deployments:
            raise scaler.error(
                ("spec", "scaleTargetRef", "name"),
                "an autoscaler works against a policy that sizes this Deployment itself",
                reference["name"],
                fix="remove it, or use a Rollout",
            )


def _select(policies: tuple[Policy, ...], name: str | None, where: str) -> Policy:
    names = [policy.name for policy in policies]
    if name is None:
        if len(policies) == 1:
            return policies[0]
        raise PolicyError(
            f"the files hold {len(policies)} rollouts: {', '.join(names)}",
            at=Position(where),
            fix="choose one by its name",
        )
    for policy in policies:
        if policy.name == name:
            return policy
    why = f"no rollout {name!r} in the files"
    raise PolicyError(why, at=Position(where), fix=f"they hold {', '.join(names)}")
