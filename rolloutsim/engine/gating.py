"""A gated metric of an analysis run: feeding its gate, and what the verdicts of a run's gates come to.

A look is one measurement: counts of both versions in every span since the gate's scope began. What is new
since the last look goes into the gate span by span, each with the weight that was in force, and is judged
once. The verdicts of a run are taken together (`rolloutsim.engine.gates.family`):

==============  ===================================================================================
continue        the metric runs on; missing evidence never passes
pass            Successful; in a background analysis the gate goes on counting, and may still fail
fail            Failed, and the rollout aborts; with ``onFail: hold`` Inconclusive
inconclusive    Inconclusive: the rollout waits for a person
expired         continue at the end of ``expiresAfter``, or of the looks (``count``): Inconclusive
ended           continue when the run is ended from outside: Inconclusive
misrouted       a failed sample-ratio gate makes the run Inconclusive and takes the word from all gates
                that compare the versions; one with an absolute objective may still fail
together        gates none of which fails alone fail when the sum of ``alpha * e`` reaches 1; the one
                with the largest part is named
==============  ===================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rolloutsim.conditions import MeasurementPhase
from rolloutsim.engine.construction import built_fast
from rolloutsim.engine.events import Counted, Counts, MeasureError, Outcome, RunPhase, Span
from rolloutsim.engine.gates.evidence import Evidence, Verdict
from rolloutsim.engine.gates.samples import Arm, Sample
from rolloutsim.engine.gates.state import GateState
from rolloutsim.engine.gates.update import absorb, refusal, start_gate, update
from rolloutsim.policy.gated import GatedCounts, NoData, OnFail
from rolloutsim.policy.gates import EventShare, RateRatio, SampleRatio, TwoSampleBlocks, WaldSprt

__all__ = ["Call", "Look", "Watch", "look", "passed", "standing", "together", "watch_from"]

Call = tuple[RunPhase, str]
"""What a gated metric comes to, and why."""

NO_DATA_LOOKS = 2
"""A version without any request counts as no data after traffic should have flowed for so many looks."""
NO_DATA_MS = 150_000
"""But not before two scrapes a minute apart can have shown a rise."""
E_GATES = (RateRatio, EventShare, TwoSampleBlocks)


@built_fast
@dataclass(frozen=True, slots=True)
class Watch:
    """What a gated metric remembers between looks.

    ``spans`` are those of the last question, ``counted`` what each has brought so far. ``power`` is
    ``alpha * e`` of a gate with an e-value, else 0. ``missing`` is what is still missing to decide.
    """

    state: GateState
    spans: tuple[Span, ...] = ()
    counted: tuple[Counts, ...] = ()
    power: float = 0.0
    empty: bool = False
    missing: str = ""


@built_fast
@dataclass(frozen=True, slots=True)
class Look:
    """One answer, judged: the memory, and the measurement as the run records it."""

    watch: Watch
    phase: MeasurementPhase
    value: str
    message: str


def watch_from(counts: GatedCounts, watch: Watch | None, spans: tuple[Span, ...]) -> Watch:
    """The memory for a question about ``spans``; a new one where counting begins at another time."""
    same = watch is not None and (not watch.spans or watch.spans[0].start == (spans or watch.spans)[0].start)
    if watch is None or not spans or not same:
        return Watch(start_gate(counts.gate), spans)
    return Watch(watch.state, spans, watch.counted, watch.power, watch.empty, watch.missing)


def look(counts: GatedCounts, watch: Watch, outcome: Outcome, at: int, interval_ms: int) -> Look:
    """Judge one answer, heard at ``at`` ms. An answer that is none changes nothing and is an error."""
    if not isinstance(outcome, Counted):
        why = outcome.message if isinstance(outcome, MeasureError) else "the answer holds no counts"
        return Look(watch, MeasurementPhase.ERROR, "", why)
    if len(outcome.spans) != len(watch.spans):
        why = f"counts of {len(outcome.spans)} spans, and {len(watch.spans)} were asked for"
        return Look(watch, MeasurementPhase.ERROR, "", why)
    known = (*watch.counted, *[Counts(0, 0, 0, 0)] * (len(watch.spans) - len(watch.counted)))
    state, refused = watch.state, []
    try:
        *earlier, last = _samples(watch, known, outcome.spans)
        for sample in earlier:
            refused.append(refusal(state.sample, sample))
            state = absorb(counts.gate, state, sample)
        step = update(counts.gate, state, last)
    except ValueError as error:
        return Look(watch, MeasurementPhase.ERROR, "", f"impossible counts: {error}")
    state, evidence = step.state, step.evidence
    kept = tuple(new if _risen(old, new) else old for old, new in zip(known, outcome.spans, strict=True))
    empty = _is_empty(counts, watch.spans, evidence, at, interval_ms)
    power = 0.0
    if isinstance(counts.gate, E_GATES) and evidence.canary.requests >= max(counts.gate.min_requests, 1):
        power = counts.gate.alpha * evidence.value
    moved = Watch(state, watch.spans, kept, power, empty, evidence.missing)
    message = "; ".join(text for text in (evidence.missing, *refused, *evidence.warnings) if text)
    return Look(moved, _phase(state.verdict), evidence_text(evidence), message)


def _samples(watch: Watch, known: tuple[Counts, ...], new: tuple[Counts, ...]) -> Iterator[Sample]:
    """What has to be fed: cumulative counts, one sample for each span that has news, at least one."""
    weight = watch.spans[-1].weight_percent if watch.spans else 0.0
    if known == new:
        yield _sample(known, weight)
        return
    counted = list(known)
    for index, (old, now) in enumerate(zip(known, new, strict=True)):
        if old != now:
            counted[index] = now
            yield _sample(counted, watch.spans[index].weight_percent)
            if not _risen(old, now):
                counted[index] = old


def _sample(counted: Sequence[Counts], weight: float) -> Sample:
    stable = Arm(sum(c.stable_requests for c in counted), sum(c.stable_bad for c in counted))
    canary = Arm(sum(c.canary_requests for c in counted), sum(c.canary_bad for c in counted))
    return Sample(stable, canary, weight)


def _risen(old: Counts, new: Counts) -> bool:
    """Whether no count went back: one that did is refused by the gate, and forgotten."""
    return (
        old.canary_bad <= new.canary_bad <= new.canary_requests
        and old.stable_bad <= new.stable_bad <= new.stable_requests
        and old.canary_requests - old.canary_bad <= new.canary_requests - new.canary_bad
        and old.stable_requests - old.stable_bad <= new.stable_requests - new.stable_bad
    )


def _is_empty(
    counts: GatedCounts, spans: Sequence[Span], evidence: Evidence, at: int, interval_ms: int
) -> bool:
    """Whether traffic should have flowed for some looks, and a version that matters has had none."""
    served = sum((at if s.end is None else s.end) - s.start for s in spans if s.weight_percent > 0.0)
    nobody = not evidence.canary.requests or (counts.compares and not evidence.stable.requests)
    return nobody and served >= max(NO_DATA_LOOKS * interval_ms, NO_DATA_MS)


def _phase(verdict: Verdict) -> MeasurementPhase:
    match verdict:
        case Verdict.PASS:
            return MeasurementPhase.SUCCESSFUL
        case Verdict.FAIL:
            return MeasurementPhase.FAILED
        case Verdict.INCONCLUSIVE:
            return MeasurementPhase.INCONCLUSIVE
    return MeasurementPhase.RUNNING


# --- together ---------------------------------------------------------------------------------------


def standing(counts: GatedCounts, watch: Watch | None) -> Verdict:
    """The gate's verdict as it stands, with what the policy says of no data."""
    if watch is None:
        return Verdict.CONTINUE
    if watch.empty and watch.state.verdict is Verdict.CONTINUE:
        return {
            NoData.WAIT: Verdict.CONTINUE,
            NoData.HOLD: Verdict.INCONCLUSIVE,
            NoData.FAIL: Verdict.FAIL,
            NoData.PASS: Verdict.PASS,
        }[counts.on_no_data]
    return watch.state.verdict


