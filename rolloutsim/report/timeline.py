"""The page of one rollout: its trace, simulated, recorded or live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rolloutsim.report.page import Page, Picture, Prose, Sheet, Tone, picture
from rolloutsim.trace import Trace

__all__ = ["timeline_page"]

Event = Mapping[str, Any]

SHOWN = 200
"""Decisions in the table; a trace may hold thousands."""


def timeline_page(trace: Trace) -> Page:
    """What happened, in the order in which it was decided."""
    events = [(record["at"], record["value"]) for record in trace.of("event")]
    asked = next((r["at"] for r in trace.of("seen") if r["value"]["kind"] == "ReleaseAsked"), None)
    start = asked if asked is not None else min((at for at, _ in events), default=0)
    verdict, tone = _verdict(events, start)
    rows = [(_clock(at - start), *told) for at, event in events for told in _told(event)]
    note = f"The first {SHOWN} of {len(rows)}." if len(rows) > SHOWN else ""
    decisions = Sheet("Decisions", ("after", "what", "why"), tuple(rows[:SHOWN]), note=note)
    policy = trace.manifest.get("policy", {})
    name = policy.get("name", "rollout") if isinstance(policy, Mapping) else "rollout"
    return Page(
        f"{name}: one rollout", verdict, tone, (_figure(trace), decisions, _counts(trace)), _colophon(trace)
    )


def _verdict(events: list[tuple[int, Event]], start: int) -> tuple[str, Tone]:
    for at, event in reversed(events):
        if event["kind"] == "Promoted":
            return f"Promoted after {_clock(at - start)}: {event['reason']}.", Tone.GOOD
        if event["kind"] == "Aborted":
            return f"Aborted after {_clock(at - start)}: {event['message']}.", Tone.BAD
    return "Neither promoted nor aborted by the end of the trace.", Tone.OPEN


def _told(event: Event) -> Iterator[tuple[str, str]]:
    match event["kind"]:
        case "StepCompleted":
            yield f"step {event['index']} of {event['total']} done", event["step"]
        case "Paused":
            yield "paused", event["reason"]
        case "Resumed":
            yield "resumed", ""
        case "StepsSkipped":
            yield "steps skipped", event["reason"]
        case "RunChanged":
            yield f"analysis {event['run']}: {event['phase'] or 'created'}", event["message"]
        case "ExperimentChanged":
            yield f"experiment {event['experiment']}: {event['phase']}", event["message"]
        case "MeasurementTaken" if event["phase"] != "Successful":
            value = event["value"] or event["message"]
            yield f"{event['metric']}, measurement {event['attempt']}: {event['phase']}", value
        case "Aborted":
            yield "aborted", event["message"]
        case "Promoted":
            yield "promoted", event["reason"]


def _clock(wait_ms: int) -> str:
    minutes, seconds = divmod(max(0, wait_ms) / 1000.0, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:06.3f}"


def _counts(trace: Trace) -> Prose:
    kinds = [record["kind"] for record in trace.records]
    truth = (
        "The world was simulated, so the truth is known."
        if "truth" in kinds
        else ("The trace has no truth: what really was is known only as far as it was measured.")
    )
    return Prose(
        "What the trace holds",
        (
            f"{kinds.count('seen')} observations, {kinds.count('did')} actions, "
            f"{kinds.count('event')} events, {kinds.count('sample')} samples. {truth}",
        ),
    )


def _figure(trace: Trace) -> Picture:
    from rolloutsim.plots import plot_timeline

    return picture(
        "Over time",
        plot_timeline(trace),
        "Weight, errors and latency of both versions over time with the verdicts; the table below holds the "
        "decisions.",
    )


def _colophon(trace: Trace) -> tuple[str, ...]:
    shown = ("world", "seed", "run")
    lines = [f"{name}: {trace.manifest[name]}" for name in shown if name in trace.manifest]
    known = trace.manifest.get("provenance", {})
    for what in ("policies", "scenarios"):
        lines += [f"{name} {digest}" for name, digest in known.get(what, {}).items()]
    return tuple(lines)
