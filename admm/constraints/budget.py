"""One pruning budget for several layers together: where to prune is decided by the weights, not by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, final

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from admm.constraints.kinds import Counted
from admm.constraints.support import expected_loss, require_finite
from hwmodels.errors import UserError
from hwmodels.quantities import NonNegativeInt

Name = Annotated[str, Field(min_length=1)]


@final
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class GlobalBudget:
    """Of all groups of several layers, at most so many are not zero.

    layers: module names or globs, as in a plan. of: what a group is, and with its `keep` how many stay over all the
    layers (a count, or a fraction of all groups). cost: "groups": every group counts 1, and the Euclidean projection
    is exact: the groups of largest norm over all layers (the holistic budget of Lee and Lee 2022). "weights": a
    group counts its weights, and `keep` is a share (or number) of the layers' weights; that is a knapsack, filled by
    gain per weight, a heuristic: with floor = 0 it is short of the best by less than one group's gain.
    measure: what the projection loses least of: "energy", the squares of the weights (the Euclidean projection), or
    "loss", an estimate of the loss: squares times curvature (Euclidean with every weight scaled by its root).
    floor: groups that stay in every layer in any case, so that no layer is cut through (the best of each; the
    projection on "at most so many, at least `floor` in each" is exact with cost "groups").
    """

    layers: Annotated[tuple[Name, ...], Field(min_length=1)]
    of: Annotated[Counted, Field(discriminator="kind")]
    cost: Literal["groups", "weights"] = "groups"
    measure: Literal["energy", "loss"] = "energy"
    floor: NonNegativeInt = 1

    def masks(
        self,
        weights: Mapping[str, Tensor],
        groups: Mapping[str, int] | None = None,
        curvature: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Name → bool of the weight's shape, what the projection keeps; see `best`. groups: of grouped convolutions.

        curvature: for measure = "loss", of every weight (`admm.curvature`); 1 where none is given.
        Raises UserError for weights that are not finite and for a budget that the layers cannot meet.
        """
        known = (curvature or {}) if self.measure == "loss" else {}
        found = self.best({name: expected_loss(w, known.get(name)) for name, w in weights.items()}, groups)
        return {name: mask.to(weights[name].device) for name, mask in found.items()}

    def project(self, weights: Mapping[str, Tensor], groups: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """Name → the nearest tensors of the set, all layers together."""
        masks = self.masks(weights, groups)
        return {name: w.detach().masked_fill(~masks[name], 0) for name, w in weights.items()}

    def holds(self, weights: Mapping[str, Tensor], groups: Mapping[str, int] | None = None) -> bool:
        """Whether the groups that are not zero stay within the budget (the floor is a promise of the projection)."""
        used = total = 0
        for name, w in weights.items():
            require_finite(w)
            labels = self.of.labels(w.shape, (groups or {}).get(name, 1))
            sizes = self._sizes(labels)
            nonzero = torch.zeros(len(sizes), dtype=torch.bool)
            nonzero[labels[(w.detach() != 0).cpu()]] = True
            used, total = used + int(sizes[nonzero].sum()), total + int(sizes.sum())
        return used <= self._allowed(total)

    def best(self, gains: Mapping[str, Tensor], groups: Mapping[str, int] | None = None) -> dict[str, Tensor]:
        """Name → bool: the groups of largest total gain within the budget, none of negative gain beyond the floor.

        gains: float64 of each weight's shape, on the CPU. A tie: the earlier layer, the lower group.
        """
        labels = {name: self.of.labels(g.shape, (groups or {}).get(name, 1)).reshape(-1) for name, g in gains.items()}
        sizes = torch.cat([self._sizes(each) for each in labels.values()])
        sums = torch.cat([torch.bincount(each, gains[name].reshape(-1)) for name, each in labels.items()])
        owner = torch.cat([torch.full((int(each.max()) + 1,), i) for i, each in enumerate(labels.values())])
        order = torch.sort(sums / sizes, descending=True, stable=True).indices
        rank = torch.empty_like(order)
        for i in range(len(labels)):
            mine = order[owner[order] == i]
            rank[mine] = torch.arange(len(mine))
        kept = rank < self.floor
        room = self._allowed(int(sizes.sum())) - int(sizes[kept].sum())
        if room < 0:
            raise UserError(
                f"{self!r} leaves less than floor = {self.floor} groups for each of {len(labels)} layers. "
                "Keep more, or lower the floor."
            )
        rest = order[~kept[order] & (sums[order] >= 0)]
        for group, size in zip(rest.tolist(), sizes[rest].tolist(), strict=True):
            if size <= room:
                kept[group] = True
                room -= size
            if room == 0:
                break
        parts = kept.split([int(each.max()) + 1 for each in labels.values()])
        return {
            name: part[each].reshape(gains[name].shape)
            for (name, each), part in zip(labels.items(), parts, strict=True)
        }

    def _sizes(self, labels: Tensor) -> Tensor:
        """What each group costs."""
        counted = torch.bincount(labels.reshape(-1))
        return counted if self.cost == "weights" else torch.ones_like(counted)

    def _allowed(self, total: int) -> int:
        return self.of.allowed(total, "the layers together have")
