"""Whether requests have moved: asked of the entry itself, once the route's controller has accepted a weight.

No condition of a route says that the data plane serves its weights (Gateway API, issue 1870), and an Ingress
has none. So requests are sent to where users come in, and those that the new version answers are counted.

How many of them it should be is judged as a binomial count, whatever the router. One that draws for each
request (nginx, Envoy) makes just that. One that deals in turn (Traefik, HAProxy) gives a probe its share
exactly while nobody else asks, well within the bound; but users take turns in between, so that an exact rule
would refuse what is right. A weight that has moved is refused once in a hundred times, which costs another
look; one of which nothing has arrived is always refused, from 0.6 % on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, exp, lgamma, log, log1p
from urllib.parse import urlsplit

import httpx

from rolloutsim.errors import InputError
from rolloutsim.live.clock import counted_s
from rolloutsim.live.routers.router import Weighed
from rolloutsim.prometheus import is_loopback, read_limited

__all__ = ["Counted", "Prober", "TrafficProbe", "doubt", "probe_of", "send", "sent_for"]

REFUSED = 0.01
"""Share of moved weights that are refused by chance: half of it for too few, half for too many."""
FEWEST, MOST = 100, 1_000
"""Requests of one probe."""
AGAIN_S = 2.0
"""From a probe that was refused to the next."""
TIMEOUT_S = 5.0
"""For one request."""
LONGEST_S = 60.0
"""For one probe."""
LOST = 5
"""Requests that nobody answered before the first answer: the rest would not be answered either."""
LARGEST = 1 << 20
"""Bytes of an answer; the rest is not read."""


@dataclass(frozen=True, slots=True)
class TrafficProbe:
    """Where to ask, and how the new version is known: its answers have the header ``header`` with ``value``.

    ``host`` goes into the request as ``Host``, "" for the address's own.
    """

    url: str
    header: str
    value: str
    host: str = ""

    def __str__(self) -> str:
        host = f" (Host: {self.host})" if self.host else ""
        return f"{self.url}{host}, where the new version answers {self.header}: {self.value}"


@dataclass(frozen=True, slots=True)
class Counted:
    """Answers by who gave them; ``silent`` are without the header, and requests that nobody answered.

    ``trouble`` : why they tell nothing.
    """

    new: int = 0
    others: int = 0
    silent: int = 0
    trouble: str = ""


def probe_of(url: str, version: str, host: str = "") -> TrafficProbe:
    """A probe as people write it, ``version`` as HEADER: VALUE.

    Raises
    ------
    InputError : it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError("a traffic probe needs an address", value=url, fix="write http://HOST:PORT/PATH")
    header, colon, value = version.partition(":")
    if not colon or not header.strip() or not value.strip():
        raise InputError(
            "a traffic probe knows the new version by a header of its answers",
            value=version,
            fix="for example --traffic-version 'X-Version: 1.4.3'",
        )
    if any(not one.isascii() or not one.isprintable() or " " in one for one in (host, header.strip())):
        raise InputError("a header of the traffic probe cannot be sent", value=f"{host} {header}".strip())
    return TrafficProbe(url, header.strip(), value.strip(), host)


def sent_for(share: float) -> int:
    """How many requests tell a share of the new version, 0 to 1, from none of it."""
    if share >= 1:
        return FEWEST
    return min(MOST, max(FEWEST, ceil(log(REFUSED / 2) / log1p(-share))))


def send(probe: TrafficProbe, requests: int, stopped: Callable[[], bool] = lambda: False) -> Counted:
    """Ask as so many new users would: none follows a redirect or brings a cookie."""
    new = others = silent = 0
    why = ""
    headers = {"Host": probe.host} if probe.host else {}
    here = is_loopback(urlsplit(probe.url).hostname or "")
    ends_s = counted_s() + LONGEST_S
    with httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=not here) as client:
        while new + others + silent < requests and not stopped():
            try:
                said = _version(client, probe, ends_s)
            except httpx.HTTPError as error:
                said, why = None, f"{type(error).__name__}: {error}".rstrip(": ")
            new += said == probe.value
            others += said not in (None, probe.value)
            silent += said is None
            if counted_s() > ends_s:
                return Counted(new, others, silent, f"{probe.url} answers too slowly ({LONGEST_S:g} s)")
            if why and silent >= LOST and not new + others:
                return Counted(new, others, silent, f"{probe.url} cannot be asked ({why})")
    return Counted(new, others, silent)


