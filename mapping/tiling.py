"""Which part of a layer's matrix stands on which array: masked rows and columns dropped, the rest cut."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crossbar.tiling import block_bounds


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of a layer's matrix that stands on one array and is read at once.

    group: which group of the layer; rows, cols: the matrix rows and columns that stand on the array (int32), ascending,
    but for rows in another `fragment_order`.
    Rows without a live weight in the tile, and columns without one in its block, are not among them. block: tiles of a
    layer with the same block share an array and are read in turn (the fragments of the polarised encoding).
    row0, col0: first word line and first weight column of the rectangle that the tile takes on its array. site: tiles
    of any layers with the same site share arrays and are read in turn; None: the block has arrays of its own.
    word_lines, bit_lines: the word line of every row and the weight column (of the array) of every column, int32, where
    a tile does not fill its rectangle in order; None: row0, row0 + 1, … and col0, col0 + 1, …
    exchanged: (cols,) bool, columns whose halves of a pair stand in each other's place; None: none do.
    """

    group: int
    rows: np.ndarray
    cols: np.ndarray
    block: int
    row0: int = 0
    col0: int = 0
    site: int | None = None
    word_lines: np.ndarray | None = None
    bit_lines: np.ndarray | None = None
    exchanged: np.ndarray | None = None

    @property
    def lines(self) -> slice | np.ndarray:
        """The word lines of the rows, as an index of the first axis of an array."""
        return slice(self.row0, self.row0 + self.rows.size) if self.word_lines is None else self.word_lines

    @property
    def columns(self) -> np.ndarray:
        """The weight columns of the array that the columns take, (cols,)."""
        return self.col0 + np.arange(self.cols.size) if self.bit_lines is None else self.bit_lines

    @property
    def line_numbers(self) -> np.ndarray:
        """The word line of every row, (rows,)."""
        return self.row0 + np.arange(self.rows.size) if self.word_lines is None else self.word_lines

    @property
    def half_signs(self) -> np.ndarray:
        """(cols,) int8: −1 for columns whose halves are exchanged, so that what is subtracted is added, else +1."""
        if self.exchanged is None:
            return np.ones(self.cols.size, dtype=np.int8)
        return np.where(self.exchanged, -1, 1).astype(np.int8)

    @property
    def last_line(self) -> int:
        """The last word line that the tile takes."""
        return self.row0 + self.rows.size - 1 if self.word_lines is None else int(self.word_lines.max())

    @property
    def in_order(self) -> bool:
        """Whether rows and columns fill their rectangle one after the other."""
        return self.word_lines is None and self.bit_lines is None


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
    order = None if places is None else np.argsort(places)
    for group, mask in enumerate(live if order is None else live[:, order]):
        blocks += [(group, *lines) for lines in cut_group(mask, array_rows, array_cols)]
    return tiles_of(blocks, fragment, order)


Lines = tuple[np.ndarray, np.ndarray]
"""Rows and columns of a group's matrix that stand on one array, ascending (int32)."""


def cut_group(mask: np.ndarray, array_rows: int, array_cols: int) -> list[Lines]:
    """The rows and columns of every array of one group, mask (rows, cols) bool; see `cut`."""
    rows, cols = mask.shape
    if all_live(mask):
        return _dense(rows, cols, array_rows, array_cols)
    original = _cut_grid(mask, np.arange(rows), np.arange(cols), array_rows, array_cols)
    used = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if used[0].size == rows and used[1].size == cols:
        return original
    compacted = _cut_grid(mask, *used, array_rows, array_cols)
    return original if len(original) < len(compacted) else compacted


def tiles_of(
    blocks: list[tuple[int, np.ndarray, np.ndarray]], fragment: int | None = None, order: np.ndarray | None = None
) -> list[Tile]:
    """The tiles of blocks (group, rows, cols), each on an array of its own, cut into the fragments that are read.

    order: (all rows,) the matrix row that each row of the blocks is; None: the same one.
    """
    return [
        Tile(group=group, rows=_named(rows[start:stop], order), cols=cols, block=block, row0=int(start))
        for block, (group, rows, cols) in enumerate(blocks)
        for start, stop in pairwise(_fragment_edges(rows, fragment))
    ]


def _named(rows: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    return rows if order is None else order[rows].astype(np.int32)


def all_live(mask: np.ndarray) -> bool:
    """Whether every entry is True; a mask that repeats one value in memory (`np.broadcast_to`) costs nothing."""
    return bool(mask.flat[0]) if mask.size and not any(mask.strides) else bool(mask.all())


def _dense(rows: int, cols: int, array_rows: int, array_cols: int) -> list[Lines]:
    """A full matrix cut into arrays."""
    down = [np.arange(*edges, dtype=np.int32) for edges in pairwise(block_bounds(rows, array_rows))]
    across = [np.arange(*edges, dtype=np.int32) for edges in pairwise(block_bounds(cols, array_cols))]
    return [(r, c) for r in down for c in across]


def _fragment_edges(rows: np.ndarray, fragment: int | None) -> np.ndarray:
    """Where the rows of an array are cut: before the first of every fragment of the matrix that has a row here."""
    if fragment is None:
        return np.array([0, rows.size])
    new = np.flatnonzero(np.diff(rows // fragment)) + 1
    return np.concatenate([[0], new, [rows.size]])


def _cut_grid(mask: np.ndarray, rows: np.ndarray, cols: np.ndarray, array_rows: int, array_cols: int) -> list[Lines]:
    """Cut the chosen rows and columns into array-sized blocks; drop empty blocks and empty lines inside blocks.

    Returns (rows, cols) of each, int32.
    """
    blocks = []
    whole = (rows.size, cols.size) == mask.shape
    row_edges, col_edges = block_bounds(rows.size, array_rows), block_bounds(cols.size, array_cols)
    for top, bottom in pairwise(row_edges):
        for left, right in pairwise(col_edges):
            r, c = rows[top:bottom], cols[left:right]
            block = mask[top:bottom, left:right] if whole else mask[np.ix_(r, c)]
            if block.any():
                live_rows, live_cols = r[block.any(axis=1)], c[block.any(axis=0)]
                blocks.append((live_rows.astype(np.int32), live_cols.astype(np.int32)))
    return blocks
