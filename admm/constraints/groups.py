"""Pruning sets that count groups: tensors in which at most so many groups of weights are not zero.

A group is what a crossbar can leave out: a bit line (filter), the word lines of an input channel, one word
line (a row of the lowered matrix), a block of the size of an array, one word line or bit line of one array; or a
kernel, or a single weight. All of them are cut on the lowered matrix M of `crossbar.tiling` (rows: word lines,
columns: bit lines). In a grouped convolution each group of filters has its own matrix, and the matrices stand
behind each other: every one has its own filters, channels, rows and blocks, and `keep` counts over all of them.

The Euclidean projection on such a set is exact: keep the groups of largest norm and zero the rest, because
zeroing a set of groups costs the sum of their squared norms (Yuan et al. 2019, arXiv 1908.11691, Y-step).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, final

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.support import STRICT, Keep, Ranked, crossings, kernel_size, matrix_shape, require_finite
from crossbar.tiling import arrays_needed, from_matrix
from hwmodels.errors import UserError
from hwmodels.quantities import Count


class Groups(Ranked):
    """A pruning set. Leaves say only how the weights of a layer fall into groups (`labels`)."""

    keep: Keep

    @abstractmethod
    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The group of every weight: int64 of the weight's own shape (out, in / groups, *kernel), 0 … n − 1."""

    @final
    def cells(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """One cell: the budget is the layer's."""
        return torch.zeros(tuple(shape), dtype=torch.int64)

    @final
    def count(self, shape: Sequence[int], groups: int = 1) -> int:
        """How many groups may be non-zero in a layer of this shape.

        Raises UserError for a shape that is no weight matrix and for a count above the number of groups.
        """
        return self.allowed(int(self.labels(shape, groups).max()) + 1)

    @final
    def check(self, shape: Sequence[int], groups: int = 1) -> None:
        """See `Support.check`: raises what `count` raises."""
        self.count(shape, groups)

    @final
    def best(self, gain: Tensor, groups: int = 1) -> Tensor:
        """See `Ranked.best`: the groups of largest summed gain, but none of negative gain."""
        labels = self.labels(gain.shape, groups).reshape(-1)
        total = int(labels.max()) + 1
        sums = torch.bincount(labels, weights=gain.reshape(-1), minlength=total)
        kept = torch.zeros(total, dtype=torch.bool)
        kept[torch.sort(sums, descending=True, stable=True).indices[: self.allowed(total)]] = True
        kept &= sums >= 0
        return kept[labels].reshape(gain.shape)

    @final
    def cover(self, w: Tensor, groups: int = 1) -> Tensor:
        """See `Support.cover`: every group with a weight that is not zero, whole."""
        labels = self.labels(w.shape, groups)
        used = torch.zeros(int(labels.max()) + 1, dtype=torch.bool)
        used[labels[(w.detach() != 0).cpu()]] = True
        return used[labels].to(w.device)

    @final
    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether at most the allowed number of groups has a weight that is not zero."""
        require_finite(w)
        labels = self.labels(w.shape, groups)
        used = labels[(w.detach() != 0).cpu()].unique().numel()
        return used <= self.allowed(int(labels.max()) + 1)

    @final
    def allowed(self, total: int, whose: str = "the layer has") -> int:
        """How many of `total` groups `keep` leaves; UserError when it asks for more than there are."""
        if isinstance(self.keep, int):
            if self.keep > total:
                raise UserError(
                    f"{self!r} asks for {self.keep} groups, but {whose} {total}. "
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
        matrix_shape(shape, groups)
        return torch.arange(math.prod(shape)).reshape(tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class Filter(Groups):
    """At most `keep` output filters are non-zero: columns of M, bit lines."""

    keep: Keep
    kind: Literal["filter"] = "filter"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the output filter (of the output, for a linear layer)."""
        g, _, c = crossings(shape, groups)
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
        g, r, _ = crossings(shape, groups)
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
        g, r, _ = crossings(shape, groups)
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
        rows, cols = matrix_shape(shape, groups)
        g, r, c = crossings(shape, groups)
        blocks = arrays_needed(rows, cols, self.rows, self.cols)
        across = arrays_needed(1, cols, 1, self.cols)
        return from_matrix(g * blocks + (r // self.rows) * across + c // self.cols, tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class Kernel(Groups):
    """At most `keep` kernels are non-zero: all positions (kh, kw) of one input channel in one filter.

    A kernel is a short stretch of one bit line, so that removing it frees no line by itself ("connectivity pruning"
    in Niu et al. 2020, PatDNN, arXiv 2001.00138). Convolutions only.
    """

    keep: Keep
    kind: Literal["kernel"] = "kernel"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """Number of the kernel: filter by filter, channel by channel."""
        matrix_shape(shape, groups)
        size = kernel_size(shape, "Kernel")
        return (torch.arange(math.prod(shape)) // size).reshape(tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class ArrayRow(Groups):
    """At most `keep` array rows are non-zero: the stretch of one word line that lies in one array.

    cols: bit lines of an array; where it is cut along word lines does not matter here. Row r of M in column strip s
    is a group; the last strip may be narrower.
    """

    cols: Count
    keep: Keep
    kind: Literal["array_row"] = "array_row"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """Row by row of M, strip by strip, group after group."""
        rows, cols = matrix_shape(shape, groups)
        g, r, c = crossings(shape, groups)
        strips = arrays_needed(1, cols, 1, self.cols)
        return from_matrix((g * rows + r) * strips + c // self.cols, tuple(shape))


@final
@dataclass(frozen=True, config=STRICT)
class ArrayColumn(Groups):
    """At most `keep` array columns are non-zero: the stretch of one bit line that lies in one array.

    rows: word lines of an array. Column c of M in row strip s is a group: one conversion of one array's ADC per
    input cycle; the last strip may be lower.
    """

    rows: Count
    keep: Keep
    kind: Literal["array_column"] = "array_column"

    def labels(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """Strip by strip of rows, column by column of M, group after group."""
        rows, cols = matrix_shape(shape, groups)
        g, r, c = crossings(shape, groups)
        strips = arrays_needed(rows, 1, self.rows, 1)
        return from_matrix((g * strips + r // self.rows) * cols + c, tuple(shape))
