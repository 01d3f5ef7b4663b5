"""A comparison as rows of text, for the terminal and for the page."""

from __future__ import annotations

from typing import Any

from experiments.comparing.differences import Comparison, Line
from experiments.reporting.wording import UNKNOWN, count, number, percent, points, quantity

MARK = "≠"
"""Stands where two values cannot be compared."""


def value(line: Line, place: int) -> str:
    """A value with its unit and interval."""
    found = line.numbers[place]
    if found is None:
        return UNKNOWN
    if line.metric.share:
        ends = line.ends[place]
        text = percent(found, 2)
        if ends is None:
            return text
        return f"{text} ({percent(ends[0], 2)} to {percent(ends[1], 2)})"
    if not line.metric.unit and float(found).is_integer():
        return count(found)
    if line.metric.unit == "×":
        return f"{number(found)}×"
    return quantity(found, line.metric.unit) if line.metric.unit else number(found)


def difference(line: Line, place: int) -> str:
    """The difference to the first entry: points of shares, else a relative change; a mark where it means nothing."""
    if place == 0 or line.numbers[place] is None or line.numbers[0] is None:
        return ""
    if line.why[place]:
        return MARK
    found = line.differences[place]
    if found is None:
        return ""
    text = f"{points(found, 2)} points" if line.metric.share else f"{points(found)}\u00a0%"
    return f"{text}, may be chance" if line.overlap[place] else text


APART = 3
"""Entries up to which a difference has a column of its own; beyond, it stands behind its value."""


def heads(comparison: Comparison) -> list[str]:
    """Heads of the table of axes: the axis, then every entry, and the difference of all but the first."""
    first, *others = (entry.name for entry in comparison.entries)
    if len(comparison.entries) > APART:
        return ["", first, *others]
    return ["", first, *(head for name in others for head in (name, "against the first"))]


def rows(comparison: Comparison, lines: tuple[Line, ...]) -> list[list[str]]:
    """Rows of the table of axes."""
    places = range(1, len(comparison.entries))
    if len(comparison.entries) > APART:
        return [[line.metric.words, value(line, 0), *(_joined(line, place) for place in places)] for line in lines]
    return [
        [
            line.metric.words,
            value(line, 0),
            *(cell for at in places for cell in (value(line, at), difference(line, at))),
        ]
        for line in lines
    ]


def _joined(line: Line, place: int) -> str:
    """A value with its difference behind it."""
    return " · ".join(filter(None, (value(line, place), difference(line, place))))


def setting_rows(comparison: Comparison) -> list[list[str]]:
    """Rows of the settings that differ."""
    return [[setting.key, *(_setting(value) for value in setting.told)] for setting in comparison.settings]


def _setting(value: Any) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:g}" if isinstance(value, float) else str(value)


def sources(comparison: Comparison) -> list[list[str]]:
    """What each entry is and who says so."""
    return [[entry.name, entry.kind, entry.source] for entry in comparison.entries]
