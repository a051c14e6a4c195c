"""``status`` and ``explain``: how a rollout stands, and why."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolloutsim.cli.cluster import As, Context, Exit, Kubeconfig, Namespace, Site, connected, now_ms, say
from rolloutsim.cli.run import Name
from rolloutsim.errors import ExecutorError, InputError, Position

if TYPE_CHECKING:
    from rolloutsim.live.standing import Gate, Standing

__all__ = ["ago", "explain", "status", "status_lines", "waits_for"]

LOOK_AGAIN_S = 1.0


class Form(StrEnum):
    """Forms of an answer."""

    TABLE = "table"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--output", "-o", help="table or json.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on until the rollout is over.")]


def status(
    name: Name,
    watch: Watch = False,
    output: FormOption = Form.TABLE,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Say how a rollout stands, from the cluster alone: no executor has to be near.

    Exit codes: 0 promoted or going on, 1 aborted, 4 the cluster cannot be read or there is no such rollout,
    6 waits for a person or nobody executes it.
    """
    from rolloutsim.cli import argo

    with connected(kubeconfig, context, namespace, impersonate) as site:
        if argo.follows(site, name):
            raise typer.Exit(int(argo.status(site, name, watch, output.value)))
        raise typer.Exit(int(_shown(site, name, watch, output)))


def _shown(site: Site, name: str, watch: bool, output: Form) -> Exit:
    from rolloutsim.live.standing import Stands, standing

    over = (Stands.PROMOTED, Stands.ABORTED)
    last = ""
    while True:
        try:
            now = standing(site.api, site.namespace, name, now_ms())
        except ExecutorError as error:
            if not (watch and last):
                raise
            say(str(error))
            time.sleep(LOOK_AGAIN_S)
            continue
        text = _text(now, output, indent=None if watch else 2)
        key = _text(now, Form.TABLE, steady=True)
        if key != last:
            sys.stdout.write(text)
            sys.stdout.flush()
        last = key
        if not watch or now.stands in over:
            return _code(now)
        try:
            time.sleep(LOOK_AGAIN_S)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED


def _code(now: Standing) -> Exit:
    from rolloutsim.live.standing import Stands

    codes = {
        Stands.PROMOTED: Exit.FINE,
        Stands.GOING_ON: Exit.FINE,
        Stands.ABORTED: Exit.FAILED,
        Stands.WAITING: Exit.WAITING,
        Stands.INTERRUPTED: Exit.WAITING,
        Stands.NOT_BEGUN: Exit.WAITING,
    }
    return codes[now.stands]


def _text(now: Standing, output: Form, *, indent: int | None = None, steady: bool = False) -> str:
    if output is Form.JSON:
        return json.dumps(now.document(), indent=indent, ensure_ascii=False) + "\n"
    return "\n".join(status_lines(now, steady=steady)) + "\n"


def status_lines(now: Standing, *, steady: bool = False) -> Iterator[str]:
    """The status for people. ``steady``: without what changes by itself, such as ages."""
    head = f"{now.rollout}  {now.stands}"
    if now.steps:
        at = f"step {now.step_index}/{now.steps}"
        head += f"  {at}" + (f" ({now.step})" if now.step else "")
    if now.weight is not None:
        shown = "?" if now.observed_weight is None else str(now.observed_weight)
        head += f"  weight {now.weight} (observed {shown})"
    yield head
    if now.message or now.phase:
        yield "  " + ": ".join(part for part in (now.phase, now.message) if part)
    yield from _next(now, steady)
    if now.problem:
        yield f"  problem: {now.problem}"
    if now.asked:
        yield f"  {now.asked} was asked for and is not heard yet"
    if now.holder is not None:
        alive = "executed by" if now.holder.alive else "was executed by"
        age = "" if steady else f" (heard of {ago(now.holder.renewed_ms)} ago)"
        yield f"  {alive} {now.holder.identity}{age}"
    for pods in now.pods:
        yield (
            f"  {pods.role:8} {pods.revision}  revision {pods.number}  {pods.object}  "
            f"{pods.available} of {pods.desired} pods available"
        )
    yield from (f"  {line}" for gate in now.gates for line in _gate(gate))


