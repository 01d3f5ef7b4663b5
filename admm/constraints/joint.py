"""Pruning and quantisation as one set, and the projection on both at once.

Pruning first and quantising what is left is not the nearest point of the intersection: a large weight far from every
level may be dearer to keep than a smaller one that stands on a level. Keeping entry i costs (wᵢ − qᵢ)² and dropping
it wᵢ², so what keeping gains is wᵢ² − (wᵢ − qᵢ)², with qᵢ the nearest level; the support of largest total gain is the
projection's, and where a budget is an "at most", nothing of negative gain needs to stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple, final

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.kinds import Prune, Values
from admm.constraints.levels import nearest
from admm.constraints.nested import alternating_mask, is_nested, nested_mask, ordered
from admm.constraints.polarity import Polarised
from admm.constraints.support import Ranked, require_finite
from crossbar.levels import LevelGrid
from hwmodels.errors import UserError

ROUNDS = 30
"""Alternations of support and scale at most; each only comes nearer."""


class Solution(NamedTuple):
    """live: bool, signs: int8 (None without `Polarised`), both of the weight's shape; grid: None without levels."""

    live: Tensor
    signs: Tensor | None
    grid: LevelGrid | None

    def distance(self, w: Tensor) -> float:
        """Squared distance of w to what this solution makes of it."""
        assert self.grid is not None
        moved = nearest(w, self.grid, self.live, self.signs)
        return float((w.detach().double() - moved.double()).square().sum())


@final
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Joint:
    """Tensors that are in every pruning set at once, with their live entries on levels (those dead exactly 0).

    prune: the pruning sets; groups that a set counts (filters, rows, blocks, …) are live or dead as a whole, all other
    sets leave single entries; at most one `Polarised`. levels: the quantisation set, None: weights stay real.

    The projection is exact for one pruning set or nested ones (`exact` tells) when the levels are given: grids of a
    fixed scale, and fragments get their signs by energy. It is a heuristic in three more cases, and then never worse
    than one set after the other: pruning sets that overlap (they take turns, `alternating_mask`); `Polarised` inside a
    set that counts single weights (signs first); a scale, or centroids, to be fitted (support and scale take turns,
    from two starts).
    """

    prune: tuple[Annotated[Prune, Field(discriminator="kind")], ...] = ()
    levels: Annotated[Values, Field(discriminator="kind")] | None = None

    def exact(self, shape: Sequence[int], groups: int = 1) -> bool:
        """Whether `project` is the exact Euclidean projection for layers of this shape."""
        fixed = self.levels is None or not isinstance(getattr(self.levels, "scale", ""), str)
        polarised = self._polarised()
        if polarised is not None and polarised.rule != "energy":
            return False
        return fixed and is_nested(self.prune, shape, groups)

    def project(self, w: Tensor, groups: int = 1) -> Tensor:
        """The nearest tensor of the set, or a near one (see the class); a new tensor of the type of w.

        w: (out, in / groups, *kernel), float32 or float64. Raises UserError for weights that are not finite, sets
        that do not fit the shape, and levels without one of the signs that `Polarised` needs.
        """
        found = self.solve(w, groups)
        if found.grid is None:
            return w.detach().masked_fill(~found.live, 0)
        return nearest(w, found.grid, found.live, found.signs)

    def solve(self, w: Tensor, groups: int = 1, signs: Tensor | None = None) -> Solution:
        """What the projection decides: live entries, grid, and the signs of fragments. signs: given ones to keep to."""
        require_finite(w)
        if self.levels is None:
            return Solution(*self._best(w, groups, None, signs), None)
        if not isinstance(getattr(self.levels, "scale", ""), str):
            grid = self.levels.grid(w, None, groups)
            return Solution(*self._best(w, groups, grid, signs), grid)
        if not self.prune:
            return Solution(torch.ones_like(w, dtype=torch.bool), signs, self.levels.grid(w, None, groups))
        return self._fitted(w, groups, signs)

    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether every pruning set holds, and all that the non-zero weights make live is on one grid of the levels."""
        if not all(constraint.holds(w, groups) for constraint in self.prune):
            return False
        return self.levels is None or self.levels.holds(w, self._covered(w, groups))

    def _polarised(self) -> Polarised | None:
        found = [constraint for constraint in self.prune if isinstance(constraint, Polarised)]
        if len(found) > 1:
            raise UserError("A layer has one polarity: give at most one Polarised.")
        if found and self.levels is not None and not self.levels.both_signs:
            raise UserError(f"Polarised needs levels above and below zero, and {self.levels!r} does not promise them.")
        return found[0] if found else None

    def _covered(self, w: Tensor, groups: int) -> Tensor:
        live = torch.ones_like(w, dtype=torch.bool)
        for constraint in self.prune:
            live &= constraint.cover(w, groups)
        return live

    def _fitted(self, w: Tensor, groups: int, signs: Tensor | None) -> Solution:
        """Support and grid in turns as long as the distance falls: from pruning alone, and from the grid of all."""
        assert self.levels is not None
        polarised = self._polarised()
        first = nested_mask(w, self.prune, groups, signs=signs) & self._covered(w, groups)
        kept = polarised.signs(w, groups) if polarised and signs is None else signs
        best = Solution(first, kept, self.levels.grid(w, first, groups))
        lowest = best.distance(w)
        for start in (first, torch.ones_like(first)):
            grid, before = self.levels.grid(w, start, groups), math.inf
            for _ in range(ROUNDS):
                live, kept = self._best(w, groups, grid, signs)
                found = Solution(live, kept, self.levels.grid(w, live, groups))
                here = found.distance(w)
                if here < lowest:
                    best, lowest = found, here
                if here >= before * (1 - 1e-12):
                    break
                grid, before = found.grid, here
        return best

    def _best(
        self, w: Tensor, groups: int, grid: LevelGrid | None, signs: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The live entries and the fragments' signs for a given grid."""
        polarised, free = self._polarised(), None
        if polarised is not None:
            polarised.check(w.shape, groups)
            signs = self._signs(w, groups, grid, polarised) if signs is None else signs
        gain = _gain(w, grid, signs)
        if polarised is not None:
            free = gain >= 0
        ranked = [c for c in ordered(self.prune, w.shape, groups) if isinstance(c, Ranked)]
        return alternating_mask(gain, ranked, groups, free)[0].to(w.device), signs

    def _signs(self, w: Tensor, groups: int, grid: LevelGrid | None, polarised: Polarised) -> Tensor:
        """The sign of each fragment that gains more, where entries of negative gain are dropped; or by its own rule."""
        if polarised.rule == "sum":
            return polarised.signs(w, groups)
        plus, minus = (
            _gain(w, grid, torch.full(w.shape, sign, dtype=torch.int8, device=w.device)).clamp_min(0)
            for sign in (1, -1)
        )
        return polarised.signs_by_gain(plus, minus, groups).to(w.device)


def _gain(w: Tensor, grid: LevelGrid | None, signs: Tensor | None) -> Tensor:
    """w² − (w − q)² in float64 on the CPU, q the nearest level (of the sign asked for), or w itself without levels."""
    x = w.detach().to("cpu", torch.float64)
    if grid is not None:
        q = nearest(w, grid, None, signs).to("cpu", torch.float64)
        return q * (2 * x - q)
    if signs is None:
        return x.square()
    return torch.where(x * signs.cpu() >= 0, x.square(), -x.square())
