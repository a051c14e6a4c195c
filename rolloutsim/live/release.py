"""What an executor is asked to bring about, and its form beside the state in the cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from rolloutsim.engine import from_json, to_json
from rolloutsim.errors import ExecutorError
from rolloutsim.live.journal import API_VERSION
from rolloutsim.live.port import Object
from rolloutsim.live.prediction import Prediction
from rolloutsim.live.traffic_probe import TrafficProbe
from rolloutsim.policy.model import Policy

__all__ = ["Release", "release_of"]


@dataclass(frozen=True, slots=True)
class Release:
    """What an executor is to bring about: a revision under a policy.

    ``templates`` are the pod templates by revision; a revision that is in a slot already needs none.
    ``fields`` are the values for arguments that name a field, as pairs (path, value). ``prediction``: what
    simulations expect of it, to hold its course against; None: nobody asked them. ``probe``: how requests
    show that a weight has moved; None: what the router says is enough.
    """

    policy: Policy
    revision: str
    templates: Mapping[str, Object] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    prediction: Prediction | None = None
    probe: TrafficProbe | None = None

    def text(self, journal: str) -> str:
        """As it stands beside the state in the cluster, so that another machine can go on."""
        content = {
            "apiVersion": API_VERSION,
            "policy": to_json(self.policy),
            "revision": self.revision,
            "templates": dict(self.templates),
            "fields": [list(pair) for pair in self.fields],
            "prediction": None if self.prediction is None else to_json(self.prediction),
            "probe": None if self.probe is None else to_json(self.probe),
            "journal": journal,
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True)


def release_of(text: str) -> tuple[Release, str]:
    """The release in a text, and the name of the journal of who wrote it.

    Raises
    ------
    ExecutorError : the text is none of this version's.
    """
    try:
        content = json.loads(text)
        fields = tuple((str(path), str(value)) for path, value in content["fields"])
        policy = from_json(Policy, content["policy"])
        told = content["prediction"]
        prediction = None if told is None else from_json(Prediction, told)
        asked = content.get("probe")
        probe = None if asked is None else from_json(TrafficProbe, asked)
        release = Release(policy, content["revision"], content["templates"], fields, prediction, probe)
        return release, content["journal"]
    except (KeyError, TypeError, ValueError) as error:
        raise ExecutorError(
            f"the state in the cluster is of another version ({error}); resume with the version that wrote it"
        ) from None
