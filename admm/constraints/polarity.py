"""The set of fragment polarisation: weights that share a short stretch of a bit line have one sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.support import STRICT, Support, crossings, energy, matrix_shape, require_finite
from crossbar.tiling import arrays_needed, from_matrix, row_places
from hwmodels.quantities import Count


@final
@dataclass(frozen=True, config=STRICT)
class Polarised(Support):
    """The weights of every fragment are all ≥ 0 or all ≤ 0, so one array with a sign bit per fragment holds them.

    fragment: weights of a fragment, consecutive in one filter (one column of M); the last may be shorter. order:
    what runs fastest inside a filter: "W": kw, then kh, then channels (the order of M's rows); "H": kh, then kw,
    then channels; "C": channels, then kw, then kh (`crossbar.tiling.row_places`); arrays hold such fragments with that
    `ArraySpec.fragment_order`. refresh: in compression the signs are chosen anew at every `refresh`-th
    update of the copies and stand still between; under the final masks they are fixed.
    rule: which sign a fragment gets. "energy": the one whose weights have the larger energy (a tie: plus), which makes
    the Euclidean projection, exact for given signs (the others become 0; a convex set) and over all signs. "sum": that
    of the fragment's sum, plus for 0, as FORMS has it (Yuan et al. 2021, arXiv 2106.09144); the result is in the set,
    but need not be the nearest tensor of it.
    """

    fragment: Count
    order: Literal["W", "H", "C"] = "W"
    refresh: Count = 1
    rule: Literal["energy", "sum"] = "energy"
    kind: Literal["polarised"] = "polarised"

    def cells(self, shape: Sequence[int], groups: int = 1) -> Tensor:
        """The number of the fragment that a weight is in."""
        rows, cols = matrix_shape(shape, groups)
        g, r, c = crossings(shape, groups)
        place = torch.from_numpy(row_places(shape, self.order))[r]
        parts = arrays_needed(rows, 1, self.fragment, 1)
        return from_matrix((g * cols + c) * parts + place // self.fragment, tuple(shape))

    def check(self, shape: Sequence[int], groups: int = 1) -> None:
        """See `Support.check`: any weight of a convolution (up to two kernel axes) or linear layer will do."""
        matrix_shape(shape, groups)
        row_places(shape, self.order)

    def signs(self, w: Tensor, groups: int = 1) -> Tensor:
        """int8 of the weight's shape: +1 or −1, the sign of each weight's fragment by the rule.

        Raises UserError for weights that are not finite.
        """
        if self.rule == "sum":
            require_finite(w)
            x = w.detach().cpu().double()
            return self.signs_by_gain(x.clamp_min(0), (-x).clamp_min(0), groups).to(w.device)
        e = energy(w)
        positive = (w.detach() > 0).cpu()
        return self.signs_by_gain(e * positive, e * ~positive, groups).to(w.device)

    def signs_by_gain(self, plus: Tensor, minus: Tensor, groups: int = 1) -> Tensor:
        """int8: the sign of each fragment with the larger total of its gains (float64, on the CPU), a tie: plus."""
        cells = self.cells(plus.shape, groups).reshape(-1)
        total = torch.bincount(cells, weights=(plus - minus).reshape(-1))
        return torch.where(total >= 0, 1, -1).to(torch.int8)[cells].reshape(plus.shape)

    def mask(self, w: Tensor, groups: int = 1, signs: Tensor | None = None) -> Tensor:
        """See `Support.mask`. signs: int8 of the weight's shape, those to keep; None: the best ones."""
        require_finite(w)
        self.check(w.shape, groups)
        signs = self.signs(w, groups) if signs is None else signs
        return w.detach() * signs >= 0

    def cover(self, w: Tensor, groups: int = 1) -> Tensor:
        """See `Support.cover`: the non-zero weights alone."""
        self.check(w.shape, groups)
        return w.detach() != 0

    def holds(self, w: Tensor, groups: int = 1) -> bool:
        """Whether no fragment has weights of both signs."""
        require_finite(w)
        cells = self.cells(w.shape, groups).reshape(-1)
        flat = w.detach().cpu().reshape(-1)
        plus = torch.bincount(cells, weights=(flat > 0).double())
        minus = torch.bincount(cells, weights=(flat < 0).double())
        return not bool(((plus > 0) & (minus > 0)).any())
