"""``rolloutsim``, as a command and as ``python -m rolloutsim``."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Run the command line; an interrupt while it is still being made leaves no traceback."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from typer.main import get_command

    from rolloutsim.cli import app

    command = get_command(app)
    signal.signal(signal.SIGINT, before)
    command(prog_name="rolloutsim")


if __name__ == "__main__":
    main()
