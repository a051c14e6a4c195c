"""Many rollouts at once: at which look a gate fails first, and passes first, for arrays of counts.

The same rules as `rolloutsim.engine.gates.update`, look by look, as array arithmetic: for studies of error
rates and for detection curves. What a gate says to a person (intervals, what is missing) is not computed.
"""

from __future__ import annotations

import numpy as np

from rolloutsim.engine.gates.stream_arrays import FirstVerdicts, Streams
from rolloutsim.engine.gates.stream_counts import by_blocks, by_groups, by_objective, by_one_look
from rolloutsim.engine.gates.stream_posterior import by_posterior
from rolloutsim.engine.gates.stream_shares import by_mixture, by_routing, by_share
from rolloutsim.policy.gates import (
    BetaPosterior,
    EventShare,
    FisherExact,
    Gate,
    GroupSequential,
    RateRatio,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
)

__all__ = ["FirstVerdicts", "Streams", "first_verdicts"]

CHUNK = 30_000
"""Rows (a stream at a look) that are worked on at a time: keeps the arrays in tens of megabytes."""


def first_verdicts(gate: Gate, streams: Streams) -> FirstVerdicts:
    """Judge every stream at every look.

    Raises
    ------
    ValueError : a `GroupSequential` gate and streams whose request counts differ: their boundaries would.
    """
    rows = max(1, CHUNK // max(streams.looks, 1))
    parts = [
        _judged(gate, streams.part(slice(start, start + rows)))
        for start in range(0, len(streams.canary_bad), rows)
    ]
    return FirstVerdicts(
        np.concatenate([part.failed for part in parts]), np.concatenate([part.passed for part in parts])
    )


def _judged(gate: Gate, streams: Streams) -> FirstVerdicts:
    match gate:
        case RateRatio():
            return by_mixture(gate, streams)
        case EventShare():
            return by_share(gate, streams)
        case SampleRatio():
            return by_routing(gate, streams)
        case TwoSampleBlocks():
            return by_blocks(gate, streams)
        case WaldSprt():
            return by_objective(gate, streams)
        case GroupSequential():
            return by_groups(gate, streams)
        case TwoProportionZ() | FisherExact():
            return by_one_look(gate, streams)
        case BetaPosterior():
            return by_posterior(gate, streams)
