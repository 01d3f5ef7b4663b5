"""How a weight tensor becomes a matrix, and how many arrays that matrix fills.

This is the one lowering that compression and mapping share. A layer with weight tensor
`(out, in / groups, *kernel)` becomes, per group, a matrix M of shape (rows, cols): rows are word lines
(in, kh, kw in C order), columns are filters and run along bit lines, `M = weight.reshape(out, -1).T`.
The groups stand behind each other in the first axis of the result: `(groups, rows, cols)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeVar

import numpy as np

from hwmodels.errors import UserError

Tensor = TypeVar("Tensor")
"""A numpy array or a torch tensor; only `reshape`, `swapaxes` and `shape` are used."""


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """A layer as the arrays see it.

    rows, cols: size of the matrix of one group; groups: how many such matrices; positions: input vectors
    per inference (output pixels of a convolution, 1 for a linear layer on a plain vector).
    """

    rows: int
    cols: int
    groups: int = 1
    positions: int = 1

    @property
    def weights(self) -> int:
        """Weights of the layer, biases not counted."""
        return self.groups * self.rows * self.cols

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference."""
        return self.weights * self.positions


def to_matrix(weight: Tensor, groups: int = 1) -> Tensor:
    """Lower a weight tensor (out, in / groups, *kernel) to (groups, rows, cols), a view where possible."""
    out = weight.shape[0]  # type: ignore[attr-defined]
    return weight.reshape(groups, out // groups, -1).swapaxes(1, 2)  # type: ignore[attr-defined]


def from_matrix(matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo `to_matrix`: (groups, rows, cols) back to a weight tensor of the given shape."""
    return matrix.swapaxes(1, 2).reshape(tuple(shape))  # type: ignore[attr-defined]


def row_places(shape: Sequence[int], order: Literal["W", "H", "C"] = "W") -> np.ndarray:
    """Place of every matrix row (in, kh, kw in C order) when its layer's rows stand in another order: int64 (rows,).

    shape: of the weight (out, in / groups, *kernel), up to two kernel axes. order: what runs fastest: "W": kw, then kh,
    then channels, the order of the matrix; "H": kh, then kw, then channels; "C": channels, then kw, then kh (the three
    orders of FORMS, Yuan et al. 2021, arXiv 2106.09144, section III). Raises UserError for more kernel axes.
    """
    if len(shape) > 4:
        raise UserError(f"Kernels with {len(shape) - 2} axes have no order W, H or C of their weights; two at most.")
    channels, (height, width) = shape[1], (1, 1, *shape[2:])[-2:]
    channel, y, x = np.unravel_index(np.arange(channels * height * width), (channels, height, width))
    return {
        "W": (channel * height + y) * width + x,
        "H": (channel * width + x) * height + y,
        "C": (y * width + x) * channels + channel,
    }[order]


def arrays_needed(rows: int, cols: int, array_rows: int, array_cols: int) -> int:
    """Arrays that a dense (rows, cols) matrix fills, for one cell per weight: ⌈r/R⌉·⌈c/C⌉."""
    return ceil(rows / array_rows) * ceil(cols / array_cols)


def block_bounds(size: int, step: int) -> np.ndarray:
    """Edges of the blocks that `step` cuts a side of length `size` into; the last block may be ragged."""
    return np.append(np.arange(0, size, step), size)
