"""The tile table of dense matrices of many sizes on given arrays, as placements of them would list it.

A matrix falls into blocks of at most four sizes: whole arrays, and those at its right, lower and lower right edge. One
block of every size is put on arrays by the placement's own code, and the table repeats its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from crossbar import ArraySpec, LayerShape, LevelGrid
from mapping.lowering import Geometry
from mapping.placement import Calibration, LayerPlacement, Placement
from mapping.tiling import Tile

Size = tuple[int, int, int]
"""Rows and columns of a block, and how many fragments they are read in (1: all at once)."""


def option_tiles(shape: LayerShape, signed: bool, rows: np.ndarray, cols: np.ndarray, spec: ArraySpec) -> pd.DataFrame:
    """Dense matrices of rows[i] × cols[i] cut from a layer, one "layer" i each: what `hwmodels.estimate` reads.

    shape: of one group of the layer, unpruned; signed: its inputs have both signs; rows, cols: (n,) whole numbers.
    Energies are upper bounds: weights at g_max, both halves of pairs built, word lines driven fully, and of polarised
    fragments as many as the rows could be spread over, min(r, all of the layer and one more for every further array).
    """
    templates: dict[Size, dict[str, np.ndarray]] = {}
    parts: dict[str, list[np.ndarray]] = {}
    array = 0
    for number, (r, c) in enumerate(zip(rows.tolist(), cols.tolist(), strict=True)):
        tile = 0
        for size, count in _blocks(shape, int(r), int(c), spec):
            if size not in templates:
                templates[size] = _template(size, shape.positions, signed, spec)
            one = templates[size]
            arrays, tiles = int(one["array"].max()) + 1, int(one["tile"].max()) + 1
            repeated = {key: np.tile(values, count) for key, values in one.items()}
            block = np.repeat(np.arange(count), one["array"].size)
            repeated["array"] = repeated["array"] + array + block * arrays
            repeated["tile"] = repeated["tile"] + tile + block * tiles
            repeated["layer"] = np.full(block.size, number)
            repeated["outputs"] = np.full(block.size, c)
            for key, values in repeated.items():
                parts.setdefault(key, []).append(values)
            array, tile = array + count * arrays, tile + count * tiles
    table = pd.DataFrame({key: np.concatenate(values) for key, values in parts.items()})
    return table.assign(layer=table["layer"].astype(str))


def _blocks(shape: LayerShape, rows: int, cols: int, spec: ArraySpec) -> Iterator[tuple[Size, int]]:
    """The sizes of the blocks that rows × cols fall into, and how many there are of each."""
    heights = [min(spec.rows, rows - top) for top in range(0, rows, spec.rows)]
    reads = [1] * len(heights)
    if spec.fragment is not None:
        most = min(rows, -(-shape.rows // spec.fragment) + len(heights) - 1)
        edges = [round(most * top / rows) for top in np.cumsum([0, *heights]).tolist()]
        reads = [max(after - before, 1) for before, after in pairwise(edges)]
    whole, rest = divmod(cols, spec.weight_cols)
    sizes = sorted(zip(heights, reads, strict=True))
    for height, read in sorted(set(sizes)):
        strips = sizes.count((height, read))
        for width, count in ((spec.weight_cols, whole), (rest, 1)):
            if width and count:
                yield (height, width, read), strips * count


def _template(size: Size, positions: int, signed: bool, spec: ArraySpec) -> dict[str, np.ndarray]:
    """The rows of one dense block in a tile table, arrays and tiles from 0, by column; outputs and layer left open."""
    height, width, reads = size
    # With cells at every crossing both halves of a pair are built, as for weights of both signs.
    array = spec.with_(idle="hrs") if spec.idle == "open" else spec
    levels = array.weight_levels()
    edges = np.linspace(0, height, reads + 1).round().astype(int)
    columns = np.arange(width, dtype=np.int32)
    cycles = spec.cycles_per_vector(signed)
    layer = LayerPlacement(
        name="block",
        geometry=Geometry(kind="Linear", weight_shape=(width, height)),
        shape=LayerShape(rows=height, cols=width, positions=positions),
        grid=LevelGrid(levels, np.array(1.0)),
        index=np.full((1, height, width), levels.size - 1, dtype=np.uint16),
        live=np.ones((1, height, width), dtype=bool),
        tiles=tuple(
            Tile(group=0, rows=np.arange(top, bottom, dtype=np.int32), cols=columns, block=0, row0=int(top))
            for top, bottom in pairwise(edges)
        ),
        calibration=Calibration(
            input_scale=1.0, signed=signed, adc_full_scale_s=0.0, drive=np.full((1, height), float(cycles))
        ),
    )
    table = Placement(array=array, layers={"block": layer}, digital=(), macs_total=0).tiles
    g = np.where(_dummies(table, spec), table["g_sum_s"] / (table["rows"] * table["cols"]), _largest_mean_s(spec))
    g_sum = g * table["rows"] * table["cols"]
    table = table.assign(
        live_cells=table["rows"] * table["cols"],
        max_live_per_col=table["rows"],
        g_sum_s=g_sum,
        read_energy_j=g_sum * cycles * spec.t_read_s * spec.device.read_voltage_v**2,
    ).drop(columns=["adc_bits_needed", "layer", "outputs"])
    return {str(name): column.to_numpy() for name, column in table.items()}


def _dummies(table: pd.DataFrame, spec: ArraySpec) -> np.ndarray:
    """Which rows are dummy columns; only those are subtracted where an encoding has no halves."""
    return ((table["sign"] < 0) & (spec.encoding != "pair")).to_numpy()


def _largest_mean_s(spec: ArraySpec) -> float:
    """The mean conductance of a block's cells that no weights exceed [S]; of a pair, over both halves."""
    device = spec.device
    if spec.encoding == "pair":
        return (device.g_max_s + (0.0 if spec.idle == "open" else device.g_min_s)) / 2
    return (device.g_min_s + device.g_max_s) / 2 if spec.encoding == "flipped" else device.g_max_s
