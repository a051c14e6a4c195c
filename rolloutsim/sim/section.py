"""One mapping of a scenario file, read field by field, and the record of how each number is known.

Every field may be given as a plain scalar (its basis is then *stated*) or with its basis::

    rate_rps: 100
    rate_rps: {value: 100, basis: measured, source: "Prometheus, week 41"}

A field that is not given takes its value from `rolloutsim.sim.defaults.DEFAULTS`, with the basis and
source that stand there. All of them are collected as `Input` records, in the order of reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from rolloutsim.errors import Position, ScenarioError
from rolloutsim.policy.document import Path as NodePath
from rolloutsim.policy.document import dotted, nearest
from rolloutsim.policy.yaml_source import Node, Scalar
from rolloutsim.sim.defaults import DEFAULTS
from rolloutsim.sim.quantities import UnfitValue, choice, duration_ms, number, text
from rolloutsim.sim.scenario import Basis, Delay, Input

__all__ = ["Section"]

T = TypeVar("T")

_ITEM = re.compile(r"\[[0-9]+\]")
"""In a place: which one of a list. All of them have the same defaults."""
_EMPTY: Mapping[str, Node] = MappingProxyType({})
_basis = choice(*Basis)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it stands in the file, without its annotation."""

    node: Node
    path: NodePath
    basis: Basis = Basis.STATED
    source: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping at ``path`` of a document; ``name`` is its place in the scenario (``service.traffic``).

    ``inputs`` is shared by all sections of a scenario.
    """

    node: Node
    path: NodePath
    name: str
    inputs: list[Input] = field(repr=False)

    @property
    def directory(self) -> Path:
        """Directory of the file, to which paths in it are relative."""
        return Path(self.node.at.file).parent

    def has(self, key: str) -> bool:
        """Whether the field is given."""
        return key in self._children()

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the given fields."""
        return tuple(self._children())

    def holds_mapping(self, key: str) -> bool:
        """Whether the field's value is a mapping."""
        return self.has(key) and isinstance(self._children()[key].value, Mapping)

    def only(self, *known: str) -> Section:
        """This section, after a check that it has no other fields.

        Raises
        ------
        ScenarioError : an unknown field (with the nearest known name), or one without a value.
        """
        for key, child in self._children().items():
            if key not in known:
                raise ScenarioError(
                    f"unknown field {key!r}",
                    at=self.node.keys[key],
                    path=dotted((*self.path, key)),
                    fix=nearest(key, list(known)) or f"known here: {', '.join(known)}",
                )
            if child.value is None:
                raise self.error(key, f"the field {key!r} has no value", fix="give it one or remove it")
        return self

    def section(self, key: str) -> Section:
        """The section below; an empty one when it is not given."""
        child = self._children().get(key, Node(_EMPTY, self.node.at))
        if not isinstance(child.value, Mapping):
            raise self.error(key, "expected a mapping", _shown(child))
        return Section(child, (*self.path, key), f"{self.name}.{key}", self.inputs)

    def sections(self, key: str) -> tuple[Section, ...]:
        """The sections of a list; none when it is not given."""
        child = self._children().get(key, Node((), self.node.at))
        if not isinstance(child.value, tuple):
            raise self.error(key, "expected a list", _shown(child))
        for index, item in enumerate(child.value):
            if not isinstance(item.value, Mapping):
                path = dotted((*self.path, key, index))
                raise ScenarioError("expected a mapping", at=item.at, path=path, value=_shown(item))
        return tuple(
            Section(item, (*self.path, key, index), f"{self.name}.{key}[{index}]", self.inputs)
            for index, item in enumerate(child.value)
        )

    def read(self, key: str, parse: Callable[[Scalar], T]) -> T:
        """The field's value, or its default; recorded as an input.

        Raises
        ------
        ScenarioError : the value does not fit, or the field is missing and has no default.
        """
        if self.has(key):
            given = self._given(key)
            value = self._parsed(given, parse)
            self._record(key, given.node.value, given.basis, given.source)
            return value
        default = DEFAULTS.get(_ITEM.sub("", f"{self.name}.{key}"))
        if default is None:
            raise ScenarioError(
                f"the field {key!r} is missing", at=self.node.at, path=dotted((*self.path, key)), fix="add it"
            )
        self._record(key, default.value, default.basis, default.source)
        return parse(default.value)

    def word(self, key: str, parse: Callable[[Scalar], T]) -> T:
        """As `read`, for names and descriptions, which are no inputs."""
        return Section(self.node, self.path, self.name, []).read(key, parse)

    def optional(self, key: str, parse: Callable[[Scalar], T], absent: T) -> T:
        """The field's value; ``absent``, and no input, when it is not given."""
        return self.read(key, parse) if self.has(key) else absent

    def read_or(self, key: str, word: str, parse: Callable[[Scalar], T]) -> T | None:
        """As `read`; None when the value is this word."""
        return self.read(key, lambda value: None if value == word else parse(value))

    def delay(self, key: str) -> Delay:
        """A delay: ``{median: 5m, sigma: 0.5}``, or a plain duration for one that is always the same."""
        child = self._children().get(key)
        if child is not None and not (isinstance(child.value, Mapping) and "value" not in child.value):
            return Delay(self.read(key, duration_ms))
        below = self.section(key).only("median", "sigma")
        median = below.read("median", duration_ms)
        constant = below.has("median") and not below.has("sigma")
        return Delay(median, 0.0 if constant else below.read("sigma", _sigma))

    def delay_or(self, key: str, word: str) -> Delay | None:
        """As `delay`; None when the value is this word."""
        if self.has(key) and self._given(key).node.value == word:
            return self.read(key, lambda _: None)
        return self.delay(key)

    def error(self, key: str, why: str, value: object = None, fix: str = "") -> ScenarioError:
        """A `ScenarioError` about a field, at its value if it has one."""
        return ScenarioError(why, at=self.position(key), path=dotted((*self.path, key)), value=value, fix=fix)

    def position(self, key: str) -> Position:
        """Where a field's value stands, or the section if it is not given."""
        child = self._children().get(key)
        if child is None:
            return self.node.at
        return self.node.keys[key] if child.value is None else child.at

    def children(self, key: str) -> Mapping[str, Node]:
        """Names and values of a mapping whose names are free."""
        return self.section(key)._children()

    def _children(self) -> Mapping[str, Node]:
        assert isinstance(self.node.value, Mapping)
        return self.node.value

    def _given(self, key: str) -> _Given:
        child = self._children()[key]
        if not isinstance(child.value, Mapping) or "value" not in child.value:
            return _Given(child, (*self.path, key))
        note = Section(child, (*self.path, key), self.name, self.inputs).only("value", "basis", "source")
        basis = Basis.STATED
        if note.has("basis"):
            basis = Basis(note._parsed(note._given("basis"), _basis))
        source = note._parsed(note._given("source"), text) if note.has("source") else ""
        if basis is Basis.SOURCE and not source:
            raise self.error(key, "the basis is 'source' and none is named", fix="add source: who says so")
        return _Given(child.value["value"], (*self.path, key, "value"), basis, source)

    def _parsed(self, given: _Given, parse: Callable[[Scalar], T]) -> T:
        value = given.node.value
        path = dotted(given.path)
        if isinstance(value, tuple | Mapping):
            raise ScenarioError(
                "expected a single value", at=given.node.at, path=path, value=_shown(given.node)
            )
        try:
            return parse(value)
        except UnfitValue as error:
            raise ScenarioError(error.why, at=given.node.at, path=path, value=value, fix=error.fix) from error

    def _record(self, key: str, value: object, basis: Basis, source: str) -> None:
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        self.inputs.append(Input(f"{self.name}.{key}", shown, basis, source))


def _sigma(value: Scalar) -> float:
    found = number(value)
    if not 0.0 <= found <= 5.0:
        raise UnfitValue("sigma, the standard deviation of the logarithm, lies between 0 and 5")
    return found


def _shown(node: Node) -> object:
    """A value for a message: scalars as they are, else what kind of value it is."""
    if isinstance(node.value, Mapping):
        return "a mapping"
    return "a list" if isinstance(node.value, tuple) else node.value
