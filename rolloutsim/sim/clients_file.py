"""Who uses a service and what is checked before they do, out of its section of a scenario file."""

from __future__ import annotations

from rolloutsim.sim.clients import Connections, Sessions, Sticky, Swap
from rolloutsim.sim.platform_file import count, read_finds
from rolloutsim.sim.quantities import choice, duration_ms, probability, text
from rolloutsim.sim.scenario import Check
from rolloutsim.sim.section import Section

__all__ = ["read_checks", "read_connections", "read_sessions"]


def read_sessions(spec: Section) -> Sessions:
    """Users' sessions; one request each when nothing is said."""
    if not spec.has("sessions"):
        return Sessions()
    section = spec.section("sessions").only("requests", "length", "sticky")
    return Sessions(
        requests=section.read("requests", count),
        length_ms=section.read("length", duration_ms),
        sticky=Sticky(section.read("sticky", choice(*Sticky))),
    )


def read_connections(spec: Section) -> Connections | None:
    """Long-lived connections; None when nothing is said."""
    if not spec.has("connections"):
        return None
    section = spec.section("connections").only("open", "lifetime", "swap", "drain", "grace")
    return Connections(
        open=section.read("open", count),
        lifetime=section.delay("lifetime"),
        swap=Swap(section.read("swap", choice(*Swap))),
        drain_ms=section.read("drain", duration_ms),
        grace_ms=section.read("grace", duration_ms),
    )


def read_checks(spec: Section) -> tuple[Check, ...]:
    """Checks that are no queries, each of a metric of its own."""
    sections = spec.sections("checks")
    checks = tuple(_check(section) for section in sections)
    names = [check.metric for check in checks]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise sections[index].error("metric", "the metric is given twice", name, "keep one of them")
    return checks


def _check(section: Section) -> Check:
    section.only("metric", "finds", "false_failure", "duration")
    finds = read_finds(section)
    return Check(
        metric=section.word("metric", text),
        finds=finds,
        false_failure=section.optional("false_failure", probability, 0.0),
        duration_ms=section.optional("duration", duration_ms, 0),
    )
