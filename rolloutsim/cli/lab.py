"""``lab up`` and ``lab down``: an emulated cluster on this machine to try rollouts on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.errors import ExecutorError, InputError, Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolloutsim.lab.lab import Lab

__all__ = ["lab"]

lab = typer.Typer(
    name="lab",
    help="An emulated Kubernetes cluster on this machine, to try rollouts without a real one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_DIRECTORY = Path(".rolloutsim-lab")
_STATE, _LOCK, _LOG = "lab.json", "lab.lock", "lab.log"
_UP_S, _DOWN_S = 60.0, 30.0
_POLL_S, _LAST_WORDS_S = 0.1, 3.0

Directory = Annotated[
    Path, typer.Option("--dir", "-d", help="For its kubeconfig, certificates and logs; made if missing.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Of the API, on 127.0.0.1; 0 takes a free one.")]


@lab.command(context_settings={"allow_interspersed_args": False})
def up(
    command: Annotated[
        list[str] | None,
        typer.Argument(help="Run this in the lab, then end both.", metavar="[--] [COMMAND]..."),
    ] = None,
    directory: Directory = _DIRECTORY,
    port: Port = 0,
    web_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the router; 0 takes a free one.")] = 0,
    prometheus_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the metrics; 0 takes a free one.")
    ] = 0,
    rate: Annotated[
        float, typer.Option(min=0, max=5000, help="Requests a second to each demo service; 0 sends none.")
    ] = 20.0,
    demo: Annotated[bool, typer.Option(help="Put the demo services into the cluster.")] = True,
    background: Annotated[
        bool, typer.Option("--background", "-b", help="Return when it is up; 'lab down' ends it.")
    ] = False,
) -> None:
    """Start an emulated cluster: API server, controllers, pods, Traefik, Prometheus. Ctrl-C ends all of it.

    The API server is an emulator in Python, with a real one's semantics where rollouts feel them; Traefik and
    Prometheus are real. Everything listens on this machine's loopback only. A COMMAND finds the lab in
    KUBECONFIG, ROLLOUTSIM_PROMETHEUS and ROLLOUTSIM_JOURNAL, and its exit code is the lab's.
    """
    if command:
        if background:
            raise InputError("a lab in the background runs no command", fix="leave out --background")
        command = [_program(command[0]), *command[1:]]
    _prepare(directory)
    if background:
        _start_background(directory, port, web_port, prometheus_port, rate, demo)
        typer.echo(json.loads((directory / _STATE).read_text(encoding="utf-8"))["told"], nl=False)
        return
    from rolloutsim.lab.lab import Lab

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    code = 0
    with _locked(directory):
        cluster = Lab(directory, port=port, web_port=web_port, prometheus_port=prometheus_port)
        try:
            with cluster, _filled(cluster, rate, demo) as loaded:
                told = _facts(cluster, rate if loaded else 0.0, demo)
                if demo and not command:
                    told += _hints(cluster)
                _announce(directory, told, err=bool(command))
                code = _inside(cluster, command, ended) if command else _idle(ended)
        except OSError as error:
            raise InputError(
                f"the lab cannot be started: {error.strerror}", fix="choose other ports"
            ) from None
        finally:
            (directory / _STATE).unlink(missing_ok=True)
    typer.echo("the lab has ended", err=True)
    raise typer.Exit(code)


@lab.command()
def down(directory: Directory = _DIRECTORY) -> None:
    """End a lab that runs in the background, or in another terminal."""
    state = directory / _STATE
    if not _is_locked(directory) or not state.exists():
        raise InputError("no lab runs here", at=Position(str(directory)), fix="name its directory with --dir")
    os.kill(json.loads(state.read_text(encoding="utf-8"))["pid"], signal.SIGTERM)
    ends = time.monotonic() + _DOWN_S  # noqa: TID251
    while _is_locked(directory):
        if time.monotonic() > ends:  # noqa: TID251
            raise ExecutorError(f"the lab did not end within {_DOWN_S:g} s; see {directory / _LOG}")
        time.sleep(0.05)
    typer.echo("the lab has ended", err=True)


@contextmanager
def _filled(cluster: Lab, rate: float, demo: bool) -> Iterator[bool]:
    """Put the demo into the cluster and keep requests on their way, if any are wanted; whether there are."""
    from rolloutsim.lab.demo import HOSTS, demo_objects
    from rolloutsim.lab.load import Load

    loads: list[Load] = []
    if demo:
        cluster.apply(demo_objects())
        cluster.wait_available("api", "shop-blue", "store-stable", "store-new")
    try:
        if demo and rate and cluster.router is not None:
            loads = [Load(cluster.router.port, host, rate=rate).start() for host in HOSTS]
            cluster.wait_counted(*(host.partition(".")[0] for host in HOSTS))
        yield bool(loads)
    finally:
        for load in loads:
            load.stop()


def _announce(directory: Path, told: str, *, err: bool) -> None:
    """Say what there is, and let `lab down` and whoever started this in the background know."""
    typer.echo(told, nl=False, err=err)
    sys.stdout.flush()
    fresh = directory / f"{_STATE}.new"
    fresh.write_text(json.dumps({"pid": os.getpid(), "told": told}), encoding="utf-8")
    fresh.replace(directory / _STATE)


def _idle(ended: threading.Event) -> int:
    ended.wait()
    return 0


def _inside(cluster: Lab, command: list[str], ended: threading.Event) -> int:
    """Run a command that finds the lab by its environment; its exit code.

    Ctrl-C in a terminal reaches it too, so it has some time to end by itself.
    """
    assert cluster.metrics is not None
    environment = {
        **os.environ,
        "PATH": _programs(),
        "KUBECONFIG": str(cluster.kubeconfig),
        "ROLLOUTSIM_PROMETHEUS": cluster.metrics.url,
        "ROLLOUTSIM_JOURNAL": str(cluster.directory / "journals"),
    }
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None:
        if ended.wait(_POLL_S):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_WORDS_S)
            process.terminate()
            process.wait()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _programs() -> str:
    """Where a command is looked for: first beside this Python, where packages put their programs."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _program(name: str) -> str:
    found = shutil.which(name, path=_programs())
    if found is None:
        raise InputError(f"there is no program {name!r}", fix="write the command as in a shell, after --")
    return found


