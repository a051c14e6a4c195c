"""Incident files: YAML whose mistakes are named with file, line, what is wrong, why, and what to do."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from rolloutsim.errors import InputError, PolicyError
from rolloutsim.evidence.checked_file import as_error, read_record
from rolloutsim.evidence.incidents.record import Incident, Play
from rolloutsim.policy import load_policy
from rolloutsim.policy.load import manifest_text
from rolloutsim.policy.model import Policy

__all__ = [
    "IncidentError",
    "incident_ids",
    "load_incident",
    "policy_names",
    "policy_path",
    "read_incident",
    "shipped_policy",
]

_RECORD = TypeAdapter(Incident)
_FIRST = {
    "sources": (
        "an incident without sources",
        "name title, organisation, date and address of each under sources",
    )
}


class IncidentError(InputError):
    """An incident file is wrong, or there is no such incident."""


def load_incident(name: str | Path) -> Incident:
    """A shipped incident by its id, or an incident file by its path.

    Raises
    ------
    IncidentError : there is neither; or something in the file is wrong, with file, line and what to do.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            return read_incident(manifest_text(path), str(path))
        except PolicyError as error:
            raise as_error(error, IncidentError) from error
    shipped = _folder() / f"{name}.yaml"
    if str(name) not in incident_ids():
        close = get_close_matches(str(name), incident_ids(), n=1, cutoff=0.3)
        fix = f"did you mean {close[0]}? rolloutsim incidents list shows all" if close else ""
        raise IncidentError(
            f"there is no incident {str(name)!r}", fix=fix or "rolloutsim incidents list shows all"
        )
    return read_incident(shipped.read_text(encoding="utf-8"), str(shipped))


def incident_ids() -> tuple[str, ...]:
    """The ids of the shipped incidents, in alphabetical order."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def read_incident(text: str, file: str = "incident.yaml") -> Incident:
    """An incident from YAML text; ``file`` is what messages call it.

    Raises
    ------
    IncidentError : the first thing that is wrong, with its line.
    """
    return read_record(text, file, _RECORD, IncidentError, _FIRST)


def shipped_policy(play: Play) -> Policy:
    """The policy file of a counterfactual, as it ships.

    Raises
    ------
    PolicyError : the file is wrong or missing.
    """
    return load_policy(policy_path(play.policy))


def policy_path(file: str) -> Path:
    """Where a shipped policy file lies."""
    return _folder() / "policies" / file


def policy_names() -> tuple[str, ...]:
    """The names of the shipped policies, in alphabetical order."""
    return tuple(sorted(path.stem for path in policy_path("").glob("*.yaml")))


@cache
def _folder() -> Path:
    """Inside an installed package, or beside it in a clone."""
    package = Path(__file__).parents[2]
    inside = package / "data" / "incidents"
    return inside if inside.is_dir() else package.parent / "data" / "incidents"
