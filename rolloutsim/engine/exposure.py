"""Which weights were in force, and when, since the present update began: what gates count in.

A weight is in force from the time at which the router's answer confirms it until the engine asks for another
one; in between it is neither the old nor the new one. Without a router it is the share of the available pods.
"""

from __future__ import annotations

from dataclasses import replace

from rolloutsim.engine.events import SetWeight, Span
from rolloutsim.engine.spans import Exposed
from rolloutsim.engine.state import State
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.gate_steps import has_gate
from rolloutsim.policy.model import BlueGreen, Canary, Policy

__all__ = ["followed", "has_gates"]


def has_gates(policy: Policy) -> bool:
    """Whether a metric of the policy has a gate."""
    return any(has_gate(analysis) for analysis in analyses_of(policy))


def followed(policy: Policy, state: State) -> State:
    """The state with its record of weights brought up to ``state.now``; unchanged if it keeps none."""
    exposed = state.exposed
    if exposed is None:
        return state
    status, asked = state.status, state.facts.asked
    over = status.abort or asked == status.stable or status.current != asked
    share = None if over else _share(policy, state)
    if over or exposed.revision != asked:
        exposed = Exposed(asked, ())
    spans = exposed.spans
    last = spans[-1] if spans and spans[-1].end is None else None
    if last is not None and share != last.weight_percent:
        ended = (Span(last.start, state.now, last.weight_percent),) if last.start < state.now else ()
        spans = (*spans[:-1], *ended)
        last = None
    if last is None and share is not None:
        spans = (*spans, Span(state.now, None, share))
    moved = exposed if spans is exposed.spans else Exposed(exposed.revision, spans)
    return state if moved == state.exposed else replace(state, exposed=moved)


def _share(policy: Policy, state: State) -> float | None:
    """Percent of the requests that reach the new revision; None while that is not known."""
    strategy, facts = policy.strategy, state.facts
    if isinstance(strategy, BlueGreen):
        return 100.0 if state.status.active == facts.asked else 0.0
    if isinstance(strategy, Canary) and strategy.routing is not None:
        moving = any(isinstance(action, SetWeight) for action in state.unanswered)
        if moving or facts.verified is False or facts.weight is None:
            return None
        return min(100.0, max(0.0, 100.0 * facts.weight / strategy.routing.max_weight))
    new = sum(max(r.available, 0) for r in facts.revisions if r.id == facts.asked)
    total = sum(max(r.available, 0) for r in facts.revisions)
    return 100.0 * new / total if total else None
