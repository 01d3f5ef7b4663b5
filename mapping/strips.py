"""The strips of a layer: pieces that share word lines side by side, as their converters see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from crossbar import ArraySpec
from crossbar.strip import Strip
from mapping.placement import LayerPlacement, Piece

Conductances = Callable[[Piece], np.ndarray]
"""What really stands on an array: piece → conductances [S] of shape (rows, cols)."""


@dataclass(frozen=True)
class PlacedStrip:
    """A strip with its place in the layer: group, matrix rows that drive it, matrix columns that it gives."""

    group: int
    rows: Tensor
    cols: Tensor
    strip: Strip

    @cached_property
    def contiguous(self) -> bool:
        """Whether the matrix columns stand side by side."""
        return self.cols.numel() > 0 and int(self.cols[-1] - self.cols[0]) == self.cols.numel() - 1

    def to(self, device: torch.device | str) -> PlacedStrip:
        """The same on another torch device."""
        return PlacedStrip(self.group, self.rows.to(device), self.cols.to(device), self.strip.to(device))


def unit_conductance(spec: ArraySpec) -> float:
    """What 1 in a strip's conductances means [S]: the level grid's unit where there is one, else g_max."""
    return spec.encoding.grid_unit_s or spec.device.g_max_s


def build_strips(layer: LayerPlacement, pieces: list[Piece], spec: ArraySpec, cells: Conductances) -> list[PlacedStrip]:
    """Put the arrays of a layer side by side where they share word lines.

    Tiles that are driven by the same rows of the same group stand on one strip, so one product reads them all.
    """
    unit = unit_conductance(spec)
    strips = []
    for _, members in groupby(_tiles_of(pieces), key=lambda item: (item[0].group, item[0].rows.tobytes())):
        tiles = list(members)
        first = tiles[0][0]
        cols = np.concatenate([tile.cols for tile, _ in tiles])
        g = np.zeros((first.rows.size, 2, spec.slices, cols.size), dtype=np.float32)
        start = 0
        for tile, parts in tiles:
            stop = start + tile.cols.size
            for piece in parts:
                g[:, 0 if piece.sign > 0 else 1, piece.slice, start:stop] = cells(piece) / unit
            start = stop
        strips.append(
            PlacedStrip(
                group=first.group,
                rows=torch.from_numpy(first.rows.astype(np.int64)),
                cols=torch.from_numpy(cols.astype(np.int64)),
                strip=_strip(g, spec, unit),
            )
        )
    return strips


def _strip(g: np.ndarray, spec: ArraySpec, unit: float) -> Strip:
    """What the converters see of pairs g (rows, 2, slices, cols), in units of `unit` [S]."""
    rows, _, _, cols = g.shape
    weights = spec.encoding.slice_weights
    if spec.pair_subtraction == "analog":
        g = g[:, 0] - g[:, 1]
    else:
        weights = np.concatenate([weights, -weights])
    planes = torch.from_numpy(np.ascontiguousarray(g.reshape(rows, -1)))
    return Strip(g=planes, unit_s=unit, cols=cols, plane_weights=weights, signed=spec.signed_converter)


def _tiles_of(pieces: list[Piece]) -> Iterator[tuple]:
    for _, members in groupby(pieces, key=lambda piece: piece.number):
        parts = list(members)
        yield parts[0].tile, parts
