"""Fault-aware placement: rows and columns stand on the word and bit lines where stuck cells hurt their weights least.

With a known fault map every array is a pair of assignment problems. With the columns where they are, putting row i on
word line a costs the squared error that its weights suffer from the faults of that line, Σ_j (Δw)², whatever the other
rows do; so the best assignment of rows is a linear one (scipy), and so is that of columns. They alternate until nothing
improves: each step is optimal and the error never grows, without proof that both together are the best. A stuck cell
thus comes to meet a weight that it suits, or a line that no row takes: lines of the array that a tile leaves free are
spare lines, and `place(..., spare_rows=, spare_cols=)` keeps more.

What is assumed: drivers take their input and converters give their output by an index (`repacking.index_bits`), which
costs nothing more where rows are gathered by index already; both halves of a pair and all slices of a weight move
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from crossbar import ArraySpec
from hwmodels.devices.faults import HRS, LRS, OPEN, value_of
from mapping.fault_maps import FaultMaps, checked_faults, faults_of_chip
from mapping.pieces import Piece
from mapping.repacking import index_bits
from mapping.tiling import Tile

if TYPE_CHECKING:
    from mapping.placement import LayerPlacement, Placement

_ROUNDS = 4
"""Most turns of rows and columns; the second already changes little."""


@dataclass(frozen=True, eq=False)
class FaultAware:
    """A placement moved around the faults of one chip.

    placement: with word and bit lines chosen; table: a row per layer: layer, faulty_cells (under its tiles, before),
    error_before, error_after (‖Δw‖ / ‖w‖ of what faults alone do to the weights), lines_moved, index_bits (of the
    tables that say which input and output belong to which line); faults: the maps that it was made for.
    """

    placement: Placement
    table: pd.DataFrame
    faults: dict[int, np.ndarray]


def avoid_faults(placement: Placement, faults: int | FaultMaps) -> FaultAware:
    """Move rows and columns so that stuck cells meet weights that they suit.

    faults: the map of every array (`FaultMaps`), or the seed of a chip whose faults the devices draw. To blocks that
    have arrays of their own all lines of the array are open; blocks that share an array keep their rectangle.
    Nothing moves where it gains nothing. Raises UserError for maps that do not fit the placement.
    O(rows · faulty cells) for the costs of a tile and O(lines³) for each assignment.
    """
    maps = faults_of_chip(placement, faults) if isinstance(faults, int) else checked_faults(placement, faults)
    pieces = _by_layer(placement)
    moved, rows = {}, []
    for name, layer in placement.layers.items():
        moved[name], row = _of_layer(layer, placement.spec_of(layer), pieces[name], maps)
        rows.append(row)
    return FaultAware(replace(placement, layers=moved), pd.DataFrame(rows), maps)


def weight_errors(placement: Placement, faults: int | FaultMaps) -> pd.Series:
    """‖Δw‖ / ‖w‖ of every layer: what faults alone do to its weights, from the cells that stand there."""
    maps = faults_of_chip(placement, faults) if isinstance(faults, int) else checked_faults(placement, faults)
    pieces = _by_layer(placement)
    errors = {
        name: sum(_Block(layer, placement.spec_of(layer), members, maps).error() for members in _blocks(pieces[name]))
        for name, layer in placement.layers.items()
    }
    return pd.Series({name: float(np.sqrt(error)) / _norm(placement.layers[name]) for name, error in errors.items()})


def recovered(
    before: Placement,
    after: Placement,
    evaluate: Callable[[nn.Module], float],
    *,
    faults: FaultMaps | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, float]:
    """Accuracy of both placements on the same faulty chip, and of the quantised network without any fault or error.

    evaluate: network → accuracy; faults: as of `CrossbarNetwork`, None: those that the devices draw for `seed`;
    options: more arguments of `CrossbarNetwork`. Keys: reference, before, after, recovered (the share of what faults
    took that moving gives back; NaN where they took nothing).
    """
    from mapping.network import CrossbarNetwork

    found = {
        "reference": evaluate(before.reference()),
        "before": evaluate(CrossbarNetwork(before, seed=seed, faults=faults, **options)),
        "after": evaluate(CrossbarNetwork(after, seed=seed, faults=faults, **options)),
    }
    lost = found["reference"] - found["before"]
    return found | {"recovered": (found["after"] - found["before"]) / lost if lost else float("nan")}


def _of_layer(
    layer: LayerPlacement, spec: ArraySpec, pieces: list[Piece], maps: dict[int, np.ndarray]
) -> tuple[LayerPlacement, dict[str, Any]]:
    """One layer with its blocks moved, and its row of the table."""
    tiles, before, after, faulty = list(layer.tiles), 0.0, 0.0, 0
    for members in _blocks(pieces):
        block = _Block(layer, spec, members, maps)
        faulty += block.faulty
        before += block.error()
        if block.error():
            block.improve()
            tiles = block.moved(tiles)
        after += block.error()
    norm = _norm(layer)
    lines = sum(
        int((a.line_numbers != b.line_numbers).sum() + (a.columns != b.columns).sum())
        for a, b in zip(layer.tiles, tiles, strict=True)
    )
    row = {
        "layer": layer.label,
        "faulty_cells": faulty,
        "error_before": np.sqrt(before) / norm,
        "error_after": np.sqrt(after) / norm,
        "lines_moved": lines,
        "index_bits": index_bits(tuple(tiles), layer.shape.rows, layer.shape.cols),
    }
    return replace(layer, tiles=tuple(tiles)), row


def _by_layer(placement: Placement) -> dict[str, list[Piece]]:
    """The pieces of every layer."""
    pieces: dict[str, list[Piece]] = {name: [] for name in placement.layers}
    for piece in placement.pieces():
        pieces[piece.layer.name].append(piece)
    return pieces


def _blocks(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """The pieces of a layer, block by block."""
    found: dict[int, list[Piece]] = {}
    for piece in pieces:
        found.setdefault(piece.tile.block, []).append(piece)
    yield from found.values()


def _norm(layer: LayerPlacement) -> float:
    """‖w‖ of the layer's weights, 1 where all are 0."""
    return float(layer.weights().norm()) or 1.0


