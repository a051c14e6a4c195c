"""Frozen dataclasses with many fields, built in a third of the time.

The ``__init__`` of a frozen dataclass sets each field through ``object.__setattr__``. Every decision builds
some states of a dozen fields, and that was a third of what it cost.
"""

from __future__ import annotations

from dataclasses import MISSING, InitVar, field, fields, make_dataclass
from inspect import signature
from operator import attrgetter
from typing import Any, TypeVar

__all__ = ["built_fast"]

T = TypeVar("T")


def built_fast(cls: type[T]) -> type[T]:
    """The same frozen dataclass with slots; worth it from four fields on.

    An object is filled while it is of an open class with the same slots, and becomes one of ``cls`` before
    anybody else sees it. From then on it is as frozen as any other.

    Raises
    ------
    TypeError : a single field, or one that is more than an argument.
    """
    own = fields(cls)  # type: ignore[arg-type]
    names = [one.name for one in own]
    if len(names) < 2 or any(one.default_factory is not MISSING or not one.init for one in own):
        raise TypeError(f"{cls.__name__} has a single field, or one that is more than an argument")
    values = attrgetter(*names)

    def close(self: Any, cls: type[T]) -> None:
        self.__class__ = cls

    def reduce(self: T) -> tuple[type[T], tuple[Any, ...]]:
        return type(self), values(self)

    # ``__new__`` is called with the class before the fields, so that is the open class's first argument.
    arguments: list[tuple[str, Any, Any]] = [("cls", InitVar[Any], field())]
    arguments += [(one.name, Any, field(default=one.default)) for one in own]
    opened = make_dataclass(
        cls.__name__, arguments, slots=True, repr=False, eq=False, namespace={"__post_init__": close}
    )
    cls.__signature__ = signature(cls)  # type: ignore[attr-defined]
    cls.__new__ = opened  # type: ignore[method-assign]
    cls.__reduce__ = reduce  # type: ignore[method-assign,assignment]
    del cls.__init__
    return cls
