"""``export``: a policy back to manifests."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.inputs import Argo, ArgoOption, dialect
from rolloutsim.cli.output import check_output, writing

if TYPE_CHECKING:
    from rolloutsim.policy.export import Exported
    from rolloutsim.policy.model import Policy

__all__ = ["export"]


class To(StrEnum):
    """What a policy can be written as."""

    ARGO = "argo"
    NATIVE = "native"


class Losses(StrEnum):
    """Forms of the list of losses on standard error."""

    TEXT = "text"
    JSON = "json"


def export(
    files: Annotated[list[str], typer.Argument(help="The manifests of one rollout; all belong together.")],
    to: Annotated[
        To, typer.Option("--to", help="argo: Rollout, AnalysisTemplates, Services; native: RolloutPolicy.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Which rollout, if the files hold several.", show_default=False)
    ] = None,
    argo: ArgoOption = Argo.MASTER,
    out: Annotated[Path | None, typer.Option(help="Write to this file.", show_default=False)] = None,
    losses: Annotated[Losses, typer.Option(help="Form of the list of losses: text or json.")] = Losses.TEXT,
) -> None:
    """Write a policy as Argo Rollouts' manifests or as a RolloutPolicy.

    What the new form does not keep is listed on standard error.
    """
    from rolloutsim.cli.output import Output
    from rolloutsim.policy import load_policy
    from rolloutsim.policy.export import export_policy, read_manifests

    check_output(Output.TABLE, out, None)
    paths = [part for file in files for part in file.split(",")]
    policy = load_policy(*paths, name=name, dialect=dialect(argo))
    exported = export_policy(policy, to.value, read_manifests(*paths))
    if out is None:
        sys.stdout.write(exported.text)
    else:
        with writing(out):
            out.write_text(exported.text, encoding="utf-8", newline="\n")
    typer.echo(_told(policy, exported, losses), err=True, nl=False)


def _told(policy: Policy, exported: Exported, form: Losses) -> str:
    from rolloutsim.policy import digest

    before, after = digest(policy), digest(exported.policy)
    if form is Losses.JSON:
        document = {
            "apiVersion": "rolloutsim.dev/v1alpha1",
            "kind": "Losses",
            "policy": policy.name,
            "digest": before,
            "exportedDigest": after,
            "losses": [
                {"path": loss.path, "why": loss.why, "decides": loss.decides} for loss in exported.losses
            ],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    lines = [f"lost: {loss}" for loss in sorted(exported.losses, key=lambda loss: not loss.decides)]
    if before != after and not any(loss.decides for loss in exported.losses):
        lines.append("the digest is another one, so a permit for the old policy does not hold for this one")
    return "".join(f"{line}\n" for line in lines)
