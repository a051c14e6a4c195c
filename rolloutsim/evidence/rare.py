"""Rare false aborts of a threshold gate: an unbiased estimate where no simulation would see one.

A healthy release that is killed once in a million rollouts is not found by playing thousands. On the stream
of counts that a threshold gate sees, importance sampling finds it: in each sample some stretches of the
rollout, as long as a window and about as many as it takes to exceed the limit of failures, are tilted until
their error rate is the threshold, and the sample is weighted by how much likelier that made it. Where the
stretches lie is a Markov chain, and the weight is that of the mixture over all paths of the chain (forward
algorithm): a failure weighs the same whichever stretch it came from, and no weight explodes. Exponential
tilting and mixtures: A. Owen, Monte Carlo theory, methods and examples, chapter 9.

The stream is an idealised one: requests and errors are Poisson, a window holds exactly what fell into it. It
knows no scrapes and no bursts, which make false aborts likelier: the estimate is a lower bound in practice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.estimates import Estimate

__all__ = ["RareEvent", "ThresholdGate", "TooFewEvents", "rare_false_aborts"]

LEAST_EVENTS = 100.0
"""Effective number of events below which there is no estimate."""
_BATCH = 20_000


class TooFewEvents(ValueError):
    """The samples hold too few events: no estimate, rather than a wrong one."""


@dataclass(frozen=True, slots=True)
class ThresholdGate:
    """A gate that fails a look when the error rate of its window is at least ``threshold``.

    ``looks`` come every ``interval_s``, the first after one window; the release is killed by more than
    ``failure_limit`` failed looks. ``window_s`` is a multiple of ``interval_s`` or the reverse.
    """

    threshold: float
    window_s: int
    interval_s: int
    looks: int
    failure_limit: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0 or min(self.window_s, self.interval_s, self.looks) < 1:
            raise ValueError("a gate needs 0 < threshold < 1, and a window, an interval and looks above 0")
        if self.looks <= self.failure_limit:
            raise ValueError("so few looks can never exceed the limit of failures")


@dataclass(frozen=True, slots=True)
class RareEvent:
    """A probability, and how much it rests on.

    ``effective_events`` is the number of independent events that would tell as much; ``gain`` is by how
    much fewer samples it took than counting would have.
    """

    probability: Estimate
    effective_events: float
    gain: float


def rare_false_aborts(
    gate: ThresholdGate, *, rate_rps: float, error_rate: float, samples: int = 20_000, seed: int = 1
) -> RareEvent:
    """The probability that a gate kills a healthy release.

    Parameters
    ----------
    rate_rps : requests per second that reach the new version.
    error_rate : share of them that fails although nothing is wrong; below the threshold.

    Raises
    ------
    TooFewEvents : fewer than 100 effective events; take more samples.
    """
    if not 0.0 < error_rate < gate.threshold or rate_rps <= 0.0:
        raise ValueError("rare events need a rate above 0 and an error rate between 0 and the threshold")
    generator = np.random.Generator(np.random.Philox(key=(seed, 0x72617265)))
    weights = np.concatenate(
        [
            _weights(gate, rate_rps, error_rate, min(_BATCH, samples - first), generator)
            for first in range(0, samples, _BATCH)
        ]
    )
    total, squares = float(weights.sum()), float((weights**2).sum())
    effective = total**2 / squares if squares else 0.0
    if effective < LEAST_EVENTS:
        raise TooFewEvents(
            f"{samples} samples hold {effective:.0f} effective events, fewer than "
            f"{LEAST_EVENTS:.0f}: take more"
        )
    mean = total / samples
    error = math.sqrt((squares / samples - mean**2) / samples)
    half = 1.959963984540054 * error
    estimate = Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), samples, "importance sampling")
    return RareEvent(estimate, effective, mean * (1.0 - mean) / samples / error**2)


def _weights(
    gate: ThresholdGate, rate_rps: float, error_rate: float, n: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The weight of each sample that kills the release, 0 of the others."""
    # what falls between windows is never looked at
    step_s = min(gate.interval_s, gate.window_s)
    slice_s = math.gcd(gate.window_s, step_s)
    per_window, per_look = gate.window_s // slice_s, step_s // slice_s
    slices = per_window + (gate.looks - 1) * per_look
    chain = _Chain.around(gate, per_window, slices)

    bad, good = rate_rps * slice_s * error_rate, rate_rps * slice_s * (1.0 - error_rate)
    # (1 / threshold - 1) errors outweigh one good request: the tilt under which they are in balance
    worth = 1.0 / gate.threshold - 1.0
    tilt = gate.threshold * math.log(good / (bad * worth))
    more_bad, less_good = bad * math.exp(tilt * worth), good * math.exp(-tilt)

    tilted = chain.paths(n, slices, generator)
    errors = generator.poisson(np.where(tilted, more_bad, bad))
    others = generator.poisson(np.where(tilted, less_good, good))
    killed = _failed_looks(errors, others, gate, per_window, per_look) > gate.failure_limit
    change = more_bad - bad + less_good - good
    likelier = np.asarray(tilt * (worth * errors - others) - change, dtype=np.float64)
    return np.where(killed, np.exp(-chain.log_mixture(likelier)), 0.0)


