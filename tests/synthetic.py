"""Made-up outcomes and a made-up trace, for tests of everything that reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rolloutsim.outcomes import CaughtBy, End, Outcome
from rolloutsim.trace import Trace, Truth, sample_record, truth_record


def outcome(
    policy: str = "api",
    scenario: str = "err-step",
    run: int = 0,
    *,
    healthy: bool = False,
    caught: bool = True,
    bad_requests: float = 100.0,
    time_to_detect_s: float = 180.0,
    duration_s: float = 600.0,
) -> Outcome:
    """One run; a caught run of a healthy release is a false abort."""
    detected = caught and not healthy
    return Outcome(
        policy=policy,
        scenario=scenario,
        run=run,
        healthy=healthy,
        end=End.ABORTED if caught else End.PROMOTED,
        caught_by=CaughtBy.ANALYSIS if caught else CaughtBy.NOTHING,
        detected=detected,
        false_abort=caught and healthy,
        time_to_detect_s=time_to_detect_s if detected else math.nan,
        time_to_mitigate_s=time_to_detect_s + 5.0 if detected else math.nan,
        bad_requests=0.0 if healthy else bad_requests,
        requests_exposed=4.0 * bad_requests,
        budget_spent=bad_requests / 1e6,
        duration_s=duration_s,
        pod_hours=duration_s / 3600.0,
        peak_pods=11,
        human_waits=0,
        measurements=10,
        message='Metric "error-rate" assessed Failed due to failed (4) > failureLimit (3)' if caught else "",
    )


def outcomes(
    chances: dict[str, dict[str, float]], *, healthy: tuple[str, ...] = ("healthy",), runs: int = 100
) -> Iterator[Outcome]:
    """Runs of several policies (name, then scenario: chance to stop it), paired through the run number."""
    for policy, scenarios in chances.items():
        for scenario, chance in scenarios.items():
            for run in range(runs):
                world = np.random.Generator(np.random.Philox(key=run))
                luck, load = world.random(), world.lognormal(6.0, 1.0)
                caught = luck < chance
                yield outcome(
                    policy,
                    scenario,
                    run,
                    healthy=scenario in healthy,
                    caught=caught,
                    bad_requests=load * (1.0 if caught else 40.0),
                    time_to_detect_s=120.0 + 60.0 * luck,
                    duration_s=300.0 + 600.0 * luck if caught else 2100.0,
                )


# --- a trace --------------------------------------------------------------------------------------

START_MS = 1_767_571_200_000
STEPS = [
    {"kind": "SetWeight", "weight": 5},
    {"kind": "Pause", "duration_ms": 300_000},
    {"kind": "SetWeight", "weight": 25},
    {"kind": "Pause", "duration_ms": 600_000},
]


def trace(*, aborted_at_s: int = 540, with_truth: bool = True, with_samples: bool = True) -> Trace:
    """A canary whose new version fails a tenth of its requests, aborted at the fourth failed measurement."""
    records: list[dict[str, Any]] = []

    def add(kind: str, at_s: float, name: str, **value: object) -> None:
        records.append(
            {
                "kind": kind,
                "seq": len(records),
                "at": START_MS + round(1000 * at_s),
                "value": {"kind": name, **value},
            }
        )

    if with_samples:
        records += list(_samples(aborted_at_s))
    if with_truth:
        records += list(_truths(aborted_at_s))
    add("seen", 0, "ReleaseAsked", revision="v2", fields=[])
    add("seen", 10, "RevisionSeen", revision="v2", desired=1, created=1, ready=0, available=0)
    add("seen", 10, "RevisionSeen", revision="v1", desired=10, created=10, ready=10, available=10)
    add("event", 20, "StepCompleted", index=1, total=4, step="setWeight: 5")
    add("event", 20, "Paused", reason="CanaryPauseStep")
    add("seen", 20, "WeightSeen", weight=5, verified=None)
    add("event", 320, "StepCompleted", index=2, total=4, step="pause: 5m")
    add("event", 335, "StepCompleted", index=3, total=4, step="setWeight: 25")
    add("event", 335, "Paused", reason="CanaryPauseStep")
    add("seen", 335, "WeightSeen", weight=25, verified=None)
    for attempt, at_s in enumerate(range(60, aborted_at_s + 1, 60), start=1):
        phase = "Failed" if at_s > aborted_at_s - 240 else ("Error" if attempt == 1 else "Successful")
        add(
            "event",
            at_s,
            "MeasurementTaken",
            run="r",
            metric="error-rate",
            attempt=attempt,
            phase=phase,
            value="[0.1]",
        )
    add("seen", aborted_at_s + 1, "WeightSeen", weight=0, verified=None)
    message = 'Metric "error-rate" assessed Failed due to failed (4) > failureLimit (3)'
    add("event", aborted_at_s, "Aborted", revision="v2", number=2, message=message)
    records.sort(key=lambda record: record["at"])
    manifest = {
        "kind": "manifest",
        "start": START_MS,
        "run": 0,
        "policy": {
            "kind": "Policy",
            "name": "api",
            "strategy": {"kind": "Canary", "steps": STEPS, "routing": None},
        },
        "provenance": {"scenarios": ["err-step"], "seed": 1},
    }
    return Trace(manifest, tuple(records))


def _share(at_s: float, aborted_at_s: int) -> float:
    if at_s < 20 or at_s >= aborted_at_s:
        return 0.0
    return 0.1 if at_s < 335 else 0.27


def _truths(aborted_at_s: int) -> Iterator[dict[str, Any]]:
    for at_s in (0, 20, 335, aborted_at_s):
        new = _share(at_s, aborted_at_s)
        for revision, share, errors in (("v1", 1.0 - new, 0.002), ("v2", new, 0.1)):
            truth = Truth(START_MS + 1000 * at_s, revision, share, 100.0, errors, 0.06, 10)
            yield truth_record(truth)


def _samples(aborted_at_s: int) -> Iterator[dict[str, Any]]:
    """Counters of 100 requests a second, scraped every 15 s; the 95th percentile is 0.1 s (new: 0.25 s)."""
    totals: dict[tuple[str, str], float] = {}
    for at_s in range(-60, 1800, 15):
        new = _share(at_s, aborted_at_s)
        for revision, share, errors in (("v1", 1.0 - new, 0.002), ("v2", new, 0.1)):
            if not share:
                continue
            requests = 1500.0 * share
            slow = "0.1" if revision == "v1" else "0.25"
            counted = {"200": requests * (1 - errors), "500": requests * errors}
            counted |= {"0.05": 0.9 * requests, slow: requests, "+Inf": requests}
            for key, number in counted.items():
                totals[revision, key] = totals.get((revision, key), 0.0) + number
                yield sample_record(START_MS + 1000 * at_s, _labels(revision, key), totals[revision, key])


def _labels(revision: str, key: str) -> dict[str, str]:
    if key in ("200", "500"):
        return {"__name__": "http_requests_total", "service": "api", "app_version": revision, "status": key}
    return {
        "__name__": "http_request_duration_seconds_bucket",
        "service": "api",
        "app_version": revision,
        "le": key,
    }
