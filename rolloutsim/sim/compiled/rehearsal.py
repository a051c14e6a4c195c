"""A course of events: the ordinary world, played on prescribed verdicts and without drawing requests.

What it does to the requests and what it asks is written down, for a kernel to do again with the requests of
any run that meets these verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.engine import Measure, Outcome
from rolloutsim.policy.model import Metric, Policy, PrometheusProvider
from rolloutsim.sim.compiled import layout
from rolloutsim.sim.compiled.judgement import Judgement, judgement
from rolloutsim.sim.compiled.refusal import NotCompiled
from rolloutsim.sim.dataplane import Conditions, DataPlane
from rolloutsim.sim.platform import Delay
from rolloutsim.sim.randomness import Stream
from rolloutsim.sim.requests.fidelity import RequestDataPlane
from rolloutsim.sim.scenario import Scenario, Service
from rolloutsim.sim.world import ORIGIN_MS, POOLS, World
from rolloutsim.telemetry import PRESETS

__all__ = ["Asked", "Rehearsal"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A measurement of a course: of which metric of which analysis run, and how it is judged."""

    run: str
    metric: Metric
    query: str
    judgement: Judgement


class Rehearsal(World):
    """A world whose measurements have the prescribed verdicts, all others being successful.

    ``verdicts`` maps the number of a measurement to a verdict of its `Judgement`. After `play`, ``events``,
    ``conditions`` and ``asked`` say what there was, and ``drawn`` whether the control plane drew anything
    that matters, so that the course is of this replication alone.
    """

    def __init__(
        self, policy: Policy, scenario: Scenario, seed: int, run: int, verdicts: Mapping[int, int]
    ) -> None:
        self.events: list[tuple[int, int, int]] = []
        self.asked: list[Asked] = []
        self.drawn = False
        self._verdicts = verdicts
        super().__init__(policy, scenario, seed, run, latency=False)
        self._watched["crash"].matters = 0.0 < self.pods.never_ready < 1.0
        self.drawn = False

    def _streams(self, seed: int, run: int) -> dict[str, Stream]:
        streams = super()._streams(seed, run)
        self._watched = {name: _Watched(self, draws) for name, draws in streams.items()}
        return self._watched  # type: ignore[return-value]

    def _set_up_traffic(self, seed: int, run: int, latency: bool) -> None:
        service = self._service
        self.ledger = Ledger(self, service, seed, run)
        self.plane = self.ledger
        self._played: RequestDataPlane | None = None
        self.ledger.change((Conditions(1.0, service.error_rate), Conditions(), Conditions()))
        self.metrics = Script(self)  # type: ignore[assignment]
        self.metrics.advance(0)

    @property
    def conditions(self) -> list[tuple[Floats, Floats]]:
        """Per change: the conditions of the pools (V, 5), and their latency buckets (V, B)."""
        return self.ledger.changes

    def rehearse(self) -> None:
        """Play to the horizon."""
        self.play()
        self.ledger.recording = False

    def note(self, kind: int, what: int = 0, at: int | None = None) -> None:
        """Write an event down."""
        self.events.append((kind, self.ledger.now_ms if at is None else at, what))

    def ask(self, request: Measure, at: int) -> tuple[int, Outcome]:
        """A measurement; its result is one that gets the prescribed verdict."""
        metric = self._metric(request)
        judged = judgement(metric.success_condition, metric.failure_condition, metric.dialect)
        assert isinstance(request.provider, PrometheusProvider)
        ordinal = len(self.asked)
        self.note(layout.QUERY, ordinal, at - ORIGIN_MS)
        self.asked.append(Asked(request.run, metric, request.provider.query, judged))
        return self._service.telemetry.query_ms, judged.results[self._verdicts.get(ordinal, judged.good)]

    def _metric(self, request: Measure) -> Metric:
        provider = request.provider
        if not isinstance(provider, PrometheusProvider) or provider.range_query is not None:
            raise NotCompiled("a metric that is no instant query")
        if self._service.telemetry.query_ms >= provider.timeout_ms:
            raise NotCompiled("queries that time out")
        for run in self.loop.session.state.runs:
            for state in run.metrics:
                if run.name == request.run and state.metric.name == request.metric:
                    if state.metric.consecutive_success_limit:
                        raise NotCompiled("a limit of successes in a row")
                    return state.metric
        raise NotCompiled("a measurement of no known run")


class Ledger(DataPlane):
    """A data plane without requests, which writes down what happens to them."""

    def __init__(self, world: Rehearsal, service: Service, seed: int, run: int) -> None:
        telemetry = service.telemetry
        self._world = world
        self.recording = True
        self.changes: list[tuple[Floats, Floats]] = []
        super().__init__(
            service,
            seed,
            run,
            [pool.version for pool in POOLS],
            PRESETS[telemetry.preset].bounds_s,
            start_ms=-telemetry.history_ms,
            phase_ms=0,
        )

    def change(self, conditions: tuple[Conditions, ...]) -> None:
        super().change(conditions)
        self._world.note(layout.CHANGE)
        self.changes.append((self._pools.copy(), self._slots.copy()))

    def pass_to(self, now_ms: int) -> None:
        """Time passes."""
        if now_ms > self.now_ms:
            self.now_ms = now_ms
            self._world.note(layout.ADVANCE)

    @property
    def exposed(self) -> Floats:
        if self.recording:
            self._world.note(layout.MARK)
        return self._accounts[:-1, 0]

    def settle(self, accounts: Floats) -> None:
        """Take over the accounts of a run that was played elsewhere."""
        self._accounts = accounts


class Script:
    """In the place of `rolloutsim.sim.metrics.Metrics`: measurements whose verdicts are prescribed."""

    def __init__(self, world: Rehearsal) -> None:
        self._world = world
        self._alive: tuple[bool, ...] = ()
        self._asking = True
        self.alive((True, False))
        world.note(layout.BEGIN)

    def alive(self, alive: tuple[bool, bool]) -> None:
        if alive != self._alive:
            self._alive = alive
            self._world.note(layout.ALIVE, alive[0] + 2 * alive[1])

    def alive_differs(self, alive: tuple[bool, bool]) -> bool:
        return alive != self._alive

    def nobody_will_ask(self) -> None:
        if self._asking:
            self._asking = False
            self._world.note(layout.STOP)

    def restart(self, now_ms: int, version: int) -> None:
        raise NotCompiled("counters that begin anew")

    def advance(self, now_ms: int) -> None:
        self._world.ledger.pass_to(now_ms)

    def measure(self, request: Measure, at: int) -> tuple[int, Outcome]:
        return self._world.ask(request, at)


class _Watched:
    """A stream of the control plane that tells whether something was drawn from it."""

    def __init__(self, world: Rehearsal, draws: Stream) -> None:
        self._world = world
        self._draws = draws
        self.matters = True

    def uniform(self, index: int, ordinal: int = 0) -> float:
        self._world.drawn |= self.matters
        return self._draws.uniform(index, ordinal)

    def delay_ms(self, delay: Delay, index: int, ordinal: int = 0) -> int:
        self._world.drawn |= delay.sigma != 0.0
        return self._draws.delay_ms(delay, index, ordinal)
