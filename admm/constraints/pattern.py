"""The set of pattern pruning: every kernel keeps the positions of one pattern out of a small library."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, final

import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.support import STRICT, Ranked, energy, kernel_size, matrix_shape, require_finite
from hwmodels.errors import UserError
from hwmodels.quantities import Count, NonNegativeInt

Positions = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
"""Kernel positions kh · width + kw of one pattern, ascending."""


@final
@dataclass(frozen=True, config=STRICT)
class Pattern(Ranked):
    """Every kernel's non-zero weights lie in one of at most `patterns` patterns of `entries` kernel positions.

    library: the patterns, each the ascending flat positions kh · width + kw; None: not chosen yet. `chosen` picks
    the most frequent natural patterns of given weights (Niu et al. 2020, PatDNN, arXiv 2001.00138: four entries,
    a natural pattern is a kernel's largest magnitudes, and the library the most frequent ones); compression does
    that once, from the weights it starts with. PatDNN fixes the central position in every pattern; here a pattern
    is what the weights say. Which library is best for all kernels is a covering problem, and the frequency rule is
    a heuristic; for a given library the projection is exact: each kernel takes the pattern of largest energy.
    """

    entries: Count
    patterns: Count
    library: tuple[Positions, ...] | None = None
    kind: Literal["pattern"] = "pattern"

    @model_validator(mode="after")
    def _check(self) -> Pattern:
        if self.library is None:
            return self
        if not 1 <= len(self.library) <= self.patterns or len(set(self.library)) < len(self.library):
            raise ValueError(f"the library holds 1 to patterns = {self.patterns} different patterns")
        for pattern in self.library:
            if len(pattern) != self.entries or list(pattern) != sorted(set(pattern)):
                raise ValueError(f"a pattern is entries = {self.entries} ascending positions, not {pattern}")
        return self

    def chosen(self, w: Tensor, groups: int = 1) -> Pattern:
        """This set with a library: the `patterns` most frequent natural patterns of the kernels of w.

        A kernel's natural pattern is its `entries` largest magnitudes (a tie: the lower position); all-zero kernels
        have no say. A tie in frequency goes to the pattern of larger total energy, then of lower positions. A set
        that has its library is returned as it is.
        """
        if self.library is not None:
            return self
        self.check(w.shape, groups)
        kernels = energy(w).reshape(-1, kernel_size(w.shape, "Pattern"))
        order = torch.sort(kernels, dim=1, descending=True, stable=True).indices[:, : self.entries].sort(dim=1).values
        votes: Counter[tuple[int, ...]] = Counter()
        weight: Counter[tuple[int, ...]] = Counter()
        sums = kernels.gather(1, order).sum(1).tolist()
        for natural, total in zip(map(tuple, order.tolist()), sums, strict=True):
            votes[natural] += total > 0
            weight[natural] += total  # type: ignore[assignment]  # a Counter of floats
        ranked = sorted(votes, key=lambda p: (-votes[p], -weight[p], p))
        return replace(self, library=tuple(ranked[: self.patterns]))

    def cells(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the kernel."""
        matrix_shape(shape, groups)
        size = kernel_size(shape, "Pattern")
        return (torch.arange(math.prod(shape)) // size).reshape(tuple(shape))

    def check(self, shape: Sequence[int], groups: int = 1) -> None:
        """See `Support.check`: UserError for a layer without kernels and for positions outside of them."""
        matrix_shape(shape, groups)
        size = kernel_size(shape, "Pattern")
        if self.entries > size:
            raise UserError(f"{self!r} keeps {self.entries} entries, but a kernel has {size}. Give fewer entries.")
        if self.library is not None and max(map(max, self.library)) >= size:
            raise UserError(f"{self!r} has positions beyond a kernel of {size} weights (0 … {size - 1}).")

    def best(self, gain: Tensor, groups: int = 1) -> Tensor:
        """See `Ranked.best`: per kernel the pattern of largest gain (a tie: the first), no negative gains."""
        patterns = self._patterns(gain.shape, groups)
        kernels = gain.reshape(-1, patterns.shape[1])
        chosen = (kernels.clamp_min(0) @ patterns.to(gain.dtype).T).argmax(1)
        return (patterns[chosen] & (kernels >= 0)).reshape(gain.shape)

    def cover(self, w: Tensor, groups: int = 1) -> Tensor:
        """See `Support.cover`: the non-zero weights alone."""
        self.check(w.shape, groups)
        return w.detach() != 0

    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether the non-zero weights of every kernel lie in one pattern of the library."""
        require_finite(w)
        patterns = self._patterns(w.shape, groups)
        used = (w.detach() != 0).cpu().reshape(-1, 1, patterns.shape[1])
        return bool((~(used & ~patterns).any(2)).any(1).all())

    def _patterns(self, shape: Sequence[int], groups: int) -> Tensor:
        """bool (patterns, kernel size); UserError without a library."""
        self.check(shape, groups)
        if self.library is None:
            raise UserError(f"{self!r} has no library yet. Take one from trained weights: set.chosen(weight).")
        found = torch.zeros(len(self.library), kernel_size(shape, "Pattern"), dtype=torch.bool)
        for row, positions in enumerate(self.library):
            found[row, list(positions)] = True
        return found
