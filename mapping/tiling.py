"""Which part of a layer's matrix stands on which array: masked rows and columns dropped, the rest cut."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crossbar.tiling import block_bounds


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a layer's matrix that stands on one array and is read at once.

    group: which group of the layer; rows, cols: the matrix rows and columns that stand on the array's word lines
    row0, row0 + 1, … and bit lines (int32), ascending, but for rows in another `fragment_order`. Rows without a live
    weight in the tile, and columns without one in its block, are not among them. block: tiles of a layer with the same
    block share an array and are read in turn (the fragments of the polarised encoding).
    """

    group: int
    rows: np.ndarray
    cols: np.ndarray
    block: int
    row0: int = 0


def cut(
    live: np.ndarray,
    array_rows: int,
    array_cols: int,
    fragment: int | None = None,
    places: np.ndarray | None = None,
) -> list[Tile]:
    """Tiles of a masked layer.

    live: (groups, rows, cols) bool; array_rows, array_cols: word lines and weight columns of an array; fragment: rows
    of the matrix that are read together, k·fragment up to (k + 1)·fragment − 1, None for all rows of an array. places:
    where each row of the matrix stands before it is cut (`crossbar.tiling.row_places`), None: rows in their own order.
    Per group the smaller of two cuts is taken: the original grid without its empty tiles (what block pruning leaves),
    or the surviving rows and columns moved together and cut afresh (what filter and filter-shape pruning leave); the
    same count goes to the second. Arrays needed: at most ⌈r/R⌉·⌈c/C⌉ of the surviving r rows and c columns, and at
    most the number of live blocks.
    """
    blocks: list[tuple[int, np.ndarray, np.ndarray]] = []
    order = np.arange(live.shape[1]) if places is None else np.argsort(places)
    for group, mask in enumerate(live[:, order]):
        original = _cut_grid(mask, np.arange(mask.shape[0]), np.arange(mask.shape[1]), array_rows, array_cols)
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        compacted = _cut_grid(mask, rows, cols, array_rows, array_cols)
        chosen = original if len(original) < len(compacted) else compacted
        blocks += [(group, *lines) for lines in chosen]
    return [
        Tile(group=group, rows=order[rows[start:stop]].astype(np.int32), cols=cols, block=block, row0=int(start))
        for block, (group, rows, cols) in enumerate(blocks)
        for start, stop in pairwise(_fragment_edges(rows, fragment))
    ]


def _fragment_edges(rows: np.ndarray, fragment: int | None) -> np.ndarray:
    """Where the rows of an array are cut: before the first of every fragment of the matrix that has a row here."""
    if fragment is None:
        return np.array([0, rows.size])
    new = np.flatnonzero(np.diff(rows // fragment)) + 1
    return np.concatenate([[0], new, [rows.size]])


def _cut_grid(
    mask: np.ndarray, rows: np.ndarray, cols: np.ndarray, array_rows: int, array_cols: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut the chosen rows and columns into array-sized blocks; drop empty blocks and empty lines inside blocks.

    Returns (rows, cols) of each, int32.
    """
    blocks = []
    row_edges, col_edges = block_bounds(rows.size, array_rows), block_bounds(cols.size, array_cols)
    for top, bottom in pairwise(row_edges):
        for left, right in pairwise(col_edges):
            r, c = rows[top:bottom], cols[left:right]
            block = mask[np.ix_(r, c)]
            if block.any():
                live_rows, live_cols = r[block.any(axis=1)], c[block.any(axis=0)]
                blocks.append((live_rows.astype(np.int32), live_cols.astype(np.int32)))
    return blocks
