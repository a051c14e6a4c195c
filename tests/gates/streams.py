"""Gates of every kind, and streams of samples to feed them."""

from __future__ import annotations

from hypothesis import strategies as st

from rolloutsim.engine.gates import (
    Arm,
    BetaPosterior,
    EventShare,
    FisherExact,
    Gate,
    GateStep,
    GroupSequential,
    RateRatio,
    Sample,
    SampleRatio,
    TwoProportionZ,
    TwoSampleBlocks,
    WaldSprt,
    start_gate,
    update,
)

GATES: tuple[Gate, ...] = (
    RateRatio(),
    RateRatio(harmless_rate=0.005, min_requests=200, max_requests=5_000),
    EventShare(),
    SampleRatio(),
    TwoSampleBlocks(),
    WaldSprt(0.01, 0.03),
    GroupSequential(planned_requests=2_000, looks=4),
    TwoProportionZ(),
    FisherExact(),
    BetaPosterior(),
)
NAMES = [f"{type(gate).__name__}-{index}" for index, gate in enumerate(GATES)]


def feed(gate: Gate, samples: list[Sample]) -> list[GateStep]:
    """All steps, from the first sample on."""
    state, steps = start_gate(gate), []
    for sample in samples:
        step = update(gate, state, sample)
        state = step.state
        steps.append(step)
    return steps


@st.composite
def streams(draw: st.DrawFn, weights: tuple[float, ...] = (0.0, 5.0, 20.0, 50.0, 100.0)) -> list[Sample]:
    """Cumulative samples: up to ten, some without news, some without requests of an arm."""
    samples: list[Sample] = []
    n_s = k_s = n_c = k_c = 0
    for _ in range(draw(st.integers(1, 10))):
        more_s, more_c = draw(st.integers(0, 4_000)), draw(st.integers(0, 800))
        n_s, n_c = n_s + more_s, n_c + more_c
        k_s += draw(st.integers(0, min(more_s, 60)))
        k_c += draw(st.integers(0, min(more_c, 40)))
        samples.append(Sample(Arm(n_s, k_s), Arm(n_c, k_c), draw(st.sampled_from(weights))))
    return samples
