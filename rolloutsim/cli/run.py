"""``run`` and ``resume``: execute a rollout on a cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolloutsim.cli.clearance import BreakGlass, CertificateOption, Keys, Unvetted, permit_for
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
    say,
    whoami,
)
from rolloutsim.cli.executing import execute
from rolloutsim.cli.inputs import Argo, ArgoOption
from rolloutsim.cli.manner import (
    JournalOption,
    LogOption,
    Manner,
    MetricsOption,
    NoWait,
    ProbeHost,
    ProbeOption,
    ProbeVersion,
    PrometheusHeaders,
    PrometheusOption,
    Timeout,
    journal_directory,
    probe_of,
    refuse_probe,
    servers,
)
from rolloutsim.cli.plan import Images, TemplateFile
from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from rolloutsim.live.inbox import Verb
    from rolloutsim.live.plan import Plan
    from rolloutsim.live.state import Saved

__all__ = ["resume", "resumed", "run", "seconds"]

LEASE_PATIENCE_MS = 25_000
"""A Lease whose holder died is free after 15 s."""

What = Annotated[
    str, typer.Argument(help="A plan, or a policy with --image or --template.", show_default=False)
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Try the first writes on the server and keep nothing.")
]
Shadow = Annotated[bool, typer.Option("--shadow", help="Read live facts and decide; write nothing.")]
AcceptDrift = Annotated[
    bool, typer.Option("--accept-drift", help="Go on though somebody changed objects meanwhile.")
]
Name = Annotated[str, typer.Argument(help="The rollout: the name of its policy.", show_default=False)]


def run(
    what: What,
    image: Images = None,
    template: TemplateFile = None,
    certificate: CertificateOption = None,
    key: Keys = None,
    unvetted: Unvetted = "",
    break_glass: BreakGlass = "",
    dry_run: DryRunOption = False,
    shadow: Shadow = False,
    no_wait: NoWait = False,
    timeout: Timeout = "",
    prometheus: PrometheusOption = None,
    prometheus_headers: PrometheusHeaders = None,
    traffic_probe: ProbeOption = "",
    traffic_version: ProbeVersion = "",
    traffic_host: ProbeHost = "",
    journal: JournalOption = None,
    log: LogOption = None,
    metrics_listen: MetricsOption = "",
    argo: ArgoOption = Argo.MASTER,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Execute a rollout, and stay until it is promoted or aborted.

    Needs a permit: a certificate that counts here and now, or --unvetted REASON. Run again, it goes on where
    the last one stopped. Ctrl-C stops deciding and leaves everything as it is. Exit codes: 0 promoted,
    1 aborted, 4 cluster or permission, 5 no permit or the cluster is not as planned, 6 waits for a person,
    7 no time left, 130 interrupted.
    """
    from rolloutsim.cli.planning import make_plan, read_text

    given = _read_plan(what)
    text = read_text(certificate) if certificate is not None else ""
    probe = probe_of(traffic_probe, traffic_version, traffic_host)
    manner = Manner(
        servers=servers(prometheus, prometheus_headers),
        log=log,
        metrics=metrics_listen,
        wait=not no_wait,
        timeout_s=seconds(timeout),
        writes=not shadow,
    )
    with connected(kubeconfig, context, namespace, impersonate) as site:
        if given is None:
            from rolloutsim.cli.inputs import one_policy

            chosen = one_policy(what, argo)
            if chosen.kind == "Rollout":
                from rolloutsim.cli.argo import bare_plan, preview_manifests, run_manifests

                refuse_probe(probe)
                files = what.split(",")
                if dry_run:
                    preview_manifests(site, chosen, files, image or ())
                    return
                bare = bare_plan(site, chosen, text)
                permit = permit_for(bare, key, unvetted, break_glass) if manner.writes else None
                where = journal_directory(journal, bare.namespace, bare.rollout)
                manner = replace(manner, permit=permit, journal=where)
                raise typer.Exit(int(run_manifests(site, chosen, files, image or (), manner)))
            given = make_plan(
                site,
                chosen,
                images=image or (),
                template=template,
                certificate="",
                prediction=None,
                probe=probe,
            )
        elif image or template or probe:
            raise InputError(
                "a plan holds its release already", fix="leave out --image, --template and --traffic-probe"
            )
        plan = replace(given, certificate=text or given.certificate)
        _check_place(site, plan)
        manner = replace(manner, journal=journal_directory(journal, plan.namespace, plan.rollout))
        raise typer.Exit(int(_carried_out(site, plan, manner, key, unvetted, break_glass, dry_run)))


