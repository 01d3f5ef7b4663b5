"""The strips of a layer: pieces that share word lines side by side, as their converters see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from crossbar import ArraySpec
from crossbar.strip import Strip
from mapping.placement import LayerPlacement, Piece

Conductances = Callable[[Piece], np.ndarray]
"""What really stands on an array: piece → conductances [S] of shape (rows, cols)."""

Drivers = Callable[[Piece], tuple[np.ndarray, np.ndarray]]
"""What the drivers of an array really apply: piece → gain factors and offsets [DAC LSB], (rows,) each."""


@dataclass(frozen=True)
class PlacedStrip:
    """A strip with its place in the layer: group, matrix rows that drive it, matrix columns that it gives."""

    group: int
    rows: Tensor
    cols: Tensor
    strip: Strip

    def to(self, device: torch.device | str) -> PlacedStrip:
        """The same on another torch device."""
        return PlacedStrip(self.group, self.rows.to(device), self.cols.to(device), self.strip.to(device))


def unit_conductance(spec: ArraySpec) -> float:
    """What 1 in a strip's conductances means [S]: the level grid's unit where there is one, else g_max."""
    return spec.encoding.grid_unit_s or spec.device.g_max_s


def build_strips(
    layer: LayerPlacement, pieces: list[Piece], spec: ArraySpec, cells: Conductances, drivers: Drivers | None = None
) -> list[PlacedStrip]:
    """Put the arrays of a layer side by side where they share word lines.

    Tiles that are driven by the same rows of the same group stand on one strip, so one product reads them all.
    drivers: what the drivers of a piece really apply, None for ideal ones. A driver's gain is as good as one of its
    row of cells, and its offset a row of cells that is always driven, so neither costs anything in a product.
    """
    unit = unit_conductance(spec)
    strips = []
    for _, members in groupby(_tiles_of(pieces), key=lambda item: (item[0].group, item[0].rows.tobytes())):
        tiles = list(members)
        first = tiles[0][0]
        cols = np.concatenate([tile.cols for tile, _ in tiles])
        g = np.zeros((first.rows.size, 2, spec.slices, cols.size), dtype=np.float32)
        place = np.full((2, 2, spec.slices, cols.size), -1, dtype=np.int64)
        offset = np.zeros((2, spec.slices, cols.size))
        start = 0
        for tile, parts in tiles:
            stop = start + tile.cols.size
            for piece in parts:
                at = 0 if piece.sign > 0 else 1, piece.slice, slice(start, stop)
                conductances = cells(piece) / unit
                if drivers is not None:
                    gain, shift = drivers(piece)
                    offset[at] = shift @ conductances
                    conductances = gain[:, None] * conductances
                g[:, *at] = conductances
                place[:, *at] = np.stack([np.full(stop - start, piece.array), np.arange(stop - start)])
            start = stop
        strips.append(
            PlacedStrip(
                group=first.group,
                rows=torch.from_numpy(first.rows.astype(np.int64)),
                cols=torch.from_numpy(cols.astype(np.int64)),
                strip=_strip(g, spec, unit, place, None if drivers is None else offset),
            )
        )
    return strips


def _strip(g: np.ndarray, spec: ArraySpec, unit: float, place: np.ndarray, offset: np.ndarray | None) -> Strip:
    """What the converters see of pairs g (rows, 2, slices, cols), in units of `unit` [S].

    place: (2, 2, slices, cols) array and bit line of every column; offset: (2, slices, cols) what drivers add to it.
    """
    rows, _, _, cols = g.shape
    weights = spec.encoding.slice_weights
    if spec.pair_subtraction == "analog":
        g = g[:, 0] - g[:, 1]
        place = np.where(place[:1, 0] >= 0, place[:, 0], place[:, 1])
        offset = None if offset is None else offset[0] - offset[1]
    else:
        weights = np.concatenate([weights, -weights])
    return Strip(
        g=torch.from_numpy(np.ascontiguousarray(g.reshape(rows, -1))),
        unit_s=unit,
        cols=cols,
        plane_weights=weights,
        signed=spec.signed_converter,
        place=place.reshape(2, -1),
        drive_offset=None if offset is None else torch.from_numpy(offset.ravel()),
    )


def _tiles_of(pieces: list[Piece]) -> Iterator[tuple]:
    for _, members in groupby(pieces, key=lambda piece: piece.number):
        parts = list(members)
        yield parts[0].tile, parts