def _next(now: Standing, steady: bool) -> Iterator[str]:
    from rolloutsim.live.standing import Stands

    match now.stands:
        case Stands.INTERRUPTED:
            age = "" if steady or not now.saved_at else f", last saved {ago(now_ms() - now.saved_at)} ago"
            paused = "paused by a person, and " if now.paused_by_person else ""
            first = f"rolloutsim unpause {now.rollout}, then " if now.paused_by_person else ""
            ways = f"{first}rolloutsim resume {now.rollout}; or rolloutsim abort {now.rollout}"
            yield f"  {paused}nobody executes it{age}: {ways}"
        case Stands.WAITING:
            yield f"  {waits_for(now.rollout, paused=now.paused_by_person)}"
        case Stands.GOING_ON if now.waits_until is not None and not steady:
            yield f"  pause ends in {ago(now.waits_until - now_ms())}"


def waits_for(name: str, *, paused: bool) -> str:
    """That a rollout waits for a person, and what that person may type.

    ``paused``: by ``pause``, so that ``unpause`` lets it go on as it was; else by its policy.
    """
    why, verb = ("paused by a person", "unpause") if paused else ("waits for a person", "promote")
    return f"{why}: rolloutsim {verb} {name}, or rolloutsim abort {name}"


def _gate(gate: Gate) -> Iterator[str]:
    counts = f"{gate.successful} good, {gate.failed} bad (limit {gate.failure_limit})"
    if gate.inconclusive:
        counts += f", {gate.inconclusive} inconclusive"
    if gate.errors:
        counts += f", {gate.errors} errors"
    yield f"gate {gate.gate} in {gate.run}: {gate.verdict}, {counts}; wants {gate.threshold}"
    if gate.last:
        predicted = gate.last[-1].predicted
        last = ", ".join(f"{one.value or '–'} {one.verdict}" for one in gate.last[-5:])
        yield f"  last: {last}" + (f" ({predicted})" if predicted else "")


def ago(ms: int) -> str:
    """A length of time for people."""
    total = max(0, round(ms / 1000))
    hours, rest = divmod(total, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


# --- why ------------------------------------------------------------------------------------------


def explain(
    what: Annotated[
        list[str],
        typer.Argument(help="A rollout, or its journals, the first one first.", show_default=False),
    ],
    output: FormOption = Form.TABLE,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    namespace: Namespace = "",
    impersonate: As = "",
) -> None:
    """Say why: each decision with its numbers, from journals, without a network; or, for the name of a
    rollout, the analyses that count now, with all measurements that the state in the cluster keeps.
    """
    if all(Path(one).is_file() for one in what):
        lines = list(_journalled(what))
        if output is Form.JSON:
            typer.echo(json.dumps([data for data, _ in lines], indent=2, ensure_ascii=False))
        else:
            for _, line in lines:
                typer.echo(line)
        return
    if len(what) != 1:
        raise InputError("no such file", at=Position(next(w for w in what if not Path(w).is_file())))
    with connected(kubeconfig, context, namespace, impersonate) as site:
        from rolloutsim.live.standing import standing

        now = standing(site.api, site.namespace, what[0], now_ms())
    if output is Form.JSON:
        typer.echo(json.dumps(now.document(), indent=2, ensure_ascii=False))
        return
    for line in status_lines(now):
        typer.echo(line)
    for gate in now.gates:
        for one in gate.last:
            typer.echo(f"{gate.run}  {one}")


def _journalled(paths: list[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """The decisions in journals, as data and as a line each."""
    from dataclasses import asdict

    from rolloutsim.live.decisions import Decided, entries_of
    from rolloutsim.live.journal import beginning_of, joined
    from rolloutsim.live.telling import Teller, clock_text
    from rolloutsim.trace import read_trace

    first = read_trace(paths[0])
    beginning_of(first)
    decisions: list[Decided] = []
    teller = Teller([decisions.append])
    teller.begin(first.manifest)
    for path in paths:
        permit = read_trace(path).manifest.get("permit")
        if permit:
            why = permit.get("reason") or permit.get("certificate") or ""
            yield (
                {"permit": permit},
                f"{permit['how']} by {permit.get('who', '?')}" + (f": {why}" if why else ""),
            )
    records = joined(paths) if len(paths) > 1 else first.records
    try:
        for entry in entries_of(records):
            teller.hear(entry)
            for told in decisions:
                yield asdict(told), f"{clock_text(told.at)}  {told.reason:18} {told.sentence}"
            decisions.clear()
    except ValueError as error:
        raise InputError(f"the journal cannot be read: {error}", at=Position(paths[0])) from None
