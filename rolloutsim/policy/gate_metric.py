"""A metric with a gate: from the manifest of a RolloutPolicy to the model."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.policy.expressions import LATE_TAG, check_query
from rolloutsim.policy.gate_shape import DEFAULT_TEST, GATE_CHOICES, TESTS
from rolloutsim.policy.gate_telemetry import needs_revisions, preset_counters
from rolloutsim.policy.gated import ArmCounters, GatedCounts, NoData, OnFail, Scope
from rolloutsim.policy.gates import Gate, SampleRatio, Spending, WaldSprt
from rolloutsim.policy.metric import (
    DEFAULT_CONSECUTIVE_ERROR_LIMIT,
    canonical_json,
    interpolated,
    limit_of,
    timeout_ms,
)
from rolloutsim.policy.model import Metric, PodHashArgument
from rolloutsim.promql import PromQLError, compile_query
from rolloutsim.telemetry import PRESETS

__all__ = ["bind_gate", "equal_share", "revision_arguments"]

FALSE_ABORT_RATE = 0.05
"""Shared by the gates of an analysis that state none."""
CONDITIONS = (
    "provider",
    "successCondition",
    "failureCondition",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveSuccessLimit",
)
"""Fields of a metric that a gate takes the place of."""
CANARY_HASH, STABLE_HASH = "canary-hash", "stable-hash"

Content = Mapping[str, Any]


def equal_share(metrics: Iterable[Content]) -> float:
    """The false-abort rate of each gate of an analysis that states none."""
    silent = [
        gate
        for metric in metrics
        if (gate := metric.get("gate")) and "falseAbortRate" not in gate and gate.get("test") != "sampleRatio"
    ]
    return FALSE_ABORT_RATE / max(len(silent), 1)


def revision_arguments(metrics: Iterable[Content], known: Collection[str]) -> tuple[PodHashArgument, ...]:
    """The revisions' hashes as arguments, where the telemetry of a gate needs them and nobody gives them."""
    presets = (metric.get("gate", {}).get("telemetry", {}).get("preset") for metric in metrics)
    if not any(name in PRESETS and needs_revisions(PRESETS[name]) for name in presets):
        return ()
    both = (PodHashArgument(CANARY_HASH, latest=True), PodHashArgument(STABLE_HASH, latest=False))
    return tuple(argument for argument in both if argument.name not in known)


def bind_gate(
    document: Document,
    path: Path,
    metric: Content,
    values: Mapping[str, str],
    late: Collection[str],
    *,
    endless: bool,
    alpha: float,
    dialect: Dialect,
) -> Metric:
    """The gated metric that stands at ``path`` of ``document``, with the known arguments filled in.

    ``endless``: a background analysis, in which a gate goes on counting. ``alpha`` is the false-abort rate
    of a gate that states none.

    Raises
    ------
    PolicyError : a field that does not go with a gate or is missing, a value out of its range, a selector
        that is none; it names the place of the field.
    """
    bound = interpolated(document, path, metric, values, late)
    _check_fields(document, path, bound)
    content: Content = bound["gate"]
    where: Path = (*path, "gate")
    interval_ms = _duration_ms(document, path, bound, "interval")
    assert interval_ms is not None
    expires_ms = _duration_ms(document, where, content, "expiresAfter")
    count = limit_of(bound.get("count", 0))
    if count < 0 or (endless and count):
        why = "a background gate is looked at until the rollout ends" if endless else "count must be >= 0"
        raise document.error((*path, "count"), why, bound["count"])
    if not (endless or count or expires_ms):
        why = f"the gate {bound['name']!r} may never decide, and {document.label} waits for it"
        raise document.error(where, why, fix="add expiresAfter, or a count of looks")
    gate = _gate(document, where, content, alpha)
    canary, stable = _counters(document, where, content, gate)
    settings = content.get("prometheus", {})
    return Metric(
        name=bound["name"],
        provider=GatedCounts(
            gate=gate,
            canary=canary,
            stable=stable,
            on_no_data=NoData(_choice(document, where, content, "onNoData", NoData.WAIT)),
            on_fail=OnFail(_choice(document, where, content, "onFail", OnFail.ABORT)),
            scope=Scope(_choice(document, where, content, "scope", Scope.ROLLOUT)),
            expires_after_ms=expires_ms,
            approvers=tuple(content.get("approvers", ())),
            watches=endless,
            address=settings.get("address", ""),
            timeout_ms=timeout_ms(document, (*where, "prometheus"), settings, "timeout", 30),
            settings_json=canonical_json(
                {k: settings[k] for k in settings if k not in ("address", "timeout")}
            ),
        ),
        interval_ms=interval_ms,
        initial_delay_ms=_duration_ms(document, path, bound, "initialDelay") or 0,
        count=count or None,
        consecutive_error_limit=limit_of(bound.get("consecutiveErrorLimit", DEFAULT_CONSECUTIVE_ERROR_LIMIT)),
        dialect=dialect,
    )


def _check_fields(document: Document, path: Path, metric: Content) -> None:
    for field in CONDITIONS:
        if field in metric:
            why = f"a gate judges by itself: it goes without {field}"
            raise document.error((*path, field), why, fix="remove the field, or the gate")
    if not metric.get("interval"):
        why = f"the gate {metric['name']!r} does not say how often to look"
        raise document.error((*path, "interval"), why, fix="add an interval, for example the scrape interval")