def passed(counts: GatedCounts, watch: Watch | None) -> bool:
    """Whether the gate says that the canary may go on."""
    return standing(counts, watch) is Verdict.PASS


def together(gates: Sequence[tuple[str, GatedCounts, Watch | None]]) -> list[Call | None]:
    """What each gate of a run comes to, by its name; None: it is not decided, or passed.

    A pass is no end by itself: whether the metric is over then depends on the analysis.
    """
    verdicts = [standing(counts, watch) for _, counts, watch in gates]
    misrouted = next(
        (
            name
            for (name, counts, _), verdict in zip(gates, verdicts, strict=True)
            if isinstance(counts.gate, SampleRatio) and verdict is Verdict.FAIL
        ),
        "",
    )
    calls = [
        _call(name, counts, watch, verdict, misrouted)
        for (name, counts, watch), verdict in zip(gates, verdicts, strict=True)
    ]
    powers = [watch.power if watch is not None else 0.0 for _, _, watch in gates]
    if not misrouted and not any(call is not None for call in calls) and math.fsum(powers) >= 1.0:
        index = powers.index(max(powers))
        others = ", ".join(gates[i][0] for i, power in enumerate(powers) if i != index and power > 0.0)
        calls[index] = _failed(gates[index][1], f"fails together with {others}: the e-values add up")
    return calls


