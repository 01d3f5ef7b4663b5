"""The placement: which weight sits in which cell of which array, and everything that is counted from it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from crossbar import ArraySpec, CellCodes, LayerShape, LevelGrid, PairEncoding, from_matrix
from crossbar.histogram import CodeHistogram
from hwmodels.errors import UserError
from mapping.bounds import arrays_bound, layer_bound
from mapping.folding import Folded, take_out
from mapping.lowering import Geometry
from mapping.pieces import Piece, pieces_of
from mapping.placing import Placing
from mapping.preparing import prepare
from mapping.repacking import index_bits
from mapping.tile_table import tile_table
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
    with (`crossbar.CellCodes`), () where the encoding needs none (exchanged halves of pairs stand in
    their tiles); snap_error: ‖w − quantised w‖ / ‖w‖ over live
    weights, what placing cost in precision (0 for weights that were on their levels already); array: the arrays of
    this layer, None for the placement's.
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
    array: ArraySpec | None = None

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

    @property
    def levels_used(self) -> int:
        """Levels that live weights stand on."""
        used = np.zeros(len(self.grid.values), dtype=bool)
        for index, live in zip(self.index, self.live, strict=True):
            for row, stands in zip(index, live, strict=True):
                used[row[stands]] = True
        return int(used.sum())

    def cell_codes(self, tile: Tile, spec: ArraySpec) -> CellCodes:
        """Cell codes (planes, rows, cols) of one tile, with the signs that go with them.

        Raises MixedSignsError for a polarised tile whose fragments hold weights of both signs.
        """
        at, encoder = np.ix_(tile.rows, tile.cols), spec.encoder
        cells = encoder.encode(self.index[tile.group][at], self.live[tile.group][at])
        if tile.exchanged is None:
            return cells
        assert isinstance(encoder, PairEncoding), "only pairs have halves to exchange"
        return CellCodes(encoder.exchanged(cells.codes, tile.exchanged), tile.half_signs[None])

    @cached_property
    def _exchanges(self) -> bool:
        return any(tile.exchanged is not None for tile in self.tiles)

    def signs_of(self, number: int) -> np.ndarray | None:
        """The digital bits that the cells of a tile are read with, None where the layer needs none."""
        if self.signs:
            return self.signs[number]
        return self.tiles[number].half_signs[None] if self._exchanges else None

    def weights_from_cells(self, spec: ArraySpec) -> torch.Tensor:
        """The weight tensor rebuilt from nothing but the cells and their signs: equals `weights()` bit for bit."""
        matrix = np.zeros(self.index.shape, dtype=np.float32)
        spec = self.array or spec
        for number, tile in enumerate(self.tiles):
            cells = CellCodes(self.cell_codes(tile, spec).codes, self.signs_of(number))
            index, live = spec.encoder.decode(cells)
            at = np.ix_(tile.rows, tile.cols)
            scale = self.grid.scale if self.grid.scale.ndim == 0 else self.grid.scale[tile.group, tile.cols]
            weights = LevelGrid(self.grid.values, scale).weights(index)
            matrix[tile.group][at] = np.where(live, weights, np.float32(0))
        return torch.from_numpy(np.ascontiguousarray(from_matrix(matrix, self.geometry.weight_shape)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Placement:
    """Tiles of a network on arrays: the one description that simulation and cost both read.

    array: the arrays' spec; layers: by module name, in execution order; digital: what stays digital and why;
    macs_total: multiply-accumulates per inference of the whole network, macs_digital: of what stays digital (None:
    files that do not say); folded: pairs of layer and the batch normalisation that went into it; notes: what masks
    freed across layers, or why nothing; network: the original module (its biases, normalisation and activations run
    digitally), None when loaded without one; digital_state: its tensors beside the placed weights (biases,
    normalisation) as they were placed, when loaded; homes: which array of the chip the first, second, … array that
    the layers fill is (a permutation, `avoid_faults`), () for that very order; placing: the choices that it was
    placed with.
    """

    array: ArraySpec
    layers: dict[str, LayerPlacement]
    digital: tuple[DigitalLayer, ...]
    macs_total: int
    macs_digital: int | None = None
    folded: Folded = ()
    notes: tuple[str, ...] = ()
    network: nn.Module | None = field(default=None, repr=False)
    digital_state: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)
    homes: tuple[int, ...] = ()
    placing: Placing = field(default_factory=Placing)

    def spec_of(self, layer: LayerPlacement) -> ArraySpec:
        """The arrays that a layer stands on: its own, else the placement's."""
        return layer.array or self.array

    def pieces(self) -> Iterator[Piece]:
        """Everything on the arrays, layer by layer (`mapping.pieces.pieces_of`)."""
        return pieces_of(self)

    @cached_property
    def tiles(self) -> pd.DataFrame:
        """The tile table, a row per tile piece: what `hwmodels.estimate` reads (`mapping.tile_table`)."""
        return tile_table(self)

    @property
    def arrays(self) -> int:
        """Physical arrays in use."""
        return len(set(self.tiles["array"].tolist()))

    @property
    def arrays_bound(self) -> int:
        """Arrays below which no tiling of these masks can go, see `mapping.bounds`."""
        return arrays_bound(self)

    @property
    def layer_table(self) -> pd.DataFrame:
        """A row per layer: its matrix, what survives of it, and the arrays it takes.

        arrays_bound: what no tiling can go below (`mapping.bounds`); index_bits: of the tables that say which input
        and output belong to which line (`mapping.repacking`).
        """
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
                    "arrays_bound": layer_bound(layer, self.spec_of(layer)),
                    "index_bits": index_bits(layer.tiles, layer.shape.rows, layer.shape.cols),
                    "macs": layer.shape.macs,
                    "input_phases": self.spec_of(layer).input_phases(layer.calibration.signed),
                    "levels_used": layer.levels_used,
                    "snap_error": layer.snap_error,
                }
                for layer in self.layers.values()
            ]
        )

    @property
    def macs_on_arrays(self) -> float:
        """Share of the network's multiply-accumulates (dense count) that arrays compute.

        A transposed convolution counts its products with real inputs only, not those with the zeros between them.
        """
        if self.macs_digital is not None:
            return 1 - self.macs_digital / self.macs_total if self.macs_total else 0.0
        mapped = sum(layer.shape.macs for layer in self.layers.values())
        return mapped / self.macs_total if self.macs_total else 0.0

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the placement into a folder; see `mapping.placement_file` for the layout."""
        from mapping import placement_file

        placement_file.save(self, folder)

    def export(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write the target conductances of every array as CSV; see `mapping.placement_export`."""
        from mapping import placement_export

        return placement_export.export(self, folder)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> Placement:
        """Read a placement that `save` wrote; nothing in it is run as code."""
        from mapping import placement_file

        return placement_file.load(folder)

    def reference(self, network: nn.Module | None = None) -> nn.Module:
        """The quantised torch network that ideal arrays must equal; a prepared copy (`mapping.prepare`).

        network: the module whose structure to take; default: the one that was placed. A loaded placement brings its
        own biases and normalisation and puts them into the copy.
        Raises UserError when there is none, or when it lacks a placed layer.
        """
        source = network if network is not None else self.network
        if source is None:
            raise UserError("This placement was loaded without its network; pass it: reference(network).")
        model = prepare(source)
        if network is not None:
            take_out(model, self.folded)
        _restore_digital(model, self.digital_state)
        for layer in self.layers.values():
            target = _weight_of(model, layer)
            with torch.no_grad():
                target.copy_(layer.geometry.stored(layer.weights()))
        return model


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
    if not isinstance(weight, torch.Tensor) or tuple(weight.shape) != layer.geometry.stored_shape:
        raise UserError(f"Layer {layer.name!r} of the network does not have the weight shape that was placed.")
    return weight