@dataclass(frozen=True, slots=True)
class _Chain:
    """Which slices have their error rate raised: one begins with chance ``enter``, goes on with ``stay``."""

    enter: float
    stay: float

    @staticmethod
    def around(gate: ThresholdGate, per_window: int, slices: int) -> _Chain:
        """Stretches of about a window, about as many as kill a release."""
        wanted = min(0.5, (gate.failure_limit + 1) * per_window / slices)
        stay = max(wanted, 1.0 - 1.0 / per_window)
        # the share of raised slices in the long run is enter / (enter + 1 - stay)
        return _Chain(min(0.5, wanted * (1.0 - stay) / (1.0 - wanted)), stay)

    def paths(self, n: int, slices: int, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Which slices are raised, in each of ``n`` samples."""
        luck = generator.random((n, slices))
        found = np.zeros((n, slices), dtype=bool)
        raised = np.zeros(n, dtype=bool)
        for at in range(slices):
            raised = luck[:, at] < np.where(raised, self.stay, self.enter)
            found[:, at] = raised
        return found

    def log_mixture(self, likelier: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log of how much likelier samples are under the chain than without it.

        ``likelier`` is that of each slice if it were raised, in logarithms.
        """
        n, slices = likelier.shape
        plain, raised, log = np.ones(n), np.zeros(n), np.zeros(n)
        for at in range(slices):
            top = np.maximum(likelier[:, at], 0.0)
            begun = (plain * self.enter + raised * self.stay) * np.exp(likelier[:, at] - top)
            plain = (plain * (1.0 - self.enter) + raised * (1.0 - self.stay)) * np.exp(-top)
            scale = plain + begun
            plain, raised = plain / scale, begun / scale
            log += np.log(scale) + top
        return log


def _failed_looks(
    errors: NDArray[np.int64],
    good: NDArray[np.int64],
    gate: ThresholdGate,
    per_window: int,
    per_look: int,
) -> NDArray[np.int64]:
    """How many looks fail, in each sample; an empty window fails none."""
    ends = per_window + np.arange(gate.looks) * per_look
    bad, all_ = (
        np.concatenate([np.zeros((len(counts), 1), dtype=np.int64), np.cumsum(counts, axis=1)], axis=1)
        for counts in (errors, errors + good)
    )
    in_window = all_[:, ends] - all_[:, ends - per_window]
    share = (bad[:, ends] - bad[:, ends - per_window]) / np.maximum(in_window, 1)
    found: NDArray[np.int64] = np.count_nonzero((share >= gate.threshold) & (in_window > 0), axis=1)
    return found
