"""One check: what was found, what is known to be right, and whether the two agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["pass", "fail", "skip"]
Found = tuple[str, str, bool, str]
"""What a check found: the value, what was expected, whether they agree, and a note (the source)."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check; value, expected: as text with their unit; note: the source, or why it was skipped."""

    subject: str
    name: str
    status: Status
    value: str = ""
    expected: str = ""
    note: str = ""
    seconds: float = 0.0


class Skip(Exception):  # noqa: N818  no error: there is nothing to check here
    """Raised by a check that cannot be made on this machine; its text says why."""


@dataclass(frozen=True)
class Case:
    """A check before it is made; find: gives the value, the expectation, whether they agree, and a note."""

    name: str
    find: Callable[[], Found]


def close(value: float, expected: float, tolerance: float, unit: str = "", note: str = "") -> Found:
    """A number that may differ from the expected one by a share of it; tolerance: that share."""
    said = f" {unit}" if unit else ""
    good = abs(value - expected) <= tolerance * abs(expected)
    return f"{value:.10g}{said}", f"{expected:.10g}{said} ± {100 * tolerance:.2g} %", good, note


def equal(value: object, expected: object, note: str = "") -> Found:
    """What must be the same."""
    return str(value), str(expected), value == expected, note


def at_most(value: float, limit: float, unit: str = "", note: str = "") -> Found:
    """A number that must not be above a limit (a deviation, say)."""
    said = f" {unit}" if unit else ""
    return f"{value:.3g}{said}", f"at most {limit:.3g}{said}", value <= limit, note


def made(subject: str, cases: Iterable[Case]) -> list[Check]:
    """Make the checks of a subject; one that breaks has failed, with what it said."""
    return [_made(subject, case) for case in cases]


def _made(subject: str, case: Case) -> Check:
    start = time.perf_counter()
    found = Check(subject=subject, name=case.name, status="fail")
    try:
        value, expected, good, note = case.find()
        found = replace(found, status="pass" if good else "fail", value=value, expected=expected, note=note)
    except Skip as reason:
        found = replace(found, status="skip", note=str(reason))
    except Exception as error:  # noqa: BLE001  an installation that breaks in a check is what is looked for
        found = replace(found, value=f"{type(error).__name__}: {error}", expected="no error")
    return replace(found, seconds=time.perf_counter() - start)
