"""Pruning sets: tensors in which at most so many groups of weights are not zero.

A group is what a crossbar can leave out: a bit line (filter), the word lines of an input channel, one word
line (a row of the lowered matrix), a block of the size of an array; or a single weight. All of them are cut on
the lowered matrix M of `crossbar.tiling` (rows: word lines, columns: bit lines). In a grouped convolution each
group of filters has its own matrix, and the matrices stand behind each other: every one has its own filters,
channels, rows and blocks, and `keep` counts over all of them together.

The Euclidean projection on such a set is exact: keep the groups of largest norm and zero the rest, because
zeroing a set of groups costs the sum of their squared norms (Yuan et al. 2019, arXiv 1908.11691, Y-step).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, final

import torch
from pydantic import BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from crossbar.tiling import arrays_needed, from_matrix
from hwmodels.errors import UserError
from hwmodels.quantities import Count

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


class Groups(ABC):
    """A pruning set. Leaves say only how the weights of a layer fall into groups (`labels`)."""

    keep: Keep

    @abstractmethod
    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The group of every weight: int64 of the weight's own shape (out, in / groups, *kernel), 0 … n − 1."""

    @final
    def count(self, shape: Sequence[int], groups: int = 1) -> int:
        """How many groups may be non-zero in a layer of this shape.

        Raises UserError for a shape that is no weight matrix and for a count above the number of groups.
        """
        return self._count(int(self.labels(shape, groups).max()) + 1)

    @final
    def mask(self, w: Tensor, groups: int = 1) -> Tensor:
        """bool of the weight's shape: the entries that projection keeps (all entries of the kept groups).

        A tie in norm goes to the group of lower number. Norms are summed in float64 on the CPU, so that every
        device keeps the same groups. Raises UserError for weights that are not finite.
        """
        _require_finite(w)
        labels = self.labels(w.shape, groups).reshape(-1)
        total = int(labels.max()) + 1
        squares = w.detach().to("cpu", torch.float64).square().reshape(-1)
        norms = torch.bincount(labels, weights=squares, minlength=total)
        kept = torch.zeros(total, dtype=torch.bool)
        kept[torch.sort(norms, descending=True, stable=True).indices[: self._count(total)]] = True
        return kept[labels].reshape(w.shape).to(w.device)

    @final
    def project(self, w: Tensor, groups: int = 1) -> Tensor:
        """The nearest tensor of the set: a new tensor, kept groups unchanged and the others zero."""
        return w.detach().masked_fill(~self.mask(w, groups), 0)

    @final
    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether at most the allowed number of groups has a weight that is not zero."""
        _require_finite(w)
        labels = self.labels(w.shape, groups)
        used = labels[(w.detach() != 0).cpu()].unique().numel()
        return used <= self._count(int(labels.max()) + 1)

    def _count(self, total: int) -> int:
        if isinstance(self.keep, int):
            if self.keep > total:
                raise UserError(
                    f"{self!r} asks for {self.keep} groups, but the layer has {total}. "
                    f"Give a count of at most {total}, or a fraction as a float."
                )
            return self.keep
        return max(1, math.floor(self.keep * total + 1e-9))  # 0.29 · 100 is 29, whatever binary says


@final
@dataclass(frozen=True, config=STRICT)
class Unstructured(Groups):
    """At most `keep` single weights are non-zero (no crossbar is saved by that alone)."""

    keep: Keep
    kind: Literal["unstructured"] = "unstructured"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """Every weight its own group, in C order."""
        _matrix_shape(shape, groups)
        return torch.arange(math.prod(shape)).reshape(tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class Filter(Groups):
    """At most `keep` output filters are non-zero: columns of M, bit lines."""

    keep: Keep
    kind: Literal["filter"] = "filter"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the output filter (of the output, for a linear layer)."""
        g, _, c = _crossings(shape, groups)
        return from_matrix(g * (shape[0] // groups) + c, tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class Channel(Groups):
    """At most `keep` input channels are non-zero: all the word lines of one channel's kernel positions.

    With grouped convolutions a channel is one of all the layer's input channels, groups × (in / groups); for a
    linear layer it is one input, the same as a `Column`.
    """

    keep: Keep
    kind: Literal["channel"] = "channel"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the input channel."""
        g, r, _ = _crossings(shape, groups)
        return from_matrix(g * shape[1] + r // math.prod(shape[2:]), tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class Column(Groups):
    """At most `keep` filter-shape positions are non-zero: rows of M, single word lines.

    The name is the papers': they write the lowered matrix with filters as rows, so that a position
    (channel, kh, kw) shared by all filters is one of its columns.
    """

    keep: Keep
    kind: Literal["column"] = "column"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the row of M."""
        g, r, _ = _crossings(shape, groups)
        return from_matrix(g * math.prod(shape[1:]) + r, tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class Block(Groups):
    """At most `keep` blocks of rows × cols crossings (word lines × bit lines, an array's size) are non-zero.

    The grid starts at the first row and column of M; the last blocks may be smaller ("ragged"). The projection
    compares whole norms, as Euclid asks, so a small ragged block has little weight against a full one.
    """

    rows: Count
    cols: Count
    keep: Keep
    kind: Literal["block"] = "block"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the block, row by row of blocks, group after group."""
        rows, cols = _matrix_shape(shape, groups)
        g, r, c = _crossings(shape, groups)
        blocks = arrays_needed(rows, cols, self.rows, self.cols)
        across = arrays_needed(1, cols, 1, self.cols)
        return from_matrix(g * blocks + (r // self.rows) * across + c // self.cols, tuple(shape))


def nested_mask(w: Tensor, constraints: Sequence[Groups], groups: int = 1) -> Tensor:
    """bool of the weight's shape: what is left when the constraints are projected on one after the other.

    The result satisfies every constraint, since a later projection only zeroes more groups. It is the exact
    projection on the intersection for one constraint and a heuristic for several (which filters are best
    depends on which rows stay); their order matters. No constraint: everything is kept.
    """
    kept = torch.ones_like(w, dtype=torch.bool)
    for constraint in constraints:
        kept &= constraint.mask(w.detach().masked_fill(~kept, 0), groups)
    return kept


def _matrix_shape(shape: Sequence[int], groups: int) -> tuple[int, int]:
    """(rows, cols) of the matrix of one group."""
    if len(shape) < 2 or 0 in shape:
        raise UserError(
            f"Weights of shape {tuple(shape)} are no matrix to prune: (out, in / groups, *kernel) is expected."
        )
    if groups < 1 or shape[0] % groups:
        raise UserError(f"{shape[0]} filters cannot be split into {groups} groups.")
    return math.prod(shape[1:]), shape[0] // groups


def _crossings(shape: Sequence[int], groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Group, row and column of every crossing of the lowered matrices, each int64 (groups, rows, cols)."""
    rows, cols = _matrix_shape(shape, groups)
    g, r, c = torch.meshgrid(torch.arange(groups), torch.arange(rows), torch.arange(cols), indexing="ij")
    return g, r, c


def _require_finite(w: Tensor) -> None:
    if not bool(torch.isfinite(w).all()):
        raise UserError("Weights with NaN or infinity cannot be projected. Check the model's weights or training.")
