"""A grid: one policy in some scenarios, with some of their values taken from lists.

A value is named by its path, as messages about it name it: ``policy:spec.strategy.canary.steps[0].setWeight``
in a manifest, ``scenario:release.faults[0].size`` in a service or a release. Where several documents of a
manifest have such a field, the document is named too: ``policy:AnalysisTemplate/a:spec.metrics[0].count``.
What is swept are the files, before they are read: everything that a file can say can be swept, and nothing
that it cannot.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from rolloutsim.conditions import Dialect
from rolloutsim.errors import InputError, PolicyError, Position, ScenarioError
from rolloutsim.policy import digest
from rolloutsim.policy.document import Document, nearest
from rolloutsim.policy.load import READERS, manifest_text, manifests, policies_of
from rolloutsim.policy.model import Policy
from rolloutsim.policy.yaml_source import Node, read_documents
from rolloutsim.sim.identity import scenario_digest
from rolloutsim.sim.kept import Kept
from rolloutsim.sim.model_card import model_card
from rolloutsim.sim.overlay import NOTHING, fields_of, overlaid, under
from rolloutsim.sim.run import Progress, fidelity, notes, rows
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.scenario_file import load_scenario
from rolloutsim.tables import Results, build_results, provenance

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Axis", "Grid", "Sweep", "grid", "read_axis", "sweep"]

MOST_CELLS = 10_000

_AXIS = re.compile(r"(policy|scenario):(?:([A-Za-z]+/[^:=]+):)?([^=]+)=(.*)", re.DOTALL)
_FORM = "write policy:PATH=VALUE,VALUE or scenario:PATH=VALUE,VALUE"


@dataclass(frozen=True, slots=True)
class Axis:
    """A value of the files and what it is set to; ``document`` is ``Kind/name``, or empty."""

    of: str
    document: str
    path: str
    values: tuple[Node, ...]

    @property
    def name(self) -> str:
        """How the command line names it."""
        return ":".join(part for part in (self.of, self.document, self.path) if part)


Settings = Mapping[str, str]
"""The values of axes, as they are written, by the names of the axes."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The variants of a policy and of scenarios, each with its settings; cells are all pairs.

    Variants have names of their own; ``policy`` and ``scenarios`` are what the files say themselves.
    """

    axes: tuple[Axis, ...]
    policy: Policy
    scenarios: tuple[Scenario, ...]
    policy_variants: tuple[tuple[Policy, Settings], ...]
    scenario_variants: tuple[tuple[Scenario, str, Settings], ...]
    """Each with the name of the scenario that it is a variant of."""

    @property
    def cells(self) -> list[tuple[Policy, Scenario]]:
        """Every policy in every scenario."""
        return [
            (policy, world) for world, _, _ in self.scenario_variants for policy, _ in self.policy_variants
        ]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was found on a grid; in ``results`` each variant has a name of its own."""

    grid: Grid
    results: Results

    def to_frame(self) -> pd.DataFrame:
        """One row per cell: policy, scenario, the value of each axis, and the summary."""
        frame = self.results.summary
        settings = self._settings(zip(frame["policy"], frame["scenario"], strict=True))
        origins = {world.name: name for world, name, _ in self.grid.scenario_variants}
        frame["policy"] = self.grid.policy.name
        frame["scenario"] = frame["scenario"].map(origins)
        for at, axis in enumerate(self.grid.axes, 2):
            frame.insert(at, axis.name, [setting[axis.name] for setting in settings])
        return frame

    def to_json(self) -> dict[str, Any]:
        """As `Results.to_json`, and for each cell the value of each axis under ``set``."""
        content = self.results.to_json()
        axes = {axis.name: [value.text for value in axis.values] for axis in self.grid.axes}
        summary = content["summary"]
        settings = self._settings((row["policy"], row["scenario"]) for row in summary)
        for row, setting in zip(summary, settings, strict=True):
            row["set"] = {name: setting[name] for name in axes}
        head = {name: content.pop(name) for name in ("apiVersion", "kind")}
        return {**head, "axes": axes, **content}

    def _settings(self, cells: Iterable[tuple[str, str]]) -> list[Settings]:
        """The settings of cells, which are given by the names of their variants."""
        policies = {variant.name: settings for variant, settings in self.grid.policy_variants}
        worlds = {variant.name: settings for variant, _, settings in self.grid.scenario_variants}
        return [{**policies[policy], **worlds[world]} for policy, world in cells]


