"""The requests of one service, played one by one: pods, routes and conditions from outside, counts within.

Between two calls of `advance` the caller may start, drain, kill or slow down pods and change routes and
conditions; the state is then the true one. How time is sliced changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.latency import Tail
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.requests import layout as at
from rolloutsim.sim.requests.buckets import bucket_index
from rolloutsim.sim.requests.cut import cut_off
from rolloutsim.sim.requests.events import play
from rolloutsim.sim.requests.model import Balancing, Law, Requests
from rolloutsim.sim.requests.pool import Room, play_pool, room
from rolloutsim.sim.requests.state import empty_state, grown, pods_grown
from rolloutsim.sim.requests.words import CHOICE, fill

__all__ = ["Lane", "RequestPlane", "Route"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Rates = Callable[[Ints], Floats]
"""Expected requests between successive times (ms)."""

_LAWS = {Law.EXPONENTIAL: at.EXPONENTIAL, Law.DETERMINISTIC: at.DETERMINISTIC, Law.LOGNORMAL: at.LOGNORMAL}
_BALANCERS = {
    Balancing.RANDOM: at.RANDOM,
    Balancing.ROUND_ROBIN: at.ROUND_ROBIN,
    Balancing.LEAST: at.LEAST,
    Balancing.TWO_CHOICES: at.TWO_CHOICES,
}
_NORMAL = NormalDist()
_LOW32 = 0xFFFF_FFFF
AHEAD = 128
"""Blocks whose rates are asked for at a time."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What a version does to the requests that reach it by one route, from a moment on.

    ``factor`` multiplies the work of every endpoint class, and each of the ``tails`` that of its requests.
    """

    error_rate: float = 0.0
    error_slope_per_ms: float = 0.0
    wrong_rate: float = 0.0
    factor: float = 1.0
    tails: tuple[Tail, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A share of the requests and the pods that it is spread over; ``keeps``: sessions stay on it."""

    share: float
    pods: tuple[int, ...]
    keeps: bool = False


