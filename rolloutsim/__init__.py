"""rolloutsim: the odds of a software rollout policy, before it runs.

A *policy* says how a release is rolled out (steps, weights, metrics, limits); it comes from the manifests
that a team already has. A *scenario* says what the world is like: a service and a release with its faults.
Playing the one in the other many times gives *results*: how often the policy catches a bad release, how
often it kills a good one, and what either costs.

>>> import rolloutsim as rs
>>> policy = rs.load_policy("rollout.yaml", "analysis-template.yaml")          # doctest: +SKIP
>>> scenario = rs.load_scenario("service.yaml+release.yaml")                   # doctest: +SKIP
>>> rs.simulate(policy, scenario, runs=400, seed=1).summary                    # doctest: +SKIP

============================  ==========================================================
load_policy, load_policies    manifests of Argo Rollouts, plain Deployments, RolloutPolicy
load_policy_text, digest      a policy from a string; its SHA-256
load_scenario                 a service, a release, or both
simulate, compare             play policies many times: `Results`
play, trace_run               play one run: its row; all that happened
read_trace, write_trace       a run as a file
vet, standard_suite, bars_on  does a policy meet its bars on a suite of faults
replay, load_incident         what a policy would have made of a published outage
plot_timeline                 one run over time
plot_comparison               rates and costs of several policies
Policy, Scenario, Results     what the functions above take and give
Outcome, Trace                one row; one run
RolloutsimError               root of all errors: `rolloutsim.errors`
============================  ==========================================================

The parts are usable alone: `rolloutsim.promql` evaluates PromQL, `rolloutsim.conditions` Argo Rollouts'
conditions, `rolloutsim.engine` decides.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rolloutsim.errors import RolloutsimError
    from rolloutsim.evidence.bars import bars_on
    from rolloutsim.evidence.incidents import load_incident, replay
    from rolloutsim.evidence.suite import standard_suite
    from rolloutsim.evidence.vet import vet
    from rolloutsim.outcomes import Outcome
    from rolloutsim.plots import plot_comparison, plot_timeline
    from rolloutsim.policy import digest, load_policies, load_policy, load_policy_text
    from rolloutsim.policy.model import Policy
    from rolloutsim.sim.run import compare, play, simulate, trace_run
    from rolloutsim.sim.scenario import Scenario
    from rolloutsim.sim.scenario_file import load_scenario
    from rolloutsim.tables import Results
    from rolloutsim.trace import Trace, read_trace, write_trace

_HOMES = {
    "Outcome": "outcomes",
    "Policy": "policy.model",
    "Results": "tables",
    "RolloutsimError": "errors",
    "Scenario": "sim.scenario",
    "Trace": "trace",
    "bars_on": "evidence.bars",
    "compare": "sim.run",
    "digest": "policy",
    "load_incident": "evidence.incidents",
    "load_policies": "policy",
    "load_policy": "policy",
    "load_policy_text": "policy",
    "load_scenario": "sim.scenario_file",
    "play": "sim.run",
    "plot_comparison": "plots",
    "plot_timeline": "plots",
    "read_trace": "trace",
    "replay": "evidence.incidents",
    "simulate": "sim.run",
    "standard_suite": "evidence.suite",
    "trace_run": "sim.run",
    "vet": "evidence.vet",
    "write_trace": "trace",
}
"""Where each public name lives. They are imported when they are asked for: the whole takes a second."""

__all__ = [
    "Outcome",
    "Policy",
    "Results",
    "RolloutsimError",
    "Scenario",
    "Trace",
    "bars_on",
    "compare",
    "digest",
    "load_incident",
    "load_policies",
    "load_policy",
    "load_policy_text",
    "load_scenario",
    "play",
    "plot_comparison",
    "plot_timeline",
    "read_trace",
    "replay",
    "simulate",
    "standard_suite",
    "trace_run",
    "vet",
    "write_trace",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rolloutsim' has no attribute {name!r}")
    return getattr(import_module(f"rolloutsim.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
