"""The tile table: a row per tile piece, worked out layer by layer from the level indices, without building a cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crossbar import ArraySpec
from mapping.pieces import Site, array_numbers, tiles_by_site

if TYPE_CHECKING:
    from mapping.placement import LayerPlacement, Placement

COLUMNS: dict[str, str] = {
    "array": "int64",
    "layer": "str",
    "tile": "int64",
    "sign": "int64",
    "slice": "int64",
    "row0": "int64",
    "col0": "int64",
    "rows": "int64",
    "cols": "int64",
    "converted_cols": "int64",
    "array_rows": "int64",
    "array_cols": "int64",
    "live_cells": "int64",
    "max_live_per_col": "int64",
    "cell_bits": "int64",
    "reads_per_inference": "int64",
    "input_cycles": "int64",
    "input_phases": "int64",
    "dac_bits": "int64",
    "adc_bits": "int64",
    "adc_bits_needed": "int64",
    "cols_per_adc": "int64",
    "g_sum_s": "float64",
    "read_energy_j": "float64",
    "t_read_s": "float64",
    "outputs": "int64",
}


def tile_table(placement: Placement) -> pd.DataFrame:
    """A row per tile piece (tile × sign × slice), in the order of `pieces_of`: what `hwmodels.estimate` reads.

    sign: −1 for what is subtracted (negative weights, a dummy column); where an encoding has no halves, +1 stands
    for both signs. row0, col0: position of the piece in its array (planes on neighbouring columns counted block by
    block, lines counted as if a tile filled its rectangle in order); rows, cols: word lines driven together and bit
    lines; converted_cols: of these, columns that are converted, 0 where the current is subtracted from another piece's
    first; tiles on one array are read in turn. live_cells, max_live_per_col: cells that carry a weight of this sign;
    adc_bits_needed: bits with which no column sum of the piece can clip, 0 where inputs have no codes;
    reads_per_inference: input vectors; input_cycles: array reads in time per input vector, all phases together;
    input_phases: 2 where inputs have both signs; read_energy_j: mean energy of the cells for one input vector,
    Σ V²·G·t_read over its cycles with the calibration inputs' voltages, bit lines of other tiles floating, NaN without
    calibration; outputs: values that the whole layer gives per input vector.
    One compiled pass over the weights, O(weights · planes); the tests count the same from the cells, piece by piece.
    """
    sums = {name: TileSums.of(layer, placement.spec_of(layer)) for name, layer in placement.layers.items()}
    parts = list(_layers(placement, sums))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    return pd.DataFrame(columns).astype(COLUMNS)


@dataclass(frozen=True, eq=False)
class TileSums:
    """What stands on the tiles of a layer, plane by plane.

    g_sum, driven: (tiles, planes) Σ g and Σ drive · g [S]; count, most: (tiles, planes) cells that carry a weight, and
    most of them in a column; most_live: (tiles,) most live weights in a column; drive: (tiles,) Σ drive of its rows.
    """

    g_sum: np.ndarray
    driven: np.ndarray
    count: np.ndarray
    most: np.ndarray
    most_live: np.ndarray
    drive: np.ndarray

    @staticmethod
    def of(layer: LayerPlacement, spec: ArraySpec) -> TileSums:
        """One pass over the layer's level indices."""
        from mapping.tile_kernels import tile_sums

        tiles, planes = len(layer.tiles), len(spec.encoder.planes)
        g, carries = _of_level(spec)
        real = (np.zeros((tiles, planes)), np.zeros((tiles, planes)))
        whole = (np.zeros((tiles, planes), np.int64), np.zeros((tiles, planes), np.int64), np.zeros(tiles, np.int64))
        drive = layer.calibration.drive
        group = np.array([tile.group for tile in layer.tiles], dtype=np.int64)
        rows, row_ends = _behind_each_other([tile.rows for tile in layer.tiles])
        cols, col_ends = _behind_each_other([tile.cols for tile in layer.tiles])
        flips = np.zeros((0, 0), dtype=np.int8)
        if spec.encoding == "flipped" and layer.signs:
            flips = (np.concatenate(layer.signs, axis=1) < 0).astype(np.int8)
        elif any(tile.exchanged is not None for tile in layer.tiles):
            signs = np.concatenate([tile.half_signs for tile in layer.tiles])
            flips = np.repeat((signs < 0).astype(np.int8)[None], planes, axis=0)
        tile_sums(
            layer.index, layer.live, group, rows, row_ends, cols, col_ends, flips, g, carries, drive, *real, *whole
        )
        each = np.array([drive[tile.group][tile.rows].sum() for tile in layer.tiles])
        return TileSums(*real, *whole, each)


