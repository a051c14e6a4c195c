"""``verify``: does a certificate count for this policy, here and now?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from rolloutsim.permit import Certificate, Envelope, Place, Refusal

__all__ = ["verify"]

REFUSED = 5


class Form(StrEnum):
    """Forms of the answer on standard output."""

    TEXT = "text"
    JSON = "json"


def verify(
    certificate: Annotated[Path, typer.Argument(help="A certificate of rolloutsim vet.", show_default=False)],
    policy: Annotated[
        str, typer.Option("--policy", "-p", help="The policy it is to be for.", show_default=False)
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            help="A public Ed25519 key (PEM), one of which has to have signed it; may be repeated.",
            show_default=False,
        ),
    ] = None,
    service: Annotated[
        Path | None,
        typer.Option(
            "--service", "-s", help="The service on which it has to have been vetted.", show_default=False
        ),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(
            help="With --service: the faults against which it has to have been vetted.",
            show_default="the standard suite",
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="The cluster to run in, with --namespace.", show_default=False)
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="The namespace to run in.", show_default=False),
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="text or json.")] = Form.TEXT,
) -> None:
    """Verify a certificate: signature, policy, suite, bars, time, place and versions.

    Exit code 0: it counts; 5: it does not, and each reason is printed; 2: wrong input.
    """
    from rolloutsim.cli.inputs import one_policy
    from rolloutsim.permit import read_envelope, refusals, running, unpack, verified_by
    from rolloutsim.policy import digest

    chosen = one_policy(policy)
    envelope = read_envelope(_read(certificate).decode(errors="replace"), str(certificate))
    # a signature that does not hold is the only thing to say: nothing else in there is to be believed
    forged = verified_by(envelope, _keys(key)) if key else None
    found = unpack(envelope.payload, str(certificate)) if forged is None else None
    reasons = [forged] if forged is not None else []
    if found is not None:
        reasons += refusals(
            found,
            policy_digest=digest(chosen),
            now=_now(),
            running=running(),
            place=_place(cluster, namespace),
            suite_digest=_suite_digest(service, suite),
        )
    if output is Form.JSON:
        typer.echo(json.dumps(_document(found, reasons, bool(key)), indent=2, ensure_ascii=False))
    else:
        _print(found, reasons)
    for line in _unchecked(envelope, bool(key), found, service, cluster):
        typer.echo(line, err=True)
    if reasons:
        raise typer.Exit(REFUSED)


def _print(found: Certificate | None, reasons: Sequence[Refusal]) -> None:
    for refusal in reasons:
        typer.echo(f"refused ({refusal.kind}): {refusal.why}")
    if found is not None and not reasons:
        met = sum(bar.met for bar in found.bars)
        waived = sum(not bar.met for bar in found.bars)
        typer.echo(
            f"counts: policy {found.policy} met {met} of {len(found.bars)} bars of suite {found.suite} on "
            f"service {found.service}" + (f", {waived} waived" if waived else "") + f"; until {found.expires}"
        )
        for bar in found.bars:
            typer.echo(f"met: {bar.bar}" if bar.met else f"waived: {bar.bar}: {bar.waiver}")


def _unchecked(
    envelope: Envelope, keyed: bool, found: Certificate | None, service: Path | None, cluster: str | None
) -> list[str]:
    """What was not looked at, so that nobody takes it for granted."""
    lines = []
    if not keyed:
        lines.append(
            "the signature was not checked: give --key"
            if envelope.signatures
            else "the certificate is not signed: anybody could have written it"
        )
    if service is None and found is not None:
        lines.append("the suite was not checked: give --service, and --suite unless it is the standard one")
    if cluster is None and found is not None and (found.clusters or found.namespaces):
        lines.append("the place was not checked: give --cluster and --namespace")
    return lines


def _document(found: Certificate | None, reasons: Sequence[Refusal], keyed: bool) -> dict[str, object]:
    from rolloutsim.engine.codec import to_json

    return {
        "apiVersion": "rolloutsim.dev/v1alpha1",
        "kind": "Verification",
        "counts": not reasons,
        "refusals": [{"kind": str(refusal.kind), "why": refusal.why} for refusal in reasons],
        "signatureChecked": keyed,
        "certificate": None if found is None else to_json(found),
    }


def _suite_digest(service: Path | None, suite: Path | None) -> str | None:
    from rolloutsim.evidence.suite import chosen_suite

    if service is not None:
        return chosen_suite(service, suite).digest
    if suite is not None:
        raise InputError("a suite is played on a service", fix="give --service with --suite")
    return None


def _place(cluster: str | None, namespace: str | None) -> Place | None:
    from rolloutsim.permit import Place

    if cluster is None and namespace is None:
        return None
    if cluster is None or namespace is None:
        raise InputError("a place is a cluster and a namespace", fix="give --cluster and --namespace")
    return Place(cluster, namespace)


def _keys(paths: Sequence[Path] | None) -> list[Ed25519PublicKey]:
    from rolloutsim.permit import public_key

    return [public_key(_read(path), str(path)) for path in paths or ()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", at=Position(str(path))) from None


def _now() -> datetime:
    # whether a certificate has expired depends on the time
    return datetime.now(UTC)  # noqa: TID251
