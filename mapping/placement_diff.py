"""What differs between two placements, layer by layer and weight by weight."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from mapping.placement import Calibration, LayerPlacement, Placement
from mapping.placement_file import content_hash

COLUMNS = ("layer", "status", "levels_changed", "mask_changed", "cells_moved", "arrays_a", "arrays_b", "other")


@dataclass(frozen=True, eq=False)
class PlacementDiff:
    """Two placements beside each other.

    array: fields of the default array spec that differ, name → (a, b); layers: a row per layer of either: status
    ("same", "differs", "only in A", "only in B"), levels_changed: weights live in both on other levels, mask_changed:
    weights live in one only, cells_moved: weights live in both on another array, word line or bit line (of their first
    plane), arrays_a, arrays_b, other: what else differs (grid, calibration, geometry, arrays of its own).
    """

    array: dict[str, tuple[Any, Any]]
    layers: pd.DataFrame

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.array and set(self.layers["status"].tolist()) <= {"same"}


def diff(a: Placement, b: Placement) -> PlacementDiff:
    """Compare two placements. Layers are told apart by name; equal content is recognised by its hash. O(weights)."""
    array = _differing(a.array, b.array)
    arrays = [dict(zip(p.layer_table["layer"], p.layer_table["arrays"], strict=True)) for p in (a, b)]
    first = [_first_arrays(p) for p in (a, b)]
    rows = []
    for name in dict.fromkeys([*a.layers, *b.layers]):
        counts = {"arrays_a": arrays[0].get(name, 0), "arrays_b": arrays[1].get(name, 0)}
        if name not in a.layers or name not in b.layers:
            only = "only in A" if name in a.layers else "only in B"
            rows.append({"layer": name, "status": only} | _nothing() | counts | {"other": ""})
            continue
        one, two = a.layers[name], b.layers[name]
        changed = _changes(one, two, first[0], first[1])
        other = _other(one, two)
        status = "differs" if other or any(changed.values()) else "same"
        rows.append({"layer": name, "status": status} | changed | counts | {"other": ", ".join(other)})
    return PlacementDiff(array, pd.DataFrame(rows, columns=list(COLUMNS)))


def _nothing() -> dict[str, int]:
    return {"levels_changed": 0, "mask_changed": 0, "cells_moved": 0}


def _first_arrays(placement: Placement) -> dict[tuple[str, int], int]:
    """The lowest number of an array of every (layer, tile)."""
    tiles = placement.tiles
    found: dict[tuple[str, int], int] = {}
    for layer, tile, array in zip(tiles["layer"], tiles["tile"].tolist(), tiles["array"].tolist(), strict=True):
        found[layer, tile] = min(array, found.get((layer, tile), array))
    return found


def _changes(
    one: LayerPlacement,
    two: LayerPlacement,
    arrays_one: dict[tuple[str, int], int],
    arrays_two: dict[tuple[str, int], int],
) -> dict[str, int]:
    """How many weights changed their level, their mask, their cell."""
    if one.index.shape != two.index.shape:
        return {"levels_changed": 0, "mask_changed": one.index.size + two.index.size, "cells_moved": 0}
    homes = [_homes(layer, arrays) for layer, arrays in ((one, arrays_one), (two, arrays_two))]
    if content_hash(one) == content_hash(two) and homes[0] == homes[1]:
        return _nothing()
    both = one.live & two.live
    weights = [np.take(layer.grid.values, layer.index) for layer in (one, two)]
    cells = [_cells(layer, home) for layer, home in zip((one, two), homes, strict=True)]
    moved = np.zeros(both.shape, dtype=bool)
    for mine, theirs in zip(*cells, strict=True):
        moved |= mine != theirs
    return {
        "levels_changed": int((both & (weights[0] != weights[1])).sum()),
        "mask_changed": int((one.live != two.live).sum()),
        "cells_moved": int((both & moved).sum()),
    }


def _homes(layer: LayerPlacement, arrays: dict[tuple[str, int], int]) -> list[int]:
    """The first array of every tile, −1 for one without cells."""
    return [arrays.get((layer.label, number), -1) for number in range(len(layer.tiles))]


def _cells(layer: LayerPlacement, homes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Array, word line and weight column of every weight, −1 where none stands; (groups, rows, cols) int32 each."""
    array, line, column = (np.full(layer.index.shape, -1, dtype=np.int32) for _ in range(3))
    for home, tile in zip(homes, layer.tiles, strict=True):
        at = np.ix_(tile.rows, tile.cols)
        array[tile.group][at] = home
        line[tile.group][at] = tile.line_numbers[:, None]
        # Exchanged halves put a weight on other cells of the same column.
        column[tile.group][at] = np.where(tile.half_signs < 0, -2 - tile.columns, tile.columns)
    return array, line, column


def _other(one: LayerPlacement, two: LayerPlacement) -> list[str]:
    """What else differs, in words."""
    found = []
    if not (np.array_equal(one.grid.values, two.grid.values) and np.array_equal(one.grid.scale, two.grid.scale)):
        found.append("grid")
    if one.geometry != two.geometry or one.shape != two.shape:
        found.append("geometry")
    if one.array != two.array:
        found.append("arrays of its own")
    if _calibrated(one.calibration, two.calibration):
        found.append("calibration")
    return found


def _calibrated(one: Calibration, two: Calibration) -> bool:
    """Whether two calibrations differ (their histograms, which only describe, left out)."""
    for item in fields(one):
        mine, theirs = getattr(one, item.name), getattr(two, item.name)
        if isinstance(mine, np.ndarray):
            if not np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"):
                return True
        elif item.name != "histogram" and mine != theirs:
            return True
    return False


def _differing(one: Any, two: Any) -> dict[str, tuple[Any, Any]]:
    """Fields of two specs that differ; specs inside them are compared field by field, as outer.inner."""
    found: dict[str, tuple[Any, Any]] = {}
    for item in fields(one):
        mine, theirs = getattr(one, item.name), getattr(two, item.name)
        if mine == theirs:
            continue
        if type(mine) is type(theirs) and hasattr(mine, "__dataclass_fields__"):
            found |= {f"{item.name}.{inner}": pair for inner, pair in _differing(mine, theirs).items()}
        else:
            found[item.name] = (mine, theirs)
    return found
