"""Quantisation sets: tensors whose live entries are all at a level; the level values times a scale.

`Levels` takes its values from a device; `quantisers.py` has the sets whose values are a formula, `clusters.py` the one
whose values are learned.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Annotated, Literal, final

import numpy as np
import torch
from pydantic import AfterValidator, ConfigDict, Field, model_validator
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

Per = Literal["layer", "channel"]
"""One scale for a layer, or one for every filter (output channel, bit line)."""


Scale = Positive | Literal["fit"]
"""A given scale, or the one of least squares, found anew at every projection."""


class Quantiser(ABC):
    """A quantisation set: every live weight is a level of one grid, every dead one exactly 0."""

    @abstractmethod
    def grid(self, w: Tensor, live: Tensor | None = None, groups: int = 1) -> LevelGrid:
        """The grid of the set that is nearest to the live weights.

        w: (out, in / groups, *kernel), or any shape where there is one scale; live: bool of the same shape, None
        for all. A grid per channel has its scales as (out,), or (groups, out / groups) for a grouped convolution.
        Raises UserError for live weights that are not finite.
        """

    @abstractmethod
    def holds(self, w: Tensor, live: Tensor | None = None) -> bool:
        """Whether live entries are on one grid of the set, bit for bit in float32, and dead ones exactly 0."""

    @property
    @abstractmethod
    def both_signs(self) -> bool:
        """Whether there are levels above and below zero, so that weights of either sign find one of theirs."""

    def project(self, w: Tensor, live: Tensor | None = None) -> Tensor:
        """The nearest tensor of the set: live entries at the nearest level, dead ones 0.

        w: any shape, float32 or float64; live: bool of the same shape, None for all. A weight in the middle of
        two levels takes the lower one. As exact as `grid` is. Raises UserError for weights that are not finite.
        """
        live_entries(w, live)
        return nearest(w, self.grid(w, live), live)


class Scaled(Quantiser):
    """A quantisation set of fixed values (`unit`) times a scale; leaves have a field `scale`, and `per`."""

    scale: Scale
    per: Per

    @abstractmethod
    def unit(self) -> np.ndarray:
        """The level values, ascending, float64 (L,), the largest magnitude 1."""

    def grid(self, w: Tensor, live: Tensor | None = None, groups: int = 1) -> LevelGrid:
        """See `Quantiser.grid`: the fixed scale, or the one fitted to the live weights."""
        if self.per == "layer":
            return self._at(self._scale(live_entries(w, live)))
        scales = np.array([self._scale(weights) for weights in _channels(w, live)])
        return self._at(scales.reshape(groups, -1) if groups > 1 else scales)

    def fit_scale(self, w: Tensor, live: Tensor | None = None) -> float:
        """The scale that brings the levels nearest to the live weights of the whole layer, whatever `scale` says."""
        return self._fitted(live_entries(w, live))

    def holds(self, w: Tensor, live: Tensor | None = None) -> bool:
        """See `Quantiser.holds`."""
        if live is not None and bool((w.detach()[~live] != 0).any()):
            return False
        parts = [live_entries(w, live)] if self.per == "layer" else _channels(w, live)
        return all(self._holds(weights) for weights in parts)

    @property
    def both_signs(self) -> bool:
        """See `Quantiser.both_signs`."""
        unit = self.unit()
        return bool(unit[0] < 0 < unit[-1])

    def _scale(self, weights: np.ndarray) -> float:
        if not isinstance(self.scale, str):
            return self.scale
        scale = self._exact_scale(weights)  # weights on a grid keep it, also where two scales fit equally well
        return self._fitted(weights) if scale is None else scale

    def _fitted(self, weights: np.ndarray) -> float:
        """The best scale there is; leaves with a closed form say so here."""
        return fit_scale(weights, self.unit())

    def _allowed(self, scale: float) -> float:
        """The scale of the set next to a positive number."""
        return round_scale(scale)

    def _holds(self, weights: np.ndarray) -> bool:
        if isinstance(self.scale, str):
            return weights.size == 0 or self._exact_scale(weights) is not None
        return bool(np.isin(weights, self._at(self.scale).table().astype(np.float64)).all())

    def _at(self, scale: float | np.ndarray) -> LevelGrid:
        grid = LevelGrid(self.unit(), np.array(scale))
        if not np.all(np.diff(tables(grid), axis=1) > 0):
            raise UserError(
                f"Levels of {grid.values.size} values at scale {np.min(scale):g} coincide in float32. "
                "Give fewer levels."
            )
        return grid

    def _exact_scale(self, weights: np.ndarray) -> float | None:
        """The largest scale at which all weights are levels; None when there is none.

        The largest weight is some level v of the sought grid, so w_max / v are all the scales there can be.
        """
        distinct, values = np.unique(weights), self.unit()
        if not np.any(distinct):
            return 1.0 if 0.0 in values or not weights.size else None
        if distinct.size > values.size:
            return None
        largest = distinct[np.argmax(np.abs(distinct))]
        scales = np.sort(largest / values[values * largest > 0])[::-1]
        for weight in distinct[:64]:  # most scales fail at the first few weights
            scales = scales[np.abs(_nearest_unit(weight / scales, values) * scales - weight) <= 1e-6 * abs(weight)]
        for scale in map(self._allowed, scales.tolist()):
            table = LevelGrid(values, np.array(scale)).table().astype(np.float64)
            if np.isin(distinct, table).all():
                return scale
        return None


@final
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Levels(Scaled):
    """Every live weight is float32(scale · value) for one of the values; every dead one is exactly 0.

    values: strictly ascending, in units of the largest weight that the cells can hold
    (`ArraySpec.weight_levels()`); zero is a level only if it is listed. scale: a positive number, or "fit": the
    set is then the union over all scales of SCALE_BITS significant bits, and projecting on it fits the scale by
    least squares (Leng et al. 2017, arXiv 1707.09870, have the same set W = αQ and alternate; see `fit_scale`).
    Projection is exact for a fixed scale; for "fit" as exact as `crossbar.scale.fit_scale` (global up to its limit).
    per: "channel" fits a scale for every filter.
    """

    values: LevelValues
    scale: Scale = 1.0
    kind: Literal["levels"] = "levels"
    per: Per = "layer"

    @model_validator(mode="after")
    def _check(self) -> Levels:
        check_per(self)
        return self

    def unit(self) -> np.ndarray:
        """The values as given."""
        return np.array(self.values)


def check_per(quantiser: Scaled) -> None:
    """ValueError for a scale per channel that is also given."""
    if quantiser.per == "channel" and not isinstance(quantiser.scale, str):
        raise ValueError(f'per = "channel" fits a scale for every filter, so scale = {quantiser.scale} must be "fit"')


def nearest(w: Tensor, grid: LevelGrid, live: Tensor | None = None, signs: Tensor | None = None) -> Tensor:
    """The grid's nearest float32 weight for every entry of w; 0 where `live` is False.

    signs: int8 of the shape of w, +1 where only levels ≥ 0 are allowed, −1 where only those ≤ 0 (the grid must have
    some). Exact in the type of w: the boundary between two levels is rounded down to that type, and no number of the
    type lies between the two. Keeps the type, device and memory format of w (convolutions choose theirs by it).
    Not-a-number goes to the highest level: check before.
    """
    table = tables(grid).astype(np.float64)
    middles = (table[:, 1:] + table[:, :-1]) / 2
    dtype = w.dtype
    edges = torch.from_numpy(_rounded_down(middles) if dtype == torch.float32 else middles).to(w.device)
    levels = torch.from_numpy(table).to(w.device, dtype)
    rows = w.detach().reshape(len(table), w.numel() // len(table))
    index = torch.searchsorted(edges, rows.contiguous(), right=False)
    if signs is not None:
        asked = signs.reshape(rows.shape)
        first = (levels < 0).sum(1, keepdim=True)  # the lowest level that is not negative
        last = (levels <= 0).sum(1, keepdim=True) - 1
        index = torch.where(asked > 0, torch.maximum(index, first), index)
        index = torch.where(asked < 0, torch.minimum(index, last), index)
    values = levels.gather(1, index).reshape(w.shape)
    if live is not None:
        values = values.masked_fill(~live, 0)
    return torch.empty_like(w, requires_grad=False).copy_(values)


def tables(grid: LevelGrid) -> np.ndarray:
    """float32 level weights (1, L) of a grid with one scale, (out, L) of one with a scale per filter."""
    return (grid.scale.reshape(-1, 1) * grid.values).astype(np.float32)


def live_entries(w: Tensor, live: Tensor | None) -> np.ndarray:
    """float64 vector of the live weights; UserError when one is not finite."""
    entries = w.detach() if live is None else w.detach()[live]
    if not bool(torch.isfinite(entries).all()):
        raise UserError("Weights with NaN or infinity cannot be quantised. Check the model's weights or training.")
    return entries.reshape(-1).to("cpu", torch.float64).numpy()


def _channels(w: Tensor, live: Tensor | None) -> list[np.ndarray]:
    """The live weights of every filter."""
    if w.ndim < 2:
        raise UserError(f'Weights of shape {tuple(w.shape)} have no filters to scale one by one. Use per = "layer".')
    return [live_entries(w[i], None if live is None else live[i]) for i in range(len(w))]


def _nearest_unit(unit: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values[np.searchsorted((values[1:] + values[:-1]) / 2, unit)]


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The largest float32 not above each float64."""
    single = values.astype(np.float32)
    return np.where(single > values, np.nextafter(single, np.float32(-np.inf)), single)