def _carried_out(
    site: Site,
    plan: Plan,
    manner: Manner,
    keys: list[Path] | None,
    unvetted: str,
    break_glass: str,
    dry_run: bool,
) -> Exit:
    from rolloutsim.live.plan import underway
    from rolloutsim.live.standing import holder_of
    from rolloutsim.live.state import StateStore

    say(
        f"{plan.rollout} in namespace {plan.namespace} of {site.context} ({site.server}), "
        f"cluster {plan.cluster or 'uid hidden'}"
    )
    found = StateStore(site.api, plan.namespace, plan.rollout).read()
    state = found.state if found is not None else None
    if state is not None and found is not None and state.facts.asked == plan.release.revision and not dry_run:
        if not state.status.abort and not manner.writes:
            return execute(site, plan.namespace, plan.rollout, plan.release, manner)
        say("this plan was begun before; going on")
        return resumed(site, plan.namespace, plan.rollout, found, manner, accept_drift=bool(break_glass))
    if state is not None and underway(state):
        fail(
            f"{plan.rollout} is rolling out {state.facts.asked}; promote, abort or resume that one first",
            Exit.WAITING,
        )
    _check_fit(site, plan, break_glass)
    if dry_run:
        return _tried(site, plan)
    permit = permit_for(plan, keys, unvetted, break_glass) if manner.writes else None
    holder = holder_of(site.api, plan.namespace, plan.rollout, now_ms())
    dead = holder is not None and not holder.alive
    if dead:
        say("an executor that died before it began has the Lease; waiting until it has run out (15 s)")
    manner = replace(manner, permit=permit, patience_ms=LEASE_PATIENCE_MS if dead else 0)
    return execute(site, plan.namespace, plan.rollout, plan.release, manner)


