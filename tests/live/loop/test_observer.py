"""What watches and reads say together: whichever is newer counts, in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rolloutsim.live.observer import Observer
from rolloutsim.live.port import DEPLOYMENT, NotFound, Object, Ref

REF = Ref(DEPLOYMENT, "shop", "api")


def state(version: int, uid: str = "a") -> Object:
    return {"metadata": {"name": "api", "uid": uid, "resourceVersion": str(version)}}


class Api:
    """Answers with these states, one for each read; ``during`` happens while a read is on its way."""

    def __init__(self, *states: Object | None) -> None:
        self.states: Iterator[Object | None] = iter(states)
        self.during: Callable[[], object] = lambda: None

    def get(self, ref: Ref) -> Object:
        found = next(self.states)
        during, self.during = self.during, lambda: None
        during()
        if found is None:
            raise NotFound(f"{ref} is not there", code=404)
        return found


def observer(api: Any) -> Observer:
    slots: Any = SimpleNamespace(refs=(REF,))
    router: Any = SimpleNamespace(watches=())
    return Observer(api, slots, router, changed=lambda: None)


def version(seen: Object | None) -> str:
    return "" if seen is None else str(seen["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("states", "told", "expected"),
    [
        ([state(5)], state(7), "7"),  # the watch told it once and will not again
        ([state(7)], state(5), "7"),
        ([None, state(7)], state(7), "7"),  # made while the read found nothing
        ([state(5), None], None, ""),  # deleted while the read still found it
        ([state(5), state(9, "b")], state(9, "b"), "9"),  # deleted and made anew
        ([None, None], state(3), ""),  # a late report of an object that is gone: its end will be told too
    ],
)
def test_a_report_that_comes_during_a_read_is_not_lost(
    states: list[Object | None], told: Object | None, expected: str
) -> None:
    api = Api(state(3), *states)
    seen = observer(api)
    seen.look()
    api.during = lambda: seen.take(REF, told)
    seen.look((REF,))
    assert version(seen.last(REF)) == expected
    assert not list(api.states)


def test_a_report_older_than_a_read_is_dropped() -> None:
    seen = observer(Api(state(5)))
    seen.look()
    seen.take(REF, state(4))
    assert version(seen.last(REF)) == "5"
