"""``abort`` and ``undo``: back to the revision that served before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

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
    say,
    whoami,
)
from rolloutsim.cli.executing import execute
from rolloutsim.cli.manner import (
    JournalOption,
    LogOption,
    Manner,
    NoWait,
    PrometheusHeaders,
    PrometheusOption,
    Timeout,
    journal_directory,
    servers,
)
from rolloutsim.cli.run import LEASE_PATIENCE_MS, Name, seconds
from rolloutsim.errors import ExecutorError

if TYPE_CHECKING:
    from rolloutsim.live.asking import Subject
    from rolloutsim.live.executor import Ending, Executor
    from rolloutsim.live.standing import Holder

__all__ = ["abort", "undo"]

Answer = TypeVar("Answer")

OBEYS_S = 5.0
"""A live executor obeys within this time; then the abort acts by itself."""
BACK_S = 60.0
"""How long an abort tries to bring everybody back by itself, and waits for the aborted pods to go."""
LONG_DEAD_MS = 30_000
"""A Lease of 15 s that was not renewed for so long by our clock is not waited for: that clock would have to
be wrong by more than 15 s, and whoever holds the Lease was told to abort as well."""
INSISTS_S = 15.0
"""How long what may pass (no answer, an overloaded server) is tried again: an abort is typed when things
break, and may be done twice."""
STUCK_S = 10.0
"""How long an executor that lost its Lease may still be in the middle of a write."""

Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.", show_default=False)]
ToRevision = Annotated[
    str, typer.Option("--to-revision", help="The revision's id or number.", show_default="the one before")
]


def abort(
    name: Name,
    reason: Reason = "",
    journal: JournalOption = None,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Roll back: everybody to the stable revision, now.

    Needs a kubeconfig and nothing else. A live executor obeys within 5 s; else this takes over and does it.
    Prints what to type by hand as well. Again, it does no harm. Exit codes: 0 back on stable, 1 there is
    nothing to abort, 4 the cluster refuses.
    """
    from rolloutsim.cli import argo
    from rolloutsim.live.inbox import Verb

    with connected(kubeconfig, context, namespace, impersonate) as site:
        if _insisted(lambda: argo.follows(site, name)):
            raise typer.Exit(int(argo.command(site, name, Verb.ABORT)))
        raise typer.Exit(int(_aborted(site, name, reason, journal)))


def _aborted(site: Site, name: str, reason: str, journal: Path | None) -> Exit:
    from rolloutsim.engine import deadline
    from rolloutsim.live.asking import Heard, ask, subject, wait_for
    from rolloutsim.live.byhand import rollback_lines
    from rolloutsim.live.inbox import Command, Verb
    from rolloutsim.live.plan import underway
    from rolloutsim.live.standing import holder_of

    about = _insisted(lambda: subject(site.api, site.namespace, name))
    status = about.state.status
    say(f"{name} in namespace {site.namespace} of {site.context} ({site.server})")
    if not status.abort and not underway(about.state):
        fail(
            f"nothing is being rolled out: {status.stable} is stable already; rolloutsim undo {name} goes "
            "back to the revision before",
            Exit.FAILED,
        )
    lines = rollback_lines(site.api, about.policy, site.namespace, about.state, site.kubectl)
    if lines:
        say("\n  ".join(("by hand:", *lines)))
    if status.abort and deadline(about.policy, about.state) is None and _back(site, about):
        typer.echo(f"aborted already: {status.stable} serves everybody")
        return Exit.FINE
    command = Command(Verb.ABORT, f"{whoami()}: {reason}" if reason else whoami())
    if not status.abort:
        _insisted(lambda: ask(site.api, about, command))
    holder = _insisted(lambda: holder_of(site.api, site.namespace, name, now_ms()))
    if holder is not None and holder.alive:
        say(f"asked {holder.identity}, which executes it")
        if wait_for(site.api, about, command, OBEYS_S) is Heard.OBEYED and _back_soon(site, about, OBEYS_S):
            typer.echo(f"aborted: {status.stable} serves everybody")
            return Exit.FINE
        say("it does not obey in time; taking over")
    return _by_itself(site, about, command, holder, journal)


def _problem(site: Site, about: Subject) -> str:
    """What is wrong with the objects, in words; "" if that cannot be told."""
    from rolloutsim.live.standing import standing

    try:
        return standing(site.api, about.namespace, about.name, now_ms()).problem
    except ExecutorError:
        return ""


