"""Whether requests have moved: how many are sent, what their answers say, and what a rollout makes of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from rolloutsim.errors import InputError
from rolloutsim.live.routers import Weighed
from rolloutsim.live.traffic_probe import Counted, Prober, TrafficProbe, doubt, probe_of, send, sent_for
from tests.live.kube.standing import eventually
from tests.live.loop.answering import Answer, Asked, answering

PROBE = TrafficProbe("http://entry/", "X-Version", "2")


# --- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.006, 0.01, 0.05, 0.2, 0.5, 0.99, 1.0])
def test_enough_requests_to_tell_a_share_from_nothing(share: float) -> None:
    requests = sent_for(share)
    assert 100 <= requests <= 1000
    assert doubt(PROBE, Counted(0, requests), share)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9])
def test_a_router_that_deals_in_turn_is_never_doubted(share: float) -> None:
    requests = sent_for(share)
    for new in (math.floor(requests * share), math.ceil(requests * share)):
        assert not doubt(PROBE, Counted(new, requests - new), share)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.9])
def test_a_router_that_draws_is_doubted_once_in_a_hundred_times_at_most(share: float) -> None:
    """Exactly: the probabilities of all counts that are doubted, by the binomial formula."""
    n = sent_for(share)
    doubted = sum(
        math.comb(n, k) * share**k * (1 - share) ** (n - k)
        for k in range(n + 1)
        if doubt(PROBE, Counted(k, n - k), share)
    )
    assert 0 < doubted <= 0.01


@pytest.mark.parametrize(("before", "now"), [(0.05, 0.25), (0.2, 0.5), (0.5, 1.0), (0.5, 0.2)])
def test_the_weight_before_is_no_longer_believed(before: float, now: float) -> None:
    requests = sent_for(now)
    new = round(requests * before)
    assert doubt(PROBE, Counted(new, requests - new), now)


def test_all_requests_means_all() -> None:
    assert not doubt(PROBE, Counted(100), 1.0)
    assert "99 of 100 requests" in doubt(PROBE, Counted(99, 1), 1.0)


def test_answers_that_name_no_version_may_be_anybodys() -> None:
    """Of a new version that fails, the router answers some: that keeps no analysis from judging it."""
    assert not doubt(PROBE, Counted(0, 80, 20), 0.2)
    assert not doubt(PROBE, Counted(20, 60, 20), 0.2)
    assert doubt(PROBE, Counted(0, 99, 1), 0.2)
    assert "none of 100 answers of http://entry/ has the header X-Version" in doubt(
        PROBE, Counted(0, 0, 100), 0.2
    )


# --- asking ---------------------------------------------------------------------------------------


def test_requests_are_sent_as_by_new_users() -> None:
    def answer(asked: Asked) -> Answer:
        assert "cookie" not in {name.lower() for name in asked.headers}
        number = len(server.asked)
        version = {0: "2", 1: "1"}.get(number % 3)
        return 200, "x", {"Set-Cookie": "a=b", **({"X-Version": version} if version else {})}

    with answering(answer) as server:
        probe = TrafficProbe(server.url + "/in?x=1", "x-version", "2", "shop.example")
        assert send(probe, 9) == Counted(3, 3, 3)
        assert {(one.method, one.path) for one in server.asked} == {("GET", "/in?x=1")}
        assert {one.headers["Host"] for one in server.asked} == {"shop.example"}


def test_an_entry_that_is_not_there() -> None:
    with answering(lambda asked: (200, "")) as server:
        url = server.url
    counted = send(TrafficProbe(url, "X-Version", "2"), 100)
    assert (counted.new, counted.others, counted.silent) == (0, 0, 5)
    assert doubt(PROBE, counted, 0.2).startswith(f"{url} cannot be asked (ConnectError")


def test_asking_is_broken_off() -> None:
    with answering(lambda asked: (200, "", {"X-Version": "2"})) as server:
        probe = TrafficProbe(server.url, "X-Version", "2")
        assert send(probe, 100, lambda: len(server.asked) >= 3) == Counted(3)


@pytest.mark.parametrize(
    ("url", "version", "host"),
    [
        ("entry", "X: 1", ""),
        ("ftp://entry", "X: 1", ""),
        ("http://user:secret@entry", "X: 1", ""),
        ("http://entry", "X", ""),
        ("http://entry", "X:", ""),
        ("http://entry", "X: 1", "a b"),
    ],
)
def test_what_is_no_probe(url: str, version: str, host: str) -> None:
    with pytest.raises(InputError):
        probe_of(url, version, host)


def test_a_probe_as_people_write_it() -> None:
    assert probe_of("http://entry/", "X-Image: demo/api:2", "h") == TrafficProbe(
        "http://entry/", "X-Image", "demo/api:2", "h"
    )


# --- proving --------------------------------------------------------------------------------------


@dataclass
class Entry:
    """An entry that gives the new version ``share`` of the requests, in turn."""

    share: float = 0.0
    news: threading.Event = field(default_factory=threading.Event)
    probes: int = 0
    aborting: bool = False

    def ask(self, probe: TrafficProbe, requests: int, stopped: Callable[[], bool]) -> Counted:
        self.probes += 1
        new = round(requests * self.share)
        return Counted(new, requests - new)

    def prober(self) -> Prober:
        return Prober(
            PROBE, 100, changed=self.news.set, wanted=lambda: not self.aborting, ask=self.ask, again_s=0.01
        )


@pytest.mark.parametrize("said", [True, None])
def test_a_weight_is_verified_once_requests_have_moved(said: bool | None) -> None:
    """Also where the router itself cannot say."""
    entry = Entry()
    prober = entry.prober()
    asked = prober.verify(Weighed(20, said))
    assert asked.verified is False
    assert "is being asked of http://entry/" in asked.problem
    assert entry.news.wait(5)
    eventually(lambda: "0 of 100 requests" in prober.verify(Weighed(20, said)).problem)
    assert prober.verify(Weighed(20, said)).verified is False
    entry.share = 0.2
    eventually(lambda: prober.verify(Weighed(20, said)) == Weighed(20, True))
    # it stays so, and nobody asks any more
    probes = entry.probes
    assert prober.verify(Weighed(20, said)).verified is True
    assert entry.probes == probes
    # the next weight is another matter
    assert prober.verify(Weighed(50, said)).verified is False
    prober.stop()


def test_what_is_not_probed() -> None:
    entry = Entry()
    prober = entry.prober()
    for weighed in (Weighed(0, True), Weighed(20, False, "not accepted"), Weighed(), Weighed(problem="gone")):
        assert prober.verify(weighed) == weighed
    entry.aborting = True
    assert prober.verify(Weighed(20, True)) == Weighed(20, True)
    assert entry.probes == 0


def test_a_route_that_is_written_again_is_proved_again() -> None:
    entry = Entry(share=0.2)
    prober = entry.prober()
    prober.verify(Weighed(20, True))
    eventually(lambda: prober.verify(Weighed(20, True)).verified is True)
    prober.verify(Weighed(20, False, "its controller has not seen the present weights yet"))
    assert prober.verify(Weighed(20, True)).verified is False
    prober.stop()
