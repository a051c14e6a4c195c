"""Does a test hold? And if not, what happened instead, with the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rolloutsim.engine import (
    Aborted,
    MeasurementTaken,
    Paused,
    Promoted,
    Resumed,
    RunChanged,
    StepCompleted,
    StepsSkipped,
)
from rolloutsim.errors import Position
from rolloutsim.rehearsal.case import Case, End, Expectation, Happens
from rolloutsim.rehearsal.stage import play
from rolloutsim.rehearsal.story import Happening, Moment, Story, percent_text, time_text

__all__ = ["Failure", "Verdict", "rehearse"]

EVENTS = {
    Happens.ABORTED: Aborted,
    Happens.PROMOTED: Promoted,
    Happens.PAUSED: Paused,
    Happens.RESUMED: Resumed,
    Happens.STEP_COMPLETED: StepCompleted,
    Happens.STEPS_SKIPPED: StepsSkipped,
}
SHOWN_TIMES = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that did not hold, what was so instead, and when that was seen."""

    where: Position
    expected: str
    got: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """``end`` is how the rollout stood at the end of the test; no failures: the test holds.

    ``timeline`` are times (ms) and texts of what happened around the failures.
    """

    case: Case
    end: End
    failures: tuple[Failure, ...]
    timeline: tuple[tuple[int, str], ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures


def rehearse(case: Case) -> Verdict:
    """Play a test and check all that it expects."""
    story = play(case)
    failures = [
        *(_unmet(one, story, case) for one in case.expect if not _holds(one, story, case)),
        *(failure for one in case.never for failure in _broken(one, story, case)),
    ]
    if case.outcome is not None and story.end is not case.outcome:
        failures.append(_other_end(case, case.outcome, story))
    timeline = tuple(story.around(failure.at_ms for failure in failures))
    return Verdict(case, story.end, tuple(failures), timeline)


# --- does it hold? --------------------------------------------------------------------------------


def _holds(one: Expectation, story: Story, case: Case) -> bool:
    return all(_times(part, one, story, case) for part in (_events, _moments) if _asks(part, one))


Part = Callable[[Expectation, Story], Iterator[int]]


def _times(part: Part, one: Expectation, story: Story, case: Case) -> bool:
    """Whether a part of an expectation is met in time."""
    if one.at_ms is not None and part is _moments:
        return _fits(one, story.moment(one.at_ms))
    limit = case.until_ms if one.by_ms is None else one.by_ms
    return any(at == one.at_ms if one.at_ms is not None else at <= limit for at in part(one, story))


def _asks(part: Part, one: Expectation) -> bool:
    """Whether an expectation has this part."""
    if part is _events:
        return one.event is not None or bool(one.metric) or one.analysis is not None
    return any(wanted is not None for wanted in (one.weight, one.phase, one.step, one.pods))


def _events(one: Expectation, story: Story) -> Iterator[int]:
    """Times of the events that an expectation asks for."""
    return (happening.at_ms for happening in story.happenings if _is_it(one, happening))


def _moments(one: Expectation, story: Story) -> Iterator[int]:
    """Times from which on the rollout stood as an expectation asks."""
    return (moment.at_ms for moment in story.moments if _fits(one, moment))


def _is_it(one: Expectation, happening: Happening) -> bool:
    what = happening.what
    if not _is_like(one, happening) or one.message not in _message(happening):
        return False
    if isinstance(what, MeasurementTaken):
        verdict = one.verdict is None or what.phase == one.verdict
        return verdict and (one.value is None or _same_value(one.value, what.value))
    return True


def _is_like(one: Expectation, happening: Happening) -> bool:
    """Whether an event is of the kind that an expectation asks for, whatever it says."""
    what = happening.what
    if one.metric:
        return isinstance(what, MeasurementTaken) and what.metric == one.metric
    if one.analysis is not None:
        return isinstance(what, RunChanged) and what.phase == one.analysis
    return one.event is not None and isinstance(what, EVENTS[one.event])


def _message(happening: Happening) -> str:
    what = happening.what
    return str(getattr(what, "message", "") or getattr(what, "reason", ""))


def _same_value(wanted: float | str, shown: str) -> bool:
    """``0.2`` fits ``0.2`` and ``[0.2]``; a text fits only itself."""
    if isinstance(wanted, str):
        return wanted == shown
    try:
        value = float(shown.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return (
        value == wanted or (value != value and wanted != wanted) or math.isclose(value, wanted, rel_tol=1e-6)
    )


def _fits(one: Expectation, moment: Moment) -> bool:
    return (
        (one.weight is None or _same_weight(one.weight, moment.weight))
        and one.phase in (None, moment.phase)
        and one.step in (None, moment.step)
        and one.pods in (None, moment.pods)
    )


def _same_weight(wanted: float, weight: float) -> bool:
    """To the digits that are given: one pod of eleven is 9, or 9.1."""
    if (wanted == 0.0) != (weight == 0.0):
        return False
    return abs(wanted - weight) <= (0.5 if wanted.is_integer() else 0.051)


# --- what happened instead ------------------------------------------------------------------------


def _unmet(one: Expectation, story: Story, case: Case) -> Failure:
    when = case.until_ms
    if one.at_ms is not None:
        when = one.at_ms
    elif one.by_ms is not None:
        when = one.by_ms
    parts = []
    if _asks(_events, one) and not _times(_events, one, story, case):
        parts.append(_instead(one, story, when))
    if _asks(_moments, one) and not _times(_moments, one, story, case):
        parts.append(str(story.moment(when)))
    return Failure(one.where, f"{_when(one)}{_described(one)}", "; ".join(parts), when)


def _instead(one: Expectation, story: Story, when: int) -> str:
    """The events of this kind that there were: those at the time, else when there were any."""
    alike = [happening for happening in story.happenings if _is_like(one, happening)]
    noun = f"measurement of {one.metric}" if one.metric else "such event"
    if not alike:
        return f"there was no {noun}"
    then = [happening for happening in alike if happening.at_ms == when]
    if then:
        return "; ".join(story.told(happening.what) for happening in then)
    if one.at_ms is not None:
        good = [happening for happening in alike if _is_it(one, happening)]
        if good:
            return f"that was so at {_listed(good)}, not at {time_text(when)}"
        return f"no {noun} at {time_text(when)}, only at {_listed(alike)}"
    last = alike[-1]
    return f"the last {noun} was at {time_text(last.at_ms)}: {story.told(last.what)}"


def _listed(happenings: list[Happening]) -> str:
    times = list(dict.fromkeys(time_text(happening.at_ms) for happening in happenings))
    more = f" and {len(times) - SHOWN_TIMES} times more" if len(times) > SHOWN_TIMES else ""
    return ", ".join(times[:SHOWN_TIMES]) + more


def _broken(one: Expectation, story: Story, case: Case) -> Iterator[Failure]:
    """The first time at which something happened that never may."""
    limit = case.until_ms if one.by_ms is None else one.by_ms
    if _asks(_events, one):
        stood = _asks(_moments, one)
        times = [at for at in _events(one, story) if not stood or _fits(one, story.moment(at))]
    else:
        times = list(_moments(one, story))
    when = next((at for at in times if at <= limit), None)
    if when is None:
        return
    told = [
        story.told(happening.what)
        for happening in story.happenings
        if happening.at_ms == when and _is_it(one, happening)
    ]
    got = f"at {time_text(when)}: {'; '.join(told) if told else story.moment(when)}"
    before = "" if one.by_ms is None else f" before {time_text(one.by_ms)}"
    yield Failure(one.where, f"never{before}: {_described(one)}", got, when)


def _other_end(case: Case, outcome: End, story: Story) -> Failure:
    deciding = {End.PROMOTED: Promoted, End.ABORTED: Aborted}.get(story.end)
    decided = [one for one in story.happenings if deciding is not None and isinstance(one.what, deciding)]
    if decided:
        last = decided[-1]
        got = f"at {time_text(last.at_ms)}: {story.told(last.what)}"
        return Failure(case.where, f"outcome {outcome}", got, last.at_ms)
    end = f"{story.end} at {time_text(case.until_ms)}, where the test ends"
    return Failure(case.where, f"outcome {outcome}", f"{end}: {story.moments[-1]}", case.until_ms)


def _when(one: Expectation) -> str:
    if one.at_ms is not None:
        return f"at {time_text(one.at_ms)}: "
    return "" if one.by_ms is None else f"by {time_text(one.by_ms)}: "


def _described(one: Expectation) -> str:
    """An expectation in the words of the file."""
    parts = []
    if one.event is not None:
        parts.append(str(one.event))
    if one.metric:
        parts.append(f"{one.metric} {one.verdict}" if one.verdict else f"{one.metric} measured")
    if one.value is not None:
        parts.append(f"value {one.value if isinstance(one.value, str) else f'{one.value:g}'}")
    if one.analysis is not None:
        parts.append(f"analysis {one.analysis}")
    if one.message:
        parts.append(f"message with {one.message!r}")
    if one.weight is not None:
        parts.append(f"weight {percent_text(one.weight)}")
    if one.phase is not None:
        parts.append(f"phase {one.phase}")
    if one.step is not None:
        parts.append(f"{one.step} steps done" if one.step != 1 else "1 step done")
    if one.pods is not None:
        parts.append(f"{one.pods} new pods" if one.pods != 1 else "1 new pod")
    return ", ".join(parts)
