"""Commands of people to whoever executes a rollout, through its ConfigMap.

They need no Lease, no journal and no connection to the executor. A command that was obeyed is taken away by
the save that contains it, so that it is known to have been heard.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rolloutsim.engine import State
from rolloutsim.errors import ExecutorError
from rolloutsim.live.inbox import Command, Verb
from rolloutsim.live.memory import command_json, command_of
from rolloutsim.live.plan import underway
from rolloutsim.live.port import ApiError, Kubernetes
from rolloutsim.live.release import release_of
from rolloutsim.live.standing import left_over, never_executed
from rolloutsim.live.state import Saved, StateStore
from rolloutsim.policy.model import Canary, Policy

__all__ = ["Heard", "Subject", "ask", "pointless", "subject", "wait_for"]

LOOK_AGAIN_S = 0.25


class Heard(StrEnum):
    """What became of a command."""

    OBEYED = "obeyed"
    WAITING = "waiting"
    """It is in the cluster and nobody has heard it yet."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The rollout that a command is for."""

    name: str
    namespace: str
    saved: Saved
    state: State
    policy: Policy


def subject(api: Kubernetes, namespace: str, name: str) -> Subject:
    """The rollout of this name.

    Raises
    ------
    ExecutorError : there is none, or its state cannot be read.
    """
    found = StateStore(api, namespace, name).read()
    if found is None or found.state is None or not found.plan:
        raise never_executed(name, namespace, left_over(api, namespace, name))
    release, _ = release_of(found.plan)
    return Subject(name, namespace, found, found.state, release.policy)


def pointless(about: Subject, verb: Verb) -> str:
    """Why a command would change nothing now; "" if it would."""
    state = about.state
    status, stable = state.status, state.status.stable
    if verb is Verb.RETRY:
        return "" if status.abort else f"{about.name} is not aborted, so there is nothing to try again"
    if verb is Verb.ABORT and status.abort:
        return f"{about.name} is aborted already; {stable} serves everybody"
    if verb is Verb.RESUME:
        left = command_of(about.saved.command) if about.saved.command else None
        paused = state.facts.paused or (left is not None and left.verb is Verb.PAUSE)
        return (
            "" if paused else f"{about.name} was not paused by a person; promote ends a pause of its policy"
        )
    if verb is Verb.PAUSE and state.facts.paused:
        return f"{about.name} is paused already"
    if verb is Verb.PROMOTE_FULL and status.abort and status.current != stable:
        return ""
    if status.abort and verb is not Verb.PAUSE:
        return f"{about.name} is aborted; retry it, or run a new release"
    if not underway(state) and verb is not Verb.PAUSE:
        return f"nothing is being rolled out: {stable or 'no revision'} is stable"
    if verb in (Verb.SKIP_STEP, Verb.SKIP_ALL_STEPS):
        strategy = about.policy.strategy
        if not isinstance(strategy, Canary) or not strategy.steps:
            return f"{about.name} has no steps to skip"
    return ""


def ask(api: Kubernetes, about: Subject, command: Command) -> None:
    """Leave a command in the ConfigMap. One that was left before and not heard is replaced.

    An abort ends a person's pause too: while that lasts nothing is scaled, and what is aborted would keep
    its pods.

    Raises
    ------
    ExecutorError : the rollout is gone, or the cluster refuses.
    """
    store = StateStore(api, about.namespace, about.name)
    if command.verb is Verb.ABORT:
        paused = about.state.facts.paused
        then = Command(Verb.RESUME, command.actor, f"abort {secrets.token_hex(8)}") if paused else None
        there = store.ask_abort(command.actor, command_json(then) if then else "")
    else:
        there = store.ask(command_json(command))
    if not there:
        raise never_executed(about.name, about.namespace, left_over(api, about.namespace, about.name))


def wait_for(
    api: Kubernetes,
    about: Subject,
    command: Command,
    patience_s: float,
    wait: Callable[[float], None] = time.sleep,
) -> Heard:
    """Wait until the command was heard. A cluster that cannot be read for a moment is asked again.

    Raises
    ------
    ExecutorError : the rollout's state was deleted meanwhile.
    """
    store = StateStore(api, about.namespace, about.name)
    left_s = patience_s
    while True:
        try:
            found = store.read()
        except ApiError:
            pass
        else:
            if found is None:
                raise ExecutorError(f"the state of {about.name} was deleted while it was waited for")
            if not _still_there(found, command):
                return Heard.OBEYED
        if left_s <= 0:
            return Heard.WAITING
        wait(min(LOOK_AGAIN_S, left_s))
        left_s -= LOOK_AGAIN_S


def _still_there(found: Saved, command: Command) -> bool:
    if command.verb is Verb.ABORT:
        return found.abort
    left = command_of(found.command) if found.command else None
    return left is not None and left.id == command.id
