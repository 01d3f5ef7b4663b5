"""The placement: which weight sits in which cell of which array, and everything that is counted from it."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import nn

from crossbar import ArraySpec, LayerShape, LevelGrid, from_matrix
from crossbar.histogram import CodeHistogram
from hwmodels.errors import UserError
from mapping.lowering import Geometry
from mapping.tiling import Tile
from mapping.trace import DigitalLayer


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """What a small batch of inputs says about a layer; measured on its nominal arrays.

    input_scale: the input that the largest input code stands for; signed: negative inputs occur; adc_full_scale_s: full
    scale of the converters in conductance × DAC code [S], the largest of them where each has its own, 0 without a
    converter; drive: (groups, rows) mean over input vectors of Σ_cycles (V / V_read)², the share of the read voltage
    squared that a word line carries.
    converters: (n, 2) int64 array and converter of the array of each range of its own, converter_full_scale_s: (n,)
    its full scale; both empty where one range serves the layer. histogram: the column sums in codes, None without a
    converter. lossless_adc_bits: the fewest bits that lose nothing at one grid unit a step, None where none do.
    """

    input_scale: float
    signed: bool
    adc_full_scale_s: float
    drive: np.ndarray
    converters: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    converter_full_scale_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    histogram: CodeHistogram | None = None
    lossless_adc_bits: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerPlacement:
    """One layer on arrays.

    index: (groups, rows, cols) level indices (uint8 or uint16) into `grid`; live: bool of that shape, False where
    no weight stands; tiles: the parts that stand on arrays; snap_error: ‖w − quantised w‖ / ‖w‖ over live
    weights, what placing cost in precision (0 for weights that were on their levels already).
    """

    name: str
    geometry: Geometry
    shape: LayerShape
    grid: LevelGrid
    index: np.ndarray
    live: np.ndarray
    tiles: tuple[Tile, ...]
    calibration: Calibration
    snap_error: float = 0.0

    def weights(self) -> torch.Tensor:
        """The quantised weight tensor (float32, the layer's own shape); dead weights are 0."""
        matrix = np.where(self.live, self.grid.weights(self.index), np.float32(0))
        return torch.from_numpy(np.ascontiguousarray(from_matrix(matrix, self.geometry.weight_shape)))

    @cached_property
    def outputs(self) -> int:
        """Outputs that arrays compute per input vector: columns with a live weight, over all groups."""
        return int(self.live.any(axis=1).sum())

    def cell_codes(self, tile: Tile, spec: ArraySpec) -> np.ndarray:
        """Cell codes (2, slices, rows, cols) of one tile: sign, slice, word line, bit line."""
        at = np.ix_(tile.rows, tile.cols)
        return spec.encoding.encode(self.index[tile.group][at], self.live[tile.group][at])

    def weights_from_cells(self, spec: ArraySpec) -> torch.Tensor:
        """The weight tensor rebuilt from nothing but the cells: equals `weights()` bit for bit."""
        matrix = np.zeros(self.index.shape, dtype=np.float32)
        for tile in self.tiles:
            index, live = spec.encoding.decode(self.cell_codes(tile, spec))
            at = np.ix_(tile.rows, tile.cols)
            scale = self.grid.scale if self.grid.scale.ndim == 0 else self.grid.scale[tile.group, tile.cols]
            weights = LevelGrid(self.grid.values, scale).weights(index)
            matrix[tile.group][at] = np.where(live, weights, np.float32(0))
        return torch.from_numpy(np.ascontiguousarray(from_matrix(matrix, self.geometry.weight_shape)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Piece:
    """What stands on one array: one sign and one slice of a tile. target: conductances [S]; codes: cell codes."""

    array: int
    layer: LayerPlacement
    number: int
    tile: Tile
    sign: int
    slice: int
    codes: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Placement:
    """Tiles of a network on arrays: the one description that simulation and cost both read.

    array: the arrays' spec; layers: by module name, in execution order; digital: what stays digital and why;
    macs_total: multiply-accumulates per inference of the whole network; network: the original module (its
    biases, normalisation and activations run digitally), None when loaded without one; digital_state: its tensors
    beside the placed weights (biases, normalisation) as they were placed, when loaded.
    """

    array: ArraySpec
    layers: dict[str, LayerPlacement]
    digital: tuple[DigitalLayer, ...]
    macs_total: int
    network: nn.Module | None = field(default=None, repr=False)
    digital_state: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    def pieces(self) -> Iterator[Piece]:
        """Every array with its contents, numbered in the order layer, tile, sign, slice.

        A half of a pair that holds no cell (open crossings only) is not built.
        """
        number = 0
        encoding = self.array.encoding
        for layer in self.layers.values():
            for place, tile in enumerate(layer.tiles):
                codes = layer.cell_codes(tile, self.array)
                for half, sign in enumerate((1, -1)):
                    for part in range(self.array.slices):
                        target = encoding.conductances(codes[half, part])
                        if not target.any():
                            continue
                        yield Piece(
                            array=number,
                            layer=layer,
                            number=place,
                            tile=tile,
                            sign=sign,
                            slice=part,
                            codes=codes[half, part],
                            target=target,
                        )
                        number += 1

    @cached_property
    def tiles(self) -> pd.DataFrame:
        """The tile table, a row per tile piece (tile × sign × slice): what `hwmodels.estimate` reads.

        row0, col0: position of the piece in its array; rows, cols: driven word lines and converted bit lines;
        live_cells, max_live_per_col: cells that carry a weight of this sign; reads_per_inference: input vectors;
        input_cycles: array reads in time per input vector; read_energy_j: mean energy of the cells for one
        input vector, Σ V²·G·t_read over its cycles with the calibration inputs' voltages; outputs: values that the
        whole layer gives per input vector.
        """
        rows = [self._tile_row(piece) for piece in self.pieces()]
        return pd.DataFrame(rows, columns=list(_TILE_COLUMNS)).astype(_TILE_COLUMNS)

    def _tile_row(self, piece: Piece) -> dict[str, object]:
        spec, layer = self.array, piece.layer
        at = np.ix_(piece.tile.rows, piece.tile.cols)
        sign = np.sign(layer.grid.values)[layer.index[piece.tile.group][at]]
        carried = layer.live[piece.tile.group][at] & (sign == piece.sign)
        drive = layer.calibration.drive[piece.tile.group][piece.tile.rows]
        energy = spec.t_read_s * spec.device.read_voltage_v**2 * float(drive @ piece.target.sum(axis=1))
        return {
            "array": piece.array,
            "layer": layer.name,
            "tile": piece.number,
            "sign": piece.sign,
            "slice": piece.slice,
            "row0": 0,
            "col0": 0,
            "rows": piece.tile.rows.size,
            "cols": piece.tile.cols.size,
            "array_rows": spec.rows,
            "array_cols": spec.cols,
            "live_cells": int(carried.sum()),
            "max_live_per_col": int(carried.sum(axis=0).max(initial=0)),
            "cell_bits": (spec.device.levels - 1).bit_length(),
            "reads_per_inference": layer.shape.positions,
            "input_cycles": spec.cycles_per_vector(layer.calibration.signed),
            "dac_bits": 0 if spec.input_bits is None else spec.dac_bits,
            "adc_bits": spec.adc_bits or 0,
            "cols_per_adc": spec.columns_per_converter,
            "g_sum_s": float(piece.target.sum()),
            "read_energy_j": energy,
            "t_read_s": spec.t_read_s,
            "outputs": layer.outputs,
        }

    @property
    def arrays(self) -> int:
        """Physical arrays in use."""
        return len(set(self.tiles["array"].tolist()))

    @property
    def layer_table(self) -> pd.DataFrame:
        """A row per layer: its matrix, what survives of it, and the arrays it takes."""
        # Every tile has an array of its own, so a layer's pieces are its arrays.
        counts = Counter(self.tiles["layer"].tolist())
        return pd.DataFrame(
            [
                {
                    "layer": layer.name,
                    "kind": layer.geometry.kind,
                    "rows": layer.shape.rows,
                    "cols": layer.shape.cols,
                    "groups": layer.shape.groups,
                    "positions": layer.shape.positions,
                    "weights": layer.shape.weights,
                    "kept": int(layer.live.sum()),
                    "rows_kept": int(layer.live.any(axis=2).sum()),
                    "cols_kept": int(layer.live.any(axis=1).sum()),
                    "arrays": counts[layer.name],
                    "macs": layer.shape.macs,
                    "input_phases": self.array.input_phases(layer.calibration.signed),
                    "levels_used": int(np.unique(layer.index[layer.live]).size),
                    "snap_error": layer.snap_error,
                }
                for layer in self.layers.values()
            ]
        )

    @property
    def macs_on_arrays(self) -> float:
        """Share of the network's multiply-accumulates (dense count) that arrays compute."""
        mapped = sum(layer.shape.macs for layer in self.layers.values())
        return mapped / self.macs_total if self.macs_total else 0.0

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the placement into a folder; see `mapping.placement_file` for the layout."""
        from mapping import placement_file

        placement_file.save(self, folder)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> Placement:
        """Read a placement that `save` wrote; nothing in it is run as code."""
        from mapping import placement_file

        return placement_file.load(folder)

    def reference(self, network: nn.Module | None = None) -> nn.Module:
        """The quantised torch network that ideal arrays must equal; a copy in evaluation mode.

        network: the module whose structure to take; default: the one that was placed. A loaded placement brings its
        own biases and normalisation and puts them into the copy.
        Raises UserError when there is none, or when it lacks a placed layer.
        """
        source = network if network is not None else self.network
        if source is None:
            raise UserError("This placement was loaded without its network; pass it: reference(network).")
        model = copy.deepcopy(source).eval()
        _restore_digital(model, self.digital_state)
        for layer in self.layers.values():
            target = _weight_of(model, layer)
            with torch.no_grad():
                target.copy_(layer.weights())
        return model


_TILE_COLUMNS: dict[str, str] = {
    "array": "int64",
    "layer": "str",
    "tile": "int64",
    "sign": "int64",
    "slice": "int64",
    "row0": "int64",
    "col0": "int64",
    "rows": "int64",
    "cols": "int64",
    "array_rows": "int64",
    "array_cols": "int64",
    "live_cells": "int64",
    "max_live_per_col": "int64",
    "cell_bits": "int64",
    "reads_per_inference": "int64",
    "input_cycles": "int64",
    "dac_bits": "int64",
    "adc_bits": "int64",
    "cols_per_adc": "int64",
    "g_sum_s": "float64",
    "read_energy_j": "float64",
    "t_read_s": "float64",
    "outputs": "int64",
}


def _restore_digital(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put the digital tensors of a loaded placement back; a network that does not have them so is refused."""
    present = model.state_dict()
    for key, value in state.items():
        if key not in present or present[key].shape != value.shape:
            raise UserError(f"The network has no {key!r} of shape {tuple(value.shape)}, which this placement holds.")
    model.load_state_dict(state, strict=False)


def _weight_of(model: nn.Module, layer: LayerPlacement) -> torch.Tensor:
    try:
        module = model.get_submodule(layer.name)
    except AttributeError:
        raise UserError(f"The network has no layer {layer.name!r}, which this placement holds.") from None
    weight = module.weight
    if not isinstance(weight, torch.Tensor) or tuple(weight.shape) != layer.geometry.weight_shape:
        raise UserError(f"Layer {layer.name!r} of the network does not have the weight shape that was placed.")
    return weight
