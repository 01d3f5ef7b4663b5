"""The tile table as the cost model reads it: plain columns, and what the pieces share of arrays, rows and layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Pieces:
    """A checked tile table: one NumPy column per name, `layer` as an index into `layers` (network order)."""

    layers: list[str]
    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column, (pieces,)."""
        return self.columns[name]

    @property
    def converted_cols(self) -> np.ndarray:
        """Columns of every piece that are converted, (pieces,)."""
        return self.columns.get("converted_cols", self["cols"])

    @property
    def cycles_of_a_phase(self) -> np.ndarray:
        """Array reads of one input phase, (pieces,): input_cycles over input_phases, which is 1 where not stated."""
        return self["input_cycles"] // self.columns.get("input_phases", np.ones(1, dtype=np.int64))

    def per_layer(self, amount: Any) -> np.ndarray:
        """Sum an amount per piece over each layer: (pieces,) -> float64 (layers,)."""
        weights = np.broadcast_to(amount, self["layer"].shape)
        return np.bincount(self["layer"], weights=weights, minlength=len(self.layers))

    def first_of(self, *names: str) -> np.ndarray:
        """True at the first piece of every distinct combination of the named columns."""
        # Sorting is stable, so the first of a group in the sorted order is the first in the table.
        order = np.lexsort([self[name] for name in reversed(names)])
        mark = np.zeros(order.size, dtype=bool)
        new = self.new_group(order, names)
        new[0] = True
        mark[order] = new
        return mark

    def newly_covered(self, start: np.ndarray, stop: np.ndarray, *names: str) -> np.ndarray:
        """How many integers of [start, stop) no piece before it, of the same named columns, has covered already.

        Summed over the pieces this is the size of the union of the intervals: a row that several pieces of an array
        use has one driver. The piece that comes first (by start, then by order in the table) is charged with it.
        """
        order = np.lexsort((np.arange(start.size), start, *(self[name] for name in reversed(names))))
        group = np.cumsum(self.new_group(order, names))
        # Lift each group above the one before, so that one running maximum serves all groups.
        lift = group * (int(stop.max()) + 1)
        reached = np.maximum.accumulate(stop[order] + lift)
        before = np.concatenate(([0], reached[:-1]))
        fresh = np.maximum(stop[order] + lift - np.maximum(before, start[order] + lift), 0)
        result = np.empty_like(fresh)
        result[order] = fresh
        return result

    def new_group(self, order: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        """True where, in the given order, a named column differs from the piece before."""
        new = np.zeros(order.size, dtype=bool)
        for name in names:
            column = self[name][order]
            new[1:] |= column[1:] != column[:-1]
        return new
