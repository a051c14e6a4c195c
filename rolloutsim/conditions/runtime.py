"""Go values while a condition runs, and the state of an evaluation.

How Go values are held: nil is None, bool, int, float and str are themselves; ``[]interface {}`` is a
list, ``[]float64`` a tuple, ``[]int`` a range, other slices are tuples of a subclass; a map with
text keys is a dict. Every operation that loops spends steps of a `Frame`, so that no expression can
run for long. Source of the semantics: expr-lang/expr v1.17.8, vm/runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rolloutsim.conditions.errors import Fault
from rolloutsim.conditions.gonumber import to_int64
from rolloutsim.conditions.gotime import Duration, Time, Zone
from rolloutsim.conditions.values import MetricData

__all__ = [
    "EMPTY",
    "Frame",
    "Function",
    "Groups",
    "Maps",
    "NilList",
    "Pair",
    "Pairs",
    "Run",
    "Series",
    "Strings",
    "fetch",
    "field_of",
    "go_type_name",
    "is_array",
    "is_nil",
    "items_of",
    "shown",
    "to_float",
    "to_int",
]

STEP_LIMIT = 1_000_000
MEMORY_LIMIT = 1_000_000
TEXT_LIMIT = 10_000_000


class Strings(tuple[str, ...]):
    """``[]string``."""

    __slots__ = ()


class Maps(tuple[dict[str, Any], ...]):
    """``[]map[string]interface {}``."""

    __slots__ = ()


class Series(tuple[MetricData, ...]):
    """``[]types.MetricDataResult`` of CloudWatch."""

    __slots__ = ()


class Pair(tuple[Any, ...]):
    """``[2]interface {}``: a key and its value."""

    __slots__ = ()


class Pairs(tuple[Pair, ...]):
    """``[][2]interface {}``."""

    __slots__ = ()


class NilList(list[Any]):
    """A nil ``[]interface {}``: of length 0, and equal to nil."""

    __slots__ = ()


EMPTY = NilList()


class Groups(dict[Any, Any]):
    """``map[interface {}][]interface {}``: keys of different Go types never meet."""

    __slots__ = ()

    @staticmethod
    def key(value: Any) -> tuple[str, Any]:
        """The key under which ``value`` is held; `Fault` for what Go cannot hash."""
        if isinstance(value, list | tuple | range | dict | bytes):
            raise Fault(f"runtime error: hash of unhashable type {go_type_name(value)}")
        return type(value).__name__, value


@dataclass(frozen=True, slots=True)
class Function:
    """A function of Argo's as a value."""

    name: str


class Frame:
    """The state of one evaluation: the value, the innermost loop, variables and what may be spent."""

    __slots__ = (
        "accumulator",
        "index",
        "item",
        "memory",
        "now_ms",
        "raw_nil",
        "result",
        "steps",
        "variables",
    )

    def __init__(self, result: Any, raw_nil: bool, now_ms: int) -> None:
        self.result = result
        self.raw_nil = raw_nil
        self.now_ms = now_ms
        self.steps = STEP_LIMIT
        self.memory = MEMORY_LIMIT
        self.item: Any = None
        self.index = 0
        self.accumulator: Any = None
        self.variables: dict[str, Any] | None = None

    def spend(self, steps: int) -> None:
        """Pay for work done; `Fault` when the condition has done too much."""
        self.steps -= steps
        if self.steps < 0:
            raise Fault("step budget exceeded")

    def grow(self, size: int) -> None:
        """Pay for elements made; `Fault` when the condition has made too many."""
        self.memory -= size
        if self.memory <= 0:
            raise Fault("memory budget exceeded")

    def text(self, length: int) -> None:
        """Pay for work on a text of ``length`` characters."""
        if length > TEXT_LIMIT:
            raise Fault("memory budget exceeded")
        self.spend(1 + length // 64)


Run = Callable[[Frame], Any]

_NAMES: dict[type, str] = {
    type(None): "<nil>",
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    bytes: "[]uint8",
    list: "[]interface {}",
    NilList: "[]interface {}",
    tuple: "[]float64",
    range: "[]int",
    Strings: "[]string",
    Maps: "[]map[string]interface {}",
    Series: "[]types.MetricDataResult",
    Pair: "[2]interface {}",
    Pairs: "[][2]interface {}",
    dict: "map[string]interface {}",
    Groups: "map[interface {}][]interface {}",
    MetricData: "types.MetricDataResult",
    Time: "time.Time",
    Duration: "time.Duration",
    Zone: "*time.Location",
}


def go_type_name(value: Any) -> str:
    """How Go writes the type of a value."""
    return _NAMES.get(type(value), "func")


def is_nil(value: Any) -> bool:
    """Whether the value is nil, or a nil slice."""
    return value is None or type(value) is NilList


def is_array(value: Any) -> bool:
    """Whether the value is a slice or an array."""
    return isinstance(value, list | tuple | range | bytes)


def items_of(value: Any) -> Sequence[Any]:
    """The elements that a predicate loops over; `Fault` for what has none."""
    if isinstance(value, list | tuple | range | bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, dict) and not value:
        return ()
    raise Fault(f"cannot loop over {go_type_name(value)}")


def to_int(value: Any) -> int:
    """A number as an int, toward zero; `Fault` for anything else."""
    if type(value) is int:
        return value
    if type(value) is float:
        return to_int64(value)
    raise Fault(f"invalid operation: int({go_type_name(value)})")


def to_float(value: Any) -> float:
    """A number as a float; `Fault` for anything else."""
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise Fault(f"invalid operation: float({go_type_name(value)})")


def fetch(base: Any, key: Any) -> Any:
    """``base[key]`` of values whose types were not known before."""
    if isinstance(base, Groups):
        return base.get(Groups.key(key), (None, EMPTY))[1]
    if isinstance(base, dict):
        if key is None:
            key = ""
        if not isinstance(key, str):
            raise Fault(f"value of type {go_type_name(key)} is not assignable to type string")
        return base.get(key)
    if isinstance(base, str):
        base = base.encode("utf-8", "surrogateescape")
    if isinstance(base, list | tuple | range | bytes):
        position = to_int(key)
        length = len(base)
        if position < 0:
            position += length
        if not 0 <= position < length:
            raise Fault(f"index out of range: {position} (array length is {length})")
        return base[position]
    if isinstance(base, MetricData) and isinstance(key, str):
        return field_of(base, key)
    raise Fault(f"cannot fetch {shown(key)} from {go_type_name(base)}")


def field_of(data: MetricData, name: str) -> Any:
    """A field of a CloudWatch result, under Go's name for it."""
    match name:
        case "Id":
            return data.id
        case "Label":
            return data.label
        case "StatusCode":
            return data.status_code
        case "Values":
            return data.values
    raise Fault(f"cannot fetch {name} from types.MetricDataResult")


def shown(value: Any) -> str:
    """A value in a message."""
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
