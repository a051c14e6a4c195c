"""Labels that may hold secrets or people are taken out of what is recorded, selectors included.

A value is replaced by a number that is the same wherever the value stands, so that series stay apart. It
is no hash of the value: a short secret could be guessed from one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

__all__ = ["Redaction"]

_NAMES = re.compile(
    r"(?i)(token|secret|passw|credential|auth(?!or)|api_?key|access_?key|private|cookie|session|e_?mail"
    r"|user(_?(id|name))?$|login|phone|client_ip|remote_addr)"
)
_VALUES = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]{8,}"  # a JSON web token
    r"|AKIA[0-9A-Z]{16}"
    r"|(?i:bearer|basic) [\w+/=.-]{8,}"
    r"|gh[pousr]_\w{20,}|xox[abp]-[\w-]{10,}|-----BEGIN"
    r"|://[^/\s:@]*:[^/\s@]+@"
    r"|[?&;#](?i:[\w.-]*(?:token|secret|passw|credential|auth|key|sig(?:nature)?|code|session)[\w.-]*)=[^&\s]"
    r"|[\w.+-]+@[\w-]+\.[\w.]+"
    r"|\b[0-9a-fA-F]{32,}\b"
    r"|^(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[\w+/=-]{40,}$"
)


_MATCHER = re.compile(r"""(\w+)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")


class Redaction:
    """Takes secrets out of label sets; ``counts`` tells how many values of which label.

    ``kept`` are labels that stay as they are: the name, bucket bounds, and what tells versions apart.
    """

    def __init__(self, kept: tuple[str, ...]) -> None:
        self._kept = {"__name__", "le", *kept}
        self._numbers: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def __call__(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {name: self._shown(name, value) for name, value in labels.items()}

    def selector(self, text: str) -> str:
        """A selector, with the values of its matchers as they are shown."""

        def shown(match: re.Match[str]) -> str:
            name, operator, quoted = match.groups()
            return f"{name}{operator}{quoted[0]}{self._shown(name, quoted[1:-1])}{quoted[0]}"

        return _MATCHER.sub(shown, text)

    def _shown(self, name: str, value: str) -> str:
        if name in self._kept or not (_NAMES.search(name) or _VALUES.search(value)):
            return value
        if value not in self._numbers:
            self._numbers[value] = len(self._numbers) + 1
            self.counts[name] += 1
        return f"redacted-{self._numbers[value]}"
