"""What speaks against running a policy under a certificate, and leave to run without one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import version

from rolloutsim.permit.certificate import ENGINE, Certificate, moment

__all__ = ["Place", "Refusal", "Refused", "Running", "Unvetted", "refusals", "running"]

_VERSION = re.compile(
    r"([0-9]+(?:\.[0-9]+)*)(?:(a|b|rc)([0-9]+))?(?:\.post([0-9]+))?(?:\.dev([0-9]+))?(?:\+[0-9a-z.]+)?"
)
"""A version as Python packages have it, in its normal form (PEP 440), without an epoch."""
_STAGES = ("a", "b", "rc")
_FUTURE = timedelta(minutes=5)
"""How far the clock of who issued may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Unvetted:
    """Leave to run without a certificate: who took it, when (RFC 3339) and why. Recorded, never checked."""

    reason: str
    who: str
    at: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("running without a certificate needs a reason")


@dataclass(frozen=True, slots=True)
class Running:
    """What runs now: the engine's number and the version of this package."""

    engine: int
    rolloutsim: str


def running() -> Running:
    """This package, as it is installed."""
    return Running(ENGINE, version("rolloutsim"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy is to run: the cluster as certificates name it, and the namespace."""

    cluster: str
    namespace: str


class Refused(StrEnum):
    """Why a certificate does not count."""

    SIGNATURE = "signature"
    POLICY = "policy"
    SUITE = "suite"
    BARS = "bars"
    EXPIRED = "expired"
    NOT_YET = "not-yet"
    CLUSTER = "cluster"
    NAMESPACE = "namespace"
    ENGINE = "engine"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason, and a sentence that says what to do."""

    kind: Refused
    why: str


def refusals(
    certificate: Certificate,
    *,
    policy_digest: str,
    now: datetime,
    running: Running,
    place: Place | None,
    suite_digest: str | None = None,
) -> tuple[Refusal, ...]:
    """All that speaks against running the policy of this digest under a certificate; empty if nothing does.

    ``now`` is aware of its time zone. Without a ``place`` the clusters and namespaces are not looked at, nor
    what it was vetted against without a ``suite_digest``.
    """
    found = [
        *_about_policy(certificate, policy_digest),
        *_about_suite(certificate, suite_digest),
        *_about_bars(certificate),
        *_about_time(certificate, now),
        *_about_versions(certificate, running),
    ]
    return tuple(found if place is None else [*found, *_about_place(certificate, place)])


def _about_policy(certificate: Certificate, policy_digest: str) -> list[Refusal]:
    if certificate.policy_digest == policy_digest:
        return []
    return [
        Refusal(
            Refused.POLICY,
            f"another policy was vetted: the certificate is for {_short(certificate.policy_digest)} and the "
            f"policy is {_short(policy_digest)}; vet it as it is now",
        )
    ]


def _about_suite(certificate: Certificate, suite_digest: str | None) -> list[Refusal]:
    if suite_digest is None or certificate.suite_digest == suite_digest:
        return []
    return [
        Refusal(
            Refused.SUITE,
            f"the policy was vetted against suite {certificate.suite} on service {certificate.service}, "
            f"{_short(certificate.suite_digest)}, and what is asked for is {_short(suite_digest)}; "
            "vet it against that",
        )
    ]


def _about_bars(certificate: Certificate) -> list[Refusal]:
    unmet = [bar.bar for bar in certificate.bars if not bar.met and not bar.waiver.strip()]
    if unmet:
        return [
            Refusal(
                Refused.BARS,
                f"bars not met: {', '.join(unmet)}; change the policy, or waive them and say why",
            )
        ]
    if not any(bar.met for bar in certificate.bars):
        return [Refusal(Refused.BARS, "no bar was met: the certificate shows nothing; vet without waivers")]
    return []


def _about_time(certificate: Certificate, now: datetime) -> list[Refusal]:
    issued, expires = moment(certificate.issued), moment(certificate.expires)
    if now >= expires:
        return [Refusal(Refused.EXPIRED, f"the certificate expired at {certificate.expires}; vet again")]
    if now + _FUTURE < issued:
        return [
            Refusal(
                Refused.NOT_YET,
                f"the certificate was issued at {certificate.issued}, later than now; set the clock",
            )
        ]
    return []


def _about_versions(certificate: Certificate, running: Running) -> list[Refusal]:
    found = []
    vetted = f"the policy was vetted with engine {certificate.engine}"
    if running.engine < certificate.engine:
        found.append(
            Refusal(
                Refused.ENGINE,
                f"{vetted} and the older engine {running.engine} would run it; upgrade rolloutsim here",
            )
        )
    elif running.engine > certificate.engine:
        found.append(
            Refusal(
                Refused.ENGINE,
                f"{vetted} and engine {running.engine} may decide otherwise; vet again",
            )
        )
    vetted_by, here = _order(certificate.rolloutsim), _order(running.rolloutsim)
    if vetted_by is None:
        found.append(
            Refusal(
                Refused.VERSION,
                f"the policy was vetted with rolloutsim {certificate.rolloutsim!r}, which is no version, so "
                f"nobody can tell whether the {running.rolloutsim} here is older; vet again with a release",
            )
        )
    elif here is None:
        found.append(
            Refusal(
                Refused.VERSION,
                f"this is rolloutsim {running.rolloutsim!r}, which is no version, so nobody can tell whether "
                f"it is older than the {certificate.rolloutsim} that vetted the policy; install a release",
            )
        )
    elif here < vetted_by:
        found.append(
            Refusal(
                Refused.VERSION,
                f"the policy was vetted with rolloutsim {certificate.rolloutsim} and this is the older "
                f"{running.rolloutsim}; upgrade it here",
            )
        )
    return found


def _about_place(certificate: Certificate, place: Place) -> list[Refusal]:
    found = []
    for kind, allowed, here in (
        (Refused.CLUSTER, certificate.clusters, place.cluster),
        (Refused.NAMESPACE, certificate.namespaces, place.namespace),
    ):
        if allowed and here not in allowed:
            counts = f"the certificate counts in {kind} {', '.join(allowed)} and this is {here}"
            found.append(Refusal(kind, f"{counts}; vet with --{kind} {here}"))
    return found


def _order(version: str) -> tuple[tuple[int, ...], int, int, int, float] | None:
    """What versions are ordered by (PEP 440); None for a text that is none, which has no place among them.

    Before a release come its candidates, and its development versions before these.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    release, stage, candidate, post, development = match.groups()
    numbers = [int(part) for part in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    if stage is None:
        of_stage = -1 if development is not None and post is None else len(_STAGES)
    else:
        of_stage = _STAGES.index(stage)
    until = math.inf if development is None else int(development)
    return tuple(numbers), of_stage, int(candidate or 0), -1 if post is None else int(post), until


def _short(digest: str) -> str:
    return digest[:19]
