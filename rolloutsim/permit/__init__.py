"""Leave to run a policy on a cluster: a certificate of its vetting, or a reason to go without one.

A certificate says which policy was vetted against which suite, what was found, and where and until when that
counts. It is the payload of a DSSE envelope, signed with Ed25519, or unsigned for use on one's own machine,
where anybody could have written it. An executor does::

    envelope = read_envelope(text, file)
    certificate = unpack(envelope.payload, file)
    reasons = [verified_by(envelope, keys)] if keys else []
    reasons += refusals(certificate, policy_digest=digest(policy), now=now, running=running(), place=place)

Nothing here reads a clock: the caller says what time it is. The verdicts of a vetting are not part of a
certificate, so they cannot be believed by mistake: whether a bar was met follows from its bounds.
"""

from rolloutsim.permit.certificate import ENGINE, Certificate, CertifiedBar, pack, unpack
from rolloutsim.permit.envelope import (
    Envelope,
    Signature,
    public_key,
    read_envelope,
    signed,
    signing_key,
    verified_by,
)
from rolloutsim.permit.refusals import Place, Refusal, Refused, Running, Unvetted, refusals, running

__all__ = [
    "ENGINE",
    "Certificate",
    "CertifiedBar",
    "Envelope",
    "Place",
    "Refusal",
    "Refused",
    "Running",
    "Signature",
    "Unvetted",
    "pack",
    "public_key",
    "read_envelope",
    "refusals",
    "running",
    "signed",
    "signing_key",
    "unpack",
    "verified_by",
]
