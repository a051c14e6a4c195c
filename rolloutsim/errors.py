"""What can go wrong, by whose fault.

::

    RolloutsimError
    ├── InputError              a file or an expression that the user can mend
    │   ├── PolicyError         a rollout manifest or an analysis template
    │   │   ├── ConditionError  a success or failure condition
    │   │   └── PromQLError     a query
    │   └── ScenarioError       a service, release or traffic file
    ├── ExecutorError           the world misbehaved: cluster, metrics server, network
    └── ReplayDivergence        a journal that does not replay

Misuse of a Python function by its caller is a plain ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

from dataclasses import dataclass


class RolloutsimError(Exception):
    """Root of all errors that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a user's file something stands.

    ``line`` and ``column`` count from 1; 0 means unknown.
    """

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")


class InputError(RolloutsimError):
    """Something in a user's file or expression is wrong; the message says what to do.

    Parameters
    ----------
    why : what is wrong, as the start of a sentence without the place.
    at : file, line and column.
    path : path inside the document, for example ``spec.strategy.canary.steps[2].setWeight``.
    value : the offending value as it stands in the file; omitted from the message when None.
    fix : what to do about it.
    """

    def __init__(
        self,
        why: str,
        *,
        at: Position | None = None,
        path: str = "",
        value: object = None,
        fix: str = "",
    ) -> None:
        self.why = why
        self.at = at or Position()
        self.path = path
        self.value = value
        self.fix = fix
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        place = ": ".join(part for part in (str(self.at), self.path) if part)
        text = f"{place}: {self.why}" if place else self.why
        if self.value is not None:
            text += f" (got {_shown(self.value)})"
        if self.fix:
            text += f"; {self.fix}"
        return text


class PolicyError(InputError):
    """A rollout manifest, an analysis template or a policy file is wrong."""


class ScenarioError(InputError):
    """A service, a release, a traffic file or a scenario is wrong."""


class ExecutorError(RolloutsimError):
    """The world misbehaved: a cluster, a metrics server or the network."""


class ReplayDivergence(RolloutsimError):
    """A journal does not replay: the first record that differs, and how.

    ``seq`` is the sequence number of the recorded observation; ``recorded`` and ``decided`` are
    what the journal holds and what the engine decides now.
    """

    def __init__(self, seq: int, recorded: object, decided: object) -> None:
        self.seq = seq
        self.recorded = recorded
        self.decided = decided
        super().__init__(
            f"record {seq} does not replay: the journal holds {_shown(recorded)}, "
            f"the engine decides {_shown(decided)}; was the journal written by another version or policy?"
        )


def _shown(value: object, limit: int = 160) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
