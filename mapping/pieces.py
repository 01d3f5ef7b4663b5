"""What stands on the arrays: the cells of the layers' tiles, plane by plane, and which lines they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import numpy as np

from crossbar import ArraySpec
from mapping.tiling import Tile

if TYPE_CHECKING:
    from mapping.placement import LayerPlacement, Placement

Site = Hashable
"""What names a set of arrays, one for each group of planes: the number of a shared site, or a layer and its block."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """Everything on one array. number: of the array; target: (rows, columns) of the word and bit lines in use [S].

    known: what has been worked out of the whole array, for its pieces to share (`mapping.cells`).
    """

    number: int
    target: np.ndarray
    known: dict[tuple[Hashable, ...], np.ndarray] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Piece:
    """One plane of a tile: its cells of one sign and one slice, or the dummy column of a slice.

    number: the tile's place in its layer; sign: −1 for what is subtracted (negative weights, a dummy column);
    codes, target: cell codes and conductances [S], (rows, cols) in the order of the tile, one column for a dummy;
    columns: the bit lines of the array that it takes (planes on neighbouring columns alternate); col0: the first of
    them if the planes of the array stood block by block, as the tile table counts them; converted: columns that a
    converter reads, 0 where the current is subtracted from another piece's before the converter; dummy: whether it
    carries no weights.
    """

    contents: Contents
    layer: LayerPlacement
    number: int
    tile: Tile
    sign: int
    slice: int
    codes: np.ndarray
    target: np.ndarray
    columns: np.ndarray
    col0: int
    converted: int
    dummy: bool = False

    @property
    def array(self) -> int:
        """Number of the array."""
        return self.contents.number


def site_of(layer: LayerPlacement, tile: Tile) -> Site:
    """The arrays that a tile stands on."""
    return (layer.name, tile.block) if tile.site is None else tile.site


def tiles_by_site(layer: LayerPlacement) -> dict[Site, list[int]]:
    """The numbers of a layer's tiles on every site, in the order of its tiles."""
    found: dict[Site, list[int]] = {}
    for number, tile in enumerate(layer.tiles):
        found.setdefault(site_of(layer, tile), []).append(number)
    return found


def pieces_of(placement: Placement) -> Iterator[Piece]:
    """Everything on the arrays, layer by layer and in each layer site by site, sign by sign, slice by slice.

    Arrays are numbered as they are met first, or as `Placement.homes` says. An array that would hold no cell (a half of
    a pair with open crossings only) is not built. The arrays of a site that layers share are held until the last of
    them has been given out.
    """
    by_layer = {name: tiles_by_site(layer) for name, layer in placement.layers.items()}
    visits = Counter(site for sites in by_layer.values() for site in sites)
    shared = _shared(placement, by_layer, visits)
    held: dict[Site, list[Piece]] = {}
    numbers_of_arrays = array_numbers(placement.homes)
    for name, layer in placement.layers.items():
        for site, numbers in by_layer[name].items():
            if site not in held:
                members = shared.get(site) or [(layer, number) for number in numbers]
                held[site] = list(_standing(members, placement.spec_of(layer), numbers_of_arrays))
            visits[site] -= 1
            standing = held[site] if visits[site] else held.pop(site)
            yield from (piece for piece in standing if piece.layer is layer)


def array_numbers(homes: tuple[int, ...]) -> Iterator[int]:
    """The numbers of the arrays in the order in which layers fill them; those beyond `homes` in their own order."""
    return chain(homes, count(len(homes)))


def _shared(
    placement: Placement, by_layer: Mapping[str, dict[Site, list[int]]], visits: Counter[Site]
) -> dict[Site, list[tuple[LayerPlacement, int]]]:
    """The tiles on every site that more than one layer uses."""
    found: dict[Site, list[tuple[LayerPlacement, int]]] = {}
    for name, sites in by_layer.items():
        for site, numbers in sites.items():
            if visits[site] > 1:
                found.setdefault(site, []).extend((placement.layers[name], number) for number in numbers)
    return found


def _standing(members: list[tuple[LayerPlacement, int]], spec: ArraySpec, numbers: Iterator[int]) -> Iterator[Piece]:
    """The pieces on the arrays of one site, which take their numbers in the order sign, slice."""
    coded = [layer.cell_codes(layer.tiles[number], spec).codes for layer, number in members]
    built: set[tuple[int, str, int]] = set()
    for group in spec.plane_groups:
        parts = [
            part
            for (layer, place), codes in zip(members, coded, strict=True)
            for part in _parts(layer, place, codes, group, spec)
        ]
        if not any(part["target"].any() for part in parts):
            continue
        contents = Contents(number=next(numbers), target=_whole(parts, spec))
        for part in parts:
            subtracted = spec.signed_converter and part["sign"] < 0
            # A subtracted half whose partner holds no cell is read by the converter alone.
            key = (part["slice"], part["layer"].name, part["number"])
            partner = not subtracted or key in built
            built.add(key)
            alone = subtracted and not partner and not part["dummy"]
            converted = part["target"].shape[1] if not subtracted or alone else 0
            yield Piece(contents=contents, converted=converted, **part)


def _parts(
    layer: LayerPlacement, place: int, codes: np.ndarray, group: tuple[int, ...], spec: ArraySpec
) -> list[dict[str, Any]]:
    """The pieces of one tile on one array: the planes of the group, then their dummy columns, as keyword arguments."""
    tile = layer.tiles[place]
    encoder, width, left = spec.encoder, tile.cols.size, tile.col0 * len(group)
    common = {"layer": layer, "number": place, "tile": tile}
    found = []
    for at, plane in enumerate(group):
        sign, part = encoder.planes[plane]
        columns = tile.columns * len(group) + at
        found.append(common | _cells(spec, sign, part, codes[plane], columns, left + at * width))
    if encoder.reference_codes is not None:
        for at, plane in enumerate(group):
            column = left + width * len(group) + at
            dummy = np.full((tile.rows.size, 1), encoder.reference_codes[plane])
            part = encoder.planes[plane][1]
            found.append(common | _cells(spec, -1, part, dummy, np.array([column]), column) | {"dummy": True})
    return [{"dummy": False} | part for part in found]


def _cells(spec: ArraySpec, sign: int, part: int, codes: np.ndarray, columns: np.ndarray, col0: int) -> dict[str, Any]:
    target = spec.encoder.conductances(codes)
    return {"sign": sign, "slice": part, "codes": codes, "target": target, "columns": columns, "col0": col0}


def _whole(parts: list[dict[str, Any]], spec: ArraySpec) -> np.ndarray:
    """The target conductances of a whole array [S], from its word line 0 and bit line 0 on.

    Crossings that no tile takes are idle: 0 S or a cell at g_min.
    """
    rows = max(part["tile"].last_line for part in parts) + 1
    cols = max(int(part["columns"].max()) for part in parts) + 1
    if len(parts) == 1 and parts[0]["tile"].in_order and parts[0]["target"].shape == (rows, cols):
        return parts[0]["target"]
    whole = np.full((rows, cols), 0.0 if spec.idle == "open" else spec.device.g_min_s)
    for part in parts:
        whole[part["tile"].line_numbers[:, None], part["columns"]] = part["target"]
    return whole
