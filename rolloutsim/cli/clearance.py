"""Leave to run a policy: a certificate that counts here and now, or a reason to go without one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolloutsim.cli.cluster import Exit, fail, say, whoami
from rolloutsim.cli.planning import now, read_text

if TYPE_CHECKING:
    from rolloutsim.live.plan import Plan

__all__ = ["BreakGlass", "CertificateOption", "Keys", "Unvetted", "permit_for", "refusals_of"]

CertificateOption = Annotated[
    Path | None, typer.Option("--certificate", help="A certificate of rolloutsim vet.", show_default=False)
]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key",
        envvar="ROLLOUTSIM_KEY",
        help="A public Ed25519 key (PEM), one of which has to have signed it; may be repeated.",
        show_default=False,
    ),
]
Unvetted = Annotated[
    str, typer.Option("--unvetted", help="Run without a certificate, and why. Recorded.", show_default=False)
]
BreakGlass = Annotated[
    str,
    typer.Option(
        "--break-glass",
        help="Run though the certificate does not count or the plan no longer fits, and why. Recorded.",
        show_default=False,
    ),
]


def permit_for(plan: Plan, keys: Sequence[Path] | None, unvetted: str, break_glass: str) -> dict[str, Any]:
    """The record of the leave to run; without one, exit code 5."""
    record = {"who": whoami(), "at": now().isoformat(timespec="seconds"), "policyDigest": plan.policy_digest}
    reason = break_glass.strip() or unvetted.strip()
    if not plan.certificate:
        if not reason:
            fail(
                f"the policy {plan.rollout} has no certificate; vet it, or say why it may run without one: "
                "--unvetted REASON",
                Exit.NOT_VETTED,
            )
        say(f"runs without a certificate: {reason}")
        return {**record, "how": "break-glass" if break_glass.strip() else "unvetted", "reason": reason}
    refused = refusals_of(plan, keys)
    if refused and not break_glass.strip():
        for why in refused:
            say(f"refused: {why}")
        fail("the certificate does not count; vet again, or --break-glass REASON", Exit.NOT_VETTED)
    if refused:
        say(f"runs though {'; '.join(refused)}: {break_glass.strip()}")
        return {**record, "how": "break-glass", "reason": break_glass.strip(), "refused": refused}
    return {**record, "how": "certificate", "certificate": _issued(plan), "signatureChecked": bool(keys)}


def refusals_of(plan: Plan, keys: Sequence[Path] | None) -> list[str]:
    """What speaks against the plan's certificate, here and now; empty if nothing does.

    Raises
    ------
    InputError : it is no certificate, or a key is none.
    """
    from rolloutsim.permit import (
        Place,
        public_key,
        read_envelope,
        refusals,
        running,
        unpack,
        verified_by,
    )

    envelope = read_envelope(plan.certificate, "certificate")
    if keys:
        known = [public_key(read_text(path).encode(), str(path)) for path in keys]
        forged = verified_by(envelope, known)
        if forged is not None:
            return [forged.why]
    else:
        say("the certificate's signature is not checked: give --key PUBLIC-KEY")
    found = refusals(
        unpack(envelope.payload, "certificate"),
        policy_digest=plan.policy_digest,
        now=now(),
        running=running(),
        place=Place(plan.cluster, plan.namespace),
    )
    return [refusal.why for refusal in found]


def _issued(plan: Plan) -> str:
    from rolloutsim.permit import read_envelope, unpack

    certificate = unpack(read_envelope(plan.certificate).payload)
    met = sum(bar.met for bar in certificate.bars)
    return (
        f"{met} of {len(certificate.bars)} bars met, issued {certificate.issued}, until {certificate.expires}"
    )
