"""YAML text to a small immutable tree in which every key and value knows where it stands.

Built on the event stream of ruamel.yaml, so nothing of the text is ever constructed as a Python object:
tags are refused, duplicate keys are refused, and size and depth are bounded with aliases counted as often
as they are used. Plain scalars mean what they mean to kubectl (YAML 1.1 as in go-yaml: ``yes`` and ``on``
are booleans, dates stay text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from rolloutsim.errors import PolicyError, Position

__all__ = ["Node", "Scalar", "read_documents"]

MAX_CHARACTERS = 1_500_000
"""About the size at which a cluster refuses an object."""
MAX_VALUES = 100_000
MAX_DEPTH = 60
WHOLE = 2.0**53
"""Below it every float without a fraction is one whole number."""
RENDER_IT = "a template is to be rendered first, as 'helm template' does; other '{{' need quotes"

Scalar = str | int | float | bool | None

_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **{
        form: value
        for words, value in ((("y", "yes", "true", "on"), True), (("n", "no", "false", "off"), False))
        for word in words
        for form in (word, word.capitalize(), word.upper())
    },
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_OCTAL = re.compile(r"([-+]?)0o?([0-7_]+)")
_BASED = re.compile(r"[-+]?0(?:x[0-9a-fA-F_]+|b[01_]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TEMPLATE = re.compile(r"\{\{-|\{\{ *(?:[.$]|if|end|range|with|include)|\{%")
_SPECIAL = re.compile(r"([-+]?)\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a document: a scalar, a list (tuple of nodes) or a mapping (name to node).

    ``keys`` holds where each key of a mapping stands; ``size`` counts the values below and including
    this one, an alias as often as it is used; ``text`` is a scalar as it is written.
    """

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    at: Position
    keys: Mapping[str, Position] = field(default_factory=dict)
    size: int = 1
    text: str = ""


def read_documents(text: str, file: str) -> tuple[Node, ...]:
    """The documents of a YAML text; empty ones are left out.

    Raises
    ------
    PolicyError : the text does not parse, has a tag or a duplicate key, or is too large or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise PolicyError(
            f"the file has {len(text)} characters and at most {MAX_CHARACTERS} are read",
            at=Position(file),
            fix="is it a manifest?",
        )
    parser = YAML(typ="safe", pure=True)
    try:
        return tuple(_Composer(file, iter(parser.parse(text))).documents())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file)
        reason = " ".join(part for part in (error.context, error.problem) if part)
        lines = text.splitlines()[max(0, at.line - 2) : at.line] if mark else []
        fix = RENDER_IT if any(_TEMPLATE.search(line) for line in lines) else ""
        if not fix and "'\\t'" in reason:
            fix = "indent with spaces, not with a tab"
        raise PolicyError(f"the YAML does not parse: {reason}", at=at, fix=fix) from error
    except (YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise PolicyError(f"the YAML does not parse: {reason}", at=Position(file)) from error


class _Composer:
    """Turns one stream of events into trees; holds the anchors of the current document."""

    def __init__(self, file: str, events: Iterator[Event]) -> None:
        self.file = file
        self.events = events
        self.anchors: dict[str, Node] = {}

    def documents(self) -> Iterator[Node]:
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                self.anchors = {}
                root = self._node(next(self.events), 0)
                if root.value is not None:
                    yield root
            elif isinstance(event, DocumentEndEvent):
                continue

    def _node(self, event: Any, depth: int) -> Node:
        at = self._position(event)
        if isinstance(event, AliasEvent):
            if event.anchor not in self.anchors:
                raise PolicyError("an alias without its anchor", at=at, value=f"*{event.anchor}")
            return self.anchors[event.anchor]
        if depth > MAX_DEPTH:
            raise PolicyError(f"the YAML is nested deeper than {MAX_DEPTH} levels", at=at)
        if event.tag is not None and event.tag != "!":
            raise PolicyError("YAML tags are not accepted", at=at, value=event.tag, fix="remove the tag")
        if isinstance(event, MappingStartEvent):
            node = self._mapping(at, depth)
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(at, depth)
        else:
            node = Node(_scalar(event), at, text=str(event.value))
        if node.size > MAX_VALUES:
            why = f"the document has more than {MAX_VALUES} values"
            raise PolicyError(why, at=at, fix="are anchors nested?")
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _sequence(self, at: Position, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(tuple(items), at, size=1 + sum(item.size for item in items))

    def _mapping(self, at: Position, depth: int) -> Node:
        entries: dict[str, Node] = {}
        keys: dict[str, Position] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self.events), MappingEndEvent):
            key_at = self._position(event)
            if not isinstance(event, ScalarEvent):
                doubled = (key_at.line, key_at.column - 1) == (at.line, at.column)
                fix = RENDER_IT if doubled and isinstance(event, MappingStartEvent) else ""
                raise PolicyError("a key of a mapping has to be plain text", at=key_at, fix=fix)
            key = str(event.value)
            value = self._node(next(self.events), depth + 1)
            if key == "<<" and event.style is None:
                merged.append(value)
            elif key in entries:
                raise PolicyError(
                    f"the key {key!r} stands twice in one mapping, first in line {keys[key].line}",
                    at=key_at,
                    fix="remove one of them",
                )
            else:
                entries[key], keys[key] = value, key_at
        for source in merged:
            self._merge(source, entries, keys)
        size = 1 + sum(value.size for value in entries.values())
        return Node(MappingProxyType(entries), at, MappingProxyType(keys), size)

    def _merge(self, source: Node, entries: dict[str, Node], keys: dict[str, Position]) -> None:
        for node in source.value if isinstance(source.value, tuple) else (source,):
            if not isinstance(node.value, Mapping):
                raise PolicyError("a merge key '<<' takes a mapping", at=node.at)
            for key, value in node.value.items():
                entries.setdefault(key, value)
                keys.setdefault(key, node.keys[key])

    def _position(self, event: Event) -> Position:
        mark = event.start_mark
        return Position(self.file, mark.line + 1, mark.column + 1)


def _scalar(event: ScalarEvent) -> Scalar:
    text = str(event.value)
    if event.style is not None or event.tag == "!":
        return text
    if text in _WORDS:
        return _WORDS[text]
    return _number(text)


def _number(text: str) -> Scalar:
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", "")) if len(text) < 40 else text
    if match := _OCTAL.fullmatch(text):
        digits = match.group(2).replace("_", "")
        return int(match.group(1) + digits, 8) if digits else text
    if _BASED.fullmatch(text):
        return int(text.replace("_", ""), 0)
    if _FLOAT.fullmatch(text):
        value = float(text.replace("_", ""))
        # On its way to JSON a float without a fraction loses its point.
        return int(value) if value.is_integer() and abs(value) < WHOLE else value
    if match := _SPECIAL.fullmatch(text):
        if text.lower().endswith("nan"):
            return float("nan")
        return float(f"{match.group(1)}inf")
    return text
