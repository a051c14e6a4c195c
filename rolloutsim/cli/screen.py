"""The live view of a run on a terminal: where it stands, gate values in their predicted bands, and why."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rolloutsim.cli.status import ago, waits_for
from rolloutsim.engine import awaits_person
from rolloutsim.engine.pauses import pause_end
from rolloutsim.engine.steps import step_text
from rolloutsim.live.decisions import Decided, Judged
from rolloutsim.live.prediction import band_at, band_text, released_ms
from rolloutsim.policy.model import Canary

if TYPE_CHECKING:
    from rolloutsim.live.executor import Executor
    from rolloutsim.live.prediction import Prediction

__all__ = ["Screen"]

LINES = 8


class Screen:
    """Shows one executor until it is left. `tell` and `note` may be called from any thread."""

    def __init__(
        self,
        name: str,
        namespace: str,
        executor: Executor,
        prediction: Prediction | None,
        console: Console | None = None,
    ) -> None:
        self._title = f"{name} in {namespace}"
        self._executor = executor
        self._prediction = prediction
        self._lock = threading.Lock()
        self._said: deque[Text] = deque(maxlen=LINES)
        self._judged: dict[str, Judged] = {}
        self._began_ms = released_ms(executor.loop.session.state)
        console = console or Console(stderr=True)
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=2, redirect_stdout=False
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tell(self, told: Decided) -> None:
        """One decision."""
        with self._lock:
            self._said.append(Text(told.sentence, style="red" if told.warning else "", overflow="ellipsis"))
            self._judged.update((one.gate, one) for one in told.judged)

    def note(self, sentence: str) -> None:
        """Something that is no decision."""
        with self._lock:
            self._said.append(Text(sentence, style="yellow", overflow="ellipsis"))

    # --- drawing ----------------------------------------------------------------------------------

    def render(self) -> Group:
        """What is shown now."""
        with self._lock:
            said, judged = list(self._said), dict(self._judged)
        t_s = (time.time_ns() // 1_000_000 - self._began_ms) / 1000  # noqa: TID251 - where in the bands we are
        return Group(*self._head(t_s), _gates(judged), *said)

    def _head(self, t_s: float) -> Iterator[Text]:
        session = self._executor.loop.session
        state, policy = session.state, session.policy
        status = state.status
        steps = policy.strategy.steps if isinstance(policy.strategy, Canary) else ()
        line = Text.assemble((self._title, "bold"), f"  {status.phase.value if status.phase else ''}")
        index = status.step_index
        if steps and index is not None:
            now = step_text(steps[index]) if index < len(steps) else "all done"
            line.append(f"  step {index}/{len(steps)} ({now})")
        yield line
        observed = self._executor.observer.routed().weighed.weight
        if observed is not None:
            band = band_at(self._prediction.weight, t_s) if self._prediction else None
            said = band_text(band, observed)
            yield Text(f"weight {observed}" + (f"  {said}" if said else ""))
        until = pause_end(policy, status)
        if awaits_person(policy, state):
            yield Text(waits_for(policy.name, paused=state.facts.paused), style="yellow")
        elif until is not None:
            yield Text(f"pause ends in {ago(until - time.time_ns() // 1_000_000)}")  # noqa: TID251
        if status.message:
            yield Text(status.message)


def _gates(judged: Mapping[str, Judged]) -> Table | Text:
    """The last measurement of each gate."""
    if not judged:
        return Text("no measurement yet", style="dim")
    table = Table("gate", "n", "value", "verdict", "predicted", "wanted", box=None, pad_edge=False)
    for name, one in judged.items():
        style = "" if one.verdict == "Successful" else "red"
        predicted = one.predicted.removeprefix("predicted ")
        table.add_row(name, str(one.n), one.value, one.verdict, predicted, one.threshold, style=style)
    return table
