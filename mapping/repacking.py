"""Repacking: which rows and columns of a masked matrix stand together on an array, chosen so that few arrays do.

Rows of a matrix may be driven in any order and on any array, because the inputs of a layer are gathered by index
anyway (im2col), and columns may be given in any order, because their outputs are put back by index. What that takes is
one index a word line and one a converted column of every tile (`index_bits`); plain tiling needs them too as soon as a
mask drops lines.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np

from mapping.tiling import Lines, Tile, cut_group, tiles_of


def repacked(
    live: np.ndarray,
    array_rows: int,
    array_cols: int,
    fragment: int | None = None,
    places: np.ndarray | None = None,
) -> list[Tile]:
    """Tiles of a masked layer whose survivors stand on as few arrays as the heuristic finds.

    Arguments as `tiling.cut`, which is taken where nothing better is found: never more arrays than plain tiling.
    """
    order = None if places is None else np.argsort(places)
    masks = live if order is None else live[:, order]
    blocks = [
        (group, *lines) for group, mask in enumerate(masks) for lines in repack_group(mask, array_rows, array_cols)
    ]
    return tiles_of(blocks, fragment, order)


def repack_group(mask: np.ndarray, array_rows: int, array_cols: int) -> list[Lines]:
    """Rows and columns of every array of one group, mask (rows, cols) bool.

    Co-clustering: strips of at most C columns are grown one by one, always by the column that brings the fewest new
    rows; a strip whose columns touch r rows together takes ⌈r/R⌉ arrays. The same for strips of rows, each from
    several starts; the best of these and of plain tiling is taken. Where plain tiling meets the lower bound nothing is
    searched. O(⌈cols/C⌉ · weights + cols²) a start, and likewise for rows; no proof of the optimum, see `lower_bound`.
    """
    plain = cut_group(mask, array_rows, array_cols)
    bound = lower_bound(mask, array_rows, array_cols)
    best = plain
    for first in _FIRST.values():
        for turned in (False, True):
            if len(best) <= bound:
                return best
            found = _by_strips(mask.T, array_cols, array_rows, first) if turned else []
            found = [(rows, cols) for cols, rows in found] or _by_strips(mask, array_rows, array_cols, first)
            best = min(best, found, key=len)
    return best


def lower_bound(mask: np.ndarray, array_rows: int, array_cols: int) -> int:
    """Arrays below which no choice of rows and columns can go, tiles of one group not sharing arrays.

    An array holds at most R rows and C columns, so it covers at most R·C weights, R weights of a column and C of a row.
    The largest of ⌈live/(R·C)⌉; Σ over columns of ⌈live in it/R⌉, over C; the same of rows; and the arrays that the
    fullest column or row alone takes. O(weights).
    """
    in_cols, in_rows = mask.sum(axis=0), mask.sum(axis=1)
    by_cols, by_rows = -(-in_cols // array_rows), -(-in_rows // array_cols)
    return max(
        ceil(int(in_cols.sum()) / (array_rows * array_cols)),
        ceil(int(by_cols.sum()) / array_cols),
        ceil(int(by_rows.sum()) / array_rows),
        int(by_cols.max(initial=0)),
        int(by_rows.max(initial=0)),
    )


def index_bits(tiles: tuple[Tile, ...], rows: int, cols: int) -> int:
    """Bits of the tables that say which input drives each word line and which output each column gives, and how.

    ⌈log2 rows⌉ a word line and ⌈log2 cols⌉ a column of every tile of a layer's matrix (rows, cols); none where every
    tile takes neighbouring rows and columns in order, for which a first number and a length do. One bit a column more
    in tiles with exchanged halves. It is not priced: no component library holds such a table.
    """
    turned = sum(tile.cols.size for tile in tiles if tile.exchanged is not None)
    if all(_neighbours(tile.rows) and _neighbours(tile.cols) and tile.in_order for tile in tiles):
        return turned
    per_row, per_col = (max(size - 1, 1).bit_length() for size in (rows, cols))
    return turned + sum(tile.rows.size * per_row + tile.cols.size * per_col for tile in tiles)


def _neighbours(lines: np.ndarray) -> bool:
    return bool((np.diff(lines) == 1).all())


_FIRST: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "fullest": lambda weight, common: weight,
    "emptiest": lambda weight, common: -weight,
    "loneliest": lambda weight, common: -common,
}
"""Which column starts a strip: that of the largest value, from (live rows of it, columns that share a row with it)."""


def _by_strips(
    mask: np.ndarray, array_rows: int, array_cols: int, first: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> list[Lines]:
    """Strips of at most C columns, each cut into arrays along the rows that its columns touch."""
    dense = np.ascontiguousarray(mask, dtype=np.float32)
    weight = dense.sum(axis=0)
    common = dense.sum(axis=1) @ dense
    start = first(weight, common)
    left = weight > 0
    blocks: list[Lines] = []
    while left.any():
        chosen = _grown(dense, left, int(np.argmax(np.where(left, start, -np.inf))), array_rows, array_cols)
        left[chosen] = False
        rows = np.flatnonzero(mask[:, chosen].any(axis=1)).astype(np.int32)
        for top in range(0, rows.size, array_rows):
            part = rows[top : top + array_rows]
            blocks.append((part, chosen[mask[np.ix_(part, chosen)].any(axis=0)]))
    return blocks


def _grown(dense: np.ndarray, left: np.ndarray, seed: int, array_rows: int, array_cols: int) -> np.ndarray:
    """The columns of one strip, ascending: the seed, then always the one that touches the fewest rows not yet taken.

    Of several, the one with the most weights. Growing ends at C columns, or where the next column would take another
    row of arrays although the strip has filled half of its columns.
    """
    free = left.copy()
    new_rows = dense.sum(axis=0)
    weight = new_rows.copy()
    taken = np.zeros(dense.shape[0], dtype=bool)
    chosen: list[int] = []
    column = seed
    while True:
        chosen.append(column)
        free[column] = False
        added = (dense[:, column] > 0) & ~taken
        taken |= added
        new_rows -= dense[added].sum(axis=0)
        if len(chosen) == array_cols or not free.any():
            break
        column = int(np.argmin(np.where(free, new_rows * (dense.shape[0] + 1) - weight, np.inf)))
        used = int(taken.sum())
        more = ceil((used + int(new_rows[column])) / array_rows) - ceil(used / array_rows)
        if more > 0 and 2 * len(chosen) >= array_cols:
            break
    return np.sort(np.array(chosen, dtype=np.int32))
