"""Compiled kernel of the tile table: what stands on every tile, plane by plane, in one pass over the level indices."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import numpy as np

from hwmodels.compiling import compiled


@compiled()
def tile_sums(
    index: np.ndarray,
    live: np.ndarray,
    group: np.ndarray,
    rows: np.ndarray,
    row_ends: np.ndarray,
    cols: np.ndarray,
    col_ends: np.ndarray,
    flips: np.ndarray,
    g: np.ndarray,
    carries: np.ndarray,
    drive: np.ndarray,
    g_sum: np.ndarray,
    driven: np.ndarray,
    count: np.ndarray,
    most: np.ndarray,
    most_live: np.ndarray,
) -> None:
    """Conductance, driven conductance and live cells of every tile and plane, added into the last five arrays.

    index, live: (groups, rows, cols); group: (tiles,); rows, cols: the tiles' lines behind each other, row_ends and
    col_ends (tiles + 1,) where each begins; flips: (planes, all columns) 1 where a column holds complements, or its
    halves are exchanged, or (0, 0); g: (2, planes, levels + 1) [S] of a level, and where it is flipped; the last entry
    where no weight stands; carries: of that shape, whether a level has its cell on the plane; drive: (groups, rows).
    g_sum, driven: (tiles, planes) [S]; count, most: (tiles, planes) live cells, and most of them in a column;
    most_live: (tiles,) most live weights in a column, whatever their sign. O(weights · planes).
    """
    tiles, planes, dead = group.size, g.shape[1], g.shape[2] - 1
    width = 0
    for t in range(tiles):
        width = max(width, col_ends[t + 1] - col_ends[t])
    in_column = np.zeros((planes + 1, width), dtype=np.int64)
    for t in range(tiles):
        left, wide, which = col_ends[t], col_ends[t + 1] - col_ends[t], group[t]
        in_column[:, :wide] = 0
        for r in range(row_ends[t], row_ends[t + 1]):
            row = rows[r]
            for p in range(planes):
                total = 0.0
                for c in range(wide):
                    col = cols[left + c]
                    stands = live[which, row, col]
                    level = int(index[which, row, col]) if stands else dead
                    flip = flips[p, left + c] if flips.size else 0
                    total += g[flip, p, level]
                    in_column[p, c] += carries[flip, p, level]
                    if p == 0:
                        in_column[planes, c] += stands
                g_sum[t, p] += total
                driven[t, p] += drive[which, row] * total
        for p in range(planes):
            for c in range(wide):
                count[t, p] += in_column[p, c]
                most[t, p] = max(most[t, p], in_column[p, c])
        for c in range(wide):
            most_live[t] = max(most_live[t], in_column[planes, c])