class _Block:
    """The cells of one block with the faults of their arrays, and where its rows and columns stand.

    All tiles of a block take the same columns; their rows stand behind each other. share: (planes, rows, cols) what a
    cell counts in its weight, per siemens; g: (planes, rows, cols) [S]; maps: per plane the faults of its array at
    (word line, weight column), (planes, lines, places).
    """

    def __init__(
        self, layer: LayerPlacement, spec: ArraySpec, pieces: list[Piece], maps: dict[int, np.ndarray]
    ) -> None:
        parts = [piece for piece in pieces if not piece.dummy]
        self.numbers = sorted({piece.number for piece in parts})
        tiles = [layer.tiles[number] for number in self.numbers]
        self.tiles, self.spec, size = tiles, spec, spec.cells_per_weight
        starts = np.cumsum([0, *(tile.rows.size for tile in tiles)])
        self.starts = dict(zip(self.numbers, starts.tolist(), strict=False))
        planes = list(spec.encoder.planes)
        shape = (len(planes), int(starts[-1]), tiles[0].cols.size)
        self.g, self.share = np.zeros(shape), np.zeros(shape)
        scale = np.broadcast_to(layer.grid.scale, (layer.shape.groups, layer.shape.cols))
        per_s = scale[tiles[0].group][tiles[0].cols] / spec.encoder.full_scale_s
        room = (spec.rows, (spec.cols - spec.dummy_cols) // size)
        self.codes = np.zeros((len(planes), *room), dtype=np.int8)
        for piece in parts:
            plane = planes.index((piece.sign, piece.slice))
            rows = slice(self.starts[piece.number], self.starts[piece.number] + piece.tile.rows.size)
            self.g[plane, rows] = piece.target
            self.share[plane, rows] = per_s * _counts(layer, piece, spec)
            if piece.array in maps:
                at = int(piece.columns[0]) % size
                self.codes[plane] = maps[piece.array][:, at : size * room[1] : size]
        self.value = {code: value_of(code, spec.device) for code in (LRS, HRS, OPEN)}
        self.lines = np.concatenate([tile.line_numbers for tile in tiles])
        self.places = np.array(tiles[0].columns)
        alone = all(tile.site is None for tile in tiles) and not spec.dummy_cols
        self.free_lines = np.arange(room[0]) if alone else np.sort(self.lines)
        self.free_places = np.arange(room[1]) if alone else np.sort(self.places)

    @property
    def faulty(self) -> int:
        """Cells of the block that stand on faulty crossings."""
        return int(((self.codes[:, self.lines[:, None], self.places] > 0) & (self.g > 0)).sum())

    def error(self) -> float:
        """Σ (Δw)² of the block."""
        return float((self._shift(self.codes[:, self.lines[:, None], self.places]) ** 2).sum())

    def improve(self) -> None:
        """Move rows and columns in turn until nothing improves."""
        from scipy.optimize import linear_sum_assignment

        best = self.error()
        for _ in range(_ROUNDS):
            self.lines = _assigned(self._row_costs(), self.lines, self.free_lines, linear_sum_assignment)
            self.places = _assigned(self._col_costs(), self.places, self.free_places, linear_sum_assignment)
            now = self.error()
            if now >= best * (1 - 1e-9):
                break
            best = now

    def moved(self, tiles: list[Tile]) -> list[Tile]:
        """The layer's tiles with those of this block where their rows and columns now stand."""
        tiles = list(tiles)
        for number, tile in zip(self.numbers, self.tiles, strict=True):
            first = self.starts[number]
            lines = self.lines[first : first + tile.rows.size].astype(np.int32)
            places = self.places.astype(np.int32)
            if not (np.array_equal(lines, tile.line_numbers) and np.array_equal(places, tile.columns)):
                tiles[number] = replace(tile, word_lines=lines, bit_lines=places)
        return tiles

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
            codes = self.codes[:, line, self.places]
            faulty = np.flatnonzero(codes.any(axis=0))
            if faulty.size:
                costs[:, at] = (self._shift(codes[:, None, faulty], cols=faulty) ** 2).sum(axis=1)
        return costs

    def _col_costs(self) -> np.ndarray:
        """(cols, free places) Σ_i (Δw)² of every column at every place."""
        costs = np.zeros((self.g.shape[2], self.free_places.size))
        for at, place in enumerate(self.free_places):
            codes = self.codes[:, self.lines, place]
            faulty = np.flatnonzero(codes.any(axis=0))
            if faulty.size:
                costs[:, at] = (self._shift(codes[:, faulty, None], rows=faulty) ** 2).sum(axis=0)
        return costs


def _counts(layer: LayerPlacement, piece: Piece, spec: ArraySpec) -> np.ndarray:
    """What 1 S of a piece's cells counts in its weights, in units of the full scale [S]: (cols,)."""
    encoder = spec.encoder
    weight = float(encoder.slicing.weights[piece.slice]) * (piece.sign if spec.encoding == "pair" else 1)
    signs = layer.signs[piece.number] if layer.signs else None
    column = encoder.column_sign(signs)
    if column is None:
        return np.full(piece.tile.cols.size, weight)
    return weight * np.asarray(column)[encoder.planes.index((piece.sign, piece.slice))]


def _assigned(costs: np.ndarray, now: np.ndarray, free: np.ndarray, solve: Callable[..., Any]) -> np.ndarray:
    """The free lines that the rows take at the least cost; where they stand already, if that is as good.

    A row that costs the same anywhere stays: a trifle is taken off its present line.
    """
    position = np.searchsorted(free, now)
    which = np.arange(now.size)
    trifle = 1e-9 * (costs.max() if costs.size else 0.0)
    biased = costs.copy()
    biased[which, position] -= trifle
    rows, chosen = solve(biased)
    new = np.array(now)
    new[rows] = free[chosen]
    better = costs[rows, chosen].sum() < costs[which, position].sum() * (1 - 1e-12)
    return new if better else now
