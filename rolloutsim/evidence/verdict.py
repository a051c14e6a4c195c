"""Verdicts on bars, by confidence bound: a bar is met where the worse end of its interval meets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.estimates import Estimate
from rolloutsim.evidence.bars import Bar

__all__ = ["BarResult", "Verdict", "judge", "overall"]


class Verdict(StrEnum):
    """What is known of a bar, or of all of them. Not knowing is never passing."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class BarResult:
    """A bar after the last look at it.

    ``value`` is the quantity; ``estimate`` is what was judged: the same for shares and means, for a
    quantile the share of runs below the bound. ``waiver`` is the reason why a verdict other than passed is
    accepted, empty if it is not.
    """

    bar: Bar
    verdict: Verdict
    value: float
    estimate: Estimate
    waiver: str = ""


def judge(bar: Bar, estimate: Estimate) -> Verdict:
    """The verdict that an interval allows."""
    at_least, bound = bar.asked
    if estimate.low is None or estimate.high is None:
        return Verdict.INCONCLUSIVE
    worse, better = (estimate.low, estimate.high) if at_least else (-estimate.high, -estimate.low)
    level = bound if at_least else -bound
    if worse >= level:
        return Verdict.PASSED
    return Verdict.FAILED if better < level else Verdict.INCONCLUSIVE


def overall(results: Sequence[BarResult]) -> Verdict:
    """Failed if any bar failed, passed if all passed; what is waived does not count.

    Bars that are all waived show nothing: inconclusive.
    """
    counted = {result.verdict for result in results if not result.waiver}
    if Verdict.FAILED in counted:
        return Verdict.FAILED
    return Verdict.PASSED if counted == {Verdict.PASSED} else Verdict.INCONCLUSIVE
