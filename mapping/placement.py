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

from crossbar import ArraySpec, CellCodes, LayerShape, LevelGrid, from_matrix
from crossbar.histogram import CodeHistogram
from hwmodels.errors import UserError
from mapping.lowering import Geometry
from mapping.pieces import Piece, pieces_of
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
    no weight stands; tiles: the parts that stand on arrays; signs: per tile the digital bits that its cells are read
    with (`crossbar.CellCodes`), () where the encoding needs none; snap_error: ‖w − quantised w‖ / ‖w‖ over live
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
    signs: tuple[np.ndarray, ...] = ()
    snap_error: float = 0.0

    @property
    def snapped(self) -> bool:
        """Whether placing moved weights by more than float32 rounds them."""
        return self.snap_error > 1e-6

    @property
    def label(self) -> str:
        """The name in tables of tiles and cost; a network that is one bare layer has no module name."""
        return self.name or "network"

    def weights(self) -> torch.Tensor:
        """The quantised weight tensor (float32, the layer's own shape); dead weights are 0."""
        matrix = np.where(self.live, self.grid.weights(self.index), np.float32(0))
        return torch.from_numpy(np.ascontiguousarray(from_matrix(matrix, self.geometry.weight_shape)))

    @cached_property
    def outputs(self) -> int:
        """Outputs that arrays compute per input vector: columns with a live weight, over all groups."""
        return int(self.live.any(axis=1).sum())

    def cell_codes(self, tile: Tile, spec: ArraySpec) -> CellCodes:
        """Cell codes (planes, rows, cols) of one tile, with the signs that go with them.

        Raises MixedSignsError for a polarised tile whose fragments hold weights of both signs.
        """
        at = np.ix_(tile.rows, tile.cols)
        return spec.encoder.encode(self.index[tile.group][at], self.live[tile.group][at])

    def weights_from_cells(self, spec: ArraySpec) -> torch.Tensor:
        """The weight tensor rebuilt from nothing but the cells and their signs: equals `weights()` bit for bit."""
        matrix = np.zeros(self.index.shape, dtype=np.float32)
        for number, tile in enumerate(self.tiles):
            signs = self.signs[number] if self.signs else None
            index, live = spec.encoder.decode(CellCodes(self.cell_codes(tile, spec).codes, signs))
            at = np.ix_(tile.rows, tile.cols)
            scale = self.grid.scale if self.grid.scale.ndim == 0 else self.grid.scale[tile.group, tile.cols]
            weights = LevelGrid(self.grid.values, scale).weights(index)
            matrix[tile.group][at] = np.where(live, weights, np.float32(0))
        return torch.from_numpy(np.ascontiguousarray(from_matrix(matrix, self.geometry.weight_shape)))


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
        """Everything on the arrays, array by array, numbered in the order layer, tile, sign, slice (`pieces_of`)."""
        first = 0
        for layer in self.layers.values():
            for piece in pieces_of(layer, self.array, first):
                yield piece
                first = max(first, piece.array + 1)

    @cached_property
    def tiles(self) -> pd.DataFrame:
        """The tile table, a row per tile piece (tile × sign × slice): what `hwmodels.estimate` reads.

        sign: −1 for what is subtracted (negative weights, a dummy column); where an encoding has no halves, +1 stands
        for both signs. row0, col0: position of the piece in its array (planes on neighbouring columns counted block by
        block); rows, cols: word lines driven together and bit lines; converted_cols: of these, columns that are
        converted, 0 where the current is subtracted from another piece's first; tiles on one array are read in turn
        (fragments). live_cells, max_live_per_col: cells that carry a weight of this sign; adc_bits_needed: bits with
        which no column sum of the piece can clip, 0 where inputs have no codes; reads_per_inference: input vectors;
        input_cycles: array reads in time per input vector, all phases together; input_phases: 2 where inputs have both
        signs; read_energy_j: mean energy of the cells for one
        input vector, Σ V²·G·t_read over its cycles with the calibration inputs' voltages; outputs: values that the
        whole layer gives per input vector.
        """
        rows = [self._tile_row(piece) for piece in self.pieces()]
        return pd.DataFrame(rows, columns=list(_TILE_COLUMNS)).astype(_TILE_COLUMNS)

    def _tile_row(self, piece: Piece) -> dict[str, object]:
        spec, layer = self.array, piece.layer
        at = np.ix_(piece.tile.rows, piece.tile.cols)
        sign = np.sign(layer.grid.values)[layer.index[piece.tile.group][at]]
        live = layer.live[piece.tile.group][at]
        # The zero level of a pair stands on no half; without halves every live weight has its cell here.
        halves = spec.encoding == "pair"
        carried = live & (sign == piece.sign) if halves else live & (not piece.dummy)
        drive = layer.calibration.drive[piece.tile.group][piece.tile.rows]
        energy = spec.t_read_s * spec.device.read_voltage_v**2 * float(drive @ piece.target.sum(axis=1))
        return {
            "array": piece.array,
            "layer": layer.label,
            "tile": piece.number,
            "sign": piece.sign,
            "slice": piece.slice,
            "row0": piece.tile.row0,
            "col0": piece.col0,
            "rows": piece.tile.rows.size,
            "cols": piece.columns.size,
            "converted_cols": piece.converted,
            "array_rows": spec.rows,
            "array_cols": spec.cols,
            "live_cells": int(carried.sum()),
            "max_live_per_col": int(carried.sum(axis=0).max(initial=0)),
            "cell_bits": (spec.device.levels - 1).bit_length(),
            "reads_per_inference": layer.shape.positions,
            "input_cycles": spec.cycles_per_vector(layer.calibration.signed),
            "input_phases": spec.input_phases(layer.calibration.signed),
            "dac_bits": 0 if spec.input_bits is None else spec.dac_bits,
            "adc_bits": spec.adc_bits or 0,
            "adc_bits_needed": self._bits_needed(piece, live if spec.signed_converter else carried),
            "cols_per_adc": spec.columns_per_converter,
            "g_sum_s": float(piece.target.sum()),
            "read_energy_j": energy,
            "t_read_s": spec.t_read_s,
            "outputs": layer.outputs,
        }

    def _bits_needed(self, piece: Piece, counted: np.ndarray) -> int:
        """Resolution that no column of a piece can exceed; counted: bool (rows, cols), the cells that it adds up."""
        spec = self.array
        if spec.input_bits is None or not piece.converted:
            return 0
        most = int(counted.sum(axis=0).max(initial=0))
        return spec.encoder.required_adc_bits(piece.tile.rows.size, most, piece.slice, spec.dac_bits)

    @property
    def arrays(self) -> int:
        """Physical arrays in use."""
        return len(set(self.tiles["array"].tolist()))

    @property
    def layer_table(self) -> pd.DataFrame:
        """A row per layer: its matrix, what survives of it, and the arrays it takes."""
        counts = Counter(layer for layer, _ in set(zip(self.tiles["layer"], self.tiles["array"], strict=True)))
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
                    "arrays": counts[layer.label],
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