def read_axis(text: str) -> Axis:
    """``policy:PATH=1,2,3``: the values are those of a YAML list; one with a comma is put in quotes.

    Raises
    ------
    InputError : it is not of this form, or has no value, or one twice.
    """
    at = Position(f"--set {text}")
    match = _AXIS.fullmatch(text)
    if match is None:
        raise InputError("this names no value of a policy or a scenario", at=at, fix=_FORM)
    of, document, path, written = match.groups()
    try:
        listed = read_documents(f"[{written}]", "--set")
    except PolicyError as error:
        raise InputError(
            f"the values are no list: {error.why}", at=at, fix="quote what is not plain"
        ) from error
    values = listed[0].value if len(listed) == 1 else ()
    if not isinstance(values, tuple) or not values:
        raise InputError("there is no value", at=at, fix=_FORM)
    if any(isinstance(value.value, tuple | Mapping) for value in values):
        raise InputError("a value is a number or a text", at=at, fix="put a text with brackets in quotes")
    axis = Axis(of, document or "", path, ())
    text, times = Counter(value.text for value in values).most_common(1)[0]
    if times > 1:
        raise InputError(f"the same value stands here {times} times", at=at, value=text)
    return replace(axis, values=tuple(replace(one, at=Position(f"{axis.name}={one.text}")) for one in values))


def grid(
    policy_files: Sequence[str],
    scenario_files: Sequence[str],
    axes: Sequence[Axis],
    *,
    dialect: Dialect = Dialect.MASTER,
) -> Grid:
    """Read every variant, so that nothing is played before all of them are known to be good.

    Parameters
    ----------
    policy_files : files that belong together and hold one rollout.
    scenario_files : as `load_scenario` takes them.

    Raises
    ------
    InputError : an axis fits nothing, changes nothing or is given twice, or there are too many cells.
    PolicyError, ScenarioError : a file, or a value that is set in it, is wrong.
    """
    _check_axes(axes, len(scenario_files))
    documents = [one for file in policy_files for one in manifests(manifest_text(file), file)]
    where = ", ".join(policy_files)
    policy = _only(policies_of(documents, where, dialect), where)
    policies: list[tuple[Policy, Settings]] = []
    for points in _points(axes, "policy"):
        changed = _changed(documents, points)
        variant = _only(policies_of(changed, where, dialect), where)
        policies.append((replace(variant, name=_named(policy.name, points)), _settings(points)))
    bases, worlds = [], []
    for file in scenario_files:
        base = load_scenario(file)
        bases.append(base)
        for points in _points(axes, "scenario"):
            world = load_scenario(file, _overlay(points))
            worlds.append((replace(world, name=_named(base.name, points)), base.name, _settings(points)))
    _refuse_idle(axes, policies, worlds)
    return Grid(tuple(axes), policy, tuple(bases), tuple(policies), tuple(worlds))


def sweep(
    on: Grid,
    *,
    runs: int = 400,
    seed: int = 1,
    jobs: int | None = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    keep: Kept | None = None,
) -> Sweep:
    """Play every cell of a grid in the same worlds; parameters as for `rolloutsim.simulate`."""
    played = rows(on.cells, runs=runs, seed=seed, jobs=jobs, executor=executor, progress=progress, keep=keep)
    policies = [policy for policy, _ in on.policy_variants]
    worlds = [world for world, _, _ in on.scenario_variants]
    results = build_results(
        played,
        kind="Sweep",
        notes=notes([on.policy], on.scenarios, runs, seed),
        provenance=provenance(
            {one.name: digest(one) for one in policies},
            {one.name: scenario_digest(one) for one in worlds},
            seed=seed,
            runs=runs,
        ),
        card=model_card([on.policy], on.scenarios, fidelity(policies, worlds)),
    )
    return Sweep(on, results)


# --- axes -----------------------------------------------------------------------------------------

_Points = Sequence[tuple[Axis, Node]]


def _check_axes(axes: Sequence[Axis], scenarios: int) -> None:
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise InputError("the same value is set twice", at=Position(f"--set {name}"), fix="give one list")
    cells = scenarios
    for axis in axes:
        cells *= len(axis.values)
    if cells > MOST_CELLS:
        raise InputError(
            f"the grid has {cells} cells, and at most {MOST_CELLS} are swept", fix="take fewer values"
        )


def _points(axes: Sequence[Axis], of: str) -> Iterator[_Points]:
    chosen = [axis for axis in axes if axis.of == of]
    for values in product(*(axis.values for axis in chosen)):
        yield tuple(zip(chosen, values, strict=True))


def _settings(points: _Points) -> Settings:
    return {axis.name: value.text for axis, value in points}


