"""Small blocks share arrays: two-dimensional bin packing of what plain tiling gives arrays of its own.

Blocks that share an array are read in turn: while the word lines of one are driven, those of the others stay at 0 V
(`ArraySpec.unused_rows`) and their bit lines are not converted. So blocks may lie side by side, above each other or
diagonally, and layers that run at different times may share; what it costs is time, since the array serves one after
the other, and the estimate counts that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from crossbar import ArraySpec
from hwmodels.errors import UserError

if TYPE_CHECKING:
    from mapping.placement import LayerPlacement

Sharing = Literal["none", "layer", "network"]
"""Who may share arrays: nobody, blocks of one layer, or blocks of all layers on arrays of the same spec."""

_CANDIDATES = 16
"""Thresholds of each side that the lower bound tries; more cannot make it wrong, only better."""


@dataclass(frozen=True, eq=False)
class Packing:
    """Rectangles in bins. place: (n, 3) bin, top, left of each; bins: how many; bound: fewer are impossible."""

    place: np.ndarray
    bins: int
    bound: int


def pack(heights: np.ndarray, widths: np.ndarray, rows: int, cols: int) -> Packing:
    """Pack rectangles (n,) into few bins of rows × cols, not turned; each fits one.

    First fit on a skyline in four orders (by height, width, area, longer side; largest first), the best of them: a
    heuristic, never more bins than rectangles. O(n · bins · cols · width).
    """
    from mapping.sharing_kernels import first_fit

    heights, widths = np.asarray(heights, dtype=np.int64), np.asarray(widths, dtype=np.int64)
    found: list[tuple[int, np.ndarray]] = []
    bound = packing_bound(heights, widths, rows, cols)
    by_area = -heights * widths
    orders = ((widths, heights), (heights, widths), (heights, -by_area), (heights, np.maximum(heights, widths)))
    for second, first in orders:
        order = np.lexsort((-second, -first))
        place = np.zeros((heights.size, 3), dtype=np.int64)
        bins = int(first_fit(heights[order], widths[order], rows, cols, place))
        back = np.empty_like(place)
        back[order] = place
        found.append((bins, back))
        if bins <= bound:
            break
    bins, place = min(found, key=lambda item: item[0])
    return Packing(place, bins, bound)


def packing_bound(heights: np.ndarray, widths: np.ndarray, rows: int, cols: int) -> int:
    """Bins below which no packing of the rectangles can go.

    The largest Σ u(h/rows) · u'(w/cols) over pairs of the dual feasible functions u_ε(x) = 1 for x > 1 − ε, x for
    ε ≤ x ≤ 1 − ε, 0 below, 0 ≤ ε ≤ 1/2 (Fekete & Schepers, Math. Methods Oper. Res. 60, 2004, 311–329, Theorem 5):
    area alone for ε = 0. Whole numbers throughout, so nothing is rounded up wrongly. O(n) a pair.
    """
    best = 0
    for e in _thresholds(heights, rows):
        high = _feasible(heights, rows, e)
        for f in _thresholds(widths, cols):
            total = int((high * _feasible(widths, cols, f)).sum())
            best = max(best, -(-total // (rows * cols)))
    return best


def _thresholds(sizes: np.ndarray, whole: int) -> list[float]:
    """Candidates of ε · whole: 0, half the bin, and sides up to that, evenly thinned."""
    sides = np.unique(np.concatenate([[0, whole / 2], sizes[2 * sizes <= whole]]))
    chosen = np.round(np.linspace(0, sides.size - 1, min(sides.size, _CANDIDATES))).astype(int)
    return [float(side) for side in sides[chosen]]


def _feasible(sizes: np.ndarray, whole: int, e: float) -> np.ndarray:
    """u_ε of every side, times the whole."""
    return np.where(sizes > whole - e, whole, np.where(sizes < e, 0, sizes))


def share_arrays(
    layers: dict[str, LayerPlacement], specs: dict[str, ArraySpec], sharing: Sharing
) -> dict[str, LayerPlacement]:
    """The layers with their blocks moved together on shared arrays.

    specs: the arrays of every layer; only layers on arrays of one spec share. A block with a dummy column takes it
    along: the reference has to be summed over the rows that are driven, which are the block's. Raises UserError for an
    unknown sharing.
    """
    if sharing == "none":
        return layers
    if sharing not in ("layer", "network"):
        raise UserError(f"Unknown sharing {sharing!r}; choose 'none', 'layer' or 'network'.")
    groups: dict[object, list[str]] = {}
    kinds: list[ArraySpec] = []
    for name in layers:
        if specs[name] not in kinds:
            kinds.append(specs[name])
        kind = kinds.index(specs[name])
        groups.setdefault(name if sharing == "layer" else kind, []).append(name)
    moved: dict[str, LayerPlacement] = {}
    first = 0
    for names in groups.values():
        done, first = _packed({name: layers[name] for name in names}, specs[names[0]], first)
        moved |= done
    return {name: moved[name] for name in layers}


def blocks_of(layer: LayerPlacement, spec: ArraySpec) -> dict[int, tuple[int, int]]:
    """Word lines and weight columns (height, width) of every block of a layer, its dummy columns among them."""
    sizes: dict[int, tuple[int, int]] = {}
    for tile in layer.tiles:
        high, wide = sizes.get(tile.block, (0, 0))
        sizes[tile.block] = (high + tile.rows.size, max(wide, tile.cols.size + (spec.dummy_cols > 0)))
    return sizes


def room_of(spec: ArraySpec) -> tuple[int, int]:
    """Word lines and weight columns of an array that blocks may take, a dummy column among the latter."""
    # The dummies of all slices take as many bit lines as a weight does.
    return spec.rows, spec.weight_cols + (spec.dummy_cols > 0)


def _mobile(blocks: list[tuple[str, int, int, int]], spec: ArraySpec) -> list[tuple[str, int, int, int]]:
    """The blocks that leave room for another one beside them or below."""
    rows, cols = room_of(spec)
    least_high = min((block[2] for block in blocks), default=0)
    least_wide = min((block[3] for block in blocks), default=0)
    return [block for block in blocks if rows - block[2] >= least_high or cols - block[3] >= least_wide]


def _packed(layers: dict[str, LayerPlacement], spec: ArraySpec, first: int) -> tuple[dict[str, LayerPlacement], int]:
    """Layers that share arrays of one spec, sites numbered from `first`; the next free number."""
    blocks = _mobile(
        [(name, block, *size) for name, layer in layers.items() for block, size in blocks_of(layer, spec).items()], spec
    )
    packing = pack(np.array([b[2] for b in blocks]), np.array([b[3] for b in blocks]), *room_of(spec))
    members = np.bincount(packing.place[:, 0], minlength=packing.bins)
    numbers = np.cumsum(members > 1) - 1 + first
    home = {
        (name, block): (int(numbers[site]), int(top), int(left))
        for (name, block, _, _), (site, top, left) in zip(blocks, packing.place, strict=True)
        if members[site] > 1
    }
    moved = {
        name: replace(
            layer,
            tiles=tuple(
                tile
                if (name, tile.block) not in home
                else replace(
                    tile,
                    site=home[name, tile.block][0],
                    row0=tile.row0 + home[name, tile.block][1],
                    col0=home[name, tile.block][2],
                )
                for tile in layer.tiles
            ),
        )
        for name, layer in layers.items()
    }
    return moved, first + int((members > 1).sum())