def _behind_each_other(lines: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lines in one int32 array, and where each tile's begin: (all,), (tiles + 1,)."""
    flat = np.concatenate([np.zeros(0, dtype=np.int32), *lines]).astype(np.int32)
    return flat, np.concatenate([[0], np.cumsum([part.size for part in lines], dtype=np.int64)]).astype(np.int64)


def _of_level(spec: ArraySpec) -> tuple[np.ndarray, np.ndarray]:
    """Conductances [S] and carried flags, (2, planes, levels + 1) each, as `tile_sums` takes them."""
    encoder = spec.encoder
    levels = len(encoder.values)
    index, live = np.arange(levels)[None], np.ones((1, levels), dtype=bool)
    cells = encoder.encode(np.append(index, [[0]], axis=1), np.append(live, [[False]], axis=1))
    codes = cells.codes[:, 0]
    flipped = codes
    if spec.encoding == "flipped":
        assert cells.signs is not None
        top = np.array(encoder.slicing.radices, dtype=np.int16)[:, None] - np.int16(1)
        codes = np.where(cells.signs < 0, top - codes, codes)
        flipped = top - codes
    carries = np.zeros(codes.shape, dtype=np.int64)
    carries[:, :levels] = 1
    if spec.encoding == "pair":  # the zero level of a pair stands on no half
        carries[:, :levels] = [np.sign(encoder.values) == sign for sign, _ in encoder.planes]
        flipped = np.roll(codes, spec.slices, axis=0)  # the other half's cells
    other = np.roll(carries, spec.slices, axis=0) if spec.encoding == "pair" else carries
    return np.stack([encoder.conductances(codes), encoder.conductances(flipped)]), np.stack([carries, other])


def _layers(placement: Placement, sums: dict[str, TileSums]) -> Iterator[dict[str, np.ndarray]]:
    """The columns of one layer after the other."""
    arrays = _array_numbers(placement, sums)
    for name, layer in placement.layers.items():
        if layer.tiles:
            yield _layer(layer, placement.spec_of(layer), sums[name], arrays)


def _array_numbers(placement: Placement, sums: dict[str, TileSums]) -> dict[Site, list[int]]:
    """The number of the array of every site and group of planes, −1 where no cell stands."""
    found: dict[Site, list[int]] = {}
    members: dict[Site, list[tuple[LayerPlacement, list[int]]]] = {}
    for layer in placement.layers.values():
        for site, numbers in tiles_by_site(layer).items():
            members.setdefault(site, []).append((layer, numbers))
    numbers = array_numbers(placement.homes)
    for site, standing in members.items():
        spec = placement.spec_of(standing[0][0])
        found[site] = []
        for group in spec.plane_groups:
            here = spec.dummy_cols > 0 or any(
                sums[layer.name].g_sum[np.ix_(numbers, group)].any() for layer, numbers in standing
            )
            found[site].append(next(numbers) if here else -1)
    return found


def _layer(layer: LayerPlacement, spec: ArraySpec, sums: TileSums, arrays: dict[Site, list[int]]) -> dict[str, Any]:
    """The columns of one layer: (pieces,) each."""
    order = [
        (number, at, group, arrays[site][which])
        for site, numbers in tiles_by_site(layer).items()
        for which, group in enumerate(spec.plane_groups)
        if arrays[site][which] >= 0
        for number in numbers
        for at in range(len(group) * (2 if spec.dummy_cols else 1))
    ]
    tile, at, array = (np.array([item[i] for item in order], dtype=np.int64) for i in (0, 1, 3))
    size = len(spec.plane_groups[0])
    dummy = at >= size
    plane = np.array([group[i % size] for _, i, group, _ in order], dtype=np.int64)
    corner = np.array([(t.row0, t.col0, t.rows.size, t.cols.size) for t in layer.tiles], dtype=np.int64)[tile]
    row0, left, rows, width = corner.T
    signs, parts = np.array(spec.encoder.planes, dtype=np.int64).T
    sign, part = np.where(dummy, -1, signs[plane]), parts[plane]
    cols = np.where(dummy, 1, width)
    converted = _converted(spec, tile, plane, array, dummy, cols)
    g_sum, driven = (np.where(dummy, 0.0, values[tile, plane]) for values in (sums.g_sum, sums.driven))
    if spec.encoder.reference_codes is not None:
        g_ref = spec.encoder.conductances(spec.encoder.reference_codes)[plane]
        g_sum, driven = g_sum + dummy * rows * g_ref, driven + dummy * sums.drive[tile] * g_ref
    most = np.where(dummy, 0, sums.most[tile, plane])
    counted = sums.most_live[tile] if spec.signed_converter else most
    return {
        "array": array,
        "layer": np.full(tile.size, layer.label, dtype=object),
        "tile": tile,
        "sign": sign,
        "slice": part,
        "row0": row0,
        "col0": left * size + np.where(dummy, width * size + at - size, at * width),
        "rows": rows,
        "cols": cols,
        "converted_cols": converted,
        "live_cells": np.where(dummy, 0, sums.count[tile, plane]),
        "max_live_per_col": most,
        "adc_bits_needed": _bits_needed(spec, converted, rows, counted, part),
        "g_sum_s": g_sum,
        "read_energy_j": spec.t_read_s * spec.device.read_voltage_v**2 * driven,
    } | {name: np.full(tile.size, value) for name, value in common_columns(layer, spec).items()}


def common_columns(layer: LayerPlacement, spec: ArraySpec) -> dict[str, Any]:
    """The columns that all pieces of a layer share."""
    signed = layer.calibration.signed
    return {
        "array_rows": spec.rows,
        "array_cols": spec.cols,
        "cell_bits": (spec.device.levels - 1).bit_length(),
        "reads_per_inference": layer.shape.positions,
        "input_cycles": spec.cycles_per_vector(signed),
        "input_phases": spec.input_phases(signed),
        "dac_bits": 0 if spec.input_bits is None else spec.dac_bits,
        "adc_bits": spec.adc_bits or 0,
        "cols_per_adc": spec.columns_per_converter,
        "t_read_s": spec.t_read_s,
        "outputs": layer.outputs,
    }


def _converted(
    spec: ArraySpec, tile: np.ndarray, plane: np.ndarray, array: np.ndarray, dummy: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """Columns of every piece that a converter reads, (pieces,)."""
    if not spec.signed_converter:
        return cols
    subtracted = dummy.copy()
    if spec.encoding == "pair":
        negative = plane >= spec.slices
        # A subtracted half whose partner holds no cell is read by the converter alone.
        partners = set(zip(tile[~negative].tolist(), plane[~negative].tolist(), strict=True))
        keys = zip(tile.tolist(), (plane - spec.slices).tolist(), strict=True)
        subtracted |= negative & np.array([key in partners for key in keys], dtype=bool)
    return np.where(subtracted, 0, cols)


def _bits_needed(
    spec: ArraySpec, converted: np.ndarray, rows: np.ndarray, counted: np.ndarray, part: np.ndarray
) -> np.ndarray:
    """Resolution that no column of a piece can exceed, (pieces,); counted: most cells that a column adds up."""
    if spec.input_bits is None:
        return np.zeros(rows.size, dtype=np.int64)
    asked, where = np.unique(np.stack([rows, counted, part]), axis=1, return_inverse=True)
    bits = [spec.encoder.required_adc_bits(int(n), int(most), int(s), spec.dac_bits) for n, most, s in asked.T]
    return np.where(converted > 0, np.array(bits, dtype=np.int64)[where.reshape(-1)], 0)
