"""How many chips a point takes, what their accuracy is, and whether a point holds to its constraints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from experiments.sweeping.columns import MEASURED, SIMULATED
from hwmodels.errors import UserError, suggestion

CONFIDENCE = 0.95
FIRST_LOOK = 3
"""Chips after which a point whose accuracy is hopeless may be given up."""


@dataclass(frozen=True)
class Constraint:
    """What a result column must hold to: column, above (at least the limit, else at most), limit."""

    column: str
    above: bool
    limit: float

    @property
    def text(self) -> str:
        """As the file has it."""
        return f"{self.column} {'>=' if self.above else '<='} {self.limit:g}"

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit; 0 or less where it holds."""
        return self.limit - value if self.above else value - self.limit


def constraint(text: str) -> Constraint:
    """Read "area_mm2 <= 2.5"; UserError for anything else, with the nearest column."""
    match = re.fullmatch(r"\s*([\w.]+)\s*(<=|>=)\s*([-+.\deE]+)\s*", text)
    try:
        limit = float(match.group(3)) if match else None
    except ValueError:
        limit = None
    if match is None or limit is None:
        raise UserError(f'[sweep] constraints: {text!r} is not "COLUMN <= NUMBER" or "COLUMN >= NUMBER".')
    if match.group(1) not in MEASURED:
        raise UserError(
            f"[sweep] constraints: there is no result {match.group(1)!r}. {suggestion(match.group(1), MEASURED)}"
        )
    return Constraint(match.group(1), match.group(2) == ">=", limit)


@dataclass(frozen=True)
class Rules:
    """What a point's simulation follows; seeds: chips at least, interval: width to reach (None: no more chips)."""

    seeds: int
    interval: float | None = None
    max_seeds: int = 100
    constraints: tuple[Constraint, ...] = ()

    def enough(self, accuracies: Sequence[float]) -> int | None:
        """How many of the chips so far the result rests on; None while more are needed.

        It follows from the accuracies in the order of the chips alone, so a store that holds more chips than needed
        gives the same result as one that holds just these.
        """
        for count in range(1, len(accuracies) + 1):
            if self._stops(accuracies[:count]):
                return count
        return None

    def _stops(self, accuracies: Sequence[float]) -> bool:
        count = len(accuracies)
        if count >= FIRST_LOOK and self._hopeless(accuracies):
            return True
        if self.interval is None:
            return count >= self.seeds
        # One chip has no interval.
        if count < max(self.seeds, 2):
            return False
        found = spread(accuracies)
        return (
            count >= self.max_seeds or found["accuracy_crossbar_high"] - found["accuracy_crossbar_low"] <= self.interval
        )

    def _hopeless(self, accuracies: Sequence[float]) -> bool:
        """Whether the accuracy breaks a constraint even at the friendly end of its interval."""
        wanted = [item for item in self.constraints if item.column == "accuracy_crossbar_mean"]
        if not wanted:
            return False
        found = spread(accuracies)
        return any(
            item.excess(found["accuracy_crossbar_high" if item.above else "accuracy_crossbar_low"]) > 0
            for item in wanted
        )

    def broken(self, row: Mapping[str, Any], *, simulated: bool) -> str | None:
        """The first constraint that a row of results breaks; simulated: whether those of simulation are in it."""
        for item in self.constraints:
            known = simulated or item.column not in SIMULATED
            if known and row.get(item.column) is not None and item.excess(float(row[item.column])) > 0:
                return f"{item.column} = {float(row[item.column]):.6g} breaks {item.text}"
        return None


def spread(accuracies: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (n − 1) and Student-t interval (95 %, cut to [0, 1]) of the chips' accuracies."""
    count = len(accuracies)
    mean = float(np.mean(accuracies))
    std = float(np.std(accuracies, ddof=1)) if count > 1 else 0.0
    half = half_width(accuracies)
    return {
        "accuracy_crossbar_mean": mean,
        "accuracy_crossbar_std": std,
        "accuracy_crossbar_low": max(mean - half, 0.0),
        "accuracy_crossbar_high": min(mean + half, 1.0),
    }


def half_width(values: Sequence[float]) -> float:
    """Half the width of the mean's interval (95 %, Student's t); 0 for a single value, which has none."""
    count = len(values)
    return _t(count - 1) * float(np.std(values, ddof=1)) / count**0.5 if count > 1 else 0.0


@cache
def _t(freedom: int) -> float:
    from scipy.special import stdtrit  # what scipy.stats asks, without seconds of loading

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
