"""Unit strings of the data files, turned into SI: "um2", "pJ/bit", "GS/s" and their like."""

from __future__ import annotations

from functools import lru_cache

from hwmodels.errors import UserError

_PREFIXES = {"": 1.0, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}

# base unit -> (dimension, factor to SI, the power of the prefix: 1 um2 is (1e-6)² m²)
_BASES = {
    "W": ("W", 1.0, 1),
    "J": ("J", 1.0, 1),
    "V": ("V", 1.0, 1),
    "s": ("s", 1.0, 1),
    "m2": ("m2", 1.0, 2),
    "Hz": ("1/s", 1.0, 1),
    "S/s": ("1/s", 1.0, 1),  # samples per second
}
_COUNTS = ("1", "cells", "rows", "columns", "converters", "arrays", "cores", "tiles")
_EACH = ("bit", "row", "column", "conversion", "sample", "result", "output", "cell", "array", "read")


def _plain(unit: str) -> tuple[str, float] | None:
    """Dimension and SI factor of a unit without a denominator; None when it is not one."""
    if unit in _COUNTS:
        return "1", 1.0
    for base, (dimension, factor, power) in _BASES.items():
        prefix = unit.removesuffix(base)
        if unit.endswith(base) and prefix in _PREFIXES:
            return dimension, factor * _PREFIXES[prefix] ** power
    return None


@lru_cache
def to_si(unit: str) -> tuple[str, float]:
    """Dimension and factor of a unit string: `to_si("pJ/bit") == ("J", 1e-12)`.

    A denominator says per what a number is given (per bit, per row, per conversion …); it is not a
    dimension of its own. Raises UserError for a unit that is not known.
    """
    numerator, slash, each = unit.strip().partition("/")
    found = _plain(unit.strip())
    if found is None and slash and each in _EACH:
        found = _plain(numerator)
    if found is None:
        raise UserError(
            f"Unknown unit {unit!r}. Write a prefix (f p n u m k M G) before one of {', '.join(_BASES)}, "
            f"or one of {', '.join(_COUNTS)}; '/' and one of {', '.join(_EACH)} may follow."
        )
    return found
