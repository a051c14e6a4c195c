"""Which policies and scenarios a command line means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from glob import glob
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rolloutsim.errors import InputError, PolicyError, Position, ScenarioError

if TYPE_CHECKING:
    from rolloutsim.conditions import Dialect
    from rolloutsim.policy.model import Policy
    from rolloutsim.sim.scenario import Scenario

__all__ = ["Argo", "ArgoOption", "dialect", "one_policy", "policies", "scenarios"]

_YAML = (".yaml", ".yml")


class Argo(StrEnum):
    """Versions of Argo Rollouts whose condition languages differ."""

    MASTER = "master"
    V1_9_1 = "v1.9.1"


ArgoOption = Annotated[
    Argo, typer.Option("--argo", help="The controller's version: it decides how conditions are read.")
]


def dialect(version: Argo) -> Dialect:
    """The condition language of a version of Argo Rollouts."""
    from rolloutsim.conditions import Dialect

    return Dialect(version.value)


def one_policy(given: str, argo: Argo = Argo.MASTER) -> Policy:
    """The only policy in a file, or in several that belong together (``a.yaml,b.yaml``)."""
    found = _load(given, argo)
    if len(found) > 1:
        names = ", ".join(policy.name for policy in found)
        raise PolicyError(
            f"{len(found)} rollouts ({names}), and simulate plays one", at=Position(given), fix="use compare"
        )
    return found[0]


def policies(given: Sequence[str], argo: Argo = Argo.MASTER) -> list[Policy]:
    """All policies in these files, in order, under names that differ.

    Each argument is a file, or several that belong together (``rollout.yaml,templates.yaml``). Where
    manifests have the same name, policies are called after their files.
    """
    found = [(argument, _load(argument, argo)) for argument in given]
    names = [policy.name for _, loaded in found for policy in loaded]
    if len(set(names)) == len(names):
        return [policy for _, loaded in found for policy in loaded]
    stems = _names(argument.split(",")[0] for argument, _ in found)
    renamed = [
        replace(policy, name=stem if len(loaded) == 1 else f"{stem}/{policy.name}")
        for stem, (_, loaded) in zip(stems, found, strict=True)
        for policy in loaded
    ]
    _refuse_doubles("policy", [policy.name for policy in renamed])
    return renamed


def scenarios(given: Sequence[str]) -> list[Scenario]:
    """All scenarios that are named by files, directories (their YAML files, sorted), patterns and commas.

    ``SERVICE+RELEASE`` is a service file and a release file; with directories, every pair. Scenarios of
    one name are called after their files.
    """
    from rolloutsim.sim.scenario_file import load_scenario

    paths = scenario_files(given)
    found = [load_scenario(path) for path in paths]
    if len({scenario.name for scenario in found}) < len(found):
        found = [replace(one, name=name) for one, name in zip(found, _names(paths), strict=True)]
    return found


def scenario_files(given: Sequence[str]) -> list[str]:
    """The files of `scenarios`, as `load_scenario` takes them."""
    parts = [part for argument in given for part in argument.split(",")]
    return list(dict.fromkeys(path for part in parts for path in _paths(part)))


def _load(given: str, argo: Argo) -> tuple[Policy, ...]:
    from rolloutsim.policy import load_policies

    parts = given.split(",")
    for part in parts:
        _refuse_no_name(part, given, PolicyError)
        if Path(part).is_dir():
            raise PolicyError(
                "a directory stands here for files of a policy",
                at=Position(part),
                fix="name its files, with commas where they belong together",
            )
    return load_policies(*parts, dialect=dialect(argo))


def _paths(part: str) -> Iterator[str]:
    """The files that ``part`` means; of ``SERVICES+RELEASES``, each of the one with each of the other."""
    sides = [part] if part and Path(part).exists() else part.split("+")
    for side in sides:
        _refuse_no_name(side, part, ScenarioError)
    yield from ("+".join(pair) for pair in product(*(_files(side) for side in sides)))


def _files(part: str) -> list[str]:
    path = Path(part)
    if path.is_dir():
        found = sorted(str(child) for child in path.iterdir() if child.suffix in _YAML)
    elif any(character in part for character in "*?["):
        found = sorted(glob(part, recursive=True))
    else:
        return [part]
    if not found:
        raise ScenarioError(
            "no YAML file is here", at=Position(part), fix="name files, or a directory of them"
        )
    return found


def _names(paths: Iterable[str]) -> list[str]:
    """Short names of files: their stems, or the whole paths of those whose stems are the same."""
    listed = list(paths)
    count = Counter(Path(path).stem for path in listed)
    return [Path(path).stem if count[Path(path).stem] == 1 else path for path in listed]


def _refuse_no_name(part: str, given: str, error: type[InputError]) -> None:
    """An empty name would be the present directory."""
    if not part.strip():
        raise error(
            "a file's name is missing", value=given, fix="name one on each side of a ',' and of a '+'"
        )


def _refuse_doubles(what: str, names: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"{what} {name} is given {times} times", fix="name each once")
