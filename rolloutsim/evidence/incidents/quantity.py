"""Numbers that say how they are known, wherever in a record they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ConfigDict, RootModel, model_validator
from pydantic.dataclasses import dataclass

__all__ = ["STRICT", "Basis", "Quantity", "as_json", "quantities", "with_values"]

STRICT = ConfigDict(extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)
"""How records are read: no unknown fields, no NaN."""


class Basis(StrEnum):
    """How a value is known."""

    SOURCE = "source"
    """A cited source states it."""
    DERIVED = "derived"
    """Computed from stated values, or a plain consequence of a stated mechanism; the note says how."""
    RECALLED = "recalled"
    """From memory, not checked against a source."""
    ASSUMED = "assumed"
    """Chosen for the model."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Quantity:
    """A number, how it is known, and the range in which it may lie."""

    value: float
    basis: Basis
    low: float | None = None
    high: float | None = None
    note: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Quantity:
        guessed = self.basis in (Basis.ASSUMED, Basis.RECALLED)
        if (self.low is None) != (self.high is None) or (guessed and self.low is None):
            raise ValueError(f"a number that is {self.basis} needs a range; give both low and high")
        if self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ValueError("the value lies outside its own range; low <= value <= high")
        if self.basis is not Basis.SOURCE and not self.note:
            raise ValueError(f"a number that is {self.basis} needs a note; say from what, or why so")
        return self


Record = TypeVar("Record")


def quantities(record: object, path: str = "") -> Iterator[tuple[str, Quantity]]:
    """All quantities below a record, with their paths."""
    if isinstance(record, Quantity):
        yield path, record
    elif isinstance(record, Mapping):
        for name, value in record.items():
            yield from quantities(value, f"{path}.{name}")
    elif isinstance(record, tuple):
        for index, value in enumerate(record):
            yield from quantities(value, f"{path}[{index}]")
    elif is_dataclass(record) and not isinstance(record, type):
        for one in fields(record):
            below = f"{path}.{one.name}" if path else one.name
            yield from quantities(getattr(record, one.name), below)


def with_values(record: Record, values: Mapping[str, float]) -> Record:
    """The record with other values at some paths (as `quantities` names them)."""
    changed: Record = _with_values(record, values, "")
    return changed


def _with_values(record: Any, values: Mapping[str, float], path: str) -> Any:
    if isinstance(record, Quantity):
        return replace(record, value=values[path]) if path in values else record
    if isinstance(record, Mapping):
        return {name: _with_values(value, values, f"{path}.{name}") for name, value in record.items()}
    if isinstance(record, tuple):
        return tuple(_with_values(value, values, f"{path}[{i}]") for i, value in enumerate(record))
    if is_dataclass(record) and not isinstance(record, type):
        names = [one.name for one in fields(record)]
        paths = [f"{path}.{name}" if path else name for name in names]
        pairs = zip(names, paths, strict=True)
        return replace(record, **{n: _with_values(getattr(record, n), values, p) for n, p in pairs})
    return record


def as_json(record: object) -> Any:
    """A record as what JSON can hold."""
    return RootModel[Any](record).model_dump(mode="json")
