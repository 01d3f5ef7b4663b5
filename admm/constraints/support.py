"""What every pruning set has in common: it restricts which weights may be non-zero, and nothing else (or their signs).

A set is given on the lowered matrix M of `crossbar.tiling` (rows: word lines, columns: bit lines). In a grouped
convolution each group of filters has its own matrix, and the matrices stand behind each other.

Every set is an "at most": taking a weight away never leaves it. So its Euclidean projection zeroes what is least
missed, and with a gain per weight in the place of w² it also answers the joint question of `joint.py`: which
weights are worth keeping if those that stay must move to a level.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, final

import torch
from pydantic import BeforeValidator, ConfigDict
from torch import Tensor

from hwmodels.errors import UserError

STRICT = ConfigDict(extra="forbid")


def _checked_keep(value: object) -> object:
    """A count or a fraction; `True` is an int to Python and no count to anyone."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if whole or (isinstance(value, float) and 0 < value <= 1):
        return value
    raise ValueError(
        f"keep is a count of groups (a whole number, at least 1) or a fraction of them (a float above 0, "
        f"at most 1.0), not {value!r}"
    )


Keep = Annotated[int | float, BeforeValidator(_checked_keep)]
"""How many groups stay: an int is a count, a float in (0, 1] a fraction (rounded down, at least one group)."""


class Support(ABC):
    """A pruning set: tensors whose live entries (the others are 0) form an allowed pattern.

    `shape` is a weight's own, (out, in / groups, *kernel); `groups` those of a grouped convolution.
    """

    @abstractmethod
    def cells(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """int64 of the weight's shape: the parts that the set binds one by one; all 0 for one budget on the layer."""

    @abstractmethod
    def cover(self, w: Tensor, groups: int = 1) -> Tensor:
        """bool of the weight's shape: what is live when the non-zero weights are: their whole groups, or they alone."""

    @abstractmethod
    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether the tensor is in the set. Raises UserError for weights that are not finite."""

    @abstractmethod
    def mask(self, w: Tensor, groups: int = 1) -> Tensor:
        """bool of the weight's shape: the entries that projection keeps; the lower number wins a tie.

        Energies are summed in float64 on the CPU, so that every device keeps the same entries. Raises UserError
        for weights that are not finite and for a shape that the set does not fit.
        """

    @abstractmethod
    def check(self, shape: Sequence[int], groups: int = 1) -> None:
        """Raise UserError, with the way out, when a layer of this shape cannot be in the set as it was asked for."""

    @final
    def project(self, w: Tensor, groups: int = 1) -> Tensor:
        """The nearest tensor of the set (Euclid): a new tensor, kept entries unchanged and the others zero."""
        return w.detach().masked_fill(~self.mask(w, groups), 0)


class Ranked(Support):
    """A set whose best support for any gains is known exactly, signs of the weights left aside."""

    @abstractmethod
    def best(self, gain: Tensor, groups: int = 1) -> Tensor:
        """bool: of all allowed supports the one of largest total gain, where nothing of negative gain has to stay.

        gain: float64 of the weight's shape, on the CPU, finite. Groups (or single entries, where the set counts
        those) of gain 0 stay as long as there is room.
        """

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """int64 of the weight's shape: what is kept or dropped as one; every weight by itself unless said otherwise."""
        matrix_shape(shape, groups)
        return torch.arange(math.prod(shape)).reshape(tuple(shape))

    @final
    def mask(self, w: Tensor, groups: int = 1) -> Tensor:
        """See `Support.mask`: the gain of keeping a weight is its square."""
        return self.best(energy(w), groups).to(w.device)


def energy(w: Tensor) -> Tensor:
    """w² in float64 on the CPU; UserError for weights that are not finite."""
    require_finite(w)
    return w.detach().to("cpu", torch.float64).square()


def expected_loss(w: Tensor, curvature: Tensor | None) -> Tensor:
    """About twice what zeroing each weight costs in loss: w² · curvature (1 without one), in float64 on the CPU.

    Raises UserError for weights that are not finite and a curvature of another shape.
    """
    gain = energy(w)
    if curvature is None:
        return gain
    if curvature.shape != w.shape:
        raise UserError(f"A curvature of shape {tuple(curvature.shape)} is none of weights {tuple(w.shape)}.")
    return gain * curvature.detach().to("cpu", torch.float64)


def matrix_shape(shape: Sequence[int], groups: int) -> tuple[int, int]:
    """(rows, cols) of the matrix of one group; UserError for a shape that is none."""
    if len(shape) < 2 or 0 in shape:
        raise UserError(
            f"Weights of shape {tuple(shape)} are no matrix to prune: (out, in / groups, *kernel) is expected."
        )
    if groups < 1 or shape[0] % groups:
        raise UserError(f"{shape[0]} filters cannot be split into {groups} groups.")
    return math.prod(shape[1:]), shape[0] // groups


def crossings(shape: Sequence[int], groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Group, row and column of every crossing of the lowered matrices, each int64 (groups, rows, cols)."""
    rows, cols = matrix_shape(shape, groups)
    g, r, c = torch.meshgrid(torch.arange(groups), torch.arange(rows), torch.arange(cols), indexing="ij")
    return g, r, c


def kernel_size(shape: Sequence[int], kind: str) -> int:
    """Weights of one kernel (all positions of one input channel in one filter); UserError where there is no kernel."""
    size = math.prod(shape[2:])
    if len(shape) < 3 or size == 1:
        raise UserError(
            f"{kind} prunes inside the kernels of a convolution, but weights of shape {tuple(shape)} have none. "
            "Leave this layer out, or give it Unstructured or Column."
        )
    return size


def rank_in_cell(gain: Tensor, cells: Tensor) -> Tensor:
    """int64 of the shape of `cells`: 0 for the largest gain of its cell, 1 for the next; ties in C order."""
    by_gain = torch.sort(gain.reshape(-1), descending=True, stable=True).indices
    order = by_gain[torch.sort(cells.reshape(-1)[by_gain], stable=True).indices]
    sizes = torch.bincount(cells.reshape(-1))
    starts = (torch.cumsum(sizes, 0) - sizes)[cells.reshape(-1)[order]]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel()) - starts
    return rank.reshape(cells.shape)


def require_finite(w: Tensor) -> None:
    """UserError for weights with NaN or infinity."""
    if not bool(torch.isfinite(w).all()):
        raise UserError("Weights with NaN or infinity cannot be projected. Check the model's weights or training.")