class RequestPlane:
    """Requests of one run.

    Parameters
    ----------
    lanes : (R, V), the lane of each route and version; counts are kept per lane, and in one more for
        requests that find no pod.
    expected : expected requests between successive times; see `rolloutsim.sim.traffic.expected_per_cell`.
    arrivals : given times of arrival (rising, ms) instead of a Poisson process.
    bounds_ms : upper bounds of the latency buckets; one more bucket takes what is above them.
    exact : the router splits by smooth weighted round robin and not at random.
    slow_ms : an answer that takes its user longer is counted as bad.
    general : use the general kernel even where the faster one gives the same.
    """

    def __init__(
        self,
        requests: Requests,
        seed: int,
        run: int,
        *,
        lanes: Sequence[Sequence[int]] = ((0,),),
        expected: Rates | None = None,
        arrivals: Floats | None = None,
        bounds_ms: Sequence[float] = (),
        exact: bool = False,
        slow_ms: float = math.inf,
        start_ms: float = 0.0,
        general: bool = False,
    ) -> None:
        if (expected is None) == (arrivals is None):
            raise ValueError("give either the expected requests or the times of arrival")
        self.requests = requests
        self.now_ms = float(start_ms)
        self._expected = expected
        self._exact = exact
        self._slow_ms = slow_ms
        self._general = general
        key = stream(seed, run, "requests")
        self._key = np.array([key.low & _LOW32, key.low >> 32 & _LOW32, key.high & _LOW32], dtype=np.uint64)
        self._spread = stream(seed, run, "pods/spread")
        self._pods_begun = 0
        self._trace = np.empty(0) if arrivals is None else arrivals
        self._index = bucket_index(bounds_ms)
        self._lanes = np.array(lanes, dtype=np.int64)
        self.lane_count = int(self._lanes.max()) + 1
        first_block = math.floor(start_ms / at.BLOCK_MS)
        client, sessions = requests.client, requests.sessions
        users = sessions.users if sessions else 0
        self._s = empty_state(
            len(self._lanes), self.lane_count + 1, len(self._index.bounds), users, first_block
        )
        self._s.x[at.TOKENS] = math.inf if client.budget is None else client.burst
        self._rates_from, self._rates = first_block, np.empty(0)
        self._room: Room | None = None
        self._changed = True
        self._choices_drawn = False
        self._plain = False
        self._rules: at.Rules
        self._tables: at.Tables
        self._routes: tuple[Route, ...] = ()
        self._shares = np.zeros(len(self._lanes))
        self._keeps = np.zeros(len(self._lanes), dtype=np.bool_)
        self._members = np.zeros((len(self._lanes), 1), dtype=np.int64)
        self._sizes = np.zeros(len(self._lanes), dtype=np.int64)
        self._fails = np.zeros((self.lane_count, 4))
        self._work = np.zeros((self.lane_count, len(requests.endpoints), 3))
        self._tails = np.zeros((self.lane_count, 1, 2))
        shares = np.cumsum([each.share for each in requests.endpoints])
        self._classes = shares / shares[-1]
        self.conditions([Lane()] * self.lane_count)

    # --- pods and routes --------------------------------------------------------------------------

    def start_pod(
        self, version: int = 0, *, slots: int | None = None, factor: float | None = None, warm: bool = False
    ) -> int:
        """A pod is ready from now on (``warm``: for long); it gets requests once a route names it."""
        self._changed = True
        pods = self.requests.pods
        free = np.flatnonzero(self._s.pods_i[:, at.SLOTS] == 0)
        if not len(free):
            self._s = pods_grown(self._s)
            free = np.flatnonzero(self._s.pods_i[:, at.SLOTS] == 0)
        pod = int(free[0])
        row = self._s.pods_i[pod]
        row[:] = 0
        row[at.FIRST] = row[at.LAST] = -1
        row[at.SLOTS], row[at.LIMIT] = slots or pods.slots, pods.queue
        row[at.VERSION], row[at.ALIVE] = version, 1
        if factor is None:
            factor = self._spread_factor(self._pods_begun)
        self._pods_begun += 1
        self._s.pods_f[pod] = factor, self.now_ms, 0.0 if warm else pods.cold, max(pods.warm_ms, 1e-3)
        return pod

    def _spread_factor(self, ordinal: int) -> float:
        sigma = self.requests.pods.spread
        return math.exp(sigma * _NORMAL.inv_cdf(self._spread.uniform(ordinal))) if sigma else 1.0

    def kill_pod(self, pod: int) -> int:
        """A pod is gone: what it served or kept waiting is cut off, and what is still sent to it refused.

        Returns the number of attempts that were cut off. They may be tried again.
        """
        self._changed = True
        return int(cut_off(pod, self.now_ms, self._new_rules(), self._new_tables(), self._s))

    def remove_pod(self, pod: int) -> None:
        """Forget a pod that no route names any more; it is killed if it still works."""
        self.kill_pod(pod)
        self._s.pods_i[pod, at.SLOTS] = 0

    def slow_pod(self, pod: int, factor: float) -> None:
        """What begins on this pod from now on takes ``factor`` times as long."""
        self._s.pods_f[pod, at.FACTOR] = factor

    def load(self, pod: int) -> int:
        """Requests on a pod: in its slots (even if their client has given up) and waiting."""
        return int(self._s.pods_i[pod, at.BUSY] + self._s.pods_i[pod, at.QUEUED])

    def loads(self) -> Ints:
        """(P, 2): busy slots and waiting requests of every pod."""
        return self._s.pods_i[:, [at.BUSY, at.QUEUED]].copy()

    def route(self, routes: Sequence[Route]) -> None:
        """What the router does from now on; shares that are missing to 1 find no pod."""
        if len(routes) != len(self._lanes):
            raise ValueError(f"there are {len(self._lanes)} routes, not {len(routes)}")
        if tuple(routes) == self._routes:
            return
        total = sum(route.share for route in routes)
        if self._exact and abs(total - 1.0) > 1e-9:
            raise ValueError(f"the shares of an exact split sum up to 1, not {total:g}")
        self._changed = True
        self._routes = tuple(routes)
        self._shares = np.cumsum([route.share for route in routes])
        if self._shares[-1] > 1.0 - 1e-9:
            self._shares = np.minimum(self._shares / self._shares[-1], 1.0)
        self._keeps = np.array([route.keeps for route in routes])
        self._sizes = np.array([len(route.pods) for route in routes], dtype=np.int64)
        self._members = np.zeros((len(routes), max(1, int(self._sizes.max()))), dtype=np.int64)
        for which, route in enumerate(routes):
            self._members[which, : len(route.pods)] = route.pods

    @property
    def routes(self) -> tuple[Route, ...]:
        """What the router does."""
        return self._routes

    def conditions(self, lanes: Sequence[Lane]) -> None:
        """New conditions hold from now on; of a request's work those that hold when it arrives."""
        for which, lane in enumerate(lanes):
            self._fails[which] = lane.error_rate, lane.error_slope_per_ms, self.now_ms, lane.wrong_rate
            for kind, endpoint in enumerate(self.requests.endpoints):
                mean = endpoint.mean_ms * lane.factor
                self._work[which, kind] = _LAWS[endpoint.law], mean, endpoint.sigma
            self._know_tails(which, [tail for tail in lane.tails if tail.share > 0.0])

    def _know_tails(self, lane: int, tails: Sequence[Tail]) -> None:
        missing = len(tails) - self._tails.shape[1]
        if missing > 0:
            self._tails = np.pad(self._tails, ((0, 0), (0, missing), (0, 0)))
            self._changed = True
        self._tails[lane] = 0.0
        if not tails:
            return
        self._tails[lane, : len(tails), at.UPTO] = np.cumsum([tail.share for tail in tails])
        self._tails[lane, : len(tails), at.TIMES] = [tail.factor for tail in tails]

    # --- time -------------------------------------------------------------------------------------

    def advance(self, until_ms: float) -> None:
        """Let everything happen up to and at a time."""
        if until_ms < self.now_ms:
            raise ValueError(f"time cannot go back from {self.now_ms:g} ms to {until_ms:g} ms")
        if self._changed:
            self._changed = False
            self._plain = not self._general and self._is_plain()
            self._rules = self._new_rules()
            self._tables = self._new_tables()
            self._draw_choices()
        while self.now_ms < until_ms:
            until = self._know_rates(float(until_ms))
            if self._plain:
                play_pool(until, self._rules, self._tables, self._room, self._s)
            else:
                while play(until, self._rules, self._tables, self._s) == at.MORE_RECORDS:
                    self._s = grown(self._s)
                    self._rules = self._new_rules()
            self.now_ms = until

    def _is_plain(self) -> bool:
        """Nothing depends on what other requests do, but for waiting in line; makes room if so."""
        requests, pods = self.requests, self._s.pods_i
        alone = requests.balancing in (Balancing.RANDOM, Balancing.ROUND_ROBIN) or self._sizes.max() <= 1
        patient = requests.client.timeout_ms is None and requests.client.retries == 0
        slots, limit = int(pods[:, at.SLOTS].max()), int(pods[:, at.LIMIT].max())
        in_use = pods[:, at.SLOTS] > 0
        most = int((pods[in_use, at.SLOTS] + pods[in_use, at.LIMIT]).sum()) + 1
        if (
            not (alone and patient and requests.sessions is None and pods[in_use, at.ALIVE].all())
            or slots > at.MOST_SLOTS
            or most > requests.most_in_flight
        ):
            return False
        while len(self._s.records_i) < most:
            self._s = grown(self._s)
        if self._room is None or self._room.free_at.shape != (len(pods), slots + 1):
            self._room = room(len(pods), slots, limit)
        return True

    def _new_rules(self) -> at.Rules:
        requests, index = self.requests, self._index
        client, sessions = requests.client, requests.sessions
        return at.Rules(
            timeout=math.inf if client.timeout_ms is None else float(client.timeout_ms),
            retries=client.retries,
            backoff=float(client.backoff_ms),
            budget=0.0 if client.budget is None else float(client.budget),
            tokens_most=0.0 if client.budget is None else float(client.burst),
            balancing=_BALANCERS[requests.balancing],
            exact=self._exact,
            users=sessions.users if sessions else 0,
            session_end=1.0 / sessions.requests if sessions else 0.0,
            slow=float(self._slow_ms),
            wide=len(self._shares) > 1
            or int(self._sizes.max()) != 1
            or self._shares[-1] < 1.0
            or len(self._classes) > 1,
            full=len(self._s.records_i) >= self.requests.most_in_flight,
            bound_shift=index.shift,
            bound_base=index.base,
        )

    def _draw_choices(self) -> None:
        """Where there is something to choose from now on: also for the arrivals that are drawn already."""
        if self._rules.wide and not self._choices_drawn:
            n, choices = self._s.n, self._s.tape_words[2:]
            fill(self._key, n[at.TAPE_FIRST], CHOICE, n[at.TAPE_END], choices[0], choices[1])
        self._choices_drawn = self._rules.wide

    def _new_tables(self) -> at.Tables:
        return at.Tables(
            key=self._key,
            rates=self._rates,
            first_block=self._rates_from,
            trace=self._trace,
            shares=self._shares,
            keeps=self._keeps,
            members=self._members,
            sizes=self._sizes,
            lanes=self._lanes,
            fails=self._fails,
            work=self._work,
            tails=self._tails,
            classes=self._classes,
            bounds=self._index.bounds,
            bound_first=self._index.first,
        )

    def _know_rates(self, until_ms: float) -> float:
        """Ask for the rates of the next blocks where they are missing; how far they reach, at most asked."""
        if self._expected is None:
            return until_ms
        end_ms = (self._rates_from + len(self._rates)) * at.BLOCK_MS
        if end_ms <= self.now_ms:
            first = int(self._s.n[at.BLOCK])
            edges = np.arange(first, first + AHEAD + 1, dtype=np.int64) * int(at.BLOCK_MS)
            self._rates_from, self._rates = first, self._expected(edges) / at.BLOCK_MS
            self._tables = self._new_tables()
            end_ms = (first + AHEAD) * at.BLOCK_MS
        return min(until_ms, end_ms)

    # --- counts -----------------------------------------------------------------------------------

    @property
    def state(self) -> at.State:
        """What the kernels work on, to be read only; arrays are replaced when they grow."""
        return self._s

    @property
    def histogram(self) -> Ints:
        """(L, 2, B): answers so far per lane, without and with error, and latency bucket (not cumulated)."""
        return self._s.hist[:-1].copy()

    @property
    def waits(self) -> Ints:
        """(L, B): requests per lane that have waited, and for how long; the others began at once."""
        return self._s.waits[:-1].copy()

    @property
    def seconds(self) -> Floats:
        """(L, 3): summed latency of the answers so far, without and with error; summed wait of the begun."""
        return np.asarray(self._s.time_ns[:-1] * 1e-9)

    @property
    def counts(self) -> Ints:
        """(L + 1, 7): see `rolloutsim.sim.requests.layout.STARTED`; last, what found no pod."""
        return self._s.counts.copy()

    @property
    def arrived(self) -> int:
        """Requests so far, retries not counted."""
        return int(self._s.n[at.REQUESTS])

    @property
    def in_flight(self) -> int:
        """Attempts whose client still waits."""
        answers = int(self._s.hist.sum())
        ended = int(self._s.counts[:, [at.TIMED_OUT, at.REJECTED, at.CUT]].sum())
        return int(self._s.counts[:, at.STARTED].sum()) - answers - ended

    @property
    def to_retry(self) -> int:
        """Requests that wait for their next attempt."""
        return int(self._s.n[at.N_RETRY])

    @property
    def sessions(self) -> tuple[int, int, int]:
        """Sessions so far: begun, those that have reached a new version, those that have lost a request."""
        n = self._s.n
        return int(n[at.SESSIONS]), int(n[at.SESSIONS_EXPOSED]), int(n[at.SESSIONS_HARMED])

    @property
    def capacity(self) -> int:
        """Records in memory."""
        return len(self._s.records_i)
