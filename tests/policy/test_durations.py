"""Go durations and the durations of pause steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolloutsim.policy.durations import go_duration_ns, pause_seconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5m", 300_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("+1.5s", 1_500_000_000),
        ("-2ms", -2_000_000),
        (".5us", 500),
        ("1.s", 1_000_000_000),
        ("3µs", 3_000),
        ("3μs", 3_000),
        ("2562047h", 2562047 * 3_600_000_000_000),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert go_duration_ns(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "invalid duration"),
        ("-", "invalid duration"),
        (".s", "invalid duration"),
        ("m", "invalid duration"),
        ("abc", "invalid duration"),
        ("3000000h", "invalid duration"),
        ("5", "missing unit"),
        ("1h5", "missing unit"),
        ("1d", 'unknown unit "d"'),
        ("5 m", 'unknown unit " m"'),
        ("1e3s", 'unknown unit "e"'),
    ],
)
def test_what_is_no_duration(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        go_duration_ns(text)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (30, 30),
        (0, 0),
        (-5, -5),
        ("30", 30),
        ("+30", 30),
        ("1.9s", 1),
        ("-1.9s", -1),
        ("999ms", 0),
        ("3000000000", -1),
        (" 5s", -1),
        ("", -1),
        ("0x10", -1),
        ("1000000h", -(2**31)),
    ],
)
def test_pauses(duration: int | str, seconds: int) -> None:
    assert pause_seconds({"duration": duration}) == seconds


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    total = (hours * 60 + minutes) * 60 + seconds
    assert go_duration_ns(f"{hours}h{minutes}m{seconds}s") == total * 10**9
