"""``plan``: what a run would do, looked at before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rolloutsim.cli.clearance import CertificateOption, Keys, refusals_of
from rolloutsim.cli.cluster import As, Context, Exit, Kubeconfig, Namespace, connected, say
from rolloutsim.cli.inputs import Argo, ArgoOption
from rolloutsim.cli.manner import ProbeHost, ProbeOption, ProbeVersion, probe_of, refuse_probe
from rolloutsim.cli.output import writing

__all__ = ["Images", "Out", "PolicyFile", "ScenarioOption", "TemplateFile", "plan"]

PolicyFile = Annotated[
    str,
    typer.Argument(help="A RolloutPolicy or a Rollout; a.yaml,b.yaml belong together.", show_default=False),
]
Images = Annotated[
    list[str] | None,
    typer.Option("--image", help="The new IMAGE, or CONTAINER=IMAGE; may be repeated.", show_default=False),
]
TemplateFile = Annotated[
    Path | None,
    typer.Option("--template", help="A file with the new pod template (a Deployment).", show_default=False),
]
ScenarioOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scenario", "-s", help="Predict in this scenario, as simulate has it.", show_default=False
    ),
]
Out = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the plan here.", show_default="none is written")
]
Runs = Annotated[int, typer.Option("--runs", min=1, help="Simulated runs for the prediction.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Root of their randomness.")]


def plan(
    policy: PolicyFile,
    image: Images = None,
    template: TemplateFile = None,
    scenario: ScenarioOption = None,
    runs: Runs = 100,
    seed: Seed = 1,
    certificate: CertificateOption = None,
    key: Keys = None,
    traffic_probe: ProbeOption = "",
    traffic_version: ProbeVersion = "",
    traffic_host: ProbeHost = "",
    output: Out = None,
    argo: ArgoOption = Argo.MASTER,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Look at the cluster and say what a run would do: objects, changes, rights, dangers, odds.

    Nothing is written to the cluster; the first writes are tried there and not kept. 'rolloutsim run PLAN'
    does exactly what a plan says, as long as nobody changed the objects. Exit code 4: a right is missing.
    """
    from rolloutsim.cli.forecast import forecast
    from rolloutsim.cli.inputs import one_policy
    from rolloutsim.cli.planning import described, make_plan, read_text
    from rolloutsim.live.plan import plan_text

    chosen = one_policy(policy, argo)
    probe = probe_of(traffic_probe, traffic_version, traffic_host)
    text = read_text(certificate) if certificate is not None else ""
    with connected(kubeconfig, context, namespace, impersonate) as site:
        if chosen.kind == "Rollout":
            from rolloutsim.cli.argo import preview_manifests

            refuse_probe(probe)

            preview_manifests(site, chosen, policy.split(","), image or ())
            return
        prediction = forecast(chosen, scenario, runs, seed) if scenario else None
        made = make_plan(
            site,
            chosen,
            images=image or (),
            template=template,
            certificate=text,
            prediction=prediction,
            probe=probe,
        )
    for line in described(made):
        sys.stdout.write(line + "\n")
    if made.certificate:
        for why in refusals_of(made, key):
            say(f"the certificate would be refused: {why}")
    if output is not None:
        with writing(output):
            output.write_text(plan_text(made), encoding="utf-8")
        say(f"written to {output}; run it with: rolloutsim run {output}")
    if made.missing:
        raise typer.Exit(int(Exit.CLUSTER))
