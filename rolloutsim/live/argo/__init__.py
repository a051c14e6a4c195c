"""An installed Argo Rollouts controller: it decides, and we follow.

Nothing here moves traffic or pods. `commands` are the patches of the controller's own command line, `view`
reads its objects, and `shadow` runs our engine on the same facts and reports the first difference.
"""

from __future__ import annotations

from rolloutsim.live.argo.commands import Write, command_writes
from rolloutsim.live.argo.follow import Follower, apply_manifests
from rolloutsim.live.argo.shadow import Difference, Shadow
from rolloutsim.live.argo.view import View, view_of

__all__ = [
    "Difference",
    "Follower",
    "Shadow",
    "View",
    "Write",
    "apply_manifests",
    "command_writes",
    "view_of",
]
