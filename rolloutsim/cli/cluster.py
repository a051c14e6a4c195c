"""Which cluster a command line means, what can go wrong with one, and the exit codes of the live verbs."""

from __future__ import annotations

import getpass
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from rolloutsim.errors import ExecutorError

if TYPE_CHECKING:
    from rolloutsim.live.kubernetes import HttpKubernetes

__all__ = [
    "As",
    "Context",
    "Exit",
    "Kubeconfig",
    "Namespace",
    "Site",
    "connected",
    "fail",
    "now_ms",
    "say",
    "whoami",
]

Kubeconfig = Annotated[
    str, typer.Option("--kubeconfig", help="As kubectl's.", show_default="$KUBECONFIG, ~/.kube/config")
]
Context = Annotated[str, typer.Option("--context", help="As kubectl's.", show_default="the current one")]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", help="As kubectl's.", show_default="the context's")
]
As = Annotated[str, typer.Option("--as", help="As kubectl's: the user to impersonate.", show_default=False)]


class Exit(IntEnum):
    """Exit codes of the live verbs."""

    FINE = 0
    FAILED = 1
    """Aborted, or a gate lost."""
    USAGE = 2
    CLUSTER = 4
    """The cluster, a permission or a metrics server."""
    NOT_VETTED = 5
    """No certificate that counts, or the cluster is not what the plan or the state says."""
    WAITING = 6
    """For a person, or for somebody to resume."""
    TIMEOUT = 7
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Site:
    """A connection to a cluster, the namespace that is meant, and how kubectl is told of both."""

    api: HttpKubernetes
    context: str
    server: str
    namespace: str
    kubectl: str
    chosen: bool
    """The namespace was named on the command line."""


@contextmanager
def connected(kubeconfig: str, context: str, namespace: str, impersonate: str) -> Iterator[Site]:
    """The cluster that kubectl would take with the same flags. What goes wrong there is exit code 4."""
    from rolloutsim.live.kubeconfig import IN_CLUSTER, load_access
    from rolloutsim.live.kubernetes import HttpKubernetes

    with _cluster_errors():
        access = load_access(
            kubeconfig=kubeconfig, context=context, namespace=namespace, impersonate=impersonate
        )
        api = HttpKubernetes(access)
        flags = [("--kubeconfig", kubeconfig), ("--context", context), ("--as", impersonate)]
        words = [f"{flag} {shlex.quote(value)}" for flag, value in flags if value]
        if access.context == IN_CLUSTER:
            words = []
        kubectl = " ".join(("kubectl", *words))
        try:
            yield Site(api, access.context, access.server, access.namespace, kubectl, bool(namespace))
        finally:
            api.close()


@contextmanager
def _cluster_errors() -> Iterator[None]:
    try:
        yield
    except ExecutorError as error:
        from rolloutsim.live.port import Unknown

        way = "; look with rolloutsim status before you ask again" if isinstance(error, Unknown) else ""
        fail(f"{error}{way}", Exit.CLUSTER)


def say(text: str) -> None:
    """A line for people; results go to standard output by themselves."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(why: str, code: Exit) -> NoReturn:
    """One sentence, and the exit code."""
    say(f"error: {why}")
    raise typer.Exit(int(code))


def now_ms() -> int:
    """The time of day in ms, to say how old something is."""
    return time.time_ns() // 1_000_000  # noqa: TID251 - the age of a Lease is told by the time of day


def whoami() -> str:
    """Who types this, where: for the record of a command."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # a user of a container without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
