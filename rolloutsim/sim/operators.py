"""People: who promotes a rollout that waits, and who notices a bad release.

A person who is asked to promote looks at the service first, and aborts if it is visibly worse than it
should be; some wave it through instead. Nobody sees wrong answers with status 200. Promotions have
working hours, pages do not.
"""

from __future__ import annotations

from collections.abc import Callable

from rolloutsim.sim.randomness import Stream
from rolloutsim.sim.scenario import Operators, WorkingHours

__all__ = ["People", "working_wait_ms"]

_DAY_MS = 86_400_000
_WORKDAYS = 5

After = Callable[[int, Callable[[], None]], None]


class People:
    """The on-call of one run. ``after`` arranges for something to be done later.

    ``promote`` and ``give_up`` are what they can do: promote what waits; abort the rollout, or roll back
    what it promoted.
    """

    def __init__(
        self,
        operators: Operators,
        draws: Stream,
        after: After,
        *,
        promote: Callable[[], None],
        give_up: Callable[[], None],
        now: Callable[[], int],
    ) -> None:
        self._operators = operators
        self._draws = draws
        self._after = after
        self._promote = promote
        self._give_up = give_up
        self._now = now
        self._watch = 0
        self._harmed = False
        self._paged = False
        self.waits = 0

    def asked(self, still_waiting: Callable[[], bool]) -> None:
        """The rollout waits for a person; ``still_waiting`` tells later whether it still does."""
        ordinal = self.waits
        self.waits += 1
        if self._operators.promote is None:
            return

        def answer() -> None:
            if not still_waiting():
                return
            if self._harmed and self._draws.uniform(ordinal, 3) >= self._operators.rubber_stamp:
                self._act()
            else:
                self._promote()

        wait_ms = self._draws.delay_ms(self._operators.promote, ordinal, 1)
        if self._operators.hours is not None:
            wait_ms = working_wait_ms(self._operators.hours, self._now(), wait_ms)
        self._after(wait_ms, answer)

    def see(self, excess: float) -> None:
        """The share of all requests that is visibly bad beyond the stable version's own, from now on."""
        threshold = self._operators.notice_excess
        harmed = threshold is not None and excess > 0.0 and excess >= threshold
        if harmed == self._harmed:
            return
        self._harmed = harmed
        self._watch += 1
        if harmed:
            watch = self._watch
            self._after(self._operators.notice_after_ms, lambda: self._page(watch))

    def _page(self, watch: int) -> None:
        if watch != self._watch or self._paged:
            return
        self._paged = True
        self._after(self._draws.delay_ms(self._operators.respond, 0, 2), self._act)

    def _act(self) -> None:
        self._paged = True
        self._give_up()


def working_wait_ms(hours: WorkingHours, now_ms: int, work_ms: int) -> int:
    """How long it takes until so much working time has passed (``now_ms`` is from the release)."""
    at = now_ms + hours.released_ms
    left = work_ms
    while True:
        day, of_day = divmod(at, _DAY_MS)
        opens, closes = hours.start_ms, hours.end_ms
        if day % 7 < _WORKDAYS and of_day < closes:
            begin = max(of_day, opens)
            if left <= closes - begin:
                return day * _DAY_MS + begin + left - hours.released_ms - now_ms
            left -= closes - begin
        at = (day + 1) * _DAY_MS
