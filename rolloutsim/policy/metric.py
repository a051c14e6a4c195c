"""One metric of an analysis template: the controller's checks, its arguments, its provider.

Source: argoproj/argo-rollouts, utils/analysis/factory.go (``ValidateMetric``), utils/defaults and the
providers' defaults under metricproviders/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from rolloutsim.conditions import Dialect
from rolloutsim.errors import PolicyError
from rolloutsim.policy.document import Document, Path
from rolloutsim.policy.durations import go_duration_ns
from rolloutsim.policy.expressions import LATE_TAG, check_condition, check_query
from rolloutsim.policy.model import (
    JobProvider,
    Metric,
    OtherProvider,
    PrometheusProvider,
    Provider,
    RangeQuery,
    WebProvider,
)
from rolloutsim.policy.templating import interpolate

__all__ = [
    "bind_metric",
    "canonical_json",
    "interpolated",
    "limit_of",
    "timeout_ms",
    "validate_metric",
]

DEFAULT_CONSECUTIVE_ERROR_LIMIT = 4
NUMBERS = ("count", "failureLimit", "inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit")
_UNDECLARED = re.compile(r"failed to resolve \{\{\s*args\.")
_NUMBER = re.compile(r"[-+]?[0-9]+")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal content gives equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def limit_of(value: int | str) -> int:
    """A count or limit given as a number or as text; text that is no number is 0, as in the controller."""
    if isinstance(value, int):
        return value
    return int(value) if _NUMBER.fullmatch(value) else 0


def validate_metric(metric: Mapping[str, Any]) -> list[str]:
    """What the controller finds wrong with a metric: empty, or the first error.

    ``metric`` is the plain content of one entry of ``spec.metrics``, its arguments filled in.
    """
    error = _first_error(metric)
    return [error[1]] if error else []


def _first_error(metric: Mapping[str, Any]) -> tuple[str, str] | None:
    """Field and detail of the first error."""
    count = limit_of(metric.get("count", 0))
    failures = limit_of(metric.get("failureLimit", 0))
    successes = limit_of(metric.get("consecutiveSuccessLimit", 0))
    inconclusive = limit_of(metric.get("inconclusiveLimit", 0))
    errors = limit_of(metric.get("consecutiveErrorLimit", DEFAULT_CONSECUTIVE_ERROR_LIMIT))
    providers = _provider_count(metric)
    checks: tuple[tuple[bool, str, str], ...] = (
        (successes < 0, "consecutiveSuccessLimit", "consecutiveSuccessLimit must be >= 0"),
        (failures < -1, "failureLimit", "failureLimit must be >= -1"),
        (
            failures == -1 and successes == 0,
            "failureLimit",
            "failureLimit -1 (no limit) needs a consecutiveSuccessLimit > 0",
        ),
        (inconclusive < 0, "inconclusiveLimit", "inconclusiveLimit must be >= 0"),
        (errors < 0, "consecutiveErrorLimit", "consecutiveErrorLimit must be >= 0"),
        (
            count > 0 and failures == -1 and count < successes,
            "count",
            "count must be >= consecutiveSuccessLimit",
        ),
        (
            count > 0 and failures >= 0 and count < failures + successes,
            "count",
            f"count must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes})",
        ),
        (0 < count < inconclusive, "count", "count must be >= inconclusiveLimit"),
        (
            count > 1 and not metric.get("interval"),
            "count",
            "interval must be specified when count > 1",
        ),
        _duration_check(metric, "interval", "invalid interval string"),
        _duration_check(metric, "initialDelay", "invalid startDelay string"),
        (providers == 0, "provider", "no provider specified"),
        (providers > 1, "provider", "multiple providers specified"),
    )
    return next(((field, detail) for wrong, field, detail in checks if wrong), None)


def _duration_check(metric: Mapping[str, Any], field: str, label: str) -> tuple[bool, str, str]:
    try:
        if text := metric.get(field, ""):
            go_duration_ns(text)
    except ValueError as error:
        return True, field, f"{label}: {error}"
    return False, field, ""


def _provider_count(metric: Mapping[str, Any]) -> int:
    provider = metric.get("provider", {})
    return sum(len(value) if name == "plugin" else 1 for name, value in provider.items())


# --- from manifest to model -----------------------------------------------------------------------


def bind_metric(
    document: Document,
    path: Path,
    metric: Mapping[str, Any],
    values: Mapping[str, str],
    late: Collection[str],
    dialect: Dialect,
) -> Metric:
    """The metric that stands at ``path`` of ``document``, with the known arguments filled in.

    ``late`` names the arguments whose tags stay in the texts.

    Raises
    ------
    PolicyError : an unresolved tag, a field that the controller refuses, a condition or a query that does
        not compile; it names the place of the field.
    """
    bound = interpolated(document, path, metric, values, late)
    for field in NUMBERS:
        _check_number(document, (*path, field), bound.get(field, 0))
    for field in ("interval", "initialDelay"):
        if LATE_TAG.search(bound.get(field, "")):
            raise document.error((*path, field), TOO_LATE, bound[field])
    error = _first_error(bound)
    if error is not None:
        field, detail = error
        value = bound.get(field) if field != "provider" else None
        fix = f"write {value}s" if isinstance(value, str) and _NUMBER.fullmatch(value) else ""
        raise document.error((*path, field), detail, value, fix)
    success, failure = (_condition(document, path, bound, field, dialect) for field in CONDITIONS)
    count = limit_of(bound.get("count", 0))
    if count < 0:
        raise document.error((*path, "count"), "count must be >= 0", count)
    interval_ms = _milliseconds(document, path, bound, "interval", least=1)
    return Metric(
        name=bound["name"],
        provider=_provider(document, (*path, "provider"), bound["provider"]),
        interval_ms=interval_ms,
        initial_delay_ms=_milliseconds(document, path, bound, "initialDelay", least=0) or 0,
        # one measurement is what a metric without interval means
        count=None if count == 0 or (count == 1 and interval_ms is None) else count,
        success_condition=success,
        failure_condition=failure,
        failure_limit=limit_of(bound.get("failureLimit", 0)),
        inconclusive_limit=limit_of(bound.get("inconclusiveLimit", 0)),
        consecutive_error_limit=limit_of(bound.get("consecutiveErrorLimit", DEFAULT_CONSECUTIVE_ERROR_LIMIT)),
        consecutive_success_limit=limit_of(bound.get("consecutiveSuccessLimit", 0)),
        dialect=dialect,
    )


TOO_LATE = "the argument gets its value only when the analysis starts, too late for this field"
CONDITIONS = ("successCondition", "failureCondition")


def interpolated(
    document: Document, path: Path, value: Any, values: Mapping[str, str], late: Collection[str]
) -> Any:
    """``value`` with the tags in all of its texts replaced; those of ``late`` arguments stay."""
    if isinstance(value, str):
        try:
            return interpolate(value, values, frozenset(late))
        except PolicyError as error:
            declare = f"declare the argument under spec.args of {document.label}"
            fix = declare if _UNDECLARED.match(error.why) else error.fix
            raise document.error(path, error.why, fix=fix) from error
    if isinstance(value, Mapping):
        return {key: interpolated(document, (*path, key), item, values, late) for key, item in value.items()}
    if isinstance(value, list):
        return [
            interpolated(document, (*path, index), item, values, late) for index, item in enumerate(value)
        ]
    return value


def _check_number(document: Document, path: Path, value: int | str) -> None:
    if isinstance(value, int) or _NUMBER.fullmatch(value):
        return
    if LATE_TAG.search(value):
        raise document.error(path, TOO_LATE, value)
    raise document.error(path, "expected a whole number (Argo Rollouts would silently read it as 0)", value)


def _milliseconds(
    document: Document, path: Path, metric: Mapping[str, Any], field: str, *, least: int
) -> int | None:
    text = metric.get(field, "")
    if not text:
        return None
    duration_ms = go_duration_ns(text) // 1_000_000
    if duration_ms < least:
        raise document.error((*path, field), f"the duration is shorter than {least} ms", text)
    return duration_ms


def _condition(
    document: Document, path: Path, metric: Mapping[str, Any], field: str, dialect: Dialect
) -> str:
    text = str(metric.get(field, "")).strip()
    if text:
        check_condition(document, (*path, field), text, dialect)
    return text


def _provider(document: Document, path: Path, provider: Mapping[str, Any]) -> Provider:
    ((kind, content),) = provider.items()
    if kind == "prometheus":
        return _prometheus(document, (*path, kind), content)
    if kind == "web":
        settings = {key: content[key] for key in content if key not in ("url", "jsonPath", "timeoutSeconds")}
        return WebProvider(
            url=content["url"],
            json_path=content.get("jsonPath") or "{$}",
            timeout_ms=timeout_ms(document, (*path, kind), content, "timeoutSeconds", 10),
            settings_json=canonical_json(settings),
        )
    if kind == "job":
        return JobProvider(canonical_json(content))
    if kind == "plugin":
        ((name, settings),) = content.items()
        return OtherProvider(f"plugin/{name}", canonical_json(settings))
    return OtherProvider(kind, canonical_json(content))


def _prometheus(document: Document, path: Path, content: Mapping[str, Any]) -> PrometheusProvider:
    query = str(content["query"]).strip()
    check_query(document, (*path, "query"), query)
    known = ("query", "address", "timeout", "rangeQuery")
    return PrometheusProvider(
        query=query,
        address=content.get("address", ""),
        timeout_ms=timeout_ms(document, path, content, "timeout", 30),
        range_query=_range_query(document, (*path, "rangeQuery"), content.get("rangeQuery")),
        settings_json=canonical_json({key: content[key] for key in content if key not in known}),
    )


def _range_query(document: Document, path: Path, content: Mapping[str, str] | None) -> RangeQuery | None:
    if content is None:
        return None
    for field in ("start", "end", "step"):
        if not content.get(field):
            raise document.error((*path, field), f"a range query needs {field!r}", fix="add it")
    try:
        step = go_duration_ns(content["step"])
    except ValueError as error:
        raise document.error((*path, "step"), str(error), content["step"]) from error
    if step < 1_000_000:
        raise document.error((*path, "step"), "the step is shorter than 1 ms", content["step"])
    return RangeQuery(content["start"].strip(), content["end"].strip(), step // 1_000_000)


def timeout_ms(document: Document, path: Path, content: Mapping[str, Any], field: str, default_s: int) -> int:
    seconds = int(content.get(field, default_s))
    if seconds <= 0:
        raise document.error((*path, field), "the time-out has to be positive", seconds)
    return seconds * 1000