def _duration_ms(document: Document, path: Path, content: Content, field: str) -> int | None:
    text = content.get(field)
    if not text:
        return None
    try:
        duration_ms = go_duration_ns(text) // 1_000_000
    except ValueError as error:
        raise document.error((*path, field), str(error), text) from error
    if duration_ms < 1:
        raise document.error((*path, field), "the duration is shorter than 1 ms", text)
    return duration_ms


def _choice(document: Document, path: Path, content: Content, field: str, default: str) -> str:
    given = str(content.get(field, default))
    if given not in GATE_CHOICES[field]:
        raise document.error((*path, field), f"expected {' or '.join(GATE_CHOICES[field])}", given)
    return given


# --- the test ---------------------------------------------------------------------------------------


def _gate(document: Document, path: Path, content: Content, alpha: float) -> Gate:
    """The test with its numbers."""
    name = _choice(document, path, content, "test", DEFAULT_TEST)
    test = TESTS[name]
    for field in test.required:
        if field not in content:
            raise document.error((*path, field), f"the test {name} needs {field}", fix="add it")
    others = {field for other in TESTS.values() for field in other.fields}
    numbers: dict[str, Any] = {} if issubclass(test.gate, SampleRatio) else {"alpha": alpha}
    for field in content:
        if field in test.fields:
            numbers[test.fields[field]] = _number(document, (*path, field), content[field])
        elif field in others:
            known = ", ".join(test.fields)
            raise document.error((*path, field), f"the test {name} has no {field}", fix=f"it has {known}")
    try:
        return test.gate(**numbers)
    except ValueError as error:
        places = [field for field, attribute in test.fields.items() if attribute in str(error)]
        named = [field for field in places if field in content]
        where = (*path, *named[:1])
        value = content[named[0]] if named else None
        raise document.error(where, _in_words(str(error), test.fields), value) from error


def _in_words(why: str, fields: Mapping[str, str]) -> str:
    """A message about attributes as one about fields of the manifest."""
    for field, attribute in sorted(fields.items(), key=lambda item: -len(item[1])):
        why = why.replace(attribute, field)
    return why


def _number(document: Document, path: Path, value: Any) -> Any:
    """A number as it stands; a percentage as a share; a word (spending) as the choice that it is."""
    if path[-1] == "spending":
        if value not in GATE_CHOICES["spending"]:
            raise document.error(path, f"expected {' or '.join(GATE_CHOICES['spending'])}", value)
        return Spending(value)
    if isinstance(value, str):
        try:
            value = float(value[:-1]) / 100.0 if value.endswith("%") else float(value)
        except ValueError:
            raise document.error(path, "expected a share such as 0.05 or 5%", value) from None
    if not math.isfinite(value):
        raise document.error(path, "expected a number", str(value))
    return value if path[-1] in ("minRequests", "maxRequests", "plannedRequests", "looks") else float(value)


# --- the counters -----------------------------------------------------------------------------------


def _counters(
    document: Document, path: Path, content: Content, gate: Gate
) -> tuple[ArmCounters, ArmCounters | None]:
    if ("telemetry" in content) == ("counters" in content):
        why = "a gate names its counters by either telemetry or counters"
        raise document.error(path, why, fix="add one of them" if "telemetry" not in content else "remove one")
    if "telemetry" in content:
        canary, stable = _of_preset(document, (*path, "telemetry"), content["telemetry"])
        if isinstance(gate, SampleRatio):
            return ArmCounters(canary.requests), ArmCounters(stable.requests)
        return canary, None if isinstance(gate, WaldSprt) else stable
    given = content["counters"]
    where: Path = (*path, "counters")
    compares = not isinstance(gate, WaldSprt)
    if compares and "stable" not in given:
        raise document.error((*where, "stable"), "the test compares with stable", fix="add its counters")
    arms = [
        _arm(document, (*where, name), given[name], gate) for name in ("canary", "stable") if name in given
    ]
    return arms[0], arms[1] if compares else None


def _of_preset(document: Document, path: Path, content: Content) -> tuple[ArmCounters, ArmCounters]:
    edge_ms = _duration_ms(document, path, content, "slowerThan")
    try:
        return preset_counters(
            content["preset"],
            content["service"],
            content.get("namespace") or document.namespace or "default",
            canary_revision=f"{{{{args.{CANARY_HASH}}}}}",
            stable_revision=f"{{{{args.{STABLE_HASH}}}}}",
            slower_than_s=None if edge_ms is None else edge_ms / 1000,
        )
    except ValueError as error:
        field = "slowerThan" if "edge" in str(error) else "preset"
        raise document.error((*path, field), str(error), content[field]) from error


def _arm(document: Document, path: Path, content: Content, gate: Gate) -> ArmCounters:
    kinds = [field for field in ("errors", "fast") if content.get(field)]
    wanted = 0 if isinstance(gate, SampleRatio) else 1
    if len(kinds) != wanted:
        why = (
            "sampleRatio counts requests only"
            if not wanted
            else "bad requests are either errors, or not fast"
        )
        raise document.error(path, why, " and ".join(kinds) or None)
    for field in ("requests", *kinds):
        _check_selector(document, (*path, field), str(content[field]).strip())
    return ArmCounters(*(str(content.get(field, "")).strip() for field in ("requests", "errors", "fast")))


def _check_selector(document: Document, path: Path, text: str) -> None:
    """A plain selector is what takes a range: nothing else gives raw samples."""
    check_query(document, path, text)
    try:
        plain = compile_query(f"{LATE_TAG.sub('a', text)}[5m]").result == "matrix"
    except PromQLError:
        plain = False
    if not plain:
        why = "expected the selector of a counter: no function, range, offset or operator"
        raise document.error(path, why, text)
