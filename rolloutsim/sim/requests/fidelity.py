"""The data plane of a simulated world whose requests are played one by one; and when that is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rolloutsim.sim.dataplane import Conditions, DataPlane, Scrapes
from rolloutsim.sim.kernels import beta
from rolloutsim.sim.latency import mean_factor
from rolloutsim.sim.randomness import stream
from rolloutsim.sim.requests.counters import Counters
from rolloutsim.sim.requests.layout import BAD, LOST, STARTED
from rolloutsim.sim.requests.plane import Lane, RequestPlane, Route
from rolloutsim.sim.scenario import ConstantRate, Service, Split

__all__ = ["RequestDataPlane"]

MINUTE_MS = 60_000
MINUTE_ORDINAL, MINUTE_VARIATE = 2**40, 1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RequestDataPlane:
    """As `rolloutsim.sim.dataplane.DataPlane`, with requests that meet on pods.

    A pool is a route: what its share reaches are the pods of its version, as `set_pods` last said. Counts
    are what a proxy in front of the pods sees (time-outs, rejected and cut requests are errors), or, with
    ``by_router`` false, what the pods themselves see (answers alone). ``demand`` multiplies the work of
    the new version.
    """

    def __init__(
        self,
        service: Service,
        seed: int,
        run: int,
        versions: Sequence[int],
        bounds_s: Sequence[float],
        *,
        start_ms: int,
        phase_ms: int,
        by_router: bool = True,
        demand: float = 1.0,
    ) -> None:
        if service.requests is None:
            raise ValueError(f"the service {service.name} does not say how its requests meet")
        # the same expectations, conditions and scrape times; it draws nothing
        self._means = DataPlane(service, seed, run, versions, bounds_s, start_ms=start_ms, phase_ms=phase_ms)
        self._service = service
        self._interval = service.telemetry.scrape_interval_ms
        self._versions = list(versions)
        self._demand = demand
        self._bounds_ms = [1000.0 * bound for bound in bounds_s]
        self._played = RequestPlane(
            service.requests,
            seed,
            run,
            lanes=[[pool, pool] for pool in range(len(versions))],
            expected=self._means.expected,
            bounds_ms=self._bounds_ms,
            exact=service.cluster.split is Split.EXACT,
            slow_ms=1000.0 * service.operators.slow_s,
            start_ms=start_ms,
        )
        self._minutes = [stream(seed, run, f"errors/{version}") for version in versions]
        self._conditions: tuple[Conditions, ...] = ()
        self._since_ms = start_ms
        self._pods: dict[tuple[int, int], int] = {}
        self._deleted: dict[int, list[int]] = {version: [] for version in set(versions)}
        self._leaving: list[int] = []
        self._members: dict[int, int] = {}
        self._retries = service.requests.client.retries
        self._seen = np.zeros((4, len(versions) + 1))
        self._bad = np.zeros(len(versions) + 1)
        patience_ms = service.requests.client.timeout_ms or math.inf
        self._counters = Counters(
            self._means.now().totals[0],
            by_router=by_router,
            patience=int(np.searchsorted(self._bounds_ms, patience_ms)),
            latency=bool(bounds_s),
        )
        self._accounted_ms = start_ms
        self.offered_most = 0.0
        """Highest load so far, as a multiple of what the pods of a version can serve."""

    @property
    def now_ms(self) -> int:
        return int(self._played.now_ms)

    @property
    def mean_rate_rps(self) -> float:
        return self._means.mean_rate_rps

    @property
    def exposed(self) -> Floats:
        """Per pool: attempts that reached it so far."""
        return self._played.counts[:-1, STARTED].astype(np.float64)

    @property
    def bad(self) -> Floats:
        """Per pool since the release: requests lost, wrong or late, beyond what free stable pods had had."""
        self._account()
        return self._bad[:-1].copy()

    @property
    def unserved(self) -> float:
        """Requests that found no pod and that the stable version would have served."""
        self._account()
        return float(self._bad[-1])

    def seed_totals(self, pool: int, successes: int, errors: int) -> None:
        """Let a pool have served requests before the run began."""
        self._means.seed_totals(pool, successes, errors)
        self._counters.before = self._means.now().totals[0]

    # --- what the world is like -------------------------------------------------------------------

    def set_pods(self, version: int, ready: Sequence[int], lingering: int = 0) -> None:
        """Which pods of a version get requests from the next `change` on: ordinals of the ready ones.

        ``lingering`` of those that were deleted last still get requests, and serve them. The others
        finish what they have.
        """
        first = self.now_ms < 0 and not self._pods
        for ordinal in ready:
            if (version, ordinal) not in self._pods:
                self._pods[version, ordinal] = self._played.start_pod(version, warm=first)
        gone = [key for key in self._pods if key[0] == version and key[1] not in ready]
        deleted = self._deleted[version]
        deleted += [self._pods.pop(key) for key in gone]
        while len(deleted) > lingering:
            self._leaving.append(deleted.pop(0))

    def change(self, conditions: tuple[Conditions, ...]) -> None:
        """New conditions hold from now on; `advance` must have been called up to now."""
        if self._conditions:
            self._account()
        self._means.change(conditions)
        self._conditions, self._since_ms = conditions, self.now_ms
        pods = {
            version: tuple(pod for (owner, _), pod in self._pods.items() if owner == version)
            + tuple(self._deleted[version])
            for version in self._deleted
        }
        shares = [one.share for one in conditions]
        if self._service.cluster.split is Split.EXACT:
            shares[0] += 1.0 - sum(shares)
        self._played.route(
            [Route(share, pods[version]) for share, version in zip(shares, self._versions, strict=True)]
        )
        self._hold()
        for pod in [pod for pod in self._leaving if not self._played.load(pod)]:
            self._leaving.remove(pod)
            self._played.remove_pod(pod)
        self._members = {version: len(pods[version]) for version in pods}
        self._look_at_the_load()

    def _hold(self) -> None:
        """The conditions as they are now; with correlated errors, of this minute."""
        icc, elapsed = self._service.error_icc, self.now_ms - self._since_ms
        lanes = []
        for pool, one in enumerate(self._conditions):
            rate, slope = one.error_rate + one.error_slope_per_ms * elapsed, one.error_slope_per_ms
            if icc > 0.0 and 0.0 < rate < 1.0:
                weight, key = 1.0 / icc - 1.0, self._minutes[pool]
                rate = beta(
                    key.low,
                    key.high,
                    self.now_ms // MINUTE_MS,
                    MINUTE_ORDINAL,
                    MINUTE_VARIATE,
                    rate * weight,
                    (1.0 - rate) * weight,
                )
                slope = 0.0
            factor = one.latency_factor * (self._demand if self._versions[pool] else 1.0)
            lanes.append(Lane(rate, slope, one.wrong_rate, factor, one.tails))
        self._played.conditions(lanes)

    def _look_at_the_load(self) -> None:
        model = self._service.requests
        assert model is not None
        block = np.array([self.now_ms, self.now_ms + MINUTE_MS], dtype=np.int64)
        per_ms = float(self._means.expected(block)[0]) / MINUTE_MS
        whole = sum(endpoint.share for endpoint in model.endpoints)
        mean = sum(endpoint.mean_ms * endpoint.share for endpoint in model.endpoints) / whole
        for version, members in self._members.items():
            load = sum(
                one.share * mean_factor(one.paces) * (self._demand if version else 1.0)
                for one, owner in zip(self._conditions, self._versions, strict=True)
                if owner == version
            )
            if members:
                offered = load * per_ms * mean / (members * model.pods.slots)
                self.offered_most = max(self.offered_most, offered)

    # --- time -------------------------------------------------------------------------------------

    def last_scrape_ms(self, until_ms: int) -> int:
        """Time of the last scrape not after this time."""
        return self._means.last_scrape_ms(until_ms)

    def advance(self, until_ms: int) -> Scrapes | None:
        """Play all requests up to a time; None when time does not pass."""
        now = self.now_ms
        if until_ms <= now:
            return None
        if not isinstance(self._service.traffic.rate, ConstantRate):
            self._look_at_the_load()
        correlated = self._service.error_icc > 0.0
        first_ms = self._means.last_scrape_ms(now) + self._interval
        times = np.arange(first_ms, until_ms + 1, self._interval, dtype=np.int64)
        totals = self._counters.rows(len(times))
        to_fill = iter(totals)
        while now < until_ms:
            scrape_ms = self._means.last_scrape_ms(now) + self._interval
            minute_ms = (now // MINUTE_MS + 1) * MINUTE_MS
            to = min(until_ms, scrape_ms, minute_ms) if correlated else min(until_ms, scrape_ms)
            now = min(to, 0) if now < 0 else to
            self._played.advance(now)
            if now == 0:
                self._account()
            if now == scrape_ms:
                self._counters.read(self._played.state, next(to_fill))
            if now == minute_ms and correlated:
                self._hold()
        return Scrapes(times, totals, self._counters.mean_s(self._played.state))

    def _account(self) -> None:
        """Compare what became bad since the last time with what would have on free, stable pods.

        Where nobody tries again the errors of answers count as many as were to be expected: their chance
        is not the release's doing, and the excess over the stable version's would drown in it.
        """
        now, before = self.now_ms, self._accounted_ms
        if now <= before:
            return
        counts, histogram = self._played.counts, self._played.histogram
        seen = np.zeros_like(self._seen)
        answers, errors = histogram.sum(axis=(1, 2)), histogram[:, 1].sum(axis=1)
        seen[0] = counts[:, LOST] + counts[:, BAD]
        seen[1] = counts[:, LOST]
        seen[1, :-1] += answers - errors
        seen[2, :-1], seen[3, :-1] = answers, errors
        bad, ended, answered, failed = seen - self._seen
        self._seen, self._accounted_ms = seen, now
        if now <= 0:
            return
        middle = 0.5 * (before + now)
        if self._retries == 0:
            expected = [self._error_rate(one, middle) for one in self._conditions]
            bad[:-1] -= failed[:-1] - np.array(expected) * answered[:-1]
        self._bad += bad - ended * self._usual_bad(middle)

    def _error_rate(self, one: Conditions, at_ms: float) -> float:
        return min(max(one.error_rate + one.error_slope_per_ms * (at_ms - self._since_ms), 0.0), 1.0)

    def _usual_bad(self, at_ms: float) -> float:
        """Probability that a request is bad on a free pod of the stable version, after its retries."""
        slow = float(self._means.slow_shares[0])
        lost = self._error_rate(self._conditions[0], at_ms) ** (self._retries + 1)
        return 1.0 - (1.0 - lost) * (1.0 - slow)

    def now(self) -> Scrapes:
        """A scrape at this very moment."""
        totals = self._counters.rows(1)
        self._counters.read(self._played.state, totals[0])
        return Scrapes(np.array([self.now_ms]), totals, self._counters.mean_s(self._played.state))

    def skip(self, until_ms: int) -> None:
        """Play on, though nobody will look at the counters again."""
        self.advance(until_ms)

    def bad_rates(self, at_ms: int) -> Floats:
        """Per pool: probability that a request is visibly bad on a free pod (failed or slow) at a time."""
        return self._means.bad_rates(at_ms)
