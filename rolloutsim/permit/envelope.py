"""DSSE envelopes (Dead Simple Signing Envelope, secure-systems-lab/dsse, protocol.md), Ed25519 signatures.

The package ``cryptography`` is imported when something is signed or a signature is looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolloutsim.errors import InputError, Position
from rolloutsim.permit.refusals import Refusal, Refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "PAYLOAD_TYPE",
    "Envelope",
    "Signature",
    "public_key",
    "read_envelope",
    "signed",
    "signing_key",
    "verified_by",
]

PAYLOAD_TYPE = "application/vnd.rolloutsim.certificate.v1alpha1+json"
_AGAIN = "write it with rolloutsim vet --certificate"
_EXTRA = "pip install 'rolloutsim[sign]'"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, and a hint which key made it."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and the signatures on it."""

    payload: bytes
    signatures: tuple[Signature, ...] = ()
    payload_type: str = PAYLOAD_TYPE

    def to_json(self) -> dict[str, Any]:
        """The envelope's JSON form."""
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()} for one in self.signatures
            ],
        }

    @property
    def to_sign(self) -> bytes:
        """What is signed: DSSE's pre-authentication encoding of type and payload."""
        kind = self.payload_type.encode()
        return b" ".join(
            (b"DSSEv1", str(len(kind)).encode(), kind, str(len(self.payload)).encode(), self.payload)
        )


def read_envelope(text: str, source: str = "") -> Envelope:
    """An envelope out of its JSON form; ``source`` is what messages call it.

    Raises
    ------
    InputError : the text is no envelope, or one of something else.
    """
    try:
        content = json.loads(text)
        if content["payloadType"] != PAYLOAD_TYPE:
            raise ValueError(f"the payload is {content['payloadType']!r}")
        signatures = tuple(
            Signature(str(one.get("keyid", "")), _decoded(one["sig"])) for one in content["signatures"]
        )
        return Envelope(_decoded(content["payload"]), signatures)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, json.JSONDecodeError):
            why = "it is not JSON"
        raise InputError(f"the file is no certificate: {why}", at=Position(source), fix=_AGAIN) from None


def _decoded(text: str) -> bytes:
    """Base64, standard or URL-safe, as DSSE wants both to be read."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


# --- keys -----------------------------------------------------------------------------------------


def signed(envelope: Envelope, key: Ed25519PrivateKey) -> Envelope:
    """The envelope with one more signature."""
    made = Signature(_key_id(key.public_key()), key.sign(envelope.to_sign))
    return Envelope(envelope.payload, (*envelope.signatures, made), envelope.payload_type)


def verified_by(envelope: Envelope, keys: Sequence[Ed25519PublicKey]) -> Refusal | None:
    """None if one of the keys made one of the signatures; otherwise why the envelope is not believed."""
    _require_cryptography()
    from cryptography.exceptions import InvalidSignature

    if not envelope.signatures:
        return Refusal(Refused.SIGNATURE, "the certificate is not signed; vet with --sign KEY")
    for signature in envelope.signatures:
        for key in keys:
            try:
                key.verify(signature.sig, envelope.to_sign)
            except InvalidSignature:
                continue
            return None
    known = {_key_id(key) for key in keys}
    if any(signature.keyid in known for signature in envelope.signatures):
        return Refusal(
            Refused.SIGNATURE, "the certificate was changed after it was signed; get it from who issued it"
        )
    return Refusal(
        Refused.SIGNATURE, "the certificate was signed with another key; use the key of who issued it"
    )


def signing_key(pem: bytes, source: str = "") -> Ed25519PrivateKey:
    """A private key out of PEM (PKCS#8, not encrypted), as ``openssl genpkey -algorithm ed25519`` writes it.

    Raises
    ------
    InputError : it is none, or the package that signs is not installed.
    """
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(source, "private") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key(source, "private")
    return key


def public_key(pem: bytes, source: str = "") -> Ed25519PublicKey:
    """A public key out of PEM, as ``openssl pkey -pubout`` writes it. Errors as in `signing_key`."""
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(source, "public") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key(source, "public")
    return key


def _key_id(key: Ed25519PublicKey) -> str:
    """The SHA-256 of the public key: a hint that saves looking for it, and nothing more."""
    from cryptography.hazmat.primitives import serialization

    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise InputError("signatures need the package cryptography", fix=_EXTRA) from None


def _no_key(source: str, which: str) -> InputError:
    ways = {
        "private": "openssl genpkey -algorithm ed25519 -out key.pem makes one",
        "public": "openssl pkey -in key.pem -pubout -out key.pub writes it",
    }
    return InputError(f"the file holds no {which} Ed25519 key in PEM", at=Position(source), fix=ways[which])
