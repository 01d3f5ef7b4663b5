"""One block of a layer on faulty arrays: what the faults do to its weights, and where its lines would suffer least."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from crossbar import ArraySpec
from hwmodels.devices.faults import HRS, LRS, OPEN, value_of
from mapping.pieces import Piece
from mapping.placement import LayerPlacement
from mapping.tiling import Tile

_ROUNDS = 4
"""Most turns of rows and columns; the second already changes little."""


class Block:
    """The cells of one block with the faults of their arrays, and where its rows and columns stand.

    All tiles of a block take the same columns; their rows stand behind each other. Planes are those of the weights; in
    a column whose halves are exchanged (`exchanged`, (cols,) bool) plane p stands on the array of plane `partner[p]`.
    share: (planes, rows, cols) what a cell counts in its weight, per siemens; g: (planes, rows, cols) [S]; codes: per
    plane the faults of its array at (word line, weight column), (planes, lines, places).
    """

    def __init__(
        self, layer: LayerPlacement, spec: ArraySpec, pieces: list[Piece], maps: dict[int, np.ndarray]
    ) -> None:
        """Gather the block's pieces; maps: by array."""
        parts = [piece for piece in pieces if not piece.dummy]
        self.numbers = sorted({piece.number for piece in parts})
        tiles = [layer.tiles[number] for number in self.numbers]
        self.tiles, self.spec, size = tiles, spec, spec.cells_per_weight
        starts = np.cumsum([0, *(tile.rows.size for tile in tiles)])
        self.starts = dict(zip(self.numbers, starts.tolist(), strict=False))
        planes = list(spec.encoder.planes)
        shape = (len(planes), int(starts[-1]), tiles[0].cols.size)
        self.g, self.share = np.zeros(shape), np.zeros(shape)
        per_s = weight_per_siemens(layer, spec, tiles[0])
        room = (spec.rows, (spec.cols - spec.dummy_cols) // size)
        self.codes = np.zeros((len(planes), *room), dtype=np.int8)
        for piece in parts:
            plane = planes.index((piece.sign, piece.slice))
            rows = slice(self.starts[piece.number], self.starts[piece.number] + piece.tile.rows.size)
            self.g[plane, rows] = piece.target
            self.share[plane, rows] = per_s * counts(layer, piece, spec)
            if piece.array in maps:
                at = int(piece.columns[0]) % size
                self.codes[plane] = maps[piece.array][:, at : size * room[1] : size]
        self._pair_up(tiles[0], {planes.index((piece.sign, piece.slice)) for piece in parts})
        self.value = {code: value_of(code, spec.device) for code in (LRS, HRS, OPEN)}
        self.lines = np.concatenate([tile.line_numbers for tile in tiles])
        self.places = np.array(tiles[0].columns)
        alone = all(tile.site is None for tile in tiles) and not spec.dummy_cols
        self.free_lines = np.arange(room[0]) if alone else np.sort(self.lines)
        self.free_places = np.arange(room[1]) if alone else np.sort(self.places)

    def _pair_up(self, tile: Tile, built: set[int]) -> None:
        """Find every plane's partner; halves can be exchanged where the arrays of all planes are there."""
        self.partner = np.arange(len(self.g))
        if self.spec.encoding == "pair":
            self.partner = np.roll(self.partner, self.spec.slices)
        self.can_exchange = self.spec.encoding == "pair" and len(built) == len(self.g)
        self.exchanged = np.zeros(tile.cols.size, dtype=bool)
        if tile.exchanged is not None:
            self.exchanged = tile.exchanged.copy()
            self.g = np.where(self.exchanged, self.g[self.partner], self.g)
            self.share = np.where(self.exchanged, self.share[self.partner], self.share)

    @property
    def faulty(self) -> int:
        """Cells of the block that stand on faulty crossings."""
        return int(((self._codes_here() > 0) & (self.g > 0)).sum())

    def error(self) -> float:
        """Σ (Δw)² of the block."""
        return float((self._shift(self._codes_here()) ** 2).sum())

    def improve(self, *, exchange: bool) -> None:
        """Move rows and columns in turn until nothing improves; exchange: the halves of columns too."""
        start = self.lines, self.places, self.exchanged
        self._improve(exchange=exchange and self.can_exchange)
        if not self._all_arrays_used():  # an array without a cell would not be built
            self.lines, self.places, self.exchanged = start
            self._improve(exchange=False)

    def moved(self, tiles: list[Tile]) -> list[Tile]:
        """The layer's tiles with those of this block where their rows and columns now stand."""
        tiles = list(tiles)
        for number, tile in zip(self.numbers, self.tiles, strict=True):
            first = self.starts[number]
            lines = self.lines[first : first + tile.rows.size].astype(np.int32)
            places = self.places.astype(np.int32)
            if not (np.array_equal(lines, tile.line_numbers) and np.array_equal(places, tile.columns)):
                tiles[number] = replace(tile, word_lines=lines, bit_lines=places)
            if not np.array_equal(self.exchanged, tile.half_signs < 0):
                exchanged = self.exchanged if self.exchanged.any() else None
                tiles[number] = replace(tiles[number], exchanged=exchanged)
        return tiles

    def _improve(self, *, exchange: bool) -> None:
        best = self.error()
        for _ in range(_ROUNDS):
            self.lines = _assigned(self._row_costs(), self.lines, self.free_lines)
            self._place_columns(exchange=exchange)
            now = self.error()
            if now >= best * (1 - 1e-9):
                break
            best = now

    def _place_columns(self, *, exchange: bool) -> None:
        """The best places of the columns, each with the halves as it costs less there."""
        straight = self._col_costs(self.codes)
        if not exchange:
            crossed = self._col_costs(self.codes[self.partner]) if self.exchanged.any() else straight
            costs = np.where(self.exchanged[:, None], crossed, straight)
            self.places = _assigned(costs, self.places, self.free_places)
            return
        crossed = self._col_costs(self.codes[self.partner])
        costs = np.minimum(straight, crossed)
        self.places = _assigned(costs, self.places, self.free_places)
        at = np.arange(self.places.size), np.searchsorted(self.free_places, self.places)
        now, other = np.where(self.exchanged, crossed[at], straight[at]), costs[at]
        self.exchanged = np.where(other < now * (1 - 1e-12), ~self.exchanged, self.exchanged)

    def _all_arrays_used(self) -> bool:
        """Whether every array of the block still holds a cell; blocks whose halves are not exchanged hold theirs."""
        if not self.exchanged.any():
            return True
        standing = np.where(self.exchanged, self.g[self.partner], self.g)
        return all(bool(standing[list(group)].any()) for group in self.spec.plane_groups)

    def _codes_here(self) -> np.ndarray:
        """The faults under every cell, (planes, rows, cols)."""
        return self._crossed(self.codes[:, self.lines[:, None], self.places])

    def _crossed(self, codes: np.ndarray) -> np.ndarray:
        """Faults by array, (planes, …, cols), as the planes of the weights meet them."""
        return np.where(self.exchanged, codes[self.partner], codes) if self.exchanged.any() else codes

    def _shift(self, codes: np.ndarray, rows: Any = slice(None), cols: Any = slice(None)) -> np.ndarray:
        """Δw of chosen weights under faults (planes, …) that broadcast to them, (rows, cols)."""
        g, share = self.g[:, rows][:, :, cols], self.share[:, rows][:, :, cols]
        total = np.zeros(g.shape[1:])
        for code, value in self.value.items():
            total += (((codes == code) & (g > 0)) * (value - g) * share).sum(axis=0)
        return total

    def _row_costs(self) -> np.ndarray:
        """(rows, free lines) Σ_j (Δw)² of every row on every line."""
        costs = np.zeros((self.g.shape[1], self.free_lines.size))
        for at, line in enumerate(self.free_lines):
            codes = self._crossed(self.codes[:, line, self.places])
            faulty = np.flatnonzero(codes.any(axis=0))
            if faulty.size:
                costs[:, at] = (self._shift(codes[:, None, faulty], cols=faulty) ** 2).sum(axis=1)
        return costs

    def _col_costs(self, by_plane: np.ndarray) -> np.ndarray:
        """(cols, free places) Σ_i (Δw)² of every column at every place; by_plane: the faults that a plane meets."""
        costs = np.zeros((self.g.shape[2], self.free_places.size))
        for at, place in enumerate(self.free_places):
            codes = by_plane[:, self.lines, place]
            faulty = np.flatnonzero(codes.any(axis=0))
            if faulty.size:
                costs[:, at] = (self._shift(codes[:, faulty, None], rows=faulty) ** 2).sum(axis=0)
        return costs


def blocks_of(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """The pieces of a layer, block by block."""
    found: dict[int, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.tile.block, []).append(piece)
    yield from found.values()


def weight_per_siemens(layer: LayerPlacement, spec: ArraySpec, tile: Tile) -> np.ndarray:
    """(cols,) the weight that one full-scale siemens stands for in the columns of a tile."""
    scale = np.broadcast_to(layer.grid.scale, (layer.shape.groups, layer.shape.cols))
    return scale[tile.group][tile.cols] / spec.encoder.full_scale_s


def counts(layer: LayerPlacement, piece: Piece, spec: ArraySpec) -> np.ndarray:
    """What 1 S of a piece's cells counts in its weights, in units of the full scale [S]: (cols,)."""
    encoder = spec.encoder
    weight = float(encoder.slicing.weights[piece.slice])
    if spec.encoding == "pair":
        return weight * piece.sign * piece.tile.half_signs
    column = encoder.column_sign(layer.signs_of(piece.number))
    if column is None:
        return np.full(piece.tile.cols.size, weight)
    return weight * np.asarray(column)[encoder.planes.index((piece.sign, piece.slice))]


def _assigned(costs: np.ndarray, now: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The free lines that the rows take at the least cost; where they stand already, if that is as good.

    A row that costs the same anywhere stays: a trifle is taken off its present line.
    """
    from scipy.optimize import linear_sum_assignment

    position = np.searchsorted(free, now)
    which = np.arange(now.size)
    trifle = 1e-9 * (costs.max() if costs.size else 0.0)
    biased = costs.copy()
    biased[which, position] -= trifle
    rows, chosen = linear_sum_assignment(biased)
    new = np.array(now)
    new[rows] = free[chosen]
    better = costs[rows, chosen].sum() < costs[which, position].sum() * (1 - 1e-12)
    return new if better else now
