"""What a user waits and pays for around the rollouts: start, a whole comparison, memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .measure import ROOT, Goal, Row, Sizes, python, ratio

__all__ = ["compare", "memory", "start"]

CLI = "from rolloutsim.__main__ import main; main()"
IMPORT = "import time; start = time.process_time(); {}; print(time.process_time() - start)"
# ru_maxrss of a child begins with the size of its parent, VmHWM with the child's own program (Linux)
PEAK = """
import sys
from pathlib import Path
import rolloutsim as rs
policy = rs.load_policy("scenarios/article/canary.yaml")
scenario = rs.load_scenario("scenarios/article/worlds/good.yaml")
results = rs.simulate(policy, scenario, runs=int(sys.argv[1]))
status = Path("/proc/self/status").read_text(encoding="ascii")
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))
"""


def start(sizes: Sizes) -> list[Row]:
    """CPU time until the help is printed, and of imports against that of numpy; the first round is lost."""
    shown: list[float] = []
    imports: dict[str, list[float]] = {
        code: [] for code in ("import numpy", "import rolloutsim", "from rolloutsim import simulate")
    }
    for turn in range(sizes.rounds + 1):
        help_s = python(CLI, "--help").cpu_s
        imported = {code: float(python(IMPORT.format(code)).printed) for code in imports}
        if turn > 0:
            shown.append(help_s)
            for code, taken_s in imported.items():
                imports[code].append(taken_s)
    numpy_s, package_s, simulate_s = imports.values()
    return [
        Row("rolloutsim --help, CPU", "s", tuple(shown), Goal(0.3, at_least=False)),
        Row("import numpy, CPU", "s", tuple(numpy_s)),
        Row("import rolloutsim / import numpy", "x", ratio(package_s, numpy_s), Goal(1.5, at_least=False)),
        Row("from rolloutsim import simulate / numpy", "x", ratio(simulate_s, numpy_s)),
    ]


def compare(sizes: Sizes) -> list[Row]:
    """The README's first command, with two workers and its figure: wall time, once."""
    policies = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("scenarios/article/*.yaml"))
    worlds = len(list(ROOT.glob("scenarios/article/worlds/*.yaml")))
    with tempfile.TemporaryDirectory() as directory:
        figure = Path(directory, "article.png")
        options = ["--runs", str(sizes.compare_runs), "--jobs", "2", "--plot", str(figure)]
        done = python(CLI, "compare", *policies, "-s", "scenarios/article/worlds", *options)
    played = len(policies) * worlds * sizes.compare_runs
    return [
        Row(
            f"README's comparison, {played} runs, 2 jobs, wall", "s", (done.wall_s,), Goal(90, at_least=False)
        ),
        Row("README's comparison, wall", "rollouts/s", (played / done.wall_s,)),
    ]


def memory(sizes: Sizes) -> list[Row]:
    """Peak resident memory of two simulations of the guide's canary, and what a run adds: once each."""
    few, many = sizes.memory_runs
    small, large = (1024 * int(python(PEAK, str(runs)).printed) for runs in sizes.memory_runs)
    return [
        Row(f"peak memory, {few} runs", "MB", (small / 1e6,)),
        Row(f"peak memory, {many} runs", "MB", (large / 1e6,)),
        Row("growth of the peak per run", "bytes", ((large - small) / (many - few),)),
    ]
