"""Sixteen at once for one lease: exactly one gets it, whichever way they ask."""

from __future__ import annotations

import pytest

from tests.lab.semantics.api import Answer, Api, lease

pytestmark = pytest.mark.cluster

RACERS = 16


def test_one_creates_it(api: Api) -> None:
    codes = api.race(RACERS, lambda mine, index: mine.create("leases", lease("a", f"racer-{index}")))
    assert sorted(codes) == [201] + [409] * (RACERS - 1)


def test_one_replaces_the_version_that_all_have_read(api: Api) -> None:
    read = api.create("leases", lease("a", "nobody")).body

    def take(mine: Api, index: int) -> Answer:
        return mine.put("leases/a", {**read, "spec": {**read["spec"], "holderIdentity": f"racer-{index}"}})

    assert sorted(api.race(RACERS, take)) == [200] + [409] * (RACERS - 1)


def test_one_merges_into_the_version_that_all_have_read(api: Api) -> None:
    read = api.create("leases", lease("a", "nobody")).version

    def take(mine: Api, index: int) -> Answer:
        spec = {"holderIdentity": f"racer-{index}"}
        return mine.patch("leases/a", {"metadata": {"resourceVersion": read}, "spec": spec})

    assert sorted(api.race(RACERS, take)) == [200] + [409] * (RACERS - 1)
