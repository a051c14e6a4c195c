"""Troubles that last are said once."""

from __future__ import annotations

from rolloutsim.live.complaints import Complaints


def test_a_trouble_is_said_once_and_once_more_when_it_is_over() -> None:
    said: list[str] = []
    complaints = Complaints(said.append, lambda: 0)
    complaints.over("save", "saved again")
    for number in range(3):
        complaints.met("save", f"cannot save {number}")
        complaints.met("watch", f"cannot watch {number}")
    assert said == ["cannot save 0", "cannot watch 0"]
    complaints.over("save", "saved again")
    complaints.over("save", "saved again")
    complaints.met("save", "cannot save 4")
    assert said[2:] == ["saved again", "cannot save 4"]


def test_a_short_trouble_is_not_worth_a_word() -> None:
    said: list[str] = []
    now = [0]
    complaints = Complaints(said.append, lambda: now[0])
    complaints.met("watch", "cut", patience_ms=1_000)
    now[0] = 900
    complaints.met("watch", "cut", patience_ms=1_000)
    complaints.over("watch", "heard again")
    now[0] = 1_500
    complaints.met("watch", "cut", patience_ms=1_000)
    assert said == []
    now[0] = 2_500
    complaints.met("watch", "cut", patience_ms=1_000)
    complaints.over("watch", "heard again")
    assert said == ["cut", "heard again"]