def _call(
    name: str, counts: GatedCounts, watch: Watch | None, verdict: Verdict, misrouted: str
) -> Call | None:
    if isinstance(counts.gate, SampleRatio) and verdict is Verdict.FAIL:
        why = "requests do not follow the weight: gates that compare the versions cannot be believed"
        return RunPhase.INCONCLUSIVE, why
    if misrouted and not isinstance(counts.gate, WaldSprt):
        return RunPhase.INCONCLUSIVE, f"requests do not follow the weight, says {misrouted}"
    if verdict is Verdict.FAIL:
        empty = watch is not None and watch.empty and watch.state.verdict is not Verdict.FAIL
        return _failed(counts, _nobody(watch) if empty else "")
    if verdict is Verdict.INCONCLUSIVE:
        assert watch is not None
        return RunPhase.INCONCLUSIVE, _nobody(watch) if watch.empty else watch.missing
    return None


def _nobody(watch: Watch | None) -> str:
    return f"no data: {watch.missing}" if watch is not None and watch.missing else "no data"


def _failed(counts: GatedCounts, why: str) -> Call:
    if counts.on_fail is OnFail.HOLD:
        return RunPhase.INCONCLUSIVE, f"{why or 'the gate failed'}: the policy holds instead of aborting"
    return RunPhase.FAILED, why


# --- words ------------------------------------------------------------------------------------------


def evidence_text(evidence: Evidence) -> str:
    """The numbers of a look, for people: statistic and its limit, effect and interval, counts of both."""
    effect = evidence.effect
    parts = [f"{evidence.statistic} {_number(evidence.value)} (fails at {_number(evidence.limit)})"]
    if effect.estimate is None:
        parts.append(f"{effect.measure} unknown")
    else:
        parts.append(
            f"{effect.measure} {_number(effect.estimate)} "
            f"[{_number(effect.low)}, {_number(effect.high)}] at {effect.confidence:.0%}"
        )
    canary, stable = evidence.canary, evidence.stable
    parts.append(
        f"canary {canary.bad:,} of {canary.requests:,}, stable {stable.bad:,} of {stable.requests:,}"
    )
    return "; ".join(parts)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "∞" if value > 0 else "-∞"
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.1e}"
