"""Users: which session a request belongs to, and on which version a cookie keeps it.

Sessions run side by side, and each request comes from any of them alike. Before each request its session
is over with a fixed probability, so the number of requests in a session is geometric; a new one takes its
place. A session has one byte: the route that it stays on (its number from 1; 0: none), and three marks.
"""

from __future__ import annotations

import numpy as np

from rolloutsim.sim.requests.choice import among
from rolloutsim.sim.requests.compiled import compiled
from rolloutsim.sim.requests.layout import SESSIONS, SESSIONS_EXPOSED, SESSIONS_HARMED
from rolloutsim.sim.requests.words import SESSION, share32, words

__all__ = ["mark_exposed", "mark_harmed", "settled_route"]

_32 = np.uint64(32)
_ROUTE, _BEGUN, _EXPOSED, _HARMED = 31, 32, 64, 128


@compiled
def settled_route(drawn, number, attempt, key, users, session_end, n, cookies, shares, keeps):  # type: ignore[no-untyped-def]
    """The route of an attempt: the one that its session stays on, else the one that was drawn.

    A cookie for a route without traffic is ignored. ``keeps`` says which routes a session stays on: all of
    them, or the canary's alone, so that the others' requests are drawn again each time.
    """
    word, more = words(key, number, 0, SESSION, 0)
    user = among(word >> _32, users)
    cookie = np.int64(cookies[user])
    if attempt == 0 and (cookie & _BEGUN == 0 or share32(more) < session_end):
        cookie = np.int64(_BEGUN)
        n[SESSIONS] += 1
    kept = (cookie & _ROUTE) - 1
    route = drawn
    if kept >= 0 and shares[kept] > (shares[kept - 1] if kept > 0 else 0.0):
        route = kept
    stays = route + 1 if route < len(shares) and keeps[route] else 0
    cookies[user] = np.uint8((cookie & ~_ROUTE) | stays)
    return route


@compiled
def mark_exposed(number, key, users, n, cookies):  # type: ignore[no-untyped-def]
    """The session of this request has reached the new version."""
    user = among(words(key, number, 0, SESSION, 0)[0] >> _32, users)
    if cookies[user] & _EXPOSED == 0:
        cookies[user] |= np.uint8(_EXPOSED)
        n[SESSIONS_EXPOSED] += 1


@compiled
def mark_harmed(number, key, users, n, cookies):  # type: ignore[no-untyped-def]
    """The session of this request has lost it."""
    user = among(words(key, number, 0, SESSION, 0)[0] >> _32, users)
    if cookies[user] & _HARMED == 0:
        cookies[user] |= np.uint8(_HARMED)
        n[SESSIONS_HARMED] += 1