def _facts(cluster: Lab, rate: float, demo: bool) -> str:
    """What there is."""
    from rolloutsim.lab.demo import HOSTS
    from rolloutsim.lab.discovery import VERSION
    from rolloutsim.lab.monitoring import Scraper

    emulated = " (emulated too: prometheus is not installed)" if isinstance(cluster.metrics, Scraper) else ""
    lines = [
        f"emulated cluster {VERSION['gitVersion']} (an emulator: no images run, nothing leaves this machine)",
        f"  kubeconfig  {cluster.kubeconfig}",
        f"  API         {cluster.server.url}",
        f"  router      {_web(cluster)}",
        f"  Prometheus  {_metrics(cluster)}{emulated}",
    ]
    if demo:
        lines.append(f"  services    {', '.join(HOSTS)}" + (f"; {rate:g} requests/s to each" if rate else ""))
    return "\n".join(lines) + "\n"


def _hints(cluster: Lab) -> str:
    """What to try with the demo."""
    from rolloutsim.lab.demo import HOSTS

    lines = [
        "try",
        f"  export KUBECONFIG={cluster.kubeconfig} ROLLOUTSIM_PROMETHEUS={_metrics(cluster)}",
        "  kubectl get deployments,services,httproutes,ingresses",
        f"  curl -H 'Host: {HOSTS[0]}' {_web(cluster)}/",
        "  kubectl set image deployment/api app=demo/api:2",
        "  kubectl annotate deployment api lab.rolloutsim.dev/error-rate=0.2 --overwrite",
        f"  curl -G {_metrics(cluster)}/api/v1/query --data-urlencode "
        "'query=sum by (status) (rate(http_requests_total{service=\"api\"}[10s]))'",
        '  kubectl patch service shop --type merge -p \'{"spec":{"selector":{"slot":"green"}}}\'',
        "  rolloutsim run scenarios/lab/canary.yaml --template scenarios/lab/broken-release.yaml "
        "--unvetted demo",
    ]
    return "\n".join(lines) + "\n"


def _web(cluster: Lab) -> str:
    return cluster.router.url if cluster.router is not None else ""


def _metrics(cluster: Lab) -> str:
    return cluster.metrics.url if cluster.metrics is not None else ""


def _prepare(directory: Path) -> None:
    try:
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True)
            (directory / ".gitignore").write_text("*\n", encoding="utf-8")  # there is a token in it
    except OSError as error:
        raise InputError(
            f"the directory cannot be made: {error.strerror}", at=Position(str(directory))
        ) from None


def _start_background(
    directory: Path, port: int, web_port: int, prometheus_port: int, rate: float, demo: bool
) -> None:
    """Start another process that does the same in the foreground, and wait until it is up."""
    if _is_locked(directory):
        raise _taken(directory)
    (directory / _STATE).unlink(missing_ok=True)
    code = "from rolloutsim.cli.lab import lab; lab(prog_name='rolloutsim lab')"
    options = {"--port": port, "--web-port": web_port, "--prometheus-port": prometheus_port, "--rate": rate}
    command = [sys.executable, "-c", code, "up", "--dir", str(directory), "--demo" if demo else "--no-demo"]
    command += [str(part) for pair in options.items() for part in pair]
    with (directory / _LOG).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    ends = time.monotonic() + _UP_S  # noqa: TID251
    while not (directory / _STATE).exists():
        if process.poll() is not None or time.monotonic() > ends:  # noqa: TID251
            process.terminate()
            raise ExecutorError(f"the lab did not come up; its last words are in {directory / _LOG}")
        time.sleep(0.05)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Only one lab for a directory, and no guessing whether one runs."""
    with (directory / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(directory) from None
        yield


def _is_locked(directory: Path) -> bool:
    try:
        with (directory / _LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _taken(directory: Path) -> InputError:
    return InputError(
        "a lab runs here already",
        at=Position(str(directory)),
        fix="use another --dir, or end it with 'rolloutsim lab down'",
    )
