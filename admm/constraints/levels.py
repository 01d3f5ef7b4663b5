"""The quantisation set: tensors whose live entries are all at a level of the device."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, final

import numpy as np
import torch
from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from crossbar.levels import LevelGrid
from crossbar.scale import fit_scale, round_scale
from hwmodels.errors import UserError
from hwmodels.quantities import Positive


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(b <= a for a, b in itertools.pairwise(values)):
        raise ValueError("levels must be strictly ascending")
    if not any(values):
        raise ValueError("levels need a value that is not zero")
    return values


LevelValues = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=2), AfterValidator(_ascending)
]


@final
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Levels:
    """Every live weight is float32(scale · value) for one of the values; every dead one is exactly 0.

    values: strictly ascending, in units of the largest weight that the cells can hold
    (`ArraySpec.weight_levels()`); zero is a level only if it is listed. scale: a positive number, or "fit": the
    set is then the union over all scales of SCALE_BITS significant bits, and projecting on it fits the scale by
    least squares (Leng et al. 2017, arXiv 1707.09870, have the same set W = αQ and alternate; see `fit_scale`).
    """

    values: LevelValues
    scale: Positive | Literal["fit"] = 1.0
    kind: Literal["levels"] = "levels"

    def grid(self, w: Tensor, live: Tensor | None = None) -> LevelGrid:
        """The level grid for a layer: the fixed scale, or the one fitted to its live weights."""
        if self.scale != "fit":
            return self._at(self.scale)
        weights = _live_entries(w, live)
        values = np.array(self.values)
        scale = self._exact_scale(weights)  # weights on a grid keep it, also where two scales fit equally well
        return self._at(fit_scale(weights, values) if scale is None else scale)

    def fit_scale(self, w: Tensor, live: Tensor | None = None) -> float:
        """The scale that brings the levels nearest to the live weights, whatever `scale` says."""
        return fit_scale(_live_entries(w, live), np.array(self.values))

    def project(self, w: Tensor, live: Tensor | None = None) -> Tensor:
        """The nearest tensor of the set: live entries at the nearest level, dead ones 0.

        w: any shape, float32 or float64; live: bool of the same shape, None for all. A weight in the middle of
        two levels takes the lower one. Exact for a fixed scale; for "fit" as exact as `fit_scale` (global up to
        its limit). Raises UserError for weights that are not finite.
        """
        _live_entries(w, live)
        return nearest(w, self.grid(w, live), live)

    def holds(self, w: Tensor, live: Tensor | None = None) -> bool:
        """Whether live entries are on one grid of the set, bit for bit in float32, and dead ones exactly 0."""
        if live is not None and bool((w.detach()[~live] != 0).any()):
            return False
        weights = _live_entries(w, live)
        if self.scale == "fit":
            return weights.size == 0 or self._exact_scale(weights) is not None
        return bool(np.isin(weights, self._at(self.scale).table().astype(np.float64)).all())

    def _at(self, scale: float) -> LevelGrid:
        grid = LevelGrid(np.array(self.values), np.array(scale))
        if not np.all(np.diff(grid.table()) > 0):
            raise UserError(
                f"Levels of {len(self.values)} values at scale {scale:g} coincide in float32. Give fewer levels."
            )
        return grid

    def _exact_scale(self, weights: np.ndarray) -> float | None:
        """The largest scale at which all weights are levels; None when there is none.

        The largest weight is some level v of the sought grid, so w_max / v are all the scales there can be.
        """
        distinct, values = np.unique(weights), np.array(self.values)
        if not np.any(distinct):
            return 1.0 if 0.0 in self.values else None
        if distinct.size > values.size:
            return None
        largest = distinct[np.argmax(np.abs(distinct))]
        scales = np.sort(largest / values[values * largest > 0])[::-1]
        for weight in distinct[:64]:  # most scales fail at the first few weights
            scales = scales[np.abs(_nearest_unit(weight / scales, values) * scales - weight) <= 1e-6 * abs(weight)]
        for scale in scales.tolist():
            table = LevelGrid(values, np.array(round_scale(scale))).table().astype(np.float64)
            if np.isin(distinct, table).all():
                return round_scale(scale)
        return None


def nearest(w: Tensor, grid: LevelGrid, live: Tensor | None = None) -> Tensor:
    """The grid's nearest float32 weight for every entry of w; 0 where `live` is False.

    Exact in the type of w: the boundary between two levels is rounded down to that type, and no number of the type
    lies between the two. Keeps the type and device of w. Not-a-number goes to the highest level: check before.
    """
    table = grid.table().astype(np.float64)
    middles = (table[1:] + table[:-1]) / 2
    dtype = w.dtype
    edges = torch.from_numpy(_rounded_down(middles) if dtype == torch.float32 else middles)
    index = torch.bucketize(w.detach(), edges.to(w.device), right=False)
    values = torch.from_numpy(table).to(w.device, dtype)[index]
    return values if live is None else values.masked_fill(~live, 0)


def _nearest_unit(unit: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values[np.searchsorted((values[1:] + values[:-1]) / 2, unit)]


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The largest float32 not above each float64."""
    single = values.astype(np.float32)
    return np.where(single > values, np.nextafter(single, np.float32(-np.inf)), single)


def _live_entries(w: Tensor, live: Tensor | None) -> np.ndarray:
    """float64 vector of the live weights."""
    entries = w.detach() if live is None else w.detach()[live]
    if not bool(torch.isfinite(entries).all()):
        raise UserError("Weights with NaN or infinity cannot be quantised. Check the model's weights or training.")
    return entries.reshape(-1).to("cpu", torch.float64).numpy()
