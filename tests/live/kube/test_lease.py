"""The Lease: exactly one acts, and whoever could not renew stops before another may begin."""

from __future__ import annotations

import itertools
import threading

import pytest

from rolloutsim.lab import Server
from rolloutsim.live.lease import Fenced, Lease, LeaseLost
from rolloutsim.live.port import CONFIG_MAP, LEASE, Kubernetes, Object, Ref, Unknown, Unreachable
from tests.live.kube.standing import Site


class Time:
    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms

    def __iadd__(self, seconds: float) -> Time:
        self.ms += int(seconds * 1000)
        return self


@pytest.fixture
def now() -> Time:
    return Time()


def lease(site: Site, holder: str, now: Time) -> Lease:
    return Lease(site.api, site.ref(LEASE, "rolloutsim-api"), holder, now_ms=now)


@pytest.mark.cluster
class TestHolding:
    def test_first_comes_first(self, cluster: Site, now: Time) -> None:
        one, two = lease(cluster, "one", now), lease(cluster, "two", now)
        assert one.acquire() == ""
        assert two.acquire() == "one"
        one.check()
        with pytest.raises(LeaseLost, match="not held by this executor"):
            two.check()
        assert one.remaining_ms == 10_000

    def test_what_people_read(self, cluster: Site, now: Time) -> None:
        lease(cluster, "one", now).acquire()
        spec = cluster.api.get(cluster.ref(LEASE, "rolloutsim-api"))["spec"]
        assert spec["holderIdentity"] == "one"
        assert spec["leaseTransitions"] == 1
        assert spec["renewTime"].startswith("2026-09-21T")

    def test_a_dead_holder_is_replaced_after_the_whole_duration(self, cluster: Site, now: Time) -> None:
        one, two = lease(cluster, "one", now), lease(cluster, "two", now)
        one.acquire()
        assert two.acquire() == "one"
        now += 14.9
        assert two.acquire() == "one"
        now += 0.1
        assert two.acquire() == ""
        assert two.token.transitions == 2

    def test_the_duration_counts_from_when_the_contender_first_looked(self, cluster: Site, now: Time) -> None:
        one, two = lease(cluster, "one", now), lease(cluster, "two", now)
        one.acquire()
        now += 60
        assert two.acquire() == "one"
        now += 15
        assert two.acquire() == ""

    def test_renewals_keep_others_out(self, cluster: Site, now: Time) -> None:
        one, two = lease(cluster, "one", now), lease(cluster, "two", now)
        one.acquire()
        for _ in range(10):
            now += 5
            one.renew()
            assert two.acquire() == "one"
        assert one.token.transitions == 1

    def test_release_lets_the_next_in_at_once(self, cluster: Site, now: Time) -> None:
        one, two = lease(cluster, "one", now), lease(cluster, "two", now)
        one.acquire()
        one.release()
        assert two.acquire() == ""
        with pytest.raises(LeaseLost):
            one.check()
        one.release()
        assert two.remaining_ms > 0
        assert lease(cluster, "three", now).acquire() == "two"

    def test_a_holder_that_lost_it_learns_so(self, cluster: Site, now: Time) -> None:
        one, two = lease(cluster, "one", now), lease(cluster, "two", now)
        one.acquire()
        first = one.token
        two.acquire()
        now += 15
        assert two.acquire() == ""
        assert two.token > first
        with pytest.raises(LeaseLost):
            one.renew()
        assert one.acquire() == "two"

    def test_one_of_sixteen_wins(self, cluster: Site, now: Time) -> None:
        contenders = [lease(cluster, f"c{number}", now) for number in range(16)]
        results = at_once([contender.acquire for contender in contenders])
        assert sum(result == "" for result in results) == 1
        assert sum(contender.remaining_ms > 0 for contender in contenders) == 1

    def test_one_of_sixteen_takes_over(self, cluster: Site, now: Time) -> None:
        lease(cluster, "dead", now).acquire()
        contenders = [lease(cluster, f"c{number}", now) for number in range(16)]
        assert at_once([contender.acquire for contender in contenders]) == ["dead"] * 16
        now += 15
        at_once([contender.acquire for contender in contenders])
        assert sum(contender.remaining_ms > 0 for contender in contenders) == 1


