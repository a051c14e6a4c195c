"""The user's own past rollouts: record their series, decide them again, ask what another policy had done."""

from rolloutsim.evidence.recorded.bundle import Bundle, BundleError, Gap, read_bundle
from rolloutsim.evidence.recorded.recorder import Recorder, record_bundle, selectors_of
from rolloutsim.evidence.recorded.retell import Retold, retell
from rolloutsim.evidence.recorded.timeline import (
    Did,
    Move,
    Timeline,
    TimelineError,
    load_timeline,
    timeline_of,
)

__all__ = [
    "Bundle",
    "BundleError",
    "Did",
    "Gap",
    "Move",
    "Recorder",
    "Retold",
    "Timeline",
    "TimelineError",
    "load_timeline",
    "read_bundle",
    "record_bundle",
    "retell",
    "selectors_of",
    "timeline_of",
]
