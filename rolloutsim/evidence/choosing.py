"""A recommendation as a question that can be refuted: which strategy has less of what, case by case.

A file of kind ``Choice`` names a situation, the strategy that somebody advises in it, the quantity that
decides, and cases in which the strategies are played in the same worlds. The advice holds in a case when
the advised strategy has less of the quantity than every other one, by an interval of the paired difference
that excludes zero and by more than a tenth. Where it does not, the advice turns.

Where a case says what to ``expect`` instead (``none`` or ``some`` of the quantity, for each strategy), the
advice holds when every interval agrees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from rolloutsim.errors import PolicyError, Position, ScenarioError
from rolloutsim.estimates import Estimate, mean_interval, paired_mean_difference
from rolloutsim.evidence.playing import Player, Stretch, players
from rolloutsim.policy import load_policy
from rolloutsim.policy.model import Policy
from rolloutsim.policy.yaml_source import Node, read_documents
from rolloutsim.sim.model_card import model_card
from rolloutsim.sim.overlay import NOTHING, Overlay
from rolloutsim.sim.platform_file import count
from rolloutsim.sim.quantities import at_least, choice, metadata_name, text
from rolloutsim.sim.run import fidelity
from rolloutsim.sim.scenario import Scenario
from rolloutsim.sim.scenario_file import API_VERSION, load_scenario
from rolloutsim.sim.section import Section
from rolloutsim.tables import TOTALS

__all__ = ["Case", "Choice", "Finding", "Judgement", "Row", "judge", "load_choices"]

QUANTITIES = (*TOTALS, "users_exposed", "rows_at_risk", "unserved", "mixed_s", "overlap_s", "cut_requests")
_YAML = (".yaml", ".yml")
_ALIKE = 0.1
"""Differences below this share of the larger value are none that anybody would choose by."""


class Judgement(StrEnum):
    """What becomes of a piece of advice, in one case or in all."""

    HOLDS = "holds"
    TURNS = "turns"
    """The other strategy has less."""
    ALIKE = "alike"
    """Neither has less: the advice does not decide."""
    UNKNOWN = "unknown"
    """The quantity did not occur."""


@dataclass(frozen=True, slots=True)
class Case:
    """One world and the strategies in it, by name; ``expect`` is empty unless the case says it."""

    name: str
    scenario: Scenario
    policies: tuple[tuple[str, Policy], ...]
    expect: tuple[tuple[str, bool], ...] = ()
    """Strategies that should have some of the quantity (True) or none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A situation, what is advised in it (empty: nothing of what is played), and what decides."""

    name: str
    situation: str
    advice: str
    quantity: str
    means: str
    cases: tuple[Case, ...]
    alike: float = 0.0
    """Differences of at most this are none, whatever their share."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One case, played: the quantity of each strategy, and its paired difference from the advised one."""

    case: str
    values: tuple[tuple[str, Estimate], ...]
    differences: tuple[tuple[str, Estimate], ...]
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Row:
    """One situation, judged."""

    choice: Choice
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """Whether the advice holds on the stated cases, or in which it turns."""
        count = Counter(one.judgement for one in self.findings)
        if count[Judgement.HOLDS] == len(self.findings):
            return "holds in every case"
        held = count.pop(Judgement.HOLDS, 0)
        first = f"holds in {held} of {len(self.findings)} cases" if held else "holds in no case"
        words = {
            Judgement.TURNS: "turns",
            Judgement.ALIKE: "decides nothing",
            Judgement.UNKNOWN: "is unknown",
        }
        return ", ".join([first, *(f"{word} in {count[one]}" for one, word in words.items() if count[one])])

    @property
    def card(self) -> dict[str, Any]:
        """The model card of all cases, by their names."""
        policies = [policy for case in self.choice.cases for _, policy in case.policies]
        scenarios = [case.scenario for case in self.choice.cases]
        return model_card(policies, scenarios, fidelity(policies, scenarios))

    @property
    def basis(self) -> str:
        """How much of the cases is assumed, and how requests are played, in a few words."""
        card = self.card
        assumed = [len(world["assumed"]) for world in card["scenarios"].values()]
        measured = [len(world["measured"]) for world in card["scenarios"].values()]
        return f"{_span(assumed)} assumed and {_span(measured)} measured inputs a case; {card['fidelity']}"

    def to_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "situation": self.choice.situation,
            "advice": self.choice.advice or "neither",
            "quantity": self.choice.quantity,
            "verdict": self.verdict,
            "modelCard": self.card,
            "cases": [
                {
                    "case": one.case,
                    "judgement": str(one.judgement),
                    "values": {name: _plain(value) for name, value in one.values},
                    "differences": {name: _plain(value) for name, value in one.differences},
                }
                for one in self.findings
            ],
        }


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


# --- playing --------------------------------------------------------------------------------------