def _by_itself(
    site: Site, about: Subject, command: object, holder: Holder | None, journal: Path | None
) -> Exit:
    """Take the Lease and execute the abort here."""
    from rolloutsim.live.inbox import Command, Verb

    assert isinstance(command, Command)
    directory = journal_directory(journal, about.namespace, about.name)
    manner = Manner(
        journal=directory if _writable(directory) else None,
        measures=False,
        plain=True,
        timeout_s=BACK_S,
        # an abort that was heard, and then paused by a person, still has pods to take away
        commands=(Command(Verb.RESUME, whoami()),) if about.state.facts.paused else (),
        patience_ms=LEASE_PATIENCE_MS,
        permit={"how": "abort", "who": command.actor},
    )
    if holder is not None and holder.renewed_ms > LONG_DEAD_MS:
        say(f"{holder.identity} has not been heard of for {holder.renewed_ms // 1000} s")
        _evicted(site, about)
    elif holder is not None:
        say("waiting until its Lease has run out (15 s)")
    said = partial(_said, site, about)
    try:
        return _insisted(lambda: execute(site, about.namespace, about.name, None, manner, said))
    except ExecutorError as error:
        if _back_soon(site, about, 0.0):
            typer.echo(f"aborted: {about.state.status.stable} serves everybody")
            return Exit.FINE
        if not _evicted(site, about):
            raise
        say(f"{error}; it is put out, and gets {STUCK_S:.0f} s to notice")
        time.sleep(STUCK_S)
        return execute(site, about.namespace, about.name, None, manner, said)


def _insisted(call: Callable[[], Answer]) -> Answer:
    """The answer of ``call``; a cluster that does not answer is asked again for a while."""
    from rolloutsim.live.port import Throttled, Unknown, Unreachable

    ends = time.monotonic() + INSISTS_S  # noqa: TID251 - how long to try decides nothing
    told = False
    while True:
        try:
            return call()
        except (Throttled, Unknown, Unreachable) as error:
            if time.monotonic() >= ends:  # noqa: TID251
                raise ExecutorError(f"{error}; abort again, it may be done twice") from None
            if not told:
                say(f"{error}; it is tried for {INSISTS_S:g} s")
            told = True
            time.sleep(1.0)


def _said(
    site: Site, about: Subject, name: str, stands: Ending, stopped: Exit | None, executor: Executor
) -> Exit:
    """How the abort ended here, in one line."""
    from rolloutsim.live.executor import Ending

    status = executor.loop.session.state.status
    if stands is Ending.ABORTED:
        typer.echo(f"aborted: {status.stable} serves everybody; {status.message}")
        return Exit.FINE
    if _back_soon(site, about, 0.0):
        typer.echo(
            f"aborted: {status.stable} serves everybody; {status.current} keeps its pods until they are due: "
            f"rolloutsim resume {name} ends them"
        )
        return Exit.FINE
    why = "interrupted" if stopped is Exit.INTERRUPTED else f"{BACK_S:g} s have passed"
    problem = _problem(site, about) or "what is said above could not be done"
    say(f"error: {why} and not everybody is back on {status.stable}: {problem}; then abort again")
    return stopped if stopped is Exit.INTERRUPTED else Exit.CLUSTER


def _evicted(site: Site, about: Subject) -> bool:
    """Take the Lease away from an executor that renews it and does not listen; whether there was one."""
    from rolloutsim.live.port import LEASE, ApiError, Ref

    ref = Ref(LEASE, about.namespace, f"rolloutsim-{about.name}")
    try:
        found = site.api.get(ref)
        if not found.get("spec", {}).get("holderIdentity"):
            return False
        site.api.replace(ref, {**found, "spec": {**found["spec"], "holderIdentity": ""}})
    except ApiError:
        return False
    return True


def _back_soon(site: Site, about: Subject, patience_s: float) -> bool:
    """Whether everybody is back on stable, at the latest after ``patience_s``."""
    from rolloutsim.live.port import ApiError

    ends = time.monotonic() + patience_s  # noqa: TID251 - how long to wait decides nothing
    while True:
        try:
            if _back(site, about):
                return True
        except ApiError as error:
            say(str(error))
        if time.monotonic() >= ends:  # noqa: TID251
            return False
        time.sleep(0.2)


