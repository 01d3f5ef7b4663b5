"""How few arrays a masked layer, or a whole placement, could take at best: what heuristics are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from crossbar import ArraySpec
from mapping.repacking import lower_bound
from mapping.sharing import blocks_of, packing_bound, room_of

if TYPE_CHECKING:
    from mapping.placement import LayerPlacement, Placement


def layer_bound(layer: LayerPlacement, spec: ArraySpec) -> int:
    """Arrays below which no tiling of the layer's mask can go.

    Per group and set of planes `repacking.lower_bound` of the weights that have a cell there. Where blocks of the layer
    share arrays (`mapping.sharing`), only the cells count: ⌈cells / (rows · weight columns)⌉ per set of planes.
    O(weights).
    """
    shared = any(tile.site is not None for tile in layer.tiles)
    room, total = spec.rows * spec.weight_cols, 0
    for masks in _masks(layer, spec):
        if shared:
            total += -(-sum(int(mask.sum()) for mask in masks) // room)
        else:
            total += sum(lower_bound(mask, spec.rows, spec.weight_cols) for mask in masks)
    return total


def arrays_bound(placement: Placement) -> int:
    """Arrays below which the placement cannot go: without sharing the sum over its layers (`layer_bound`).

    With sharing, what no packing of the blocks, cut as they are, can go below (`sharing.packing_bound`), over all
    layers on arrays of one spec and for every set of planes by itself.
    """
    layers = placement.layers
    if all(tile.site is None for layer in layers.values() for tile in layer.tiles):
        return sum(layer_bound(layer, placement.spec_of(layer)) for layer in layers.values())
    kinds: list[ArraySpec] = []
    kind_of: dict[str, int] = {}
    for layer in layers.values():
        spec = placement.spec_of(layer)
        if spec not in kinds:
            kinds.append(spec)
        kind_of[layer.label] = kinds.index(spec)
    sizes = _block_sizes(placement, kinds, kind_of)
    total = 0
    for kind, spec in enumerate(kinds):
        for group in spec.plane_groups:
            found = [np.array(sizes[kind, plane]) for plane in group if (kind, plane) in sizes]
            total += max((packing_bound(size[:, 0], size[:, 1], *room_of(spec)) for size in found), default=0)
    return total


def _block_sizes(
    placement: Placement, kinds: list[ArraySpec], kind_of: dict[str, int]
) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """(height, width) of every block that holds cells of a plane, by (spec, plane)."""
    standing: dict[tuple[str, int], set[tuple[int, int]]] = {}
    tiles = placement.tiles
    tiles = tiles[tiles["g_sum_s"] > 0]
    columns = (tiles[name].tolist() for name in ("layer", "tile", "sign", "slice"))
    for label, tile, sign, part in zip(*columns, strict=True):
        standing.setdefault((label, tile), set()).add((sign, part))
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for layer in placement.layers.values():
        kind = kind_of[layer.label]
        sizes = blocks_of(layer, kinds[kind])
        planes: dict[int, set[tuple[int, int]]] = {}
        for number, tile in enumerate(layer.tiles):
            planes.setdefault(tile.block, set()).update(standing.get((layer.label, number), set()))
        for block, own in planes.items():
            for plane, which in enumerate(kinds[kind].encoder.planes):
                if which in own:
                    found.setdefault((kind, plane), []).append(sizes[block])
    return found


def _masks(layer: LayerPlacement, spec: ArraySpec) -> Iterator[np.ndarray]:
    """For every array of a block the weights that have a cell on it, (groups, rows, cols) bool."""
    encoder = spec.encoder
    if spec.encoding != "pair" or spec.idle != "open":
        for _ in spec.plane_groups:
            yield layer.live
        return
    for group in spec.plane_groups:
        signs = {encoder.planes[plane][0] for plane in group}
        yield layer.live & np.isin(np.sign(layer.grid.values), list(signs))[layer.index]