def resume(
    name: Name,
    accept_drift: AcceptDrift = False,
    no_wait: NoWait = False,
    timeout: Timeout = "",
    prometheus: PrometheusOption = None,
    prometheus_headers: PrometheusHeaders = None,
    journal: JournalOption = None,
    log: LogOption = None,
    metrics_listen: MetricsOption = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Take up a rollout that nobody executes any more, from whatever machine.

    The cluster is looked at first: what somebody else changed meanwhile is named, with exit code 5, unless
    --accept-drift. A rollout that a person paused stays paused: see unpause. Exit codes as run.
    """
    manner = Manner(
        servers=servers(prometheus, prometheus_headers),
        log=log,
        metrics=metrics_listen,
        wait=not no_wait,
        timeout_s=seconds(timeout),
    )
    with connected(kubeconfig, context, namespace, impersonate) as site:
        from rolloutsim.live.standing import left_over, never_executed
        from rolloutsim.live.state import StateStore

        found = StateStore(site.api, site.namespace, name).read()
        if found is None:
            raise never_executed(name, site.namespace, left_over(site.api, site.namespace, name))
        say(f"{name} in namespace {site.namespace} of {site.context} ({site.server})")
        manner = replace(manner, journal=journal_directory(journal, site.namespace, name))
        raise typer.Exit(int(resumed(site, site.namespace, name, found, manner, accept_drift=accept_drift)))


def resumed(
    site: Site, namespace: str, name: str, found: Saved, manner: Manner, *, accept_drift: bool
) -> Exit:
    """Go on from the state in the cluster, if anything is left to do."""
    from rolloutsim.cli.status import ago
    from rolloutsim.engine import deadline
    from rolloutsim.live.drift import drift
    from rolloutsim.live.executor import Ending, ending
    from rolloutsim.live.release import release_of
    from rolloutsim.live.standing import holder_of

    asked = _left_there(found)
    if found.state is not None and found.plan:
        release, _ = release_of(found.plan)
        policy, state = release.policy, found.state
        if not asked and state.facts.asked == release.revision:
            stands = ending(policy, state, deadline(policy, state))
            if stands is Ending.PROMOTED:
                typer.echo(f"promoted: {state.status.stable} is stable; nothing is left to do")
                return Exit.FINE
            if stands is Ending.ABORTED:
                typer.echo(
                    f"aborted: {state.status.stable} serves everybody; rolloutsim retry {name} tries again"
                )
                return Exit.FAILED
        differences = drift(site.api, policy, namespace, state)
        for difference in differences:
            say(f"changed meanwhile: {difference}")
        if differences and not accept_drift and "abort" not in asked:
            fail(
                f"the cluster is not as {name} was left; rolloutsim abort {name}, or resume with "
                "--accept-drift",
                Exit.NOT_VETTED,
            )
    record: dict[str, Any] = {"how": "resumed", "who": whoami()}
    holder = holder_of(site.api, namespace, name, now_ms())
    if holder is not None:
        say(
            f"{holder.identity} has its Lease, renewed {ago(holder.renewed_ms)} ago; waiting for its end, "
            f"{LEASE_PATIENCE_MS // 1000} s at most"
        )
    return execute(
        site,
        namespace,
        name,
        None,
        replace(manner, patience_ms=LEASE_PATIENCE_MS, permit=record),
    )


def _left_there(found: Saved) -> set[Verb]:
    """What people asked for and nobody has heard."""
    from rolloutsim.live.inbox import Verb
    from rolloutsim.live.memory import command_of

    left = command_of(found.command) if found.command else None
    return {*([Verb.ABORT] if found.abort else []), *([left.verb] if left is not None else [])}


def _read_plan(what: str) -> Plan | None:
    """The plan in a file; None: it is a manifest."""
    from rolloutsim.cli.planning import read_text
    from rolloutsim.live.plan import PlanChanged, read_plan

    path = Path(what)
    if not path.is_file():
        return None
    text = read_text(path)
    if not text.lstrip().startswith("{"):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        if '"kind": "Plan"' in text:
            raise InputError(
                "the plan is not whole", at=Position(what), fix="make it again with rolloutsim plan"
            ) from None
        return None
    if not isinstance(content, dict) or content.get("kind") != "Plan":
        return None
    try:
        return read_plan(text, what)
    except PlanChanged as error:
        fail(str(error), Exit.NOT_VETTED)


def _check_place(site: Site, plan: Plan) -> None:
    """The plan is for this very cluster and namespace, or exit code 5."""
    from rolloutsim.live.kubernetes import cluster_uid

    here = cluster_uid(site.api)
    same = here == plan.cluster if here and plan.cluster else site.server == plan.server
    if not same:
        fail(
            f"the plan is for the cluster {plan.cluster or plan.server} and this is {here or site.server}; "
            "pass --context, or plan again",
            Exit.NOT_VETTED,
        )
    if site.chosen and site.namespace != plan.namespace:
        fail(
            f"the plan is for the namespace {plan.namespace}, not {site.namespace}; leave out --namespace, "
            "or plan again",
            Exit.NOT_VETTED,
        )


def _check_fit(site: Site, plan: Plan, break_glass: str) -> None:
    """Nobody changed the objects since the plan was made, and all rights are there."""
    from rolloutsim.cli.planning import lacking
    from rolloutsim.live.cluster import needed_rights
    from rolloutsim.live.permissions import missing_rights
    from rolloutsim.live.plan import changed_since
    from rolloutsim.live.routers import router_for
    from rolloutsim.live.workload import SlotPair

    changed = changed_since(site.api, plan)
    if changed and not break_glass.strip():
        fail(
            f"{', '.join(changed)} changed since the plan was made ({plan.made}); plan again",
            Exit.NOT_VETTED,
        )
    policy = plan.release.policy
    slots = SlotPair(site.api, policy, plan.namespace)
    router = router_for(site.api, policy, plan.namespace)
    missing = missing_rights(site.api, plan.namespace, needed_rights(policy, plan.namespace, slots, router))
    if missing:
        lacking(missing)


def _tried(site: Site, plan: Plan) -> Exit:
    """The first writes, tried on the server."""
    from rolloutsim.live.preview import preview

    for change in preview(site.api, plan.release, plan.namespace, plan.stable):
        typer.echo(change.object + (" (new)" if change.new else ""))
        for line in change.lines:
            typer.echo(f"  {line}")
    typer.echo("the server would accept the first writes; nothing was written")
    return Exit.FINE


def seconds(text: str) -> float | None:
    """A duration in Go's style, None for an empty one. Raises InputError."""
    from rolloutsim.policy.durations import go_duration_ns

    if not text:
        return None
    try:
        found = go_duration_ns(text) / 1e9
    except ValueError:
        found = 0.0
    if found <= 0:
        raise InputError("a duration is a number with a unit", value=text, fix="for example 90s or 1h30m")
    return found