def _back(site: Site, about: Subject) -> bool:
    """Whether the cluster shows that no request goes to another revision than stable."""
    from rolloutsim.engine import Role
    from rolloutsim.live.routers import router_for
    from rolloutsim.live.slots import holding
    from rolloutsim.live.workload import SlotPair, look
    from rolloutsim.policy.model import Canary

    policy, status = about.policy, about.state.status
    slots = SlotPair(site.api, policy, about.namespace)
    router = router_for(site.api, policy, about.namespace)
    objects = look(site.api, tuple(dict.fromkeys((*slots.refs, *router.watches))))
    routed = router.read(objects)
    if isinstance(policy.strategy, Canary) and policy.strategy.routing is None:
        slot = holding(slots.read(objects), status.current)
        return slot is None or (slot.settled and slot.created == 0)
    services = dict(routed.services)
    if any(services.get(role, status.stable) != status.stable for role in (Role.STABLE, Role.ACTIVE)):
        return False
    weighed = routed.weighed
    weight = weighed.weight if isinstance(policy.strategy, Canary) else 0
    return weight == 0 and weighed.verified is not False


def _writable(directory: Path) -> bool:
    """Whether a journal can be written; an abort does without one."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def undo(
    name: Name,
    to_revision: ToRevision = "",
    no_wait: NoWait = False,
    timeout: Timeout = "",
    prometheus: PrometheusOption = None,
    prometheus_headers: PrometheusHeaders = None,
    journal: JournalOption = None,
    log: LogOption = None,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Release the revision that was stable before again, under the same policy. Exit codes as run.

    The other Deployment still holds its pod template. While it has pods of it, blue-green switches at once.
    """
    from rolloutsim.cli import argo

    manner = Manner(
        servers=servers(prometheus, prometheus_headers),
        log=log,
        wait=not no_wait,
        timeout_s=seconds(timeout),
        permit={"how": "undo", "who": whoami()},
    )
    with connected(kubeconfig, context, namespace, impersonate) as site:
        if argo.follows(site, name):
            raise typer.Exit(int(argo.undo(site, name, to_revision)))
        manner = replace(manner, journal=journal_directory(journal, site.namespace, name))
        raise typer.Exit(int(_undone(site, name, to_revision, manner)))


def _undone(site: Site, name: str, wanted: str, manner: Manner) -> Exit:
    from rolloutsim.cli.planning import fields_of
    from rolloutsim.live.asking import subject
    from rolloutsim.live.plan import underway
    from rolloutsim.live.release import Release
    from rolloutsim.live.workload import SlotPair, look

    about = subject(site.api, site.namespace, name)
    state, stable = about.state, about.state.status.stable
    if underway(state):
        fail(f"{state.facts.asked} is being rolled out; rolloutsim abort {name} goes back", Exit.FAILED)
    if state.status.abort:
        fail(
            f"{state.facts.asked} was aborted and {stable} serves everybody, so there is nothing to undo; "
            f"rolloutsim retry {name} tries {state.facts.asked} again",
            Exit.FAILED,
        )
    slots = SlotPair(site.api, about.policy, site.namespace)
    objects = look(site.api, slots.refs)
    numbers = {revision.id: str(revision.number) for revision in state.facts.revisions}
    others = [
        slot for slot in slots.read(objects) if slot.exists and slot.revision != stable and not slot.edited
    ]
    known = [slot for slot in others if wanted in ("", slot.revision, numbers.get(slot.revision))]
    if not known:
        held = ", ".join(slot.revision for slot in others) or "none"
        fail(
            f"no Deployment holds {wanted or 'another revision'} (held: {held}); use rolloutsim plan",
            Exit.FAILED,
        )
    slot = known[0]
    template = objects[slot.ref]["spec"]["template"]
    warm = f"{slot.available} of its pods are there" if slot.available else "it has no pods: they start first"
    say(f"{name}: back to {slot.revision} in {slot.ref}; {warm}")
    fields = fields_of(about.policy, site.namespace, template)
    release = Release(about.policy, slot.revision, {slot.revision: template}, fields)
    return execute(site, site.namespace, name, release, replace(manner, patience_ms=LEASE_PATIENCE_MS))
