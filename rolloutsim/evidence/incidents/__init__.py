"""Published incidents, and what a policy would have made of them.

A record (`load_incident`) holds facts, timeline, sources and a model of the fault, each value with its
basis; `replay` plays a policy against it with the engine, the scrapes and the queries of every simulation.
"""

from rolloutsim.evidence.incidents.file import (
    IncidentError,
    incident_ids,
    load_incident,
    read_incident,
    shipped_policy,
)
from rolloutsim.evidence.incidents.quantity import Basis, Quantity
from rolloutsim.evidence.incidents.record import Expectation, Incident, Play, Reach
from rolloutsim.evidence.incidents.replay import Ending, Replay, actual_harm, replay, scenario_of

__all__ = [
    "Basis",
    "Ending",
    "Expectation",
    "Incident",
    "IncidentError",
    "Play",
    "Quantity",
    "Reach",
    "Replay",
    "actual_harm",
    "incident_ids",
    "load_incident",
    "read_incident",
    "replay",
    "scenario_of",
    "shipped_policy",
]
