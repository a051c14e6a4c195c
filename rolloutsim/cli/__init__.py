"""The command line: ``rolloutsim VERB``.

Data goes to standard output, everything else to standard error. Exit codes:

===  =========================================================================
0    fine
1    a verdict failed: ``lint`` found an error, a ``test`` did not hold, a ``vet`` bar was missed
2    wrong usage, or an input that the message names
3    no verdict: the bars of ``vet`` could not be decided with the runs that it may play
5    not permitted: no certificate that covers this policy, here and now
130  interrupted
141  whoever reads the output has closed it
===  =========================================================================

A mistake in an input is one line, ``error: FILE:LINE: PATH: why; what to do``, and never a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from rolloutsim.cli.abort import abort, undo
from rolloutsim.cli.about import version
from rolloutsim.cli.calibrate import calibrate
from rolloutsim.cli.export import export
from rolloutsim.cli.forget import forget
from rolloutsim.cli.incidents import incidents
from rolloutsim.cli.lab import lab
from rolloutsim.cli.lint import lint
from rolloutsim.cli.plan import plan
from rolloutsim.cli.play import compare, simulate
from rolloutsim.cli.policy_tests import run_tests
from rolloutsim.cli.power import power
from rolloutsim.cli.query import query, serve
from rolloutsim.cli.rbac import rbac
from rolloutsim.cli.record import record
from rolloutsim.cli.replay import replay
from rolloutsim.cli.report import report
from rolloutsim.cli.rollout import pause, promote, retry, unpause
from rolloutsim.cli.run import resume, run
from rolloutsim.cli.schema import schema
from rolloutsim.cli.status import explain, status
from rolloutsim.cli.sweep import sweep
from rolloutsim.cli.verify import verify
from rolloutsim.cli.vet import vet
from rolloutsim.errors import RolloutsimError

__all__ = ["app"]

WRONG_INPUT = 2
INTERRUPTED = 130
NOBODY_READS = 141
"""As a shell says it of a program that ends at a closed pipe: 128 and the number of SIGPIPE."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _Verbs(TyperGroup):
    """The verbs; what the package raises on purpose becomes one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except RolloutsimError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(WRONG_INPUT) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _give_up_output()
            raise typer.Exit(NOBODY_READS) from None
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _give_up_output()
            typer.echo(f"error: the output cannot be written: {error.strerror}", err=True)
            raise typer.Exit(WRONG_INPUT) from None


def _give_up_output() -> None:
    """Let what is still to be written go nowhere, or the interpreter would try again as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


app = typer.Typer(
    cls=_Verbs,
    name="rolloutsim",
    help="How often a rollout policy stops a bad release, how often a good one, and what each costs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(simulate)
app.command()(compare)
app.command()(sweep)
app.command()(vet)
app.command()(verify)
app.command()(replay)
app.command()(record)
app.add_typer(incidents)
app.command()(calibrate)
app.command()(power)
app.command()(query)
app.command()(serve)
app.add_typer(lab)
app.command()(lint)
app.command()(export)
app.command(name="test")(run_tests)
app.command()(report)
app.command()(plan)
app.command()(run)
app.command()(status)
app.command()(promote)
app.command()(pause)
app.command()(unpause)
app.command()(abort)
app.command()(retry)
app.command()(undo)
app.command()(resume)
app.command()(explain)
app.command()(forget)
app.command()(rbac)
app.command()(schema)
app.command()(version)
