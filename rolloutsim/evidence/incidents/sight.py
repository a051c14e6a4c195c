"""Why a gate did not see a fault: what it measured, against the same rollout of a good release.

Both are played with the same draws, so a metric that does not see the fault has the very same values.
"""

from __future__ import annotations

from collections.abc import Sequence

from rolloutsim.evidence.incidents.record import Incident, Play
from rolloutsim.evidence.incidents.world import IncidentWorld
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import Policy

__all__ = ["blindness", "in_words"]

_NOTHING = frozenset({"", "[]", "NaN", "[NaN]"})
"""What a metric reads where there is no series, or no request in it."""


def blindness(
    incident: Incident, policy: Policy, play: Play, played: IncidentWorld, healthy: IncidentWorld
) -> tuple[str, bool]:
    """Why a policy missed the incident, and whether every gate would have."""
    channel = next(channel for channel in incident.model.channels if channel.name == play.channel)
    shown = [name for name, share in incident.model.fault.shows.items() if share.value > 0.0]
    if channel.dormant_s is not None:
        days = channel.dormant_s.value / 86_400
        return (
            f"nothing fails while the change rolls out: what spreads by the channel {channel.name!r} lies "
            f"dormant for about {days:.0f} days, and no gate looks that long",
            True,
        )
    if not shown:
        return "none of the metrics that are known of this incident shows the fault", True
    return _in_this_policy(policy, played, healthy, shown), False


def _in_this_policy(
    policy: Policy, played: IncidentWorld, healthy: IncidentWorld, shown: Sequence[str]
) -> str:
    if not played.measured or not any(analysis.metrics for analysis in analyses_of(policy)):
        return "nothing is measured before the change has reached everybody"
    decided_s = played.decided[0] if played.decided is not None else 0.0
    if played.first_hit_s is None or played.first_hit_s >= decided_s:
        return "its steps reach nobody whom the fault can hit, until everybody is reached"
    if [one.value for one in played.measured] == [one.value for one in healthy.measured]:
        names = in_words(sorted({one.metric for one in played.measured}))
        if all(one.value in _NOTHING for one in played.measured):
            return f"{names} found nothing, nor would it have for a good release"
        if played.failed_s <= 0.0:
            return f"{names} cannot tell: nothing fails yet when the rollout is over"
        return f"{names} read the same as for a good release; the fault shows in {in_words(shown)}"
    failed = [one for one in played.measured if one.phase in ("Failed", "Error")]
    if failed:
        return f"{failed[-1].metric} did fail, but too late or too rarely for the policy to stop"
    return "its metrics moved, but not beyond its limits"


def in_words(names: Sequence[str]) -> str:
    """Names of signals as words."""
    words = [name.replace("_", " ") for name in names]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
