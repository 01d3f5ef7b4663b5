"""What compression aims at: one total of the chip and its limit, read from a key or a flag, with its unit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from hwmodels.errors import UserError, suggestion

Kind = Literal["area", "power", "energy", "arrays", "reduction"]
KINDS: tuple[Kind, ...] = ("area", "power", "energy", "arrays", "reduction")

_PREFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3}
_UNITS: dict[Kind, dict[str, float]] = {
    "area": {"mm2": 1.0, "mm²": 1.0, "um2": 1e-6, "µm2": 1e-6, "µm²": 1e-6, "cm2": 100.0, "cm²": 100.0},
    "power": {f"{prefix}W": scale * 1e3 for prefix, scale in _PREFIXES.items()},
    "energy": {f"{prefix}J": scale * 1e9 for prefix, scale in (_PREFIXES | {"p": 1e-12}).items()},
    "arrays": {"": 1.0},
    "reduction": {"": 1.0, "x": 1.0, "×": 1.0},
}
"""Units → the unit of the estimate's total: mm², mW, nJ per inference."""

TOTALS: dict[Kind, str] = {"area": "area_mm2", "power": "power_mw", "energy": "energy_nj", "arrays": "arrays"}
"""The total of `hwmodels.Estimate` that a target limits; a reduction is counted in weights."""

_SHOWN: dict[Kind, str] = {"area": "{:.4g} mm2", "power": "{:.4g} mW", "energy": "{:.4g} nJ", "arrays": "{:g}"}
_EXAMPLES: dict[Kind, str] = {
    "area": "0.05mm2",
    "power": "10mW",
    "energy": "2uJ",
    "arrays": "40",
    "reduction": "10",
}
_QUANTITY = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([^0-9\s]\S*)?\s*")


@dataclass(frozen=True, kw_only=True)
class Target:
    """kind: which total. limit: its largest value, mm², mW, nJ per inference or arrays; for "reduction" how many times
    fewer weights stay, at least; None: to be found, the smallest that keeps the accuracy floor.
    """

    kind: Kind
    limit: float | None

    def text(self, value: float) -> str:
        """A value of the total with its unit."""
        return f"{value:.4g} times fewer weights" if self.kind == "reduction" else _SHOWN[self.kind].format(value)


def parse(kind: str, text: str | int | float, key: str) -> Target:
    """A target from its kind and "0.05mm2", "10 mW", 40, …; key: what the user wrote it behind.

    Raises UserError for an unknown kind, no number, a missing or wrong unit, and a limit that limits nothing.
    """
    known = _kind(kind)
    found = _QUANTITY.fullmatch(str(text))
    units = _UNITS[known]
    try:
        number, unit = float(found[1]), found[2] or ""  # type: ignore[index]
    except (TypeError, ValueError):
        raise UserError(f"{key} = {text!r} is no quantity. Write for example {_EXAMPLES[known]}.") from None
    if unit not in units:
        given = f"has the unit {unit!r}" if unit else "has no unit"
        allowed = f"one of {', '.join(filter(None, units))}" if any(units) else "none, it is a number"
        raise UserError(f"{key} = {text!r} {given}; its unit is {allowed}. Write for example {_EXAMPLES[known]}.")
    limit = number * units[unit]
    if not (math.isfinite(limit) and limit > 0):
        raise UserError(f"{key} = {text!r} must be above 0.")
    if known == "arrays" and limit != int(limit):
        raise UserError(f"{key} = {text!r}: arrays are whole.")
    if known == "reduction" and limit < 1:
        raise UserError(f"{key} = {text!r}: a reduction of 10 keeps a tenth of the weights; it is at least 1.")
    return Target(kind=known, limit=limit)


def of_keys(target: str | None, limit: str | int | float | None, floor: float | None) -> Target | None:
    """The target of the keys [compress] target, limit and accuracy_floor; None when there is none.

    Raises UserError for keys that need another one.
    """
    if target is None:
        if limit is not None or floor is not None:
            key = "limit" if limit is not None else "accuracy_floor"
            raise UserError(f"compress.{key} needs compress.target: one of {', '.join(KINDS)}.")
        return None
    if limit is None:
        if floor is None:
            raise UserError(
                f"compress.target = {target!r} needs compress.limit (such as {_EXAMPLES[_kind(target)]!r}), or "
                "compress.accuracy_floor, to find the smallest limit that keeps it."
            )
        return Target(kind=_kind(target), limit=None)
    return parse(target, limit, "compress.limit")


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if kind == name:
            return kind
    raise UserError(f"compress.target = {name!r} is unknown. {suggestion(name, KINDS)}")
