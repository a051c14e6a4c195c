"""From requests to answers: counters, scrapes, a store of series, and the policy's own queries over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine import Measure, Outcome
from rolloutsim.engine.counting import count_arms
from rolloutsim.policy.model import GatedCounts, PrometheusProvider
from rolloutsim.promql import STALE_NAN, Matrix, SeriesStore, evaluate
from rolloutsim.sim.answer import found_by
from rolloutsim.sim.dataplane import DataPlane, Scrapes
from rolloutsim.sim.exposition import Pool, exposition
from rolloutsim.sim.faults import found_kinds
from rolloutsim.sim.gauges import Gauges
from rolloutsim.sim.kernels import fill_columns
from rolloutsim.sim.randomness import Stream, stream
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.scenario import Measurements, Release, Service, Telemetry
from rolloutsim.telemetry import PRESETS

__all__ = ["Metrics", "stray_pools"]

DAY_S = 86_400

Times = NDArray[np.int64]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class _Alive(NamedTuple):
    """Which versions have a pod to scrape from a time on."""

    at_ms: int
    versions: tuple[bool, ...]


class Metrics:
    """The simulated Prometheus of one run, and whatever else takes a policy's measurements.

    Each version is one scrape target whose counters are the sums over its pods. Scrapes become samples when
    somebody reads them: a policy without queries has no use for any.
    """

    def __init__(
        self,
        service: Service,
        release: Release,
        plane: DataPlane | RequestDataPlane,
        pools: tuple[Pool, ...],
        *,
        origin_ms: int,
        seed: int,
        run: int,
        latency: bool,
    ) -> None:
        self._store = SeriesStore()
        self._telemetry: Telemetry = service.telemetry
        self._plane = plane
        self._origin = origin_ms
        self._latency = latency
        self._missed = stream(seed, run, "missed")
        self._seed_run = (seed, run)
        self._draws: dict[str, Stream] = {}
        self._outcomes: Mapping[str, Measurements] = {m.metric: m for m in release.measurements}
        telemetry = service.telemetry
        self._checks = {check.metric: check for check in service.checks}
        self._release = release
        self._pools = pools
        shown = (*pools, *stray_pools(pools, telemetry))
        self._series = exposition(telemetry.preset, service.name, telemetry.labels, shown, latency)
        self._ids = [self._store.add_series(dict(labels)) for labels in self._series.labels]
        self._exists = np.zeros(len(self._ids), dtype=np.bool_)
        self._missing = True
        self._present: tuple[slice | NDArray[np.intp], tuple[int, ...]] | None = None
        """Columns and ids of the series that there are to scrape; a slice if that is all, to save a copy."""
        self._alive: tuple[bool, ...] = ()
        self._unread: list[Scrapes | _Alive] = []
        self._scraped = np.zeros(len(self._ids), dtype=np.bool_)
        self._dying = np.zeros(len(self._ids), dtype=np.bool_)
        self._some_die = False
        self._counted = np.zeros((len(pools), 2), dtype=np.int64)
        self._seconds = np.zeros((len(pools), 2))
        self._asking = True
        self._hidden: list[tuple[tuple[int, ...], Times, Floats]] = []
        self._lost: Floats | None = None
        self._gauges: Gauges | None = None
        if telemetry.resources is not None or telemetry.logs is not None:
            self._gauges = Gauges(
                self._store,
                service,
                release,
                (pools[0].revision, pools[1].revision),
                draws=stream(seed, run, "logs"),
                mean_rps=plane.mean_rate_rps,
            )
        self._begin(service)

    def _begin(self, service: Service) -> None:
        """The stable version has been running for a day when the history begins."""
        others = max(pool.version for pool in self._pools)
        self._alive = (True, *(False,) * others)
        self._target(_Alive(self._plane.now_ms, self._alive))
        if not self._telemetry.counters_from_zero:
            requests = math.floor(self._plane.mean_rate_rps * DAY_S)
            errors = math.floor(requests * service.error_rate)
            self._plane.seed_totals(0, requests - errors, errors)
        start = self._plane.now_ms
        if self._plane.last_scrape_ms(start) == start:
            self._unread.append(self._plane.now())

    @property
    def store(self) -> SeriesStore:
        """All series, with the samples of all scrapes so far."""
        self._read()
        return self._store

    def alive(self, alive: tuple[bool, ...]) -> None:
        """Which versions have a pod to scrape, from now on."""
        if alive != self._alive:
            self._alive = alive
            self._unread.append(_Alive(self._plane.now_ms, alive))

    def _read(self) -> None:
        """Turn the scrapes so far into samples."""
        if self._unread:
            unread, self._unread = self._unread, []
            for one in unread:
                if isinstance(one, Scrapes):
                    self._publish(one)
                else:
                    self._target(one)

    def _target(self, now: _Alive) -> None:
        """Scrape the versions that are alive from now on, and no others."""
        alive = now.versions
        if self._gauges is not None and alive[1]:
            self._gauges.began(now.at_ms)
        self._targets = alive
        scraped = np.array(
            [not owners or any(alive[version] for version in owners) for owners in self._series.owners]
        )
        self._dying = (self._dying | self._scraped) & ~scraped & self._exists
        self._some_die = bool(self._dying.any())
        self._scraped = scraped
        self._present = None
        if self._telemetry.counters_from_zero:
            self._exists |= scraped

    def alive_differs(self, alive: tuple[bool, ...]) -> bool:
        return alive != self._alive

    def nobody_will_ask(self) -> None:
        """No query will come any more: from now on requests are only accounted for."""
        self._asking = False

    def restart(self, now_ms: int, version: int) -> None:
        """All pods of a version restart: what they have counted is lost, they count from zero."""
        self.advance(now_ms)
        self._read()
        raw = self._raw(self._plane.now())[0]
        if self._lost is None:
            self._lost = np.zeros_like(raw)
        for index, pool in enumerate(self._pools):
            if pool.version == version and not PRESETS[self._telemetry.preset].by_router:
                self._lost[index] = raw[index]

    def advance(self, now_ms: int) -> None:
        """Let requests and scrapes happen up to a time (ms from the release)."""
        if not self._asking:
            self._plane.skip(now_ms)
            return
        scrapes = self._plane.advance(now_ms)
        if scrapes is not None and len(scrapes.times_ms):
            self._unread.append(scrapes)

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        """Take a measurement at a time on the simulated clock: wait in ms, and the outcome."""
        provider = request.provider
        if isinstance(provider, PrometheusProvider):
            return self._telemetry.query_ms, self._query(provider.query, at)
        if isinstance(provider, GatedCounts):
            self._visible(at)
            return self._telemetry.query_ms, count_arms(request, at, self._samples)
        draws = self._draws.get(request.metric)
        if draws is None:
            draws = self._draws[request.metric] = stream(*self._seed_run, f"check/{request.metric}")
        draw = draws.uniform(request.attempt)
        stated = self._outcomes.get(request.metric)
        if stated is not None:
            duration_ms, passed = stated.duration_ms, draw < stated.pass_probability
        else:
            check = self._checks[request.metric]
            found = found_kinds(check.finds, self._release.faults, lambda index: draws.uniform(index, 1))
            duration_ms, passed = check.duration_ms, not found and draw >= check.false_failure
        return duration_ms, MeasurementPhase.SUCCESSFUL if passed else MeasurementPhase.FAILED

    def _samples(self, query: str, at: int) -> Matrix:
        answer = evaluate(query, self._store, at, left_closed=self._telemetry.left_closed)
        assert isinstance(answer, Matrix)
        return answer

    def _visible(self, at: int) -> None:
        """Scrape all that a query at this time can see."""
        now = at - self._origin
        self.advance(self._plane.last_scrape_ms(now))
        self._reveal(now)

    def _query(self, query: str, at: int) -> Outcome:
        self._visible(at)
        return found_by(query, self._store, at, left_closed=self._telemetry.left_closed)

    def _publish(self, scrapes: Scrapes) -> None:
        times, values = scrapes.times_ms, self._values(scrapes)
        requests = self._requests(scrapes) if self._gauges is not None else None
        if self._telemetry.gaps or self._telemetry.missed > 0.0:
            kept = self._kept(times)
            times, values = times[kept], values[kept]
            requests = requests[kept] if requests is not None else None
        if not len(times):
            return
        if self._gauges is not None and requests is not None:
            for ids, at, samples in self._gauges.publish(times, requests, self._targets):
                self._add(ids, at, samples)
        if self._some_die:
            self._publish_stale(times[:1])
        if self._missing:
            times, values = self._publish_births(times, values)
        self._publish_rows(times, values)

    def _publish_stale(self, times: Times) -> None:
        """Mark the end of the series whose pods are gone."""
        ids = tuple(self._ids[index] for index in np.flatnonzero(self._dying))
        self._add(ids, times, np.full((1, len(ids)), STALE_NAN))
        self._dying[:] = self._some_die = False

    def _publish_births(self, times: Times, values: Floats) -> tuple[Times, Floats]:
        """Publish up to the last scrape at which a series begins to exist; return what remains."""
        begun = values[:, self._series.counts] > 0.0
        new = np.flatnonzero(~self._exists & begun[-1])
        first = 0
        for row in np.unique(np.argmax(begun[:, new], axis=0)).tolist() if len(new) else ():
            self._publish_rows(times[first:row], values[first:row])
            self._exists |= begun[row]
            self._present = None
            first = row
        self._missing = not self._exists.all()
        return times[first:], values[first:]

    def _publish_rows(self, times: Times, values: Floats) -> None:
        if not len(times):
            return
        if self._present is None:
            which = np.flatnonzero(self._exists & self._scraped)
            columns = slice(None) if len(which) == len(self._ids) else which
            self._present = columns, tuple(self._ids[index] for index in which)
        columns, ids = self._present
        self._add(ids, times, values[:, columns])

    def _requests(self, scrapes: Scrapes) -> Floats:
        """Requests of each version so far: (R, 2)."""
        counts = scrapes.totals[:, :, :2].sum(axis=2)
        versions = np.array([pool.version for pool in self._pools])
        return np.column_stack([counts[:, versions == one].sum(axis=1) for one in (0, 1)]).astype(np.float64)

    def _values(self, scrapes: Scrapes) -> Floats:
        """Value of every series at every scrape: (R, S)."""
        raw = self._raw(scrapes)
        if self._lost is not None:
            raw = raw - self._lost
        if self._telemetry.unlabelled or self._telemetry.mislabelled:
            raw = self._strayed(raw)
        values: Floats = raw.reshape(len(raw), -1).dot(self._series.adds)
        return values

    def _raw(self, scrapes: Scrapes) -> Floats:
        """The columns of each pool at every scrape, since the beginning: (R, V, C)."""
        totals = scrapes.totals
        if not self._latency:
            return totals[:, :, :2].astype(np.float64)
        scraped, pools, width = totals.shape
        columns = np.empty((scraped, pools, width + 4))
        fill_columns(totals, scrapes.mean_s, self._counted, self._seconds, columns)
        return columns

    def _strayed(self, raw: Floats) -> Floats:
        """The columns when a part of the new version's is counted elsewhere: (R, V + strays, C)."""
        new = np.array([pool.version == 1 for pool in self._pools])
        shares = [share for share in (self._telemetry.unlabelled, self._telemetry.mislabelled) if share]
        strays = [np.floor(raw[:, new] * share) for share in shares]
        kept = raw.copy()
        kept[:, new] -= np.sum(strays, axis=0)
        return np.concatenate([kept, *strays], axis=1)

    def _add(self, ids: tuple[int, ...], times: Times, values: Floats) -> None:
        if self._telemetry.lag_ms:
            self._hidden.append((ids, times, values))
        else:
            self._store.extend(ids, times + self._origin, values)

    def _reveal(self, now_ms: int) -> None:
        """Samples become visible some time after they were scraped."""
        self._read()
        waiting = []
        for ids, times, values in self._hidden:
            visible = times + self._telemetry.lag_ms <= now_ms
            if visible.any():
                self._store.extend(ids, times[visible] + self._origin, values[visible])
            if not visible.all():
                waiting.append((ids, times[~visible], values[~visible]))
        self._hidden = waiting

    def _kept(self, times_ms: Times) -> NDArray[np.bool_]:
        kept = np.ones(len(times_ms), dtype=np.bool_)
        for gap in self._telemetry.gaps:
            kept &= (times_ms < gap.start_ms) | (times_ms >= gap.end_ms)
        if self._telemetry.missed > 0.0:
            draws = [self._missed.uniform(int(time)) for time in times_ms]
            kept &= np.array(draws) >= self._telemetry.missed
        return kept


def stray_pools(pools: tuple[Pool, ...], telemetry: Telemetry) -> tuple[Pool, ...]:
    """As what the new version's requests are counted that are not counted as its own."""
    revisions = [("", telemetry.unlabelled), (pools[0].revision, telemetry.mislabelled)]
    return tuple(
        Pool(pool.version, revision, pool.canary)
        for revision, share in revisions
        if share
        for pool in pools
        if pool.version == 1
    )
