"""Many rollouts at once, for `BetaPosterior`."""

from __future__ import annotations

import numpy as np

from rolloutsim.engine.gates.posterior import posterior_worse
from rolloutsim.engine.gates.samples import Arm
from rolloutsim.engine.gates.stream_arrays import Counts, FirstVerdicts, Flags, Floats, Streams
from rolloutsim.policy.gates import BetaPosterior

__all__ = ["by_posterior"]

_ENDS = 2.2
"""Deviations of stable's posterior, in the angle in which it is nearly normal."""


def by_posterior(gate: BetaPosterior, streams: Streams) -> FirstVerdicts:
    """Look by look, where no failure has been found yet."""
    never = streams.looks
    failed = np.full(len(streams.canary_bad), never, dtype=np.int64)
    passed = failed.copy()
    ready = (streams.canary_requests >= gate.min_requests) & (streams.stable_requests > 0)
    for look in range(never):
        rows = np.flatnonzero(ready[:, look] & (failed == never))
        bad = _above(streams, rows, look, gate.margin, 1.0 - gate.alpha)
        failed[rows[bad]] = look
        rows = rows[~bad & (passed[rows] == never)]
        passed[rows[~_above(streams, rows, look, gate.smallest_difference, gate.beta)]] = look
    return FirstVerdicts(failed, passed)


def _above(streams: Streams, rows: Counts, look: int, margin: float, level: float) -> Flags:
    """Where P(canary > stable + margin) is at least ``level``.

    For any rate t it is at most P(canary > t + margin) + P(stable < t), and at least the product
    P(canary > t + margin) P(stable < t). At two rates around stable's these settle nearly all; the rest is
    integrated one by one.
    """
    n_c, k_c = streams.canary_requests[rows, look], streams.canary_bad[rows, look]
    n_s, k_s = streams.stable_requests[rows, look], streams.stable_bad[rows, look]
    canary, stable = (k_c + 0.5, n_c - k_c + 0.5), (k_s + 0.5, n_s - k_s + 0.5)
    above, below = _parts(canary, stable, -_ENDS, margin)
    impossible = above + below < level
    above, below = _parts(canary, stable, _ENDS, margin)
    found = ~impossible & (above * below >= level)
    for row in np.flatnonzero(~impossible & ~found).tolist():
        arms = Arm(int(n_c[row]), int(k_c[row])), Arm(int(n_s[row]), int(k_s[row]))
        found[row] = posterior_worse(*arms, margin) >= level
    return np.asarray(found)


def _parts(
    canary: tuple[Floats, Floats], stable: tuple[Floats, Floats], deviations: float, margin: float
) -> tuple[Floats, Floats]:
    """P(canary > t + margin) and P(stable < t), with t so many deviations away from stable's rate."""
    from scipy.special import betainc

    a, b = stable
    angle = np.arcsin(np.sqrt(a / (a + b))) + deviations / (2.0 * np.sqrt(a + b))
    t = np.sin(np.clip(angle, 0.0, np.pi / 2.0)) ** 2
    above = 1.0 - betainc(*canary, np.minimum(t + margin, 1.0))
    return np.asarray(above, dtype=float), np.asarray(betainc(a, b, t), dtype=float)
