"""A fast path for rollouts that thresholds decide: the same rows, bit for bit, without Python per scrape.

What the control plane does (weights, pods, people, when it measures) depends on its own draws and on the
verdicts of its measurements, and on nothing else. So the ordinary world plays each course of events once,
on verdicts that are prescribed (`rehearsal`), and for every run a kernel draws the requests, scrapes them,
evaluates the queries and judges, until a verdict calls for another course (`kernel`, `courses`).

The draws are those of `rolloutsim.sim.kernels` at the same addresses; scrapes and windows are kept, with the
arithmetic of `rolloutsim.promql`. Queries, conditions or worlds that are not of the known kinds are left to
the ordinary path. `expected` says of a course what its measurements see on average, for those who need no
runs at all.
"""

from rolloutsim.sim.compiled.courses import Courses, courses_of
from rolloutsim.sim.compiled.expected import Reading, Timetable, Window
from rolloutsim.sim.compiled.refusal import NotCompiled

__all__ = ["Courses", "NotCompiled", "Reading", "Timetable", "Window", "courses_of"]
