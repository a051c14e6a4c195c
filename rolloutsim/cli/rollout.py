"""What people type while a rollout goes on: promote, pause, unpause, retry, abort, undo.

Each goes through the rollout's ConfigMap, so it works from any machine and needs no executor to be near. On
an installed Argo Rollouts controller they send that controller's own commands.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.cli.cluster import (
    As,
    Context,
    Exit,
    Kubeconfig,
    Namespace,
    Site,
    connected,
    fail,
    now_ms,
    whoami,
)
from rolloutsim.cli.run import Name
from rolloutsim.errors import ExecutorError, InputError

if TYPE_CHECKING:
    from rolloutsim.live.asking import Subject
    from rolloutsim.live.inbox import Verb

__all__ = ["pause", "promote", "retry", "unpause"]

HEARD_S = 10.0
"""How long a command waits to be heard before it is left to itself."""

Full = Annotated[bool, typer.Option("--full", help="Skip all pauses, steps and analyses.")]
SkipStep = Annotated[
    bool, typer.Option("--skip-current-step", help="Leave the present step behind, whatever it is.")
]
SkipAll = Annotated[bool, typer.Option("--skip-all-steps", help="Leave all steps behind.")]


def promote(
    name: Name,
    full: Full = False,
    skip_current_step: SkipStep = False,
    skip_all_steps: SkipAll = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Go on: end a pause, or skip the present step if there is none. As kubectl argo rollouts promote.

    Exit code 6: nobody executes the rollout, and the next who resumes it will hear this.
    """
    from rolloutsim.live.inbox import Verb

    if full + skip_current_step + skip_all_steps > 1:
        raise InputError(
            "--full, --skip-current-step and --skip-all-steps exclude each other", fix="take one"
        )
    verb = Verb.PROMOTE
    if full:
        verb = Verb.PROMOTE_FULL
    elif skip_current_step:
        verb = Verb.SKIP_STEP
    elif skip_all_steps:
        verb = Verb.SKIP_ALL_STEPS
    with connected(kubeconfig, context, namespace, impersonate) as site:
        raise typer.Exit(int(_sent(site, name, verb)))


def pause(
    name: Name,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Hold the rollout where it is: no step completes until unpause or promote."""
    from rolloutsim.live.inbox import Verb

    with connected(kubeconfig, context, namespace, impersonate) as site:
        raise typer.Exit(int(_sent(site, name, Verb.PAUSE)))


def unpause(
    name: Name,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """End a pause of 'pause'; pauses of the policy itself end with promote."""
    from rolloutsim.live.inbox import Verb

    with connected(kubeconfig, context, namespace, impersonate) as site:
        raise typer.Exit(int(_sent(site, name, Verb.RESUME)))


def retry(
    name: Name,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Begin an aborted update again from its first step, with new analyses. Then: rolloutsim resume."""
    from rolloutsim.live.inbox import Verb

    with connected(kubeconfig, context, namespace, impersonate) as site:
        raise typer.Exit(int(_sent(site, name, Verb.RETRY)))


def _sent(site: Site, name: str, verb: Verb) -> Exit:
    from rolloutsim.cli import argo
    from rolloutsim.live.asking import Heard, ask, pointless, subject, wait_for
    from rolloutsim.live.inbox import Command, Verb
    from rolloutsim.live.standing import holder_of

    if argo.follows(site, name):
        return argo.command(site, name, verb)
    about = subject(site.api, site.namespace, name)
    why = pointless(about, verb)
    if why:
        fail(why, Exit.FAILED)
    # a pause holds whatever comes; what moves traffic is meant for the revision that the person looked at
    revision = "" if verb is Verb.PAUSE else about.state.facts.asked
    command = Command(verb, whoami(), secrets.token_hex(8), revision)
    ask(site.api, about, command)
    holder = holder_of(site.api, site.namespace, name, now_ms())
    if holder is None or not holder.alive:
        typer.echo(f"{verb} is left for {name}, which nobody executes; go on with: rolloutsim resume {name}")
        return Exit.WAITING
    if wait_for(site.api, about, command, HEARD_S) is Heard.WAITING:
        typer.echo(
            f"{verb} is left for {name}, but {holder.identity} has not heard it; see rolloutsim status"
        )
        return Exit.TIMEOUT
    typer.echo(_now_stands(site, about))
    return Exit.FINE


def _now_stands(site: Site, about: Subject) -> str:
    from rolloutsim.live.standing import standing

    try:
        now = standing(site.api, about.namespace, about.name, now_ms())
    except ExecutorError as error:
        return f"heard; how it stands cannot be read now: {error}"
    step = f" at step {now.step_index} of {now.steps}" if now.steps else ""
    said = f": {now.message}" if now.message else ""
    return f"heard; {now.rollout} is {now.phase or now.stands}{step}{said}"
