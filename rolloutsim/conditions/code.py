"""A checked and compiled node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rolloutsim.conditions.runtime import Run
from rolloutsim.conditions.tree import Node
from rolloutsim.conditions.types import GoType

__all__ = ["Code", "Compiler", "Scope", "literal"]


@dataclass(frozen=True, slots=True)
class Code:
    """Static type of a node, how to run it, and whether its value is sure to have that type.

    The library's own types are not always sure: the sum of an empty vector is an int.
    ``constant`` holds a literal's value in a one-element tuple.
    """

    type: GoType
    run: Run
    sure: bool = False
    constant: tuple[Any, ...] = ()


def literal(given: GoType, value: Any) -> Code:
    """The code of a constant."""
    return Code(given, lambda frame: value, sure=True, constant=(value,))


@dataclass(frozen=True, slots=True)
class Scope:
    """The innermost predicate: its collection, and which of #index and #acc it has."""

    collection: Code
    names: frozenset[str]


class Compiler(Protocol):
    """What the compilation of a call needs of the compiler around it."""

    modern: bool
    result: GoType
    functions: dict[str, Callable[..., Any]]
    scopes: list[Scope]

    def compile(self, node: Node) -> Code:
        """Check and compile a part."""
