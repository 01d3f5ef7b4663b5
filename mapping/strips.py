"""The strips of a layer: pieces that share word lines side by side, as their converters see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from crossbar import ArraySpec
from crossbar.converter_bank import driver_errors
from crossbar.planes import add_plane, strip_of
from crossbar.read_noise import ReadNoise
from crossbar.strip import Strip
from mapping.pieces import Piece
from mapping.placement import LayerPlacement
from mapping.tiling import Tile

Conductances = Callable[[Piece], np.ndarray]
"""What really stands on cells: piece → conductances [S] of shape (rows, cols)."""

Drivers = Callable[[Piece], tuple[np.ndarray, np.ndarray]]
"""What the drivers of an array really apply: piece → gain factors and offsets [DAC LSB], (rows,) each."""


@dataclass(frozen=True)
class Noise:
    """Read noise of the chip `seed`: variance gives σ² (rows, cols) [S²] of every piece."""

    variance: Conductances
    seed: int


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
        return self.cols.numel() > 0 and bool((self.cols.diff() == 1).all())

    def to(self, device: torch.device | str) -> PlacedStrip:
        """The same on another torch device."""
        return PlacedStrip(self.group, self.rows.to(device), self.cols.to(device), self.strip.to(device))


def unit_conductance(spec: ArraySpec) -> float:
    """What 1 in a strip's conductances means [S]: the level grid's unit where there is one, else g_max."""
    return spec.encoder.grid_unit_s or spec.device.g_max_s


def driver_errors_of(spec: ArraySpec, seed: int) -> Drivers | None:
    """What the drivers of the chip of this seed really apply; None where they are ideal."""
    errors = spec.dac_errors
    if errors is None:
        return None

    def of_piece(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        gain, offset = driver_errors(errors, seed, piece.array, piece.tile.last_line + 1)
        return gain[piece.tile.lines], offset[piece.tile.lines]

    return of_piece


def build_strips(
    layer: LayerPlacement,
    pieces: list[Piece],
    spec: ArraySpec,
    cells: Conductances,
    drivers: Drivers | None = None,
    noise: Noise | None = None,
) -> list[PlacedStrip]:
    """Put the arrays of a layer side by side where they share word lines.

    Tiles that are driven by the same rows of the same group stand on one strip, so one product reads them all.
    drivers: what the drivers of a piece really apply, None for ideal ones. A driver's gain is as good as one of its
    row of cells, and its offset a row of cells that is always driven, so neither costs anything in a product.
    noise: read noise of the cells, None for none.
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
        seen = [_seen(layer.tiles[number], parts[number], spec, cells, drivers) for number in numbers]
        planes, offset, place = (np.concatenate(item, axis=-1) for item in zip(*seen, strict=True))
        signs = [layer.signs_of(number) for number in numbers]
        strip = strip_of(planes, unit_conductance(spec), spec.encoder, signs, [tile.cols.size for tile in tiles])
        if drivers is not None:
            shift = offset.reshape(-1) / unit_conductance(spec)
            strip = replace(strip, drive_offset=torch.from_numpy(shift))
        strip = replace(strip, place=place.reshape(3, -1))
        if noise is not None:
            variance = [_variance(layer.tiles[number], parts[number], spec, noise.variance) for number in numbers]
            strip = _noisy(strip, np.concatenate(variance, axis=-1), noise.seed)
        strips.append(
            PlacedStrip(
                group=tiles[0].group,
                rows=torch.from_numpy(tiles[0].rows.astype(np.int64)),
                cols=torch.from_numpy(np.concatenate([tile.cols for tile in tiles]).astype(np.int64)),
                strip=strip,
            )
        )
    return strips


def _variance(tile: Tile, pieces: list[Piece], spec: ArraySpec, variance: Conductances) -> np.ndarray:
    """σ² of what the converters see of every crossing of a tile, (rows, planes, cols) [S²]: variances add up."""
    analog = spec.encoder.analog
    return converted_planes(tile, pieces, spec, lambda piece: variance(piece) * (piece.sign if analog else 1))


def _noisy(strip: Strip, variance: np.ndarray, seed: int) -> Strip:
    """The strip with the read noise of its cells, σ² (rows, planes, cols) [S²]."""
    assert strip.place is not None
    flat = torch.from_numpy((variance / strip.unit_s**2).astype(np.float32).reshape(len(variance), -1))
    return replace(strip, read_noise=ReadNoise(flat, strip.place, seed))


def _seen(
    tile: Tile, pieces: list[Piece], spec: ArraySpec, cells: Conductances, drivers: Drivers | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the converters see of one tile with its drivers, and where they are.

    Returns conductances (rows, planes, cols) [S], what the drivers' offsets add (1, planes, cols) [S × DAC code], and
    place (3, planes, cols), see `Strip`.
    """
    place = _places(tile, pieces, spec)
    if drivers is None:
        return converted_planes(tile, pieces, spec, cells), np.zeros((1, *place.shape[1:])), place
    real = {id(piece): (*drivers(piece), cells(piece)) for piece in pieces}

    def driven(piece: Piece) -> np.ndarray:
        gain, _, g = real[id(piece)]
        return gain[:, None] * g

    def shifted(piece: Piece) -> np.ndarray:
        _, shift, g = real[id(piece)]
        return (shift @ g)[None]

    return (
        converted_planes(tile, pieces, spec, driven),
        converted_planes(tile, pieces, spec, shifted)[:1],
        place,
    )


def _places(tile: Tile, pieces: list[Piece], spec: ArraySpec) -> np.ndarray:
    """Array, number among its converted columns and first word line of every plane and column: (3, planes, cols)."""
    encoder = spec.encoder
    place = np.full((3, encoder.plane_weights.size, tile.cols.size), -1, dtype=np.int64)
    # Halves beside each other that are subtracted share a converter's input.
    beside = 2 if spec.pair_subtraction == "analog" and spec.pair_layout == "columns" else 1
    for piece in pieces:
        plane = piece.slice if encoder.analog else encoder.planes.index((piece.sign, piece.slice))
        if not piece.dummy and (piece.sign > 0 or place[0, plane, 0] < 0):
            place[0, plane], place[1, plane], place[2, plane] = piece.array, piece.columns // beside, tile.row0
    return place


def converted_planes(tile: Tile, pieces: list[Piece], spec: ArraySpec, cells: Conductances) -> np.ndarray:
    """What the converters see of one tile: (rows, converted planes, cols) [S]."""
    encoder = spec.encoder
    g = np.zeros((tile.rows.size, encoder.plane_weights.size, tile.cols.size))
    for piece in pieces:
        add_plane(encoder, piece.sign, piece.slice, cells(piece), g)
    return g