def judge(
    question: Choice,
    *,
    runs: int = 200,
    seed: int = 1,
    player: Player | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Row:
    """Play all cases of a choice and judge each.

    Parameters
    ----------
    player : plays the runs (`rolloutsim.evidence.playing.players`); None plays them here and now.
    """
    if player is None:
        with players(1) as alone:
            return judge(question, runs=runs, seed=seed, player=alone, progress=progress)
    findings = []
    for done, case in enumerate(question.cases):
        findings.append(_judged(question, case, runs, seed, player))
        if progress is not None:
            progress(done + 1, len(question.cases))
    return Row(question, tuple(findings))


def _judged(question: Choice, case: Case, runs: int, seed: int, player: Player) -> Finding:
    stretches = [
        Stretch(replace(policy, name=name), case.scenario, seed, 0, runs) for name, policy in case.policies
    ]
    columns = {
        stretch.policy.name: np.array([getattr(row, question.quantity) for row in played], dtype=np.float64)
        for stretch, played in zip(stretches, player(stretches), strict=True)
    }
    values = tuple((name, mean_interval(column)) for name, column in columns.items())
    if case.expect:
        return Finding(case.name, values, (), _as_expected(columns, case.expect))
    advised = columns[question.advice]
    differences = tuple(
        (name, paired_mean_difference(advised, column))
        for name, column in columns.items()
        if name != question.advice
    )
    known = dict(values)
    verdicts = [
        _compared(known[question.advice], known[name], difference, question.alike)
        for name, difference in differences
    ]
    return Finding(case.name, values, differences, max(verdicts, key=_SEVERITY.index))


_SEVERITY = (Judgement.HOLDS, Judgement.ALIKE, Judgement.TURNS, Judgement.UNKNOWN)


def _compared(advised: Estimate, other: Estimate, difference: Estimate, alike: float) -> Judgement:
    if advised.value is None or other.value is None or difference.value is None:
        return Judgement.UNKNOWN
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Judgement.UNKNOWN
    small = max(alike, _ALIKE * max(abs(advised.value), abs(other.value)))
    if abs(difference.value) <= small or low <= 0.0 <= high:
        return Judgement.ALIKE
    return Judgement.HOLDS if low > 0.0 else Judgement.TURNS


def _as_expected(
    columns: Mapping[str, np.ndarray[Any, Any]], expect: Sequence[tuple[str, bool]]
) -> Judgement:
    for name, some in expect:
        found = columns[name] > 0.0
        if not (found.all() if some else not found.any()):
            return Judgement.TURNS
    return Judgement.HOLDS


def _plain(value: Estimate) -> dict[str, float | int | None]:
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}


# --- files ----------------------------------------------------------------------------------------


def load_choices(path: str | Path) -> list[Choice]:
    """The choices in a file, or in the files of a directory (in order of their names).

    Raises
    ------
    ScenarioError : a file is no Choice, or something in it is wrong.
    """
    place = Path(path)
    files = [place] if place.is_file() else sorted(f for f in place.glob("*") if f.suffix in _YAML)
    if not files:
        raise ScenarioError("no choice is here", at=Position(str(path)), fix="name a file of kind Choice")
    return [found for file in files for found in _choices(file)]


def _choices(file: Path) -> Iterator[Choice]:
    try:
        nodes = read_documents(file.read_text(encoding="utf-8"), str(file))
    except PolicyError as error:
        raise ScenarioError(error.why, at=error.at, path=error.path, fix=error.fix) from error
    for node in nodes:
        if not isinstance(node.value, Mapping):
            raise ScenarioError("expected a mapping with apiVersion, kind, metadata and spec", at=node.at)
        root = Section(node, (), "document", [])
        root.read("kind", choice("Choice"))
        root.read("apiVersion", choice(API_VERSION))
        root.only("apiVersion", "kind", "metadata", "spec")
        name = root.section("metadata").only("name").read("name", metadata_name)
        yield _choice(name, root.section("spec"))


def _choice(name: str, spec: Section) -> Choice:
    spec.only("situation", "advice", "quantity", "means", "alike", "service", "release", "policies", "cases")
    advice = spec.word("advice", text)
    cases = tuple(_case(spec, section) for section in spec.sections("cases"))
    if not cases:
        raise spec.error("cases", "a choice needs cases", fix="give at least one, with a name")
    for section, one in zip(spec.sections("cases"), cases, strict=True):
        if advice not in dict(one.policies) and not one.expect:
            raise section.error("policies", f"no policy is called {advice!r}, which is advised")
    return Choice(
        name,
        spec.word("situation", text),
        "" if advice == "neither" else advice,
        spec.word("quantity", choice(*QUANTITIES)),
        spec.word("means", text) if spec.has("means") else "",
        cases,
        spec.word("alike", at_least(0.0)) if spec.has("alike") else 0.0,
    )


def _case(spec: Section, section: Section) -> Case:
    section.only("name", "service", "release", "policies", "replicas", "change", "expect")
    name = section.word("name", text)
    files = [_file(section if section.has(part) else spec, part) for part in ("service", "release")]
    names = {**_texts(spec, "policies"), **_texts(section, "policies")}
    policies = [(role, load_policy(section.directory / file)) for role, file in names.items()]
    if section.has("replicas"):
        replicas = section.read("replicas", count)
        policies = [(role, replace(policy, replicas=replicas)) for role, policy in policies]
    wanted = _texts(section, "expect")
    for role, word in wanted.items():
        if role not in names or word not in ("none", "some"):
            raise section.error("expect", "expected 'none' or 'some' for a policy of this case", role)
    scenario = load_scenario("+".join(files), _changes(section))
    return Case(
        name,
        replace(scenario, name=name),
        tuple(policies),
        tuple((role, word == "some") for role, word in wanted.items()),
    )


def _file(section: Section, part: str) -> str:
    if not section.has(part):
        raise section.error(part, f"the field {part!r} is missing", fix=f"name the file of the {part}")
    return str(section.directory / section.word(part, text))


def _texts(section: Section, key: str) -> dict[str, str]:
    return {name: str(node.value) for name, node in section.children(key).items()}


def _changes(section: Section) -> Overlay:
    if not section.has("change"):
        return NOTHING
    change = section.section("change").only("service", "release")
    children: Mapping[str, Node] = section.children("change")
    return {part: children[part] for part in change.given}
