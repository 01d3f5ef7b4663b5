"""What stands on the arrays of a layer: the cells of its tiles, plane by plane, and which columns they take."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from crossbar import ArraySpec
from mapping.tiling import Tile

if TYPE_CHECKING:
    from mapping.placement import LayerPlacement


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
    codes, target: cell codes and conductances [S], (rows, cols), one column for a dummy; columns: the bit lines of the
    array that it takes (planes on neighbouring columns alternate); col0: the first of them if the planes of the array
    stood block by block, as the tile table counts them; converted: columns that a converter reads, 0 where the
    current is subtracted from another piece's before the converter; dummy: whether it carries no weights.
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


def pieces_of(layer: LayerPlacement, spec: ArraySpec, first: int) -> Iterator[Piece]:
    """The pieces of a layer, array by array, arrays numbered from `first` in the order block, sign, slice.

    An array that would hold no cell (a half of a pair with open crossings only) is not built.
    """
    number = first
    for _, members in groupby(enumerate(layer.tiles), key=lambda item: item[1].block):
        tiles = list(members)
        coded = {place: layer.cell_codes(tile, spec).codes for place, tile in tiles}
        built: set[tuple[int, int]] = set()
        for group in spec.plane_groups:
            parts = [part for place, tile in tiles for part in _parts(layer, place, tile, coded[place], group, spec)]
            if not any(part["target"].any() for part in parts):
                continue
            contents = Contents(number=number, target=_whole(parts))
            number += 1
            for part in parts:
                subtracted = spec.signed_converter and part["sign"] < 0
                # A subtracted half whose partner holds no cell is read by the converter alone.
                partner = not subtracted or (part["slice"], part["number"]) in built
                built.add((part["slice"], part["number"]))
                alone = subtracted and not partner and not part["dummy"]
                converted = part["target"].shape[1] if not subtracted or alone else 0
                yield Piece(contents=contents, converted=converted, **part)


def _parts(
    layer: LayerPlacement, place: int, tile: Tile, codes: np.ndarray, group: tuple[int, ...], spec: ArraySpec
) -> list[dict]:
    """The pieces of one tile on one array: the planes of the group, then their dummy columns, as keyword arguments."""
    encoder, width = spec.encoder, tile.cols.size
    common = {"layer": layer, "number": place, "tile": tile}
    found = []
    for at, plane in enumerate(group):
        sign, part = encoder.planes[plane]
        columns = np.arange(width) * len(group) + at
        found.append(common | _cells(spec, sign, part, codes[plane], columns, at * width))
    if encoder.reference_codes is not None:
        for at, plane in enumerate(group):
            column = width * len(group) + at
            dummy = np.full((tile.rows.size, 1), encoder.reference_codes[plane])
            part = encoder.planes[plane][1]
            found.append(common | _cells(spec, -1, part, dummy, np.array([column]), column) | {"dummy": True})
    return [{"dummy": False} | part for part in found]


def _cells(spec: ArraySpec, sign: int, part: int, codes: np.ndarray, columns: np.ndarray, col0: int) -> dict:
    target = spec.encoder.conductances(codes)
    return {"sign": sign, "slice": part, "codes": codes, "target": target, "columns": columns, "col0": col0}


def _whole(parts: list[dict]) -> np.ndarray:
    """The target conductances of a whole array [S], from its word line 0 and bit line 0 on."""
    if len(parts) == 1:
        return parts[0]["target"]
    rows = max(part["tile"].row0 + part["tile"].rows.size for part in parts)
    cols = max(int(part["columns"].max()) for part in parts) + 1
    whole = np.zeros((rows, cols))
    for part in parts:
        row0 = part["tile"].row0
        whole[row0 : row0 + part["tile"].rows.size, part["columns"]] = part["target"]
    return whole
