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
Where windows overlap little `rolloutsim.evidence.windows` needs no samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rolloutsim.estimates import Estimate
from rolloutsim.evidence.stream import Stream

__all__ = ["RareEvent", "TooFewEvents", "rare_kills"]

Floats = NDArray[np.float64]

LEAST_EVENTS = 100.0
"""Effective number of events below which there is no estimate."""
SAMPLES = 20_000
_BATCH = 20_000


class TooFewEvents(ValueError):
    """The samples hold too few events: no estimate, rather than a wrong one."""


@dataclass(frozen=True, slots=True)
class RareEvent:
    """A probability, and how much it rests on.

    ``effective_events`` is the number of independent events that would tell as much; ``gain`` is by how
    much fewer samples it took than counting would have.
    """

    probability: Estimate
    effective_events: float
    gain: float


def rare_kills(stream: Stream, *, samples: int = SAMPLES, seed: int = 1) -> RareEvent:
    """The probability that the looks of a stream kill a release.

    Raises
    ------
    TooFewEvents : fewer than 100 effective events; take more samples.
    """
    generator = np.random.Generator(np.random.Philox(key=(seed, 0x72617265)))
    weights = np.concatenate(
        [_weights(stream, min(_BATCH, samples - first), generator) for first in range(0, samples, _BATCH)]
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
    gain = mean * (1.0 - mean) / samples / error**2 if error else math.inf
    return RareEvent(estimate, effective, gain)


def _weights(stream: Stream, n: int, generator: np.random.Generator) -> Floats:
    """The weight of each sample that kills the release, 0 of the others."""
    chain = _Chain.around(stream)
    bad, good, threshold = stream.bad, stream.good, stream.rule.threshold
    # (1 / threshold - 1) errors outweigh one good request: the tilt under which they are in balance
    worth = 1.0 / threshold - 1.0
    rarely = (bad > 0.0) & (good > bad * worth)
    tilt = np.zeros(bad.size)
    tilt[rarely] = threshold * np.log(good[rarely] / (bad[rarely] * worth))
    more_bad, less_good = bad * np.exp(tilt * worth), good * np.exp(-tilt)

    tilted = chain.paths(n, bad.size, generator)
    errors = generator.poisson(np.where(tilted, more_bad, bad))
    others = generator.poisson(np.where(tilted, less_good, good))
    change = more_bad - bad + less_good - good
    likelier = np.asarray(tilt * (worth * errors - others) - change, dtype=np.float64)
    return np.where(_killed(stream, errors, others), np.exp(-chain.log_mixture(likelier)), 0.0)


def _killed(stream: Stream, errors: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether some analysis run of each sample has more failed looks than it stands."""
    n = len(errors)
    none = np.zeros((n, 1), dtype=np.int64)
    bad, good = (np.concatenate([none, np.cumsum(part, axis=1)], axis=1) for part in (errors, others))
    first, end, run, limit = np.array([(one.first, one.end, one.run, one.limit) for one in stream.looks]).T
    failed = stream.rule.fails(bad[:, end] - bad[:, first], good[:, end] - good[:, first])
    killed = np.zeros(n, dtype=np.bool_)
    for one in np.unique(run):
        mine = run == one
        if limit[mine][0] >= 0:
            killed |= np.count_nonzero(failed[:, mine], axis=1) > limit[mine][0]
    return killed


@dataclass(frozen=True, slots=True)
class _Chain:
    """Which slices have their error rate raised: one begins with chance ``enter``, goes on with ``stay``."""

    enter: float
    stay: float

    @staticmethod
    def around(stream: Stream) -> _Chain:
        """Stretches of about a window, about as many as kill a release."""
        slices = stream.bad.size
        per_window = sum(look.end - look.first for look in stream.looks) / len(stream.looks)
        failures = 1 + max(0, min(look.limit for look in stream.looks))
        wanted = min(0.5, failures * per_window / slices)
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

    def log_mixture(self, likelier: Floats) -> Floats:
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
