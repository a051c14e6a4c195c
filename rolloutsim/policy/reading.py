"""What a policy's queries ask for by name, and whether a world has it.

A query that finds no series at all neither sees a fault nor is spared by one: what becomes of the rollout
then says something about names, and nothing about the policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rolloutsim.policy.analyses import analyses_of
from rolloutsim.policy.model import GatedCounts, Policy, PrometheusProvider, Provider
from rolloutsim.promql import compile_query
from rolloutsim.promql.query import SeriesRead
from rolloutsim.telemetry import PRESETS, Labels, Preset

__all__ = ["LATE", "STATUS", "SeenAs", "Unread", "all_unread", "queries_of", "reads_of", "seen_as", "unread"]

LATE = "LATE-BOUND"
"""What stands for an argument that is bound when a query is asked."""
STATUS = ("status", "code", "response_code", "status_code", "envoy_response_code")
"""Labels in which exporters keep the status of an answer."""
_OUTCOMES = frozenset({*STATUS, "classification"})
"""Labels whose series begin with the first request that ends so: their absence means nothing."""


def queries_of(provider: Provider) -> tuple[str, ...]:
    """The queries of a metric; none if it is of another kind."""
    if isinstance(provider, GatedCounts):
        return provider.selectors
    return (provider.query,) if isinstance(provider, PrometheusProvider) else ()


def reads_of(query: str) -> tuple[SeriesRead, ...]:
    """What a query reads; its late-bound arguments are filled with something."""
    return compile_query(re.sub(r"\{\{[^}]*\}\}", LATE, query)).selectors


@dataclass(frozen=True, slots=True)
class Unread:
    """A metric of a policy, and the selector of its query that no series fits."""

    metric: str
    selector: str

    def __str__(self) -> str:
        return f"{self.metric} reads {self.selector}"


def unread(policy: Policy, series: Iterable[Mapping[str, str]]) -> tuple[Unread, ...]:
    """The selectors of a policy that none of these label sets fits, each metric once."""
    known = [dict(labels) for labels in series]
    found: dict[str, Unread] = {}
    for metric, read in _reads(policy):
        wanted = dict(_equalities(read))
        if not any(all(labels.get(name, "") == value for name, value in wanted.items()) for labels in known):
            found.setdefault(metric, Unread(metric, _selector(wanted)))
    return tuple(found.values())


def all_unread(policy: Policy, found: Sequence[Unread]) -> bool:
    """Whether a policy has queries and these are all of its metrics that have any."""
    return bool(found) and len(found) == len({metric for metric, _ in _reads(policy)})


@dataclass(frozen=True, slots=True)
class SeenAs:
    """Under which names a policy looks for its service: a preset, its name there, and further labels."""

    preset: str
    service: str
    labels: Labels


def seen_as(policy: Policy, service: str) -> SeenAs:
    """How the queries of a policy name their service; ``service`` where they do not.

    The first preset of which they read a series counts. Labels on which they insist and which the preset has
    not, or fills otherwise, are further labels; those on which they disagree are left out.
    """
    reads = [read for _, read in _reads(policy)]
    preset = next((one for read in reads if (one := _preset(read)) is not None), PRESETS["app"])
    templates = dict(preset.labels) | dict(preset.canary_labels)
    values: dict[str, set[str]] = {}
    for read in reads:
        if _preset(read) is preset:
            for name, value in _equalities(read):
                template = templates.get(name, name)
                if template in ("{service}", "{backend}"):
                    values.setdefault("", set()).add(value.removesuffix("-canary"))
                elif name not in ("__name__", "le") and "{" not in template.replace("{namespace}", ""):
                    values.setdefault("namespace" if template == "{namespace}" else name, set()).add(value)
    agreed = {name: min(found) for name, found in values.items() if len(found) == 1}
    return SeenAs(preset.name, agreed.pop("", service), tuple(sorted(agreed.items())))


def _reads(policy: Policy) -> Iterator[tuple[str, SeriesRead]]:
    for analysis in analyses_of(policy):
        for metric in analysis.metrics:
            for query in queries_of(metric.provider):
                for read in reads_of(query):
                    yield metric.name, read


def _equalities(read: SeriesRead) -> Iterator[tuple[str, str]]:
    """Labels on which a selector insists, but for those that are known later or begin late."""
    for matcher in read.matchers:
        if matcher.operator == "=" and LATE not in matcher.value and matcher.name not in _OUTCOMES:
            yield matcher.name, matcher.value


def _preset(read: SeriesRead) -> Preset | None:
    for preset in PRESETS.values():
        if read.metric in (
            preset.requests,
            *(f"{preset.durations}_{part}" for part in ("bucket", "sum", "count")),
        ):
            return preset
    return None


def _selector(wanted: Mapping[str, str]) -> str:
    labels: Sequence[str] = [f'{name}="{value}"' for name, value in wanted.items() if name != "__name__"]
    return wanted.get("__name__", "") + (f"{{{', '.join(labels)}}}" if labels else "")
