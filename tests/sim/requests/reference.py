"""A second request plane in plain Python: one sorted list of events, objects for requests and pods.

It knows the rules of the model and none of the kernels' structures. Work is lognormal or exponential, the
rate is constant. It counts what `RequestPlane` counts.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from dataclasses import dataclass, field

from rolloutsim.sim.requests.model import Balancing, Law, Requests, Stickiness
from rolloutsim.sim.requests.plane import Lane, Route

from .draws import CHOICE, SESSION, SPARE, WORK, Draws, among, chance, unit32, unit48

COMPLETION, DEADLINE, ARRIVAL, RETRY = range(4)
BLOCK_MS = 5000.0


@dataclass(eq=False)
class Attempt:
    number: int
    attempt: int
    born: float
    lane: int = -1
    since: float = 0.0
    work: float = 0.0
    chance: float = 0.0
    pod: Pod | None = None
    served: bool = False
    over: bool = False


@dataclass(eq=False)
class Pod:
    number: int
    version: int
    ready: float
    cold: float
    factor: float = 1.0
    alive: bool = True
    served: list[Attempt] = field(default_factory=list)
    queue: list[Attempt] = field(default_factory=list)

    @property
    def load(self) -> int:
        return len(self.served) + len(self.queue)


@dataclass
class Session:
    route: int = -1
    exposed: bool = False
    harmed: bool = False


class Reference:
    def __init__(
        self,
        requests: Requests,
        seed: int,
        run: int,
        rate: float,
        lanes,
        bounds,
        *,
        exact=False,
        slow=math.inf,
    ) -> None:
        self.requests, self.rate, self.lanes_of, self.bounds = requests, rate, lanes, bounds
        self.exact, self.slow = exact, slow
        self.draws = Draws(seed, run)
        self.now = 0.0
        self.events: list[tuple[float, int, int, Attempt]] = []
        self.serial = 0
        self.pods: list[Pod] = []
        count = max(max(row) for row in lanes) + 1
        self.hist = [[[0] * (len(bounds) + 1) for _ in range(2)] for _ in range(count)]
        self.waits = [[0] * (len(bounds) + 1) for _ in range(count)]
        self.ns = [[0, 0, 0] for _ in range(count)]
        self.counts = [[0] * 7 for _ in range(count + 1)]
        self.cursors = [0] * len(lanes)
        self.owed = [0.0] * len(lanes)
        self.tokens = math.inf if requests.client.budget is None else requests.client.burst
        self.arrived = self.begun = self.exposed = self.harmed = 0
        users = requests.sessions.users if requests.sessions else 0
        self.sessions: list[Session | None] = [None] * users
        self.block, self.place, self.total = 0, 0, 0.0
        self._next_arrival()

    def at(self, time: float, kind: int, attempt: Attempt) -> None:
        self.serial += 1
        heapq.heappush(self.events, (time, kind, self.serial, attempt))

    def _next_arrival(self) -> None:
        while True:
            number = self.block * 2**32 + self.place
            word = self.draws.words(number, 0, WORK)[0]
            self.total += self.draws.exponential(word, number, 4095)
            if self.total < self.rate * BLOCK_MS:
                break
            self.block, self.place, self.total = self.block + 1, 0, 0.0
        self.place += 1
        time = self.block * BLOCK_MS + self.total * (1.0 / self.rate)
        self.at(time, ARRIVAL, Attempt(number, 0, time))

    # --- control

    def start_pod(self, version=0, warm=False) -> int:
        cold = 0.0 if warm else self.requests.pods.cold
        self.pods.append(Pod(len(self.pods), version, self.now, cold))
        return len(self.pods) - 1

    def kill_pod(self, number: int) -> int:
        pod = self.pods[number]
        pod.alive = False
        # as the kernel finds them: the served in the order of its heap is unknown, but nothing depends on it
        cut = [one for one in pod.served if not one.over] + pod.queue
        for one in cut:
            self.counts[one.lane][3] += 1
            one.over = True
            self._again(one, self.now)
        for one in pod.served:
            one.pod = None
        pod.served, pod.queue = [], []
        return len(cut)

    def slow_pod(self, number: int, factor: float) -> None:
        self.pods[number].factor = factor

    def route(self, routes: list[Route]) -> None:
        self.routes = routes

    def conditions(self, lanes: list[Lane]) -> None:
        self.lanes, self.since = lanes, self.now

    # --- time

    def advance(self, until: float) -> None:
        while self.events[0][0] <= until:
            time, kind, _, attempt = heapq.heappop(self.events)
            if kind == COMPLETION:
                self._complete(time, attempt)
            elif kind == DEADLINE:
                self._expire(time, attempt)
            else:
                if kind == ARRIVAL:
                    self.arrived += 1
                    if self.requests.client.budget is not None:
                        client = self.requests.client
                        self.tokens = min(self.tokens + client.budget, client.burst)
                    self._next_arrival()
                self._attempt(time, attempt)
        self.now = until

    def _attempt(self, t: float, one: Attempt) -> None:
        a, b = self.draws.words(one.number, one.attempt, WORK)
        c, d = self.draws.words(one.number, one.attempt, CHOICE)
        route = self._settled(self._route(c), one)
        if route >= len(self.routes) or not self.routes[route].pods:
            self._turn_away(t, one, len(self.counts) - 1, 2)
            return
        pod = self.pods[self._pod(route, d)]
        lane = self.lanes_of[route][pod.version]
        if pod.version and self.sessions:
            session = self._session(one)
            self.exposed += not session.exposed
            session.exposed = True
        if not pod.alive:
            self._turn_away(t, one, lane, 3)
            return
        if len(pod.served) >= self.requests.pods.slots and len(pod.queue) >= self.requests.pods.queue:
            self._turn_away(t, one, lane, 2)
            return
        self.counts[lane][0] += 1
        one.lane, one.since, one.pod = lane, t, pod
        one.chance, one.work = chance(a, b), self._work(b, c, one, lane)
        if self.requests.client.timeout_ms is not None:
            self.at(t + self.requests.client.timeout_ms, DEADLINE, one)
        if len(pod.served) < self.requests.pods.slots:
            self._serve(t, one)
        else:
            pod.queue.append(one)

    def _serve(self, t: float, one: Attempt) -> None:
        pod, pods = one.pod, self.requests.pods
        one.served = True
        pod.served.append(one)
        factor = pod.factor
        if pod.cold > 0.0 and (age := (t - pod.ready) / pods.warm_ms) < 100.0:
            factor *= 1.0 + pod.cold * math.exp(-age)
        self.at(t + one.work * factor, COMPLETION, one)

    def _complete(self, t: float, one: Attempt) -> None:
        pod = one.pod
        if pod is None:
            return
        pod.served.remove(one)
        if pod.queue:
            waiting = pod.queue.pop(0)
            waited = t - waiting.since
            self.waits[waiting.lane][bisect_left(self.bounds, waited)] += 1
            self.ns[waiting.lane][2] += int(waited * 1e6)
            self._serve(t, waiting)
        if one.over:
            return
        one.over = True
        lane, took = self.lanes[one.lane], t - one.since
        p = lane.error_rate + lane.error_slope_per_ms * (t - self.since)
        failed = one.chance < p
        self.hist[one.lane][failed][bisect_left(self.bounds, took)] += 1
        self.ns[one.lane][failed] += int(took * 1e6)
        if failed:
            self._again(one, t)
        elif t - one.born > self.slow or one.chance < p + (1.0 - p) * lane.wrong_rate:
            self.counts[one.lane][5] += 1

    def _expire(self, t: float, one: Attempt) -> None:
        if one.over:
            return
        self.counts[one.lane][1] += 1
        one.over = True
        if not one.served:
            one.pod.queue.remove(one)
        self._again(one, t)

    def _turn_away(self, t: float, one: Attempt, lane: int, why: int) -> None:
        self.counts[lane][0] += 1
        self.counts[lane][why] += 1
        one.lane = lane
        self._again(one, t)

    def _again(self, one: Attempt, t: float) -> None:
        client = self.requests.client
        if one.attempt < client.retries:
            if self.tokens >= 1.0:
                self.tokens -= 1.0
                word = self.draws.words(one.number, one.attempt + 1, WORK)[0]
                wait = client.backoff_ms * 2.0**one.attempt * (0.5 + unit48(word))
                self.at(t + wait, RETRY, Attempt(one.number, one.attempt + 1, one.born))
                return
            self.counts[one.lane][6] += 1
        self.counts[one.lane][4] += 1
        if self.sessions:
            session = self._session(one)
            self.harmed += not session.harmed
            session.harmed = True

    # --- choices

    def _route(self, word: int) -> int:
        if self.exact:
            for which, route in enumerate(self.routes):
                self.owed[which] += route.share
            best = max(range(len(self.routes)), key=lambda which: self.owed[which])
            self.owed[best] -= 1.0
            return best
        u, total = unit32(word >> 32), 0.0
        for which, route in enumerate(self.routes):
            total += route.share
            if u < min(total, 1.0) or (which == len(self.routes) - 1 and total > 1.0 - 1e-9):
                return which
        return len(self.routes)

    def _session(self, one: Attempt) -> Session:
        return self.sessions[among(self.draws.words(one.number, 0, SESSION)[0] >> 32, len(self.sessions))]

    def _settled(self, drawn: int, one: Attempt) -> int:
        if not self.sessions:
            return drawn
        word, more = self.draws.words(one.number, 0, SESSION)
        user = among(word >> 32, len(self.sessions))
        ends = unit32(more) < 1.0 / self.requests.sessions.requests
        if one.attempt == 0 and (self.sessions[user] is None or ends):
            self.sessions[user] = Session()
            self.begun += 1
        session = self.sessions[user]
        route = drawn
        if session.route >= 0 and self.routes[session.route].share > 0.0:
            route = session.route
        stays = route < len(self.routes) and self.routes[route].keeps
        session.route = route if stays else -1
        return route

    def _pod(self, route: int, word: int) -> int:
        pods = self.routes[route].pods
        count = len(pods)
        if count == 1:
            return pods[0]
        match self.requests.balancing:
            case Balancing.ROUND_ROBIN:
                at = self.cursors[route] if self.cursors[route] < count else 0
                self.cursors[route] = at + 1
                return pods[at]
            case Balancing.RANDOM:
                return pods[among(word >> 32, count)]
            case Balancing.TWO_CHOICES:
                one, other = pods[among(word >> 32, count)], pods[among(word, count)]
                return other if self.pods[other].load < self.pods[one].load else one
            case Balancing.LEAST:
                first = among(word >> 32, count)
                turned = pods[first:] + pods[:first]
                return min(turned, key=lambda pod: self.pods[pod].load)

    def _work(self, word: int, class_word: int, one: Attempt, lane: int) -> float:
        endpoints = self.requests.endpoints
        u, total, chosen = unit32(class_word), 0.0, endpoints[-1]
        if len(endpoints) > 1:
            whole = sum(each.share for each in endpoints)
            for each in endpoints[:-1]:
                total += each.share
                if u < total / whole:
                    chosen = each
                    break
        mean = chosen.mean_ms * self.lanes[lane].factor * self._tail(one, lane)
        if chosen.law is Law.DETERMINISTIC:
            return mean
        if chosen.law is Law.EXPONENTIAL:
            return mean * self.draws.exponential(word, one.number, one.attempt)
        z = self.draws.normal(word, one.number, one.attempt)
        return mean * math.exp(chosen.sigma * z - 0.5 * chosen.sigma * chosen.sigma)

    def _tail(self, one: Attempt, lane: int) -> float:
        u = unit48(self.draws.words(one.number, one.attempt, SPARE)[0])
        for tail in self.lanes[lane].tails:
            if u < tail.share:
                return tail.factor
            u -= tail.share
        return 1.0

    # --- counts

    def tables(self) -> dict[str, object]:
        answers = sum(sum(sum(side) for side in lane) for lane in self.hist)
        ended = sum(sum(row[1:4]) for row in self.counts)
        return {
            "hist": self.hist,
            "waits": self.waits,
            "ns": self.ns,
            "counts": self.counts,
            "arrived": self.arrived,
            "sessions": (self.begun, self.exposed, self.harmed),
            "in_flight": sum(row[0] for row in self.counts) - answers - ended,
            "to_retry": sum(kind == RETRY for _, kind, _, _ in self.events),
        }


__all__ = ["Reference", "Stickiness"]