def _named(name: str, points: _Points) -> str:
    fields = [fields_of(axis.path)[-1] for axis, _ in points]
    said = (
        f"{field if fields.count(field) == 1 else axis.name.partition(':')[2]}={value.text}"
        for field, (axis, value) in zip(fields, points, strict=True)
    )
    return " ".join((name, *said))


def _refuse_idle(
    axes: Sequence[Axis],
    policies: Sequence[tuple[Policy, Settings]],
    worlds: Sequence[tuple[Scenario, str, Settings]],
) -> None:
    """An axis along which nothing changes is a mistake in its path, and would look like a finding."""
    for axis in axes:
        if axis.of == "policy":
            found = {digest(one) for one, settings in policies if _first(axes, axis, settings)}
        else:
            name = worlds[0][1]
            found = {
                scenario_digest(one)
                for one, origin, settings in worlds
                if origin == name and _first(axes, axis, settings)
            }
        if len(found) < len(axis.values):
            raise InputError(
                f"its {len(axis.values)} values make {len(found)} different {axis.of} variants",
                at=Position(f"--set {axis.name}"),
                fix="set something that a rollout depends on, to values that differ",
            )


def _first(axes: Sequence[Axis], free: Axis, settings: Settings) -> bool:
    """Whether all axes but one have their first value."""
    return all(
        settings[axis.name] == axis.values[0].text
        for axis in axes
        if axis.name in settings and axis.name != free.name
    )


# --- scenarios ------------------------------------------------------------------------------------


def _overlay(points: _Points) -> Mapping[str, Node]:
    merged = Node({}, Position())
    for axis, value in points:
        fields = fields_of(axis.path)
        if fields[0] not in ("service", "release") or len(fields) < 2:
            raise ScenarioError(
                "a scenario has a service and a release",
                at=Position(f"--set {axis.name}"),
                fix="let the path begin with service. or release.",
            )
        merged = overlaid(merged, under(fields, value))
    return merged.value if isinstance(merged.value, Mapping) and merged.value else NOTHING


# --- policies -------------------------------------------------------------------------------------


def _changed(documents: Sequence[Document], points: _Points) -> list[Document]:
    changed = list(documents)
    for axis, value in points:
        at = _meant(changed, axis)
        root = overlaid(changed[at].root, under(fields_of(axis.path), value))
        changed[at] = Document.of(root, changed[at].file)
    return changed


def _meant(documents: Sequence[Document], axis: Axis) -> int:
    """Which document an axis is about: the one that has the field, else the one that could have it."""
    fields = fields_of(axis.path)
    named = {at: _label(one) for at, one in enumerate(documents) if axis.document in ("", _label(one))}
    if not named:
        labels = [_label(one) for one in documents]
        raise PolicyError(
            "there is no such document",
            at=Position(f"--set {axis.name}"),
            fix=nearest(axis.document, labels) or f"there are {', '.join(labels)}",
        )
    for known in (len(fields), len(fields) - 1):
        having = [at for at in named if _depth(documents[at].root, fields) >= known]
        rollouts = [at for at in having if documents[at].kind in READERS]
        if len(rollouts or having) == 1:
            return (rollouts or having)[0]
        if having:
            options = ", ".join(f"policy:{named[at]}:{axis.path}" for at in having)
            raise PolicyError(
                "several documents have this field",
                at=Position(f"--set {axis.name}"),
                fix=f"name one: {options}",
            )
    depth, at = max((_depth(documents[at].root, fields), -at) for at in named)
    raise PolicyError(
        "the path leads nowhere",
        at=Position(f"--set {axis.name}"),
        fix=f"in {named[-at]} there is no {_joined(fields[: depth + 1])}",
    )


def _depth(node: Node, fields: Sequence[str]) -> int:
    """How many fields of a path a document has."""
    for depth, name in enumerate(fields):
        children = node.value
        if isinstance(children, Mapping) and name in children:
            node = children[name]
        elif isinstance(children, tuple) and name[0] == "[" and int(name[1:-1]) < len(children):
            node = children[int(name[1:-1])]
        else:
            return depth
    return len(fields)


def _joined(fields: Sequence[str]) -> str:
    return ".".join(fields).replace(".[", "[")


def _label(document: Document) -> str:
    return f"{document.kind}/{document.name}"


def _only(policies: Sequence[Policy], where: str) -> Policy:
    if len(policies) > 1:
        names = ", ".join(policy.name for policy in policies)
        raise PolicyError(f"{len(policies)} rollouts ({names}), and a sweep has one", at=Position(where))
    return policies[0]
