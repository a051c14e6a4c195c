"""What an executor needs of its process: clocks, a journal, instruments, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rolloutsim.live.clock import Clock
from rolloutsim.live.inbox import Inbox
from rolloutsim.live.jobs import JobRunner
from rolloutsim.live.journal import Journal
from rolloutsim.live.lease import DURATION_S
from rolloutsim.live.loop import Notes
from rolloutsim.live.measure import Instrument
from rolloutsim.live.port import Kubernetes
from rolloutsim.live.queries import PrometheusQueries, WebChecks
from rolloutsim.live.state import OWNER_LABEL
from rolloutsim.policy.gated import GatedCounts
from rolloutsim.policy.model import JobProvider, PrometheusProvider, WebProvider
from rolloutsim.prometheus import Server
from rolloutsim.session import Entry

__all__ = ["Surroundings", "Turn", "instruments"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One wake of the executor.

    ``took_s`` : from hearing what waited to being at rest: decided, written and saved.
    ``decided`` : the engine's deadline had come, so that it decided.
    ``waits_since`` : the time in ms at which it began to wait for a person; None: it waits for nobody.
    """

    took_s: float
    decided: bool
    waits_since: int | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything of a process that an executor needs.

    clock : the time from a state's own time on, see `rolloutsim.live.clock.SystemClock`.
    elapsed_ms : counts on whatever happens to the machine's clock; the Lease runs by it.
    journal : opens the journal of this process, given its manifest.
    instruments : see `instruments`.
    holder : the identity of this process, unlike any other's.
    probes : whether it may send requests to see that traffic moves; an abort does without.
    heard : told every journal entry; ``note``: told in words what no entry says; ``turned``: every `Turn`.
    """

    clock: Callable[[int], Clock]
    elapsed_ms: Callable[[], int]
    journal: Callable[[Mapping[str, Any]], Journal]
    instruments: Mapping[type[Any], Instrument]
    holder: str
    inbox: Inbox = field(default_factory=Inbox)
    heard: Callable[[Entry], object] = lambda entry: None
    note: Notes = lambda sentence: None
    turned: Callable[[Turn], object] = lambda turn: None
    lease_s: int = DURATION_S
    probes: bool = True


def instruments(
    api: Kubernetes, namespace: str, rollout: str, servers: Mapping[str, Server]
) -> dict[type[Any], Instrument]:
    """What takes the measurements of a rollout; ``servers`` as `PrometheusQueries` has them."""
    queries = PrometheusQueries(servers)
    return {
        PrometheusProvider: queries,
        GatedCounts: queries,
        WebProvider: WebChecks(),
        JobProvider: JobRunner(api, namespace, {OWNER_LABEL: rollout}),
    }
