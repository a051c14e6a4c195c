"""The schema of one run: its phase, which versions can work with it, what breaks and what is at risk.

Requests break from the moment at which a live version meets a phase it does not know. Rows that the new
version writes in a shape that the stable one cannot read are at risk in a rollback; until the first of
them, and while the stable version knows the schema, going back is free.
"""

from __future__ import annotations

from collections.abc import Callable

from rolloutsim.sim.schema_change import Change, Migration, SchemaChange

__all__ = ["SchemaState"]

Phase = tuple[bool, bool]
NEW_ONLY: Phase = (False, True)


class SchemaState:
    """``broken`` tells, per version, the share of its requests that break now.

    ``changed`` is called when the phase changes; ``after`` arranges for something to be done later.
    """

    def __init__(
        self,
        change: SchemaChange,
        after: Callable[[int, Callable[[], None]], None],
        changed: Callable[[], None],
    ) -> None:
        self._change = change
        self._after = after
        self._changed = changed
        self._new_shape = False
        self._old_shape = True
        self._running = False
        self._since_ms = 0
        self.rows_at_risk = 0.0
        self.violations = 0.0
        self.free_until_ms: int | None = None
        if change.change is Change.EXPAND_CONTRACT:
            self._new_shape = True
            if change.contract_ms is not None:
                after(change.contract_ms, self._contract)

    @property
    def phase(self) -> Phase:
        """Whether the schema has the old shape, and whether the new one."""
        return self._old_shape, self._new_shape

    @property
    def broken(self) -> tuple[float, float]:
        """Share of the requests that break: of the stable version, of the new one."""
        return self._broken(self.phase)

    def _broken(self, phase: Phase) -> tuple[float, float]:
        old, new = phase
        return (0.0 if old else self._change.touches, 0.0 if new else self._change.touches)

    def wait_ms(self, now_ms: int) -> int:
        """A pod of the new version wants to start: how long it waits for the migration."""
        if self._change.change is not Change.ONE_STEP or self._change.migration is not Migration.AT_START:
            return 0
        if not self._running:
            self._migrate(now_ms)
        return max(0, self._since_ms - now_ms)

    def promoted(self, now_ms: int) -> None:
        """The new version serves everybody."""
        by_hand = self._change.migration is Migration.AT_PROMOTION
        if self._change.change is Change.ONE_STEP and by_hand and not self._running:
            self._migrate(now_ms)

    def pass_time(self, phase: Phase, now_ms: int, rates_rps: tuple[float, float], length_ms: int) -> None:
        """``length_ms`` have passed in this phase, in which the versions got these requests."""
        broken = self._broken(phase)
        seconds = length_ms / 1000.0
        self.violations += seconds * (rates_rps[0] * broken[0] + rates_rps[1] * broken[1])
        if phase == NEW_ONLY and rates_rps[1] > 0.0:
            writes = rates_rps[1] * self._change.touches * self._change.writes
            self.rows_at_risk += seconds * writes
            if self.free_until_ms is None and writes * seconds > 0.0:
                self.free_until_ms = now_ms - length_ms

    def _migrate(self, now_ms: int) -> None:
        self._running = True
        self._since_ms = now_ms + self._change.duration_ms

        def done() -> None:
            self._new_shape, self._old_shape = True, False
            if self.free_until_ms is None:
                self.free_until_ms = self._since_ms
            self._changed()

        self._after(self._change.duration_ms, done)

    def _contract(self) -> None:
        self._old_shape = False
        if self.free_until_ms is None:
            assert self._change.contract_ms is not None
            self.free_until_ms = self._change.contract_ms
        self._changed()
