"""Numbers and names as people read them: the one place that decides digits, units and signs of the report.

The no-break spaces keep a number and its unit on one line; `plain` turns them back for plain text.
"""

from __future__ import annotations

from math import isfinite

UNKNOWN = "–"
"""What stands for a number that is not known (None or NaN)."""

_GROUP = "\u202f"  # narrow no-break space between thousands
_SPACE = "\u00a0"  # no-break space before a unit
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def known(value: float | None) -> bool:
    """Whether a number is there: neither None nor NaN nor infinite."""
    return value is not None and isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits: 0.0123, 1.20, 48 000, 1.23 × 10⁻⁷.

    Whole digits are never dropped: 12 345 stays 12 345 at three digits.
    """
    if value is None or not isfinite(value):
        return UNKNOWN
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if not -5 < power < 7:
        return f"{_minus(mantissa)}{_SPACE}×{_SPACE}10{str(power).translate(_SUPERSCRIPT)}"
    return _grouped(value, max(0, digits - 1 - power))


def count(value: float | None) -> str:
    """A whole number with its thousands apart: 48 000."""
    return UNKNOWN if value is None or not isfinite(value) else _grouped(value, 0)


def quantity(value: float | None, unit: str, digits: int = 3) -> str:
    """A number and its unit: 1.23 mm²."""
    text = number(value, digits)
    return text if text == UNKNOWN else f"{text}{_SPACE}{unit}"


def percent(fraction: float | None, decimals: int = 1) -> str:
    """A fraction as per cent: 0.978 -> 97.8 %."""
    if fraction is None or not isfinite(fraction):
        return UNKNOWN
    return f"{_minus(f'{100 * fraction:.{decimals}f}')}{_SPACE}%"


def share(fraction: float | None) -> str:
    """A share of a whole: 0 %, < 0.1 %, 12.3 %, > 99.9 %, 100 %; only nothing is 0 % and only all of it 100 %."""
    if fraction is None or not isfinite(fraction):
        return UNKNOWN
    if fraction in (0, 1):
        return percent(fraction, 0)
    if 0 < fraction < 0.001:
        return f"<{_SPACE}0.1{_SPACE}%"
    if 0.999 < fraction < 1:
        return f">{_SPACE}99.9{_SPACE}%"
    return percent(fraction)


def points(difference: float | None, decimals: int = 1) -> str:
    """A signed difference of two fractions in percentage points: −0.5, +0.2, 0.0."""
    if difference is None or not isfinite(difference):
        return UNKNOWN
    text = f"{100 * difference:+.{decimals}f}"
    return text[1:] if float(text) == 0 else _minus(text)


def change(reduction: float | None) -> str:
    """A reduction (fraction, negative: it grew) as the signed change: 0.85 -> −85.0 %, −0.1 -> +10.0 %."""
    if reduction is None or not isfinite(reduction):
        return UNKNOWN
    return f"{points(-reduction)}{_SPACE}%"


def times(factor: float | None) -> str:
    """A factor: 8.91×."""
    text = number(factor)
    return text if text == UNKNOWN else f"{text}×"


def duration(seconds: float | None) -> str:
    """A time that a person waits: 0.42 s, 41.2 s, 3 min 12 s, 2 h 05 min."""
    if seconds is None or not isfinite(seconds):
        return UNKNOWN
    if seconds < 99.95:
        return quantity(seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest:02d}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60:02d}{_SPACE}min"


def rate(hertz: float | None) -> str:
    """A rate of inferences: 1 000 inferences/s."""
    return quantity(hertz, "inferences/s")


def plural(amount: int, noun: str) -> str:
    """A count and its noun: 1 array, 12 arrays."""
    return f"{count(amount)}{_SPACE}{noun}{'' if amount == 1 else 's'}"


def shorten(name: str, limit: int) -> str:
    """A name of at most `limit` characters, its middle left out: the ends of a module path tell most."""
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}…{name[len(name) - tail :]}"


def plain(text: str) -> str:
    """The text with ordinary spaces, for files that are searched and read as plain text."""
    return text.replace(_GROUP, " ").replace(_SPACE, " ")


def _grouped(value: float, decimals: int) -> str:
    return _minus(f"{value:,.{decimals}f}").replace(",", _GROUP)


def _minus(text: str) -> str:
    return text.replace("-", "−")
