"""Rules about pods: how many at once, how long they stay, and when the controller gives up.

Source: Argo Rollouts, utils/defaults, utils/conditions (progress deadline), rollout/replicaset.go
(scale-down delays); issues 1841, 1992, 3888, 4898 of argoproj/argo-rollouts.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolloutsim.lint.rule import Check, Hit, Rule, Severity
from rolloutsim.lint.subject import Rollout
from rolloutsim.lint.words import duration
from rolloutsim.policy.model import Pause, SetCanaryScale

__all__ = ["CHECKS"]


def _sign_left_out(subject: Rollout) -> Iterator[Hit]:
    for field in ("maxSurge", "maxUnavailable"):
        value = subject.fields.get(field)
        if isinstance(value, str) and value.isdigit() and value != "0":
            reason = f'"{value}" is {value} % of the replicas, not {value} pods'
            fix = f"write {value} for pods, {value}% for a share"
            yield Hit(subject.document, (*subject.strategy_path, field), reason, fix)


def _deadline_and_pauses(subject: Rollout) -> Iterator[Hit]:
    steps = subject.canary.steps if subject.canary else ()
    pauses = [step.duration_ms for step in steps if isinstance(step, Pause) and step.duration_ms is not None]
    deadline, longest = subject.policy.progress_deadline_ms, max(pauses, default=0)
    if "progressDeadlineSeconds" in subject.document.spec and longest > deadline:
        reason = (
            f"{duration(deadline)} is shorter than the pause of {duration(longest)}: the deadline does not "
            "run during pauses and analyses, so it does not limit the rollout"
        )
        yield Hit(subject.document, ("spec", "progressDeadlineSeconds"), reason)


def _no_deadline_abort(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is not None and canary.steps and not subject.policy.progress_deadline_abort:
        reason = (
            f"after {duration(subject.policy.progress_deadline_ms)} without progress the rollout is "
            "Degraded, and the new version keeps the traffic that it has"
        )
        yield Hit(subject.document, ("spec", "progressDeadlineAbort"), reason)


def _never_scaled_down(subject: Rollout) -> Iterator[Hit]:
    if subject.fields.get("scaleDownDelaySeconds") == 0:
        reason = "0 does not mean at once: the old version's pods get no deadline and stay for ever"
        yield Hit(subject.document, (*subject.strategy_path, "scaleDownDelaySeconds"), reason)


def _abort_delay_zero(subject: Rollout) -> Iterator[Hit]:
    if subject.fields.get("abortScaleDownDelaySeconds") != 0:
        return
    canary = subject.canary
    if canary is None:
        reason = "0 keeps the pods of an aborted version for ever: twice the pods until somebody removes them"
    elif canary.routing is None:
        return
    elif canary.steps and isinstance(canary.steps[0], SetCanaryScale):
        reason = "0 keeps the pods of an aborted version for ever"
    else:
        reason = "0 should keep an aborted version's pods; without setCanaryScale as step 0 they go at once"
    yield Hit(subject.document, (*subject.strategy_path, "abortScaleDownDelaySeconds"), reason)


def _abort_delay_ignored(subject: Rollout) -> Iterator[Hit]:
    canary = subject.canary
    if canary is None or canary.routing is not None or "abortScaleDownDelaySeconds" not in subject.fields:
        return
    reason = "without a router the pods of an aborted version go at once, whatever stands here"
    yield Hit(subject.document, (*subject.strategy_path, "abortScaleDownDelaySeconds"), reason)


def _dynamic_stable(subject: Rollout) -> Iterator[Hit]:
    if subject.canary is not None and subject.canary.dynamic_stable_scale:
        reason = (
            "by the time of an abort the old version has given up its pods: bad pods keep their traffic "
            "while the old ones start again"
        )
        yield Hit(subject.document, (*subject.strategy_path, "dynamicStableScale"), reason)


CHECKS: tuple[Check[Rollout], ...] = (
    Check(
        Rule(
            "RS030",
            "percent-without-sign",
            Severity.WARNING,
            "any text is read as a percentage, with or without the sign",
            "write a number for pods, or add the %",
        ),
        _sign_left_out,
    ),
    Check(
        Rule(
            "RS031",
            "deadline-shorter-than-pause",
            Severity.NOTE,
            "the progress deadline limits how long pods take to get ready, not how long the rollout takes",
            "nothing, if that is meant; only a step with a duration ends by itself",
        ),
        _deadline_and_pauses,
    ),
    Check(
        Rule(
            "RS032",
            "no-deadline-abort",
            Severity.WARNING,
            "a version whose pods do not get ready is not rolled back: the rollout stands still where it is",
            "add progressDeadlineAbort: true",
        ),
        _no_deadline_abort,
    ),
    Check(
        Rule(
            "RS033",
            "never-scaled-down",
            Severity.ERROR,
            "scaleDownDelaySeconds: 0 means that the old version is never scaled down",
            "write 1 for almost at once, or leave it out for 30 s",
        ),
        _never_scaled_down,
    ),
    Check(
        Rule(
            "RS034",
            "abort-delay-zero",
            Severity.WARNING,
            "abortScaleDownDelaySeconds: 0 means keep, not at once; a canary is kept by setCanaryScale only",
            "write the time that the pods may stay, for example 600",
        ),
        _abort_delay_zero,
    ),
    Check(
        Rule(
            "RS035",
            "abort-delay-ignored",
            Severity.NOTE,
            "abortScaleDownDelaySeconds has no effect without traffic routing",
            "remove it",
        ),
        _abort_delay_ignored,
    ),
    Check(
        Rule(
            "RS036",
            "dynamic-stable-scale",
            Severity.WARNING,
            "with dynamicStableScale an abort cannot be quick: the stable version has to be scaled up first",
            "leave it out where a fast way back counts for more than pods",
        ),
        _dynamic_stable,
    ),
)
