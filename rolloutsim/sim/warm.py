"""Loads what a run needs, compiled code included; for the process that workers are forked from.

The first call of a compiled function costs a third of a second. Paid before forking, it is paid once.
"""

from __future__ import annotations

from rolloutsim.sim import run  # noqa: F401
from rolloutsim.sim.randomness import stream

stream(0, 0, "warm").uniform(0)
