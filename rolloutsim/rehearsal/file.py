"""Test files: which policy, and the tests of it.

::

    policy: ../article/canary.yaml
    tests:
      - name: a fifth of the requests failing aborts it
        measurements: {error-rate: [0.01, 0.2]}
        expect:
          - {at: 4m, event: aborted}
        outcome: aborted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from rolloutsim.conditions import Dialect, MeasurementPhase
from rolloutsim.engine import Outcome, Phase, RunPhase
from rolloutsim.errors import PolicyError, Position, ScenarioError
from rolloutsim.policy import load_policy
from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.document import dotted, nearest
from rolloutsim.policy.model import Canary, FieldArgument, GatedCounts, Metric, Policy, PrometheusProvider
from rolloutsim.policy.yaml_source import Node, read_documents
from rolloutsim.rehearsal.answers import metrics_of, outcome_of
from rolloutsim.rehearsal.case import Case, Command, Deed, End, Expectation, GivenSeries, Happens
from rolloutsim.rehearsal.fields import COMMAND, EXPECT, FILE, NEVER, PODS, SERIES, TEST, Table
from rolloutsim.rehearsal.series import expand, series_labels
from rolloutsim.sim.quantities import UnfitValue, duration_ms
from rolloutsim.sim.section import Section

__all__ = ["load_cases"]

DEFAULT_INTERVAL_MS = 60_000
DAY_MS = 86_400_000
KINDS: Mapping[str, type[StrEnum]] = {
    "event": Happens,
    "verdict": MeasurementPhase,
    "analysis": RunPhase,
    "phase": Phase,
}
STEP_DEEDS = (Deed.SKIP_STEP, Deed.SKIP_ALL_STEPS)


def load_cases(path: str | Path) -> tuple[Case, ...]:
    """The tests of a file, each with its policy.

    Raises
    ------
    ScenarioError : the file cannot be read, or something in it is wrong; says where and what to do.
    PolicyError : the policy is wrong.
    """
    root = _root(Path(path)).only(*FILE)
    for key in ("policy", "tests"):
        if not root.has(key):
            raise root.error(key, f"the field {key!r} is missing", fix="add it")
    name = root.optional("rollout", FILE["rollout"].parse, None)
    dialect = Dialect(root.optional("argo", FILE["argo"].parse, Dialect.MASTER))
    policy = load_policy(*_policy_files(root), name=name, dialect=dialect)
    interval = root.optional("interval", FILE["interval"].parse, DEFAULT_INTERVAL_MS)
    cases = tuple(_Reader(section.only(*TEST), policy, interval).case() for section in root.sections("tests"))
    if not cases:
        raise root.error("tests", "the file has no tests", fix="add one")
    _refuse_doubles(cases)
    return cases


def _root(path: Path) -> Section:
    at = Position(str(path))
    try:
        content = path.read_text(encoding="utf-8-sig")
        nodes = read_documents(content, str(path))
    except OSError as error:
        raise ScenarioError(f"the file cannot be read: {error.strerror}", at=at) from error
    except UnicodeDecodeError as error:
        raise ScenarioError("the file is not UTF-8 text", at=at) from error
    except PolicyError as error:
        raise ScenarioError(
            error.why, at=error.at, path=error.path, value=error.value, fix=error.fix
        ) from error
    if len(nodes) != 1 or not isinstance(nodes[0].value, Mapping):
        raise ScenarioError("a file of tests is one mapping with 'policy' and 'tests'", at=at)
    return Section(nodes[0], (), "file", [])


def _policy_files(root: Section) -> list[Path]:
    node = _child(root, "policy")
    items = node.value if isinstance(node.value, tuple) else (node,)
    files = []
    for item in items:
        if not isinstance(item.value, str) or not item.value:
            raise ScenarioError("expected the name of a file", at=item.at, path="policy")
        file = root.directory / item.value
        if not file.is_file():
            known = sorted(other.name for other in file.parent.glob("*.yaml"))
            raise ScenarioError(
                "there is no such file",
                at=item.at,
                path="policy",
                value=item.value,
                fix=nearest(file.name, known) or "give its path relative to this file",
            )
        files.append(file)
    return files


def _child(section: Section, key: str) -> Node:
    assert isinstance(section.node.value, Mapping)
    return section.node.value[key]


def _refuse_doubles(cases: tuple[Case, ...]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        if case.name in first:
            why = f"two tests have one name, the first in line {first[case.name].where.line}"
            raise ScenarioError(why, at=case.where, value=case.name, fix="rename one of them")
        first[case.name] = case


class _Reader:
    """Reads one test."""

    def __init__(self, section: Section, policy: Policy, interval_ms: int) -> None:
        self.section = section
        self.replicas = section.optional("replicas", TEST["replicas"].parse, policy.replicas)
        self.policy = replace(policy, replicas=self.replicas)
        self.metrics = metrics_of(policy)
        self.interval_ms = section.optional("interval", TEST["interval"].parse, interval_ms)

    def case(self) -> Case:
        section = self.section
        pods = section.section("pods").only(*PODS)
        commands = self._commands()
        expect = tuple(self._expectation(item, EXPECT) for item in section.sections("expect"))
        never = self._never()
        series = self._all_series()
        outcome = section.optional("outcome", TEST["outcome"].parse, None)
        case = Case(
            name=section.read("name", TEST["name"].parse),
            where=section.node.at,
            policy=self.policy,
            until_ms=self._until(series, commands, (*expect, *never)),
            ready_after_ms=pods.read_or("ready_after", "never", duration_ms)
            if pods.has("ready_after")
            else 0,
            series=series,
            measurements=self._measurements(),
            fields=self._fields(),
            commands=commands,
            expect=expect,
            never=never,
            outcome=None if outcome is None else End(outcome),
        )
        if not (expect or never or outcome):
            raise section.error("expect", "the test expects nothing", fix="add expect, never or outcome")
        self._refuse_unmeasured(case)
        return case

    # --- what is given ----------------------------------------------------------------------------

    def _all_series(self) -> tuple[GivenSeries, ...]:
        found: dict[tuple[tuple[str, str], ...], GivenSeries] = {}
        for section in self.section.sections("series"):
            series = self._series(section)
            if series.labels in found:
                raise section.error("series", "the series is given twice", fix="give all its values in one")
            found[series.labels] = series
        return tuple(found.values())

    def _series(self, section: Section) -> GivenSeries:
        section.only(*SERIES)
        labels = section.read("series", _fitting(series_labels))
        # as it is written: YAML would read 0x10, eleven zeros, as the number 16
        written = _child(section, "values").text if section.has("values") else ""
        values = section.read("values", lambda _: expand(written))
        return GivenSeries(
            labels,
            section.optional("from", SERIES["from"].parse, 0),
            section.optional("interval", SERIES["interval"].parse, self.interval_ms),
            values,
        )

    def _measurements(self) -> dict[str, tuple[Outcome | None, ...]]:
        given = self.section.children("measurements")
        found = {}
        for name, node in given.items():
            path = dotted((*self.section.path, "measurements", name))
            metric = self._metric(name, node.at, path)
            if not isinstance(node.value, tuple) or not node.value:
                raise ScenarioError(
                    "expected a list of what the metric finds each time",
                    at=node.at,
                    path=path,
                    fix="write [0.01], which then holds for ever",
                )
            found[name] = tuple(
                _outcome(item, metric, f"{path}[{index}]") for index, item in enumerate(node.value)
            )
        return found

    def _metric(self, name: str, at: Position, path: str) -> Metric:
        if name in self.metrics:
            return self.metrics[name]
        known = ", ".join(self.metrics) or "none"
        raise ScenarioError(
            f"the policy has no metric {name!r}",
            at=at,
            path=path,
            fix=nearest(name, list(self.metrics)) or f"its metrics: {known}",
        )

    def _refuse_unmeasured(self, case: Case) -> None:
        for name, metric in self.metrics.items():
            provider = metric.provider
            query = isinstance(provider, GatedCounts) or (
                isinstance(provider, PrometheusProvider) and provider.range_query is None
            )
            if name not in case.measurements and not (query and case.series):
                ways = "measurements, or give series that its query reads" if query else "measurements"
                raise self.section.error(
                    "measurements",
                    f"nothing says what the metric {name!r} finds",
                    fix=f"add it to {ways}",
                )

    def _fields(self) -> tuple[tuple[str, str], ...]:
        needed = {
            argument.path
            for analysis in analyses_of(self.policy)
            for argument in analysis.late
            if isinstance(argument, FieldArgument)
        }
        values: dict[str, str] = {}
        for path, node in self.section.children("fields").items():
            where = dotted((*self.section.path, "fields", path))
            if not isinstance(node.value, str):
                raise ScenarioError(
                    "expected text", at=node.at, path=where, fix=f'put it in quotes: "{node.text}"'
                )
            if path not in needed:
                fix = nearest(path, sorted(needed)) or f"needed are {', '.join(sorted(needed)) or 'none'}"
                raise ScenarioError(
                    "no argument of the policy reads this field", at=node.at, path=where, fix=fix
                )
            values[path] = node.value
        missing = sorted(needed - values.keys())
        if missing:
            why = f"the policy has an argument that reads the field {missing[0]}"
            raise self.section.error("fields", why, fix="give its value in fields")
        return tuple(sorted(values.items()))

    def _commands(self) -> tuple[Command, ...]:
        commands: list[Command] = []
        for section in self.section.sections("commands"):
            section.only(*COMMAND)
            do = Deed(section.read("do", COMMAND["do"].parse))
            if do in STEP_DEEDS and not (
                isinstance(self.policy.strategy, Canary) and self.policy.strategy.steps
            ):
                raise section.error("do", "the policy has no steps", str(do))
            if section.has("revision") and do is not Deed.RELEASE:
                raise section.error("revision", "only a release has a revision", fix="remove it")
            releases = sum(command.do is Deed.RELEASE for command in commands)
            revision = section.optional("revision", COMMAND["revision"].parse, f"v{3 + releases}")
            at_ms = section.read("at", COMMAND["at"].parse)
            commands.append(Command(at_ms, do, revision if do is Deed.RELEASE else ""))
        return tuple(commands)

    # --- what is expected -------------------------------------------------------------------------

    def _expectation(self, section: Section, table: Table) -> Expectation:
        section.only(*table)
        given: dict[str, Any] = {key: section.read(key, table[key].parse) for key in section.given}
        if "at" in given and "by" in given:
            raise section.error("by", "an expectation has either 'at' or 'by'", fix="remove one of them")
        limits = {"at": "at_ms", "by": "by_ms", "before": "by_ms"}
        values = {limits.get(key, key): value for key, value in given.items()}
        if not given.keys() - limits.keys():
            known = ", ".join(key for key in table if key not in limits)
            raise ScenarioError(
                "nothing is expected",
                at=section.node.at,
                path=dotted(section.path),
                fix=f"add one of {known}",
            )
        if "metric" in given:
            self._metric(given["metric"], section.position("metric"), dotted((*section.path, "metric")))
        for key in ("verdict", "value"):
            if key in given and "metric" not in given:
                raise section.error(key, f"{key!r} is about a measurement", fix="add metric")
        if "message" in given and not given.keys() & {"event", "metric", "analysis"}:
            raise section.error(
                "message", "a message belongs to something", fix="add event, metric or analysis"
            )
        if sum(key in given for key in ("event", "metric", "analysis")) > 1:
            raise section.error(
                "event", "event, metric and analysis are three things", fix="expect each by itself"
            )
        for key, kind in KINDS.items():
            if key in given:
                values[key] = kind(given[key])
        return Expectation(section.node.at, **values)

    def _never(self) -> tuple[Expectation, ...]:
        """Each is the name of an event, or a mapping."""
        if not self.section.has("never"):
            return ()
        node = _child(self.section, "never")
        if not isinstance(node.value, tuple):
            raise self.section.error("never", "expected a list", fix="for example [aborted]")
        found = []
        for index, item in enumerate(node.value):
            path = (*self.section.path, "never", index)
            if isinstance(item.value, Mapping):
                section = Section(item, path, "never", [])
            else:
                section = Section(Node({"event": item}, item.at, {"event": item.at}), path, "never", [])
            found.append(self._expectation(section, NEVER))
        return tuple(found)

    def _until(
        self,
        series: tuple[GivenSeries, ...],
        commands: tuple[Command, ...],
        expected: tuple[Expectation, ...],
    ) -> int:
        times = [command.at_ms for command in commands]
        times += [time for one in expected for time in (one.at_ms, one.by_ms) if time is not None]
        last = max(times, default=0)
        if not self.section.has("until"):
            return max(last, max((one.end_ms for one in series), default=DAY_MS))
        until: int = self.section.read("until", TEST["until"].parse)
        if until < last:
            raise self.section.error(
                "until",
                f"the test ends before {last / 1000:g} s, at which something is done or expected",
                f"{until / 1000:g} s",
            )
        return until


def _outcome(node: Node, metric: Metric, path: str) -> Outcome | None:
    try:
        return outcome_of(node, metric)
    except UnfitValue as error:
        raise ScenarioError(error.why, at=node.at, path=path, fix=error.fix) from error


def _fitting(parse: Any) -> Any:
    """``parse`` for text only."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise UnfitValue("expected text", "put it in quotes")
        return parse(value)

    return read
