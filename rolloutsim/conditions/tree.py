"""The syntax tree of a condition: frozen data, for the checker, the compiler and lints.

``at`` is the offset of the node in the text, in characters; two nodes are equal wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = [
    "ArrayLiteral",
    "Binary",
    "Bool",
    "Builtin",
    "Bytes",
    "Call",
    "Chain",
    "Conditional",
    "Float",
    "Identifier",
    "Integer",
    "Let",
    "MapLiteral",
    "Member",
    "Nil",
    "Node",
    "Pointer",
    "Predicate",
    "Sequence",
    "Slice",
    "String",
    "Unary",
    "children",
]


@dataclass(frozen=True, slots=True)
class Nil:
    """``nil``."""

    at: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name: ``result``, a variable of ``let``, a function, ``$env``."""

    at: int = field(compare=False)
    name: str


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer literal of at most 64 bits."""

    at: int = field(compare=False)
    value: int


@dataclass(frozen=True, slots=True)
class Float:
    """A floating-point literal."""

    at: int = field(compare=False)
    value: float


@dataclass(frozen=True, slots=True)
class Bool:
    """``true`` or ``false``."""

    at: int = field(compare=False)
    value: bool


@dataclass(frozen=True, slots=True)
class String:
    """A text literal; also the property of ``.name``."""

    at: int = field(compare=False)
    value: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """A bytes literal ``b"..."``."""

    at: int = field(compare=False)
    value: bytes


@dataclass(frozen=True, slots=True)
class Unary:
    """``not x``, ``!x``, ``-x``, ``+x``."""

    at: int = field(compare=False)
    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands; a chained comparison is already split into ``&&`` of pairs."""

    at: int = field(compare=False)
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """The extent that an optional access ``?.`` skips when it meets nil."""

    at: int = field(compare=False)
    inner: Node


@dataclass(frozen=True, slots=True)
class Member:
    """``base.name``, ``base[key]``; ``optional`` for ``?.``, ``method`` when it is called."""

    at: int = field(compare=False)
    base: Node
    key: Node
    optional: bool = False
    method: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """``base[start:stop]``."""

    at: int = field(compare=False)
    base: Node
    start: Node | None
    stop: Node | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of something that is not a builtin: Argo's own functions, or a value."""

    at: int = field(compare=False)
    callee: Node
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A call of a builtin function of the language."""

    at: int = field(compare=False)
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Predicate:
    """The body that a builtin applies to each element."""

    at: int = field(compare=False)
    body: Node


@dataclass(frozen=True, slots=True)
class Pointer:
    """``#`` (name empty), ``#index``, ``#acc``."""

    at: int = field(compare=False)
    name: str


@dataclass(frozen=True, slots=True)
class Let:
    """``let name = value; body``."""

    at: int = field(compare=False)
    name: str
    value: Node
    body: Node


@dataclass(frozen=True, slots=True)
class Sequence:
    """Expressions separated by ``;``: the value of the last one."""

    at: int = field(compare=False)
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : otherwise``, ``test ?: otherwise``, ``if test { } else { }``."""

    at: int = field(compare=False)
    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """``[a, b]``."""

    at: int = field(compare=False)
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """``{key: value}``."""

    at: int = field(compare=False)
    pairs: tuple[tuple[Node, Node], ...]


Node = (
    Nil
    | Identifier
    | Integer
    | Float
    | Bool
    | String
    | Bytes
    | Unary
    | Binary
    | Chain
    | Member
    | Slice
    | Call
    | Builtin
    | Predicate
    | Pointer
    | Let
    | Sequence
    | Conditional
    | ArrayLiteral
    | MapLiteral
)


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below ``node``, in source order."""
    match node:
        case Unary(operand=only) | Chain(inner=only) | Predicate(body=only):
            yield only
        case Binary(left=left, right=right):
            yield from (left, right)
        case Member(base=base, key=key):
            yield from (base, key)
        case Slice(base=base, start=start, stop=stop):
            yield from (part for part in (base, start, stop) if part is not None)
        case Call(callee=callee, arguments=arguments):
            yield callee
            yield from arguments
        case Builtin(arguments=nodes) | Sequence(nodes=nodes) | ArrayLiteral(nodes=nodes):
            yield from nodes
        case Let(value=value, body=body):
            yield from (value, body)
        case Conditional(test=test, then=then, otherwise=otherwise):
            yield from (test, then, otherwise)
        case MapLiteral(pairs=pairs):
            for key, value in pairs:
                yield from (key, value)
