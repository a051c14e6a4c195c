"""Which counterfactual is meant: a shipped one, or a user's policy with the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rolloutsim.evidence.incidents.file import IncidentError, policy_names, policy_path
from rolloutsim.evidence.incidents.record import Incident, Play, Reach

__all__ = ["play_of", "policy_files"]


def play_of(incident: Incident, name: str, channel: str = "", cohorts: str = "") -> Play:
    """A counterfactual of a policy that is not among the shipped ones.

    Parameters
    ----------
    channel : what the policy stages; empty: the incident's first channel.
    cohorts : ``even``, ``random``, or cohorts in the order in which they are reached, with commas.

    Raises
    ------
    IncidentError : the incident has no such channel or cohort.
    """
    channels = [one.name for one in incident.model.channels]
    known = [one.name for one in incident.model.cohorts]
    if channel and channel not in channels:
        raise IncidentError(f"{incident.id} has no channel {channel!r}", fix=f"one of: {', '.join(channels)}")
    reach = Reach.EVEN
    listed: tuple[str, ...] = ()
    if cohorts == Reach.RANDOM:
        reach = Reach.RANDOM
    elif cohorts not in ("", Reach.EVEN):
        reach, listed = Reach.ORDERED, tuple(part.strip() for part in cohorts.split(","))
        for one in listed:
            if one not in known:
                raise IncidentError(
                    f"{incident.id} has no cohort {one!r}",
                    fix=f"even, random, or some of these in order: {', '.join(known)}",
                )
    return Play(name, name, channel or channels[0], reach=reach, cohorts=listed)


def policy_files(given: Sequence[str]) -> list[str]:
    """Policy files (``a.yaml,b.yaml`` belong together), where the names of shipped policies mean theirs."""
    return [str(policy_path(f"{Path(one).stem}.yaml")) if _is_shipped(one) else one for one in given]


def _is_shipped(one: str) -> bool:
    return "," not in one and not Path(one).exists() and Path(one).stem in policy_names()
