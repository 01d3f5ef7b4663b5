"""The strips of a layer: pieces that share word lines side by side, as their converters see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from crossbar import ArraySpec
from crossbar.planes import strip_of
from crossbar.strip import Strip
from mapping.pieces import Piece
from mapping.placement import LayerPlacement
from mapping.tiling import Tile

Conductances = Callable[[Piece], np.ndarray]
"""What really stands on cells: piece → conductances [S] of shape (rows, cols)."""


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
    return spec.encoder.grid_unit_s or spec.device.g_max_s


def build_strips(layer: LayerPlacement, pieces: list[Piece], spec: ArraySpec, cells: Conductances) -> list[PlacedStrip]:
    """Put the arrays of a layer side by side where they share word lines.

    Tiles that are driven by the same rows of the same group stand on one strip, so one product reads them all.
    """
    parts: dict[int, list[Piece]] = {number: [] for number in range(len(layer.tiles))}
    for piece in pieces:
        parts[piece.number].append(piece)
    sharing: dict[tuple[int, bytes], list[int]] = {}
    for number, tile in enumerate(layer.tiles):
        sharing.setdefault((tile.group, tile.rows.tobytes()), []).append(number)
    strips = []
    for numbers in sharing.values():
        tiles = [layer.tiles[number] for number in numbers]
        planes = [converted_planes(layer.tiles[number], parts[number], spec, cells) for number in numbers]
        signs = [layer.signs[number] if layer.signs else None for number in numbers]
        widths = [tile.cols.size for tile in tiles]
        strips.append(
            PlacedStrip(
                group=tiles[0].group,
                rows=torch.from_numpy(tiles[0].rows.astype(np.int64)),
                cols=torch.from_numpy(np.concatenate([tile.cols for tile in tiles]).astype(np.int64)),
                strip=strip_of(np.concatenate(planes, axis=2), unit_conductance(spec), spec.encoder, signs, widths),
            )
        )
    return strips


def converted_planes(tile: Tile, pieces: list[Piece], spec: ArraySpec, cells: Conductances) -> np.ndarray:
    """What the converters see of one tile: (rows, converted planes, cols) [S].

    Before a signed converter, negative halves and dummy columns (one for all columns) are subtracted from their slice.
    """
    encoder = spec.encoder
    g = np.zeros((tile.rows.size, encoder.plane_weights.size, tile.cols.size))
    for piece in pieces:
        if encoder.analog:
            g[:, piece.slice] += piece.sign * cells(piece)
        else:
            g[:, encoder.planes.index((piece.sign, piece.slice))] = cells(piece)
    return g
