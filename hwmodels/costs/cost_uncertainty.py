"""What the ranges of a library's numbers do to the totals: one at a time (tornado) and all at once (interval)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hwmodels.costs.library import Library, Quantity
from hwmodels.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

Totals = dict[str, float]
Key = tuple[str, str]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The totals with every ranged number at its low and at its high end, one at a time.

    Only numbers that state `low` or `high` count: where the library states no range, none is invented, so an interval
    is a lower bound of what is not known.
    """

    quantities: dict[Key, Quantity]
    totals_at: Callable[[Mapping[Key, float]], Totals]

    @staticmethod
    def of(library: Library, components: set[str], totals_at: Callable[[Mapping[Key, float]], Totals]) -> Uncertainty:
        """The ranged numbers of the components in use; totals_at gives the totals with some numbers replaced."""
        ranged = {
            (component, name): number
            for component, name, number in library.quantities()
            if component in components and number.ends_si[0] < number.ends_si[1]
        }
        return Uncertainty(ranged, totals_at)

    @cached_property
    def nominal(self) -> Totals:
        """The totals as the library states its numbers."""
        return self.totals_at({})

    @cached_property
    def _swings(self) -> dict[Key, tuple[Totals, Totals]]:
        """The totals with one number at its low and its high end."""
        return {
            key: (self.totals_at({key: number.ends_si[0]}), self.totals_at({key: number.ends_si[1]}))
            for key, number in self.quantities.items()
        }

    @cached_property
    def interval(self) -> dict[str, tuple[float, float]]:
        """Low and high of every total, with all numbers at the end that lowers, or raises, that total.

        Area, energy, latency, rates, peak power and power at a given frame rate are monotone in every number, so this
        is their exact range over the box of all ranges. Power at the own full rate is not: where the array read and
        the converters take turns as the bottleneck it may peak between the ends, and these are values at corners only.
        """
        return {total: (self._corner(total, least=True), self._corner(total, least=False)) for total in self.nominal}

    @cached_property
    def interval_independent(self) -> dict[str, tuple[float, float]]:
        """Low and high of every total with the single effects added as independent errors (root of squares)."""
        result = {}
        for total, middle in self.nominal.items():
            ends = [(low[total] - middle, high[total] - middle) for low, high in self._swings.values()]
            down = sum(min(0.0, *pair) ** 2 for pair in ends) ** 0.5
            up = sum(max(0.0, *pair) ** 2 for pair in ends) ** 0.5
            result[total] = (middle - down, middle + up)
        return result

    def corner(self, total: str, *, least: bool) -> dict[Key, float]:
        """Every ranged number at the end that lowers a total (or raises it), in SI units."""
        chosen = {}
        for key, (low, high) in self._swings.items():
            take_low = (low[total] <= high[total]) == least
            chosen[key] = self.quantities[key].ends_si[0 if take_low else 1]
        return chosen

    def _corner(self, total: str, least: bool) -> float:
        """A total with every number at the end that lowers it (or raises it)."""
        return self.totals_at(self.corner(total, least=least))[total]

    def tornado(self, total: str) -> pd.DataFrame:
        """A row per ranged number, by falling swing of one total.

        Columns: component, quantity, low, value, high (in `unit`), unit, total_low, total_high (the total with only
        this number at its low and at its high end), swing = |total_high − total_low|, swing_share = swing / total.
        Raises UserError for an unknown total.
        """
        import pandas as pd

        if total not in self.nominal:
            raise unknown("total", total, self.nominal)
        rows = []
        for (component, name), (low, high) in self._swings.items():
            number = self.quantities[component, name]
            swing = abs(high[total] - low[total])
            rows.append(
                {
                    "component": component,
                    "quantity": name,
                    "low": number.value if number.low is None else number.low,
                    "value": number.value,
                    "high": number.value if number.high is None else number.high,
                    "unit": number.unit,
                    "total_low": low[total],
                    "total_high": high[total],
                    "swing": swing,
                    "swing_share": swing / self.nominal[total] if self.nominal[total] else 0.0,
                }
            )
        columns = ["component", "quantity", "low", "value", "high", "unit", "total_low", "total_high", "swing"]
        frame = pd.DataFrame(rows, columns=[*columns, "swing_share"])
        return frame.sort_values("swing", ascending=False, kind="stable").reset_index(drop=True)
