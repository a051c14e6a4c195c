"""A certificate out of a vetting: what was found, for how long and where it counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rolloutsim.estimates import CONFIDENCE
from rolloutsim.evidence.verdict import BarResult
from rolloutsim.evidence.vet import Vetting
from rolloutsim.permit import Certificate, CertifiedBar, running

__all__ = ["VALID", "certify"]

VALID = timedelta(days=30)
"""How long a certificate counts unless told otherwise: services change, and so do their numbers."""
_DIGITS = 10


def certify(
    vetting: Vetting,
    now: datetime,
    *,
    valid: timedelta = VALID,
    clusters: Sequence[str] = (),
    namespaces: Sequence[str] = (),
) -> Certificate:
    """The certificate of a vetting, whatever its verdict: `permit.refusals` tells what it is worth.

    ``now`` is aware of its time zone. Without ``clusters`` or ``namespaces`` it counts in any. The same
    vetting gives the same certificate but for its times.
    """
    package = running()
    return Certificate(
        policy=vetting.policy,
        policy_digest=vetting.policy_digest,
        service=vetting.service,
        suite=vetting.suite,
        suite_digest=vetting.suite_digest,
        engine=package.engine,
        rolloutsim=package.rolloutsim,
        seed=vetting.seed,
        confidence=CONFIDENCE,
        runs=vetting.runs,
        bars=tuple(_bar(result) for result in vetting.results),
        issued=_text(now),
        expires=_text(now + valid),
        clusters=tuple(clusters),
        namespaces=tuple(namespaces),
    )


def _bar(result: BarResult) -> CertifiedBar:
    at_least, level = result.bar.asked
    return CertifiedBar(
        bar=str(result.bar),
        at_least=at_least,
        level=level,
        value=_rounded(result.value),
        low=None if result.estimate.low is None else _rounded(result.estimate.low),
        high=None if result.estimate.high is None else _rounded(result.estimate.high),
        runs=result.estimate.n,
        waiver=result.waiver,
    )


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
