"""A certificate of a vetting as data, and its canonical JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from rolloutsim.engine.codec import from_json, to_json
from rolloutsim.errors import InputError, Position

__all__ = ["ENGINE", "Certificate", "CertifiedBar", "moment", "pack", "unpack"]

ENGINE = 1
"""Number of the engine's decisions: it rises when some policy is decided otherwise than before."""

API_VERSION = "rolloutsim.dev/v1alpha1"
KIND = "VettingCertificate"
_AGAIN = "write it with rolloutsim vet --certificate"


@dataclass(frozen=True, slots=True)
class CertifiedBar:
    """A bar and what was found: ``low`` and ``high`` bound the ``level`` that was asked for.

    For a quantile that is the share of runs below the bound. ``waiver`` is the reason why a bar that was not
    met is accepted.
    """

    bar: str
    at_least: bool
    level: float
    value: float
    low: float | None
    high: float | None
    runs: int
    waiver: str = ""

    @property
    def met(self) -> bool:
        """Whether the worse end of the interval meets the level."""
        end = self.low if self.at_least else self.high
        return end is not None and (end >= self.level if self.at_least else end <= self.level)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was vetted, what was found, and where and until when it counts.

    Times are RFC 3339 in UTC. Empty ``clusters`` or ``namespaces`` mean any.
    """

    policy: str
    policy_digest: str
    service: str
    suite: str
    suite_digest: str
    engine: int
    rolloutsim: str
    seed: int
    confidence: float
    runs: int
    bars: tuple[CertifiedBar, ...]
    issued: str
    expires: str
    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


def pack(certificate: Certificate) -> bytes:
    """The certificate as canonical JSON: sorted keys, no white space."""
    content = {"apiVersion": API_VERSION, **to_json(certificate), "kind": KIND}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def unpack(payload: bytes, source: str = "") -> Certificate:
    """The certificate of a payload; ``source`` is what messages call it.

    Raises
    ------
    InputError : the payload is no certificate, or of another version.
    """
    at = Position(source)
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        raise InputError("the payload is no JSON", at=at, fix=_AGAIN) from None
    if not isinstance(content, dict) or content.pop("kind", None) != KIND:
        raise InputError(f"the payload is no {KIND}", at=at, fix=_AGAIN)
    version = content.pop("apiVersion", None)
    if version != API_VERSION:
        raise InputError(
            "the certificate has another apiVersion", at=at, value=version, fix=f"{API_VERSION} is read"
        )
    try:
        certificate: Certificate = from_json(Certificate, content)
        for text in (certificate.issued, certificate.expires):
            moment(text)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"the certificate cannot be read: {error}", at=at, fix=_AGAIN) from None
    return certificate


def moment(text: str) -> datetime:
    """A time of a certificate, in UTC; ValueError if it is none, or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text} has no zone")
    return moment.astimezone(UTC)
