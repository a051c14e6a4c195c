"""The goals for speed, memory and repeatability, each as a ratio within one interleaved run: `goals`.

Contestants take turns: in each round every one of them plays once, and ratios are formed round by round.
Peers are other simulators and C loops that do the same work; see `tests.benchmarks.peers`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rolloutsim.sim.requests.model import Balancing

from . import executors, request_rollouts, rollouts
from .compiled import compiled
from .measure import Rate, Row, Sizes, least, most, python, ratio, turns
from .peers.outside import Peers
from .plane import balanced_rate, pool_rate

__all__ = ["goals"]


def goals(sizes: Sizes) -> Iterator[Row]:
    """All goals, in their order."""
    with Peers() as peers:
        yield from _pool(sizes, peers)
        yield from _balanced(sizes, peers)
        yield from request_rollouts.whole(sizes, peers)
        yield from _rollouts(sizes)
        yield from _memory(sizes)
        yield from _start()
        yield from executors.overhead(sizes)
        yield from executors.sameness(sizes)
        yield from request_rollouts.pairs(sizes)


def millions(samples: Sequence[float]) -> tuple[float, ...]:
    return tuple(1e-6 * sample for sample in samples)


def _pool(sizes: Sizes, peers: Peers) -> list[Row]:
    seconds, slow = sizes.pool_s, sizes.peer_s
    found = turns(
        {
            "ours": lambda seed: pool_rate(seed, seconds, 15),
            "ticks": lambda seed: pool_rate(seed, seconds, 5),
            "general": lambda seed: pool_rate(seed, seconds, 15, general=True),
            "slots": peers.compiled("pool", "slots", str(seconds)),
            "events": peers.compiled("pool", "events", str(seconds)),
            "simpy": peers.python("simpy_pool", slow),
            "ciw": peers.python("ciw_pool", slow),
            "cimba": peers.python("cimba_pool", seconds),
        },
        sizes.rounds,
    )
    ours, ticks, general = found["ours"], found["ticks"], found["general"]
    return [
        Row("G1 pool, kernel for plain pools", "M req/s", millions(ours)),
        Row("G1 pool, C slot recursion", "M req/s", millions(found["slots"])),
        Row("G1 pool / SimPy, a process per request", "x", ratio(ours, found["simpy"]), least(300)),
        Row("G1 pool / cimba", "x", ratio(ours, found["cimba"]), least(10)),
        Row("G1 pool / ciw", "x", ratio(ours, found["ciw"])),
        Row("G1 pool / C slot recursion", "x", ratio(ours, found["slots"]), least(0.9)),
        Row("G2 pool, 5 s ticks / SimPy", "x", ratio(ticks, found["simpy"]), least(100)),
        Row("G2 pool, 5 s ticks / cimba", "x", ratio(ticks, found["cimba"]), least(3.5)),
        Row("G2 pool, 5 s ticks / C event loop", "x", ratio(ticks, found["events"]), least(0.85)),
        Row("G2 pool, general kernel / C event loop", "x", ratio(general, found["events"])),
    ]


def _balanced(sizes: Sizes, peers: Peers) -> list[Row]:
    seconds = sizes.balanced_s

    def ours(balancing: Balancing) -> Rate:
        return lambda seed: balanced_rate(seed, seconds, balancing)

    found = turns(
        {
            **{str(balancing): ours(balancing) for balancing in Balancing},
            "c": peers.compiled("balanced", str(seconds)),
            "simpy": peers.python("simpy_balanced", sizes.peer_s),
        },
        sizes.rounds,
    )
    two = found[Balancing.TWO_CHOICES]
    each = list(zip(*(found[balancing] for balancing in Balancing), strict=True))
    spread = tuple(min(rates) / max(rates) for rates in each)
    return [
        Row("G3 balanced pods, two choices", "M tries/s", millions(two)),
        Row("G3 balanced pods / SimPy", "x", ratio(two, found["simpy"]), least(200)),
        Row("G3 balanced pods / C event loop", "x", ratio(two, found["c"]), least(0.9)),
        Row("G3 slowest balancer / fastest", "x", spread, least(0.75)),
    ]


def _rollouts(sizes: Sizes) -> list[Row]:
    """The rollouts in aggregate that have benchmarks of their own."""
    article, gated = rollouts.article(sizes), rollouts.gated(sizes)
    return [
        Row(f"G5 {article[0].name}", article[0].unit, article[0].samples, least(120)),
        Row("G5 360 gates, engine and PromQL / by hand", gated[2].unit, gated[2].samples),
        *(replace(row, name=f"G5 {row.name}") for row in compiled(sizes)),
    ]


MEMORY = """
import sys
from pathlib import Path
from tests.benchmarks.plane import balanced, windows
windows(balanced(1), int(sys.argv[1]), 15)
status = Path("/proc/self/status").read_text(encoding="ascii")
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
"""


def _memory(sizes: Sizes) -> list[Row]:
    hour, ten = (1024e-6 * int(python(MEMORY, str(k * sizes.memory_s)).printed) for k in (1, 10))
    return [
        Row("G6 peak memory, balanced pods, 1 h", "MB", (hour,), most(256)),
        Row("G6 growth of the peak from 1 h to 10 h", "x", (ten / hour,), most(1.1)),
    ]


FIRST = """
import sys, time
from tests.benchmarks.plane import pool_rate
pool_rate(1, 3600, 15)
print(time.process_time())
"""
IMPORT = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


def _start() -> list[Row]:
    imports = [
        (float(python(IMPORT.format("rolloutsim")).printed), float(python(IMPORT.format("numpy")).printed))
        for _ in range(4)
    ][1:]
    ours, numpy = zip(*imports, strict=True)
    with tempfile.TemporaryDirectory() as directory:
        never = python(FIRST, cache=Path(directory))
    cached = python(FIRST)
    return [
        Row("G7 import rolloutsim / import numpy", "x", ratio(ours, numpy), most(1.5)),
        Row("G7 first pool result, kernels cached, CPU", "s", (float(cached.printed),), most(4)),
        Row("G7 first pool result, nothing cached, CPU", "s", (float(never.printed),), most(4)),
    ]


if __name__ == "__main__":
    sys.exit("run: python -m tests.benchmarks --only goals")