def _version(client: httpx.Client, probe: TrafficProbe, ends_s: float) -> str | None:
    """The version that one answer names."""
    with client.stream("GET", probe.url) as answer:
        read_limited(answer, LARGEST, ends_s)
        said = answer.headers.get(probe.header)
    client.cookies.clear()
    return None if said is None else str(said)


def doubt(probe: TrafficProbe, counted: Counted, share: float) -> str:
    """Why these answers are not those of a router that gives the new version this share; "" if they may be.

    An answer that names no version may be anybody's.
    """
    if counted.trouble:
        return f"{counted.trouble}; mend the entry or plan again with another --traffic-probe, or abort"
    total = counted.new + counted.others + counted.silent
    if counted.silent == total:
        return (
            f"none of {total} answers of {probe.url} has the header {probe.header}, so nobody can tell whose "
            "they are; let the application send it, or roll back with rolloutsim abort"
        )
    few, many = counted.new + counted.silent, counted.new
    enough = _at_most(few, total, share) >= REFUSED / 2
    if enough and _at_most(total - many, total, 1 - share) >= REFUSED / 2:
        return ""
    return (
        f"it is accepted, yet {counted.new} of {total} requests to {probe.url} reached the new version, "
        f"not {share * 100:.4g} %; it is asked again until they do, or roll back with rolloutsim abort"
    )


def _at_most(count: int, total: int, share: float) -> float:
    """P(X <= count) of a binomial X."""
    if share <= 0 or count >= total:
        return 1.0
    if share >= 1:
        return 0.0
    terms = (
        lgamma(total + 1)
        - lgamma(k + 1)
        - lgamma(total - k + 1)
        + k * log(share)
        + (total - k) * log1p(-share)
        for k in range(count + 1)
    )
    return sum(map(exp, terms))


class Prober:
    """Proves each weight by requests, in a thread. Safe to use from several threads.

    ``total`` is what the weights add up to; ``changed`` is called when there is news. While ``wanted`` says
    no, weights are as the router says: nothing may keep a rollback waiting.
    """

    def __init__(
        self,
        probe: TrafficProbe,
        total: int,
        *,
        changed: Callable[[], object],
        wanted: Callable[[], bool] = lambda: True,
        ask: Callable[[TrafficProbe, int, Callable[[], bool]], Counted] = send,
        again_s: float = AGAIN_S,
    ) -> None:
        self._probe = probe
        self._total = total
        self._changed = changed
        self._wanted = wanted
        self._ask = ask
        self._again_s = again_s
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._weight = 0
        """The weight that is proved, or that somebody is about to prove; 0: none."""
        self._why = ""
        """Why it is not proved yet."""

    def verify(self, weighed: Weighed) -> Weighed:
        """What a route says, and whether requests bear it out. Weight 0 is believed, as is what is unread."""
        weight = weighed.weight or 0
        if not weight or weighed.verified is False or not self._wanted():
            self._forget()
            return weighed
        with self._lock:
            if weight != self._weight:
                self._forget_locked()
                self._weight, self._why = (
                    weight,
                    f"whether requests have moved is being asked of {self._probe.url}",
                )
                stop = self._over
                threading.Thread(
                    target=self._prove, args=(weight, stop), name="traffic probe", daemon=True
                ).start()
            return replace(weighed, verified=not self._why, problem=self._why)

    def stop(self) -> None:
        """Ask no more."""
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            self._forget_locked()

    def _forget_locked(self) -> None:
        self._over.set()
        self._over = threading.Event()
        self._weight, self._why = 0, ""

    def _prove(self, weight: int, over: threading.Event) -> None:
        share = weight / self._total
        while not over.is_set():
            why = doubt(self._probe, self._ask(self._probe, sent_for(share), over.is_set), share)
            with self._lock:
                if over.is_set():
                    return
                self._why = why
            self._changed()
            if not why or over.wait(self._again_s):
                return
