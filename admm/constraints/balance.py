"""Pruning sets that bound every small part of a layer alike: N:M sparsity and column-balanced arrays.

In every cell (m neighbours, or one column of one array) at most n weights are not zero. The cells are disjoint, so
the Euclidean projection keeps the n largest magnitudes of each and is exact.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, final

import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.support import STRICT, Ranked, crossings, matrix_shape, rank_in_cell, require_finite
from crossbar.tiling import arrays_needed, from_matrix
from hwmodels.quantities import Count


class PerCell(Ranked):
    """At most `limit` live weights in every cell; leaves say what a cell is (`cells`)."""

    @property
    @abstractmethod
    def limit(self) -> int:
        """Live weights that a cell may have."""

    @final
    def check(self, shape: Sequence[int], groups: int = 1) -> None:
        """See `Support.check`: any weight matrix will do."""
        matrix_shape(shape, groups)

    @final
    def best(self, gain: Tensor, groups: int = 1) -> Tensor:
        """See `Ranked.best`: the `limit` largest gains of each cell, but none that is negative."""
        return (rank_in_cell(gain, self.cells(gain.shape, groups)) < self.limit) & (gain >= 0)

    @final
    def cover(self, w: Tensor, groups: int = 1) -> Tensor:
        """See `Support.cover`: the non-zero weights alone."""
        matrix_shape(w.shape, groups)
        return w.detach() != 0

    @final
    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether no cell has more than `limit` weights that are not zero."""
        require_finite(w)
        used = self.cells(w.shape, groups)[(w.detach() != 0).cpu()]
        return not used.numel() or int(torch.bincount(used).max()) <= self.limit


@final
@dataclass(frozen=True, config=STRICT)
class NM(PerCell):
    """At most n of every m neighbouring weights are non-zero (2:4 is n = 2, m = 4).

    axis: where the neighbours lie. "rows": m consecutive word lines of one bit line (rows of M, in C order of
    channel, kh, kw); "channels": m consecutive input channels at one kernel position of one filter (the usual
    choice in processors' sparse units: Zhou et al. 2021, arXiv 2102.04010; the same as "rows" for a linear layer);
    "cols": m consecutive bit lines of one word line. What is left over at the end of an axis is a cell as well,
    and may keep n.
    """

    n: Count
    m: Count
    axis: Literal["rows", "channels", "cols"] = "channels"
    kind: Literal["n_m"] = "n_m"

    @model_validator(mode="after")
    def _check(self) -> NM:
        if self.n > self.m:
            raise ValueError(f"n:m keeps n of every m weights, and {self.n} of {self.m} is impossible; n is at most m")
        return self

    @property
    def limit(self) -> int:
        """See `PerCell.limit`."""
        return self.n

    def cells(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the m neighbours that a weight is one of."""
        rows, cols = matrix_shape(shape, groups)
        g, r, c = crossings(shape, groups)
        if self.axis == "cols":
            parts = arrays_needed(1, cols, 1, self.m)
            return from_matrix((g * rows + r) * parts + c // self.m, tuple(shape))
        if self.axis == "rows":
            across, along, parts = 1, r // self.m, arrays_needed(rows, 1, self.m, 1)
            position = torch.zeros_like(r)
        else:
            across = rows // shape[1]
            along, position = (r // across) // self.m, r % across
            parts = arrays_needed(shape[1], 1, self.m, 1)
        return from_matrix(((g * cols + c) * across + position) * parts + along, tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class ColumnBalanced(PerCell):
    """At most `live` live cells in every column of every array of `rows` word lines.

    No column sums more than `live` products, so a smaller converter reads it without a loss: log2(live) takes the
    place of log2(rows) in its bits (Yuan et al. 2021, TinyADC, "column proportional" pruning; ISAAC's equation 1
    with the live cells for the rows). Columns of M are cut into strips of `rows`; the last strip may be lower.
    """

    rows: Count
    live: Count
    kind: Literal["column_balanced"] = "column_balanced"

    @model_validator(mode="after")
    def _check(self) -> ColumnBalanced:
        if self.live > self.rows:
            raise ValueError(
                f"live = {self.live} cells do not fit in a column of rows = {self.rows}; live is at most rows"
            )
        return self

    @property
    def limit(self) -> int:
        """See `PerCell.limit`."""
        return self.live

    def cells(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the array column: strip by strip of rows, column by column of M, group after group."""
        rows, cols = matrix_shape(shape, groups)
        g, r, c = crossings(shape, groups)
        strips = arrays_needed(rows, 1, self.rows, 1)
        return from_matrix((g * strips + r // self.rows) * cols + c, tuple(shape))