def at_once(calls: list) -> list:  # type: ignore[type-arg]
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(index: int) -> None:
        barrier.wait()
        results[index] = calls[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Line(Fenced):
    """One executor's own line to the API server, which may be cut."""

    def __init__(self, api: Kubernetes) -> None:
        self.cut = False
        super().__init__(api, self.tried)

    def tried(self) -> None:
        if self.cut:
            raise Unreachable("no connection")

    def get(self, ref: Ref) -> Object:
        self.tried()
        return super().get(ref)


class TestFaults:
    def test_a_holder_that_cannot_renew_stops_before_another_may_begin(self, site: Site, now: Time) -> None:
        """In steps of 0.1 s: nobody, at any moment, acts beside another."""
        line = Line(site.api)
        one = Lease(line, site.ref(LEASE, "rolloutsim-api"), "one", now_ms=now)
        two = lease(site, "two", now)
        one.acquire()
        line.cut = True
        moments = []
        for _ in range(200):
            now += 0.1
            if one.remaining_ms and one.renew_at_ms <= now():
                with pytest.raises(Unreachable):
                    one.renew()
            two.acquire()
            moments.append((one.remaining_ms > 0, two.remaining_ms > 0))
        assert (True, True) not in moments
        assert moments[0] == (True, False)
        assert moments[-1] == (False, True)
        nobody = sum(moment == (False, False) for moment in moments)
        assert nobody == pytest.approx(50, abs=2)

    def test_time_counts_from_sending_not_from_the_answer(self, site: Site) -> None:
        """An answer that took long has used up its share of the hold."""
        ticks = itertools.count(0, 2_000)
        slow = Lease(site.api, site.ref(LEASE, "l"), "one", now_ms=lambda: next(ticks))
        slow.acquire()  # sent at 0; stamped at 2,000 and 4,000 or so
        assert slow.remaining_ms < 8_000

    def test_an_answer_that_was_lost(self, server: Server, site: Site, now: Time) -> None:
        one = lease(site, "one", now)
        server.faults.lose(1, method="POST")
        with pytest.raises(Unknown):
            one.acquire()
        with pytest.raises(LeaseLost):
            one.check()
        assert one.acquire() == ""
        server.faults.lose(1, method="PUT")
        now += 5
        with pytest.raises(Unknown):
            one.renew()
        assert one.remaining_ms == 5_000
        one.renew()
        assert one.remaining_ms == 10_000
        assert one.token.transitions == 1

    def test_a_fence_around_every_write(self, site: Site, now: Time) -> None:
        one = lease(site, "one", now)
        fenced = Fenced(site.api, one.check)
        ref = site.ref(CONFIG_MAP, "c")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
        writes = [
            lambda: fenced.create(ref, body),
            lambda: fenced.merge_patch(ref, {"data": {"a": "1"}}),
            lambda: fenced.json_patch(ref, [{"op": "add", "path": "/data/a", "value": "2"}]),
            lambda: fenced.replace(ref, body),
            lambda: fenced.apply(site.ref(CONFIG_MAP, "d"), {**body, "metadata": {"name": "d"}}),
            lambda: fenced.delete(ref),
        ]
        for write in writes:
            with pytest.raises(LeaseLost):
                write()
        assert site.api.list(CONFIG_MAP, site.namespace).items == ()
        one.acquire()
        for write in writes:
            write()
        now += 10
        for write in writes:
            with pytest.raises(LeaseLost):
                write()
        assert fenced.get(site.ref(CONFIG_MAP, "d"))["metadata"]["name"] == "d"

    def test_a_conflict_is_not_a_hold(self, server: Server, site: Site, now: Time) -> None:
        one, two = lease(site, "one", now), lease(site, "two", now)
        one.acquire()
        two.acquire()
        now += 15
        server.faults.answer(409, 1, method="PUT")
        assert two.acquire() == "one"
        assert two.remaining_ms == 0


def test_margins_that_make_no_sense(site: Site, now: Time) -> None:
    with pytest.raises(ValueError, match="inside the duration"):
        Lease(site.api, site.ref(LEASE, "l"), "one", now_ms=now, duration_s=5, margin_s=5)
