"""Which part of a layer's matrix stands on which array: masked rows and columns dropped, the rest cut."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crossbar.tiling import block_bounds


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a layer's matrix that fits one array.

    group: which group of the layer; rows, cols: the matrix rows and columns that stand on the array's word and
    bit lines 0, 1, …, ascending (int32). Rows and columns without a live weight in the tile are not among them.
    """

    group: int
    rows: np.ndarray
    cols: np.ndarray


def cut(live: np.ndarray, array_rows: int, array_cols: int) -> list[Tile]:
    """Tiles of a masked layer.

    live: (groups, rows, cols) bool. Per group the smaller of two cuts is taken: the original grid without its
    empty tiles (what block pruning leaves), or the surviving rows and columns moved together and cut afresh
    (what filter and filter-shape pruning leave); the same count goes to the second. Arrays needed: at most
    ⌈r/R⌉·⌈c/C⌉ of the surviving r rows and c columns, and at most the number of live blocks.
    """
    tiles: list[Tile] = []
    for group, mask in enumerate(live):
        original = _cut_grid(mask, np.arange(mask.shape[0]), np.arange(mask.shape[1]), array_rows, array_cols, group)
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        compacted = _cut_grid(mask, rows, cols, array_rows, array_cols, group)
        tiles += original if len(original) < len(compacted) else compacted
    return tiles


def _cut_grid(
    mask: np.ndarray, rows: np.ndarray, cols: np.ndarray, array_rows: int, array_cols: int, group: int
) -> list[Tile]:
    """Cut the chosen rows and columns into array-sized blocks; drop empty blocks and empty lines inside blocks."""
    tiles = []
    row_edges, col_edges = block_bounds(rows.size, array_rows), block_bounds(cols.size, array_cols)
    for top, bottom in pairwise(row_edges):
        for left, right in pairwise(col_edges):
            r, c = rows[top:bottom], cols[left:right]
            block = mask[np.ix_(r, c)]
            if block.any():
                live_rows, live_cols = r[block.any(axis=1)], c[block.any(axis=0)]
                tiles.append(Tile(group=group, rows=live_rows.astype(np.int32), cols=live_cols.astype(np.int32)))
    return tiles
