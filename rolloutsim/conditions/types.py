"""Go's static types, as far as a condition can see them.

A condition is checked against the Go type of the value of the measurement. ``UNKNOWN`` and ``ANY``
are what only the running program can tell; ``NIL`` is the type of an untyped nil. Source of the
rules: expr-lang/expr v1.17.8, checker/nature/nature.go; with ``modern=False`` antonmedv/expr
v1.15.5, checker/types.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = [
    "ANY",
    "BOOL",
    "BYTES",
    "DURATION",
    "FLOAT",
    "FLOATS",
    "GROUPS",
    "INT",
    "INT64",
    "INTS",
    "LIST",
    "LOCATION",
    "MAP",
    "MAPS",
    "NIL",
    "STRING",
    "STRINGS",
    "TIME",
    "UNKNOWN",
    "GoType",
    "Signature",
    "array_of",
    "assignable",
    "comparable",
    "struct_type",
]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives; ``method`` names a method of the value before the dot."""

    parameters: tuple[GoType, ...]
    gives: GoType
    method: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class GoType:
    """A Go type. ``kind`` is Go's kind, ``name`` is how Go writes the type.

    ``known_element`` narrows the elements of an ``[]interface {}`` whose elements are known; v1.15.5
    knows those of a literal array for ``in`` alone: ``listed``.
    """

    kind: str
    name: str
    element: GoType | None = None
    key: GoType | None = None
    known_element: GoType | None = None
    listed: GoType | None = None
    fields: tuple[tuple[str, GoType], ...] = ()
    signature: Signature | None = None
    builtin: str = ""

    @property
    def is_unknown(self) -> bool:
        return self.kind in ("unknown", "interface")

    @property
    def is_nil(self) -> bool:
        return self.kind == "nil"

    @property
    def is_bool(self) -> bool:
        return self.kind == "bool"

    @property
    def is_string(self) -> bool:
        return self.kind == "string"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "int64", "uint8")

    @property
    def is_float(self) -> bool:
        return self.kind == "float64"

    @property
    def is_number(self) -> bool:
        return self.kind in ("int", "int64", "uint8", "float64")

    @property
    def is_array(self) -> bool:
        return self.kind in ("slice", "array")

    @property
    def is_map(self) -> bool:
        return self.kind == "map"

    @property
    def elements(self) -> GoType:
        """The type of an element of an array or of a value of a map."""
        if self.known_element is not None and self.is_array:
            return self.known_element
        return self.element or UNKNOWN

    @property
    def unlisted(self) -> GoType:
        """The type without what is known for ``in``, which nothing but a variable passes on."""
        return self if self.listed is None else replace(self, listed=None)

    def __str__(self) -> str:
        return self.name


UNKNOWN = GoType("unknown", "unknown")
ANY = GoType("interface", "interface {}")
NIL = GoType("nil", "unknown")
BOOL = GoType("bool", "bool")
INT = GoType("int", "int")
INT64 = GoType("int64", "int64")
UINT8 = GoType("uint8", "uint8")
FLOAT = GoType("float64", "float64")
STRING = GoType("string", "string")
TIME = GoType("time", "time.Time")
DURATION = GoType("duration", "time.Duration")
LOCATION = GoType("ptr", "*time.Location")
LIST = GoType("slice", "[]interface {}", element=ANY)
INTS = GoType("slice", "[]int", element=INT)
FLOATS = GoType("slice", "[]float64", element=FLOAT)
STRINGS = GoType("slice", "[]string", element=STRING)
BYTES = GoType("slice", "[]uint8", element=UINT8)
MAP = GoType("map", "map[string]interface {}", element=ANY, key=STRING)
MAPS = GoType("slice", "[]map[string]interface {}", element=MAP)
GROUPS = GoType("map", "map[interface {}][]interface {}", element=LIST, key=ANY)


def struct_type(name: str, fields: tuple[tuple[str, GoType], ...]) -> GoType:
    """A struct with exported fields."""
    return GoType("struct", name, fields=fields)


def array_of(element: GoType) -> GoType:
    """``[]interface {}`` whose elements are known to be ``element``."""
    return GoType("slice", LIST.name, element=ANY, known_element=element)


def assignable(value: GoType, target: GoType) -> bool:
    """Go's assignability of a value to a variable of type ``target``."""
    if value.is_nil:
        return target.kind in ("ptr", "interface", "func", "map", "slice")
    if value.kind == "unknown" or target.kind in ("unknown", "nil"):
        return False
    return target.kind == "interface" or value.name == target.name


def comparable(left: GoType, right: GoType, *, modern: bool) -> bool:
    """Whether ``==`` may stand between the two."""
    if left.is_unknown or right.is_unknown or left.is_nil or right.is_nil:
        return True
    if left.is_number and right.is_number:
        return True
    if not modern:
        return left.kind == right.kind
    return (left.is_array and right.is_array) or assignable(left, right)
