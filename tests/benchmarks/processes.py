"""What a user waits and pays for around the rollouts: start, a whole comparison, memory, workers."""

from __future__ import annotations

import json
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import rolloutsim as rs

from .measure import ROOT, Goal, Row, Sizes, python, ratio
from .rollouts import article_inputs

__all__ = ["compare", "memory", "start", "workers"]

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


def workers(sizes: Sizes) -> list[Row]:
    """Wall time of one worker over that of two, and whether their number shows in the results.

    The SHA-256 covers the summary and every column of the runs.
    """
    policy, scenario = article_inputs()

    def play(jobs: int) -> tuple[float, str]:
        began = time.perf_counter()
        results = rs.simulate(policy, scenario, runs=sizes.worker_runs, jobs=jobs)
        taken_s = time.perf_counter() - began
        digest = sha256(json.dumps(results.to_json()).encode())
        for column in results.columns.values():
            digest.update(column.tobytes())
        return taken_s, digest.hexdigest()

    found = {play(jobs)[1] for jobs in (1, 2, 3)}  # also starts the server that workers are forked from
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(sizes.rounds):
        for jobs, samples in enumerate(taken, start=1):
            taken_s, digest = play(jobs)
            samples.append(taken_s)
            found.add(digest)
    one_s, two_s = taken
    name = f"{sizes.worker_runs} runs"
    return [
        Row(f"{name}, 1 worker, wall", "s", tuple(one_s)),
        Row(f"{name}, 2 workers, wall", "s", tuple(two_s)),
        Row("speed-up of 2 workers, wall", "x", ratio(one_s, two_s), Goal(1.9, at_least=True)),
        Row(
            "different SHA-256 with 1, 2, 3 workers", "results", (float(len(found)),), Goal(1, at_least=False)
        ),
    ]
