"""One document of a manifest with its positions, and a bundle of documents that refer to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from rolloutsim.errors import PolicyError, Position
from rolloutsim.policy.yaml_source import Node

__all__ = ["Bundle", "Document", "Path", "dotted", "nearest"]

Path = tuple[str | int, ...]
"""Where a value stands in a document: ``("spec", "steps", 2, "setWeight")``."""


def dotted(path: Path) -> str:
    """``spec.steps[2].setWeight``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"['{part}']"
    return text


def nearest(name: str, known: list[str], cutoff: float = 0.6) -> str:
    """``did you mean 'x'?``, or the empty string when nothing known is near (ratio of difflib)."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=cutoff)
    return f"did you mean {by_lower[close[0]]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest: its positions (``root``) and its plain content (``data``).

    ``data`` holds dicts, lists and scalars with nulls left out, as the API server would drop them.
    """

    file: str
    root: Node
    kind: str
    api_version: str
    name: str
    namespace: str
    data: Mapping[str, Any] = field(repr=False)

    @staticmethod
    def of(node: Node, file: str) -> Document:
        """A document out of its tree; it needs a mapping with ``kind`` and ``apiVersion``."""
        if not isinstance(node.value, Mapping):
            raise PolicyError("a manifest is a mapping with apiVersion, kind and metadata", at=node.at)
        data = plain(node)
        metadata = data.get("metadata", {})
        if not isinstance(metadata, dict):
            raise PolicyError("expected a mapping", at=node.value["metadata"].at, path="metadata")
        texts = {
            "apiVersion": data.get("apiVersion", ""),
            "kind": data.get("kind", ""),
            "metadata.name": metadata.get("name", ""),
            "metadata.namespace": metadata.get("namespace", ""),
        }
        for path, text in texts.items():
            if not isinstance(text, str):
                raise PolicyError("expected text", at=node.at, path=path, value=text, fix="put it in quotes")
            if not text and path in ("kind", "apiVersion"):
                raise PolicyError(f"the manifest has no {path}", at=node.at, path=path, fix=f"add {path}")
        return Document(
            file,
            node,
            texts["kind"],
            texts["apiVersion"],
            texts["metadata.name"],
            texts["metadata.namespace"],
            data,
        )

    @property
    def label(self) -> str:
        """``Rollout 'api'``, for messages."""
        return f"{self.kind} {self.name!r}"

    @property
    def spec(self) -> dict[str, Any]:
        """The content of ``spec``; empty when there is none."""
        spec = self.data.get("spec", {})
        return spec if isinstance(spec, dict) else {}

    def position(self, path: Path) -> Position:
        """Position of the value at ``path``, or of the nearest value above it that exists."""
        node = self.root
        for part in path:
            children = node.value
            if isinstance(children, Mapping) and part in children:
                node = children[str(part)]
            elif isinstance(children, tuple) and isinstance(part, int) and part < len(children):
                node = children[part]
            else:
                break
        return node.at

    def error(self, path: Path, why: str, value: object = None, fix: str = "") -> PolicyError:
        """A `PolicyError` about the value at ``path`` of this document."""
        return PolicyError(why, at=self.position(path), path=dotted(path), value=value, fix=fix)


def plain(node: Node) -> Any:
    """The content of a tree as dicts, lists and scalars, without nulls in mappings."""
    if isinstance(node.value, Mapping):
        return {key: plain(value) for key, value in node.value.items() if value.value is not None}
    if isinstance(node.value, tuple):
        return [plain(item) for item in node.value]
    return node.value


class Bundle:
    """The documents that belong together, found by kind and name; remembers which were used."""

    def __init__(self, documents: tuple[Document, ...]) -> None:
        self.documents = documents
        self._used: set[int] = set()
        seen: dict[tuple[str, str, str], Document] = {}
        for document in documents:
            key = (document.kind, document.namespace, document.name)
            if document.name and key in seen:
                first = seen[key].root.at
                why = f"{document.label} is defined twice, first at {first}"
                raise document.error(("metadata", "name"), why, fix="remove one")
            seen[key] = document

    def of_kind(self, *kinds: str) -> tuple[Document, ...]:
        """All documents of these kinds, in the order of the files."""
        return tuple(document for document in self.documents if document.kind in kinds)

    def find(self, kind: str, name: str, namespace: str = "") -> Document | None:
        """The document of this kind and name; a namespace left out on either side matches."""
        for document in self.of_kind(kind):
            if document.name == name and (not namespace or document.namespace in ("", namespace)):
                return self.use(document)
        return None

    def use(self, document: Document) -> Document:
        """Note that a policy came from, or refers to, this document."""
        self._used.add(id(document))
        return document

    def need(self, kind: str, name: str, asking: Document, path: Path) -> Document:
        """`find`, or a `PolicyError` at ``path`` of ``asking`` that names what is missing."""
        found = self.find(kind, name, asking.namespace)
        if found is not None:
            return found
        names = [document.name for document in self.of_kind(kind)]
        fix = nearest(name, names) or f"add the {kind}'s manifest to the files"
        raise asking.error(path, f"no {kind} {name!r} in the files", fix=fix)

    def unused(self) -> tuple[Document, ...]:
        """The documents that no policy came from or referred to."""
        return tuple(document for document in self.documents if id(document) not in self._used)
