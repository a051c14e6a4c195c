"""Dataclasses that are built fast are the same frozen dataclasses."""

from __future__ import annotations

import copy
import inspect
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from rolloutsim.engine.construction import built_fast


@dataclass(frozen=True, slots=True)
class Slow:
    """A point in time."""

    hour: int
    minute: int
    second: int = 0
    zone: tuple[str, ...] = ()


@built_fast
@dataclass(frozen=True, slots=True)
class Fast:
    """A point in time."""

    hour: int
    minute: int
    second: int = 0
    zone: tuple[str, ...] = ()


def test_it_is_built_as_before() -> None:
    built = Fast(1, 2, zone=("UTC",))
    assert type(built) is Fast
    assert repr(built) == repr(Slow(1, 2, zone=("UTC",))).replace("Slow", "Fast")
    assert built == Fast(hour=1, minute=2, second=0, zone=("UTC",))
    assert built != Fast(1, 2)
    assert hash(built) == hash(Slow(1, 2, zone=("UTC",)))
    assert replace(built, minute=3) == Fast(1, 3, 0, ("UTC",))
    assert inspect.signature(Fast).parameters == inspect.signature(Slow).parameters
    match built:
        case Fast(hour, minute):
            assert (hour, minute) == (1, 2)


@pytest.mark.parametrize("arguments", [(1,), (1, 2, 3, (), 5)])
def test_wrong_arguments_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError, match=r"Fast\.__init__\(\)"):
        Fast(*arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'day'"):
        Fast(1, 2, day=3)  # type: ignore[call-arg]


def test_it_is_frozen() -> None:
    built = Fast(1, 2)
    with pytest.raises(FrozenInstanceError):
        built.hour = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del built.hour
    with pytest.raises(AttributeError):
        object.__setattr__(built, "day", 3)
    assert built == Fast(1, 2)


def test_a_copy_is_the_same() -> None:
    built = Fast(1, 2, 3, ("UTC",))
    for twin in (copy.copy(built), copy.deepcopy(built)):
        assert type(twin) is Fast
        assert twin == built
        with pytest.raises(FrozenInstanceError):
            twin.hour = 3  # type: ignore[misc]


def test_fields_that_are_more_than_arguments_are_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Listed:
        name: str
        items: list[int] = field(default_factory=list)

    with pytest.raises(TypeError, match="Listed has a single field, or one that is more than an argument"):
        built_fast(Listed)
