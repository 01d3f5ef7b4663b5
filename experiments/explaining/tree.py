"""A number as a tree: what it is made of, down to counts, printed values and measurements; it computes itself anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from experiments.sweeping.statistics import half_width


def _saved(parts: Sequence[float]) -> float:
    now, before = parts
    return 1 - now / before if before else 0.0


def _low(parts: Sequence[float]) -> float:
    return float(np.mean(parts)) - half_width(parts)


def _high(parts: Sequence[float]) -> float:
    return float(np.mean(parts)) + half_width(parts)


OPERATIONS: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "sum": ("sum of", sum),
    "product": ("product of", prod),
    "inverse": ("1 divided by", lambda parts: 1 / parts[0]),
    "square": ("square of", lambda parts: parts[0] ** 2),
    "quotient": ("the first divided by the second", lambda parts: parts[0] / parts[1]),
    "difference": ("the first less the second", lambda parts: parts[0] - parts[1]),
    "saved": ("1 − the first divided by the second", _saved),
    "largest": ("largest of", max),
    "least": ("least of", min),
    "mean": ("mean of", lambda parts: float(np.mean(parts))),
    "deviation": (
        "standard deviation (n − 1) of",
        lambda parts: float(np.std(parts, ddof=1)) if len(parts) > 1 else 0.0,
    ),
    "low": ("lower end of the mean's 95 % interval (Student's t) over", _low),
    "high": ("upper end of the mean's 95 % interval (Student's t) over", _high),
    "low_share": ("lower end of the mean's 95 % interval (Student's t), at least 0, over", lambda p: max(_low(p), 0.0)),
    "high_share": (
        "upper end of the mean's 95 % interval (Student's t), at most 1, over",
        lambda p: min(_high(p), 1.0),
    ),
}
"""What a number can be of its parts: in words, and as a function of their values in SI units."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A number and where it comes from.

    label: what it is. how: an operation of `OPERATIONS` on the parts, or "given" for a leaf, whose value is `given`.
    unit: of the value; to_si: what one such unit is in SI units (operations work in SI). source: who says so, of a
    leaf; note: a remark.
    """

    label: str
    how: str = "given"
    given: float = 0.0
    unit: str = ""
    to_si: float = 1.0
    parts: tuple[Node, ...] = ()
    source: str = ""
    note: str = ""

    @property
    def value(self) -> float:
        """The number in its unit, computed from the leaves."""
        if self.how == "given":
            return self.given
        return OPERATIONS[self.how][1]([part.value * part.to_si for part in self.parts]) / self.to_si

    def called(self, label: str, **changes: Any) -> Node:
        """The same number under another name."""
        return replace(self, label=label, **changes)

    def leaves(self) -> list[Node]:
        """Everything that it rests on, in order, repeats included."""
        if self.how == "given":
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves()]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: label, value, unit, and either how and parts or the source."""
        told: dict[str, Any] = {"label": self.label, "value": self.value, "unit": self.unit}
        if self.to_si != 1.0:
            told["to_si"] = self.to_si
        if self.note:
            told["note"] = self.note
        if self.how == "given":
            return told | {"source": self.source}
        return told | {"how": self.how, "parts": [part.as_dict() for part in self.parts]}


def leaf(label: str, value: float, unit: str = "", *, source: str, to_si: float = 1.0, note: str = "") -> Node:
    """A number that is not worked out further."""
    return Node(label=label, given=float(value), unit=unit, to_si=to_si, source=source, note=note)


def of(how: str, label: str, *parts: Node, unit: str = "", to_si: float = 1.0, note: str = "") -> Node:
    """A number that is worked out from parts."""
    assert how in OPERATIONS, how
    return Node(label=label, how=how, parts=parts, unit=unit, to_si=to_si, note=note)


def product(label: str, *parts: Node, unit: str = "", to_si: float = 1.0) -> Node:
    """A product; a single factor stands for itself."""
    if len(parts) == 1:
        return parts[0] if parts[0].unit == unit else of("product", label, *parts, unit=unit, to_si=to_si)
    return of("product", label, *parts, unit=unit, to_si=to_si)
