"""Which series a command line means: a trace, or samples that came from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolloutsim.errors import InputError, Position

if TYPE_CHECKING:
    from rolloutsim.promql import SeriesStore

__all__ = [
    "FILES",
    "Recording",
    "authorization",
    "read_instant",
    "read_length",
    "read_moment",
    "read_recording",
]

FILES = (
    "A trace; or recorded samples: OpenMetrics (.om, .prom, .txt), an answer of Prometheus' API (.json), "
    "CSV in long form (.csv)."
)


@dataclass(frozen=True, slots=True)
class Recording:
    """Series, the times (ms) of their first and last sample, and when the release began, if there was one."""

    store: SeriesStore
    first_ms: int
    last_ms: int
    start_ms: int | None


def read_recording(path: Path) -> Recording:
    """Read a file by the ending of its name; what has no ending of another form is a trace.

    Raises InputError for a file that cannot be read, with the place, and for one without samples.
    """
    from rolloutsim.promql.catalog import time_range

    try:
        store, start_ms = _read(path)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", at=Position(str(path))) from None
    except UnicodeDecodeError:
        raise InputError("the file is not text in UTF-8", at=Position(str(path))) from None
    span = time_range(store)
    if span is None:
        raise InputError("the file holds no samples", at=Position(str(path)))
    return Recording(store, *span, start_ms)


def _read(path: Path) -> tuple[SeriesStore, int | None]:
    source = str(path)
    match path.suffix:
        case ".om" | ".prom" | ".txt":
            from rolloutsim.promql.openmetrics import read_openmetrics

            return read_openmetrics(path.read_text(encoding="utf-8"), source=source), None
        case ".json":
            from rolloutsim.promql.api_json import read_api_json

            return read_api_json(path.read_text(encoding="utf-8"), source=source), None
        case ".csv":
            from rolloutsim.promql.csv_form import read_csv

            with path.open(encoding="utf-8", newline="") as file:
                return read_csv(file.read(), source=source), None
    from rolloutsim.promql.intake import sample_records
    from rolloutsim.trace import read_trace

    trace = read_trace(path)
    start_ms = trace.manifest.get("start")
    return sample_records(trace.of("sample")), start_ms if type(start_ms) is int else None


def read_moment(text: str, recording: Recording, option: str) -> int:
    """A time in ms: RFC 3339, Unix seconds, or a duration since the release such as 10m, +10m or -5m.

    Raises InputError that names the option.
    """
    from rolloutsim.promql.intake import rfc3339_ms, seconds_ms

    at_ms = rfc3339_ms(text)
    if at_ms is not None:
        return at_ms
    length = read_length(text.lstrip("+-")) if len(text) - len(text.lstrip("+-")) < 2 else None
    if length is not None:
        if recording.start_ms is None:
            raise InputError(
                f"{option} is counted from a release, and this file has none",
                value=text,
                fix="give RFC 3339 or Unix seconds",
            )
        return recording.start_ms + (-length if text.startswith("-") else length)
    try:
        return seconds_ms(text)
    except ValueError as error:
        raise InputError(
            f"{option} is no time: {error}",
            fix="give RFC 3339 (2026-01-05T00:10:00Z), Unix seconds, or a time since the release (10m)",
        ) from None


def read_instant(text: str, option: str) -> int:
    """A time in ms: RFC 3339 or Unix seconds. Raises InputError that names the option."""
    from rolloutsim.promql.intake import rfc3339_ms, seconds_ms

    at_ms = rfc3339_ms(text)
    if at_ms is not None:
        return at_ms
    try:
        return seconds_ms(text)
    except ValueError as error:
        raise InputError(
            f"{option} is no time: {error}", fix="give RFC 3339 (2026-01-05T00:10:00Z), or Unix seconds"
        ) from None


def read_length(text: str) -> int | None:
    """Milliseconds of a duration with a unit, None if the text is none."""
    from rolloutsim.promql.lexer import duration_ms

    return duration_ms(text) if text[:1].isdigit() and text[-1:].isalpha() else None


def authorization(bearer_file: Path | None) -> dict[str, str]:
    """The header with the token that this file holds. Raises InputError if it cannot be read."""
    if bearer_file is None:
        return {}
    try:
        return {"Authorization": f"Bearer {bearer_file.read_text(encoding='utf-8').strip()}"}
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", at=Position(str(bearer_file))
        ) from None
