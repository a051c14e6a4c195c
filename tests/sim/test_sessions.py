"""Users and their sessions: exposure and harm against closed forms and a small simulation."""

from __future__ import annotations

import numpy as np
import pytest

from rolloutsim.sim.clients import Sessions, Sticky
from rolloutsim.sim.scenario import ConstantRate, Traffic
from rolloutsim.sim.sessions import SessionLedger, StickyShare, settled_share

TRAFFIC = Traffic(ConstantRate(100.0))
HOUR = 3_600_000


def users(sessions, *path, until=HOUR):
    """Shares of all sessions that met the new version and that were harmed."""
    ledger = SessionLedger(sessions, TRAFFIC)
    for at, weight, worse in path:
        ledger.see(at, weight, worse, 0.0)
    met, hurt = ledger.users(until, until)
    all_sessions = 100.0 * until / 1000.0 / sessions.requests
    return met / all_sessions, hurt / all_sessions


@pytest.mark.parametrize("k", [2, 10, 50])
@pytest.mark.parametrize("weight", [0.05, 0.25])
def test_a_split_by_request_exposes_most_users(k, weight):
    """1 - (1 - w)^k: 40 % of the users at 5 % and ten requests."""
    met, hurt = users(Sessions(k, 1_000), (0, weight, 0.2))
    assert met == pytest.approx(1.0 - (1.0 - weight) ** k, rel=0.01)
    assert hurt == pytest.approx(1.0 - (1.0 - 0.2 * weight) ** k, rel=0.01)


def test_sticky_on_both_sides_exposes_the_weight():
    met, hurt = users(Sessions(10, 60_000, Sticky.BOTH), (0, 0.05, 0.2))
    assert met == pytest.approx(0.05, rel=0.02)
    assert hurt == pytest.approx(0.05 * (1.0 - 0.8**10), rel=0.03)


def test_sticky_on_the_canary_side_converges_to_everybody():
    short = users(Sessions(10, 60_000, Sticky.CANARY), (0, 0.05, 0.2))
    long = users(Sessions(200, 60_000, Sticky.CANARY), (0, 0.05, 0.2))
    split = users(Sessions(10, 60_000), (0, 0.05, 0.2))
    assert short[0] == pytest.approx(split[0], rel=0.02)
    assert short[1] > 1.5 * split[1]
    assert long[0] > 0.99
    assert settled_share(0.05, Sessions(200, 60_000, Sticky.CANARY)) > 0.9


def walks(sessions, weight, worse, runs=20_000):
    """The same by playing each request of each session."""
    draw = np.random.Generator(np.random.Philox(key=5))
    caught = np.zeros(runs, dtype=bool)
    harmed = np.zeros(runs, dtype=bool)
    first = draw.random(runs) < weight
    for _ in range(sessions.requests):
        fresh = draw.random(runs) < weight
        if sessions.sticky is Sticky.CANARY:
            caught |= fresh
            there = caught
        elif sessions.sticky is Sticky.BOTH:
            there = caught = first
        else:
            there = fresh
            caught |= fresh
        harmed |= there & (draw.random(runs) < worse)
    return caught.mean(), harmed.mean()


@pytest.mark.parametrize("sticky", list(Sticky))
def test_users_as_played_request_by_request(sticky):
    sessions = Sessions(12, 30_000, sticky)
    met, hurt = users(sessions, (0, 0.1, 0.15))
    played = walks(sessions, 0.1, 0.15)
    assert met == pytest.approx(played[0], abs=0.015)
    # the fluid model counts the request that catches a user as half a request
    assert hurt == pytest.approx(played[1], abs=0.04)


def test_sessions_straddle_changes():
    """A weight that holds for a minute meets the sessions that have a request in that minute."""
    sessions = Sessions(10, 600_000)
    met, _ = users(sessions, (0, 0.0, 0.0), (HOUR // 2, 0.5, 0.0), (HOUR // 2 + 60_000, 0.0, 0.0))
    per_session = 1.0 - 0.5 ** (10 * 60 / 600)
    straddling = (600 - 60) / 3600
    edges = 2 * 60 / 3600 * (1.0 - (1.0 - 0.5) / np.log(2.0))
    assert met == pytest.approx(straddling * per_session + edges, rel=0.03)


def test_nobody_meets_what_has_no_share():
    assert users(Sessions(10, 60_000), (0, 0.0, 0.5)) == (0.0, 0.0)


@pytest.mark.parametrize("sticky", [Sticky.BOTH, Sticky.CANARY])
def test_shares_follow_a_weight_with_a_lag(sticky):
    sessions = Sessions(10, 60_000, sticky)
    share = StickyShare(sessions)
    found = [share.shares(at, (0.8, 0.2, 0.0))[1] for at in range(0, 1_200_000, 10_000)]
    assert found[0] == 0.0
    assert sorted(found) == found
    assert found[-1] == pytest.approx(settled_share(0.2, sessions), rel=1e-3)
    assert share.shares(1_200_000, (0.0, 0.0, 1.0)) == (0.0, 0.0, 1.0)
    assert share.shares(1_300_000, (1.0, 0.0, 0.0)) == (1.0, 0.0, 0.0)
