"""What a placement does, before any library prices it: units in use and operations per inference, layer by layer.

Made once per placement; every estimate of the same placement reads it, whatever the library, converter or rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwmodels.costs.cost_converters import ConverterWork, by_bits, converter_work
from hwmodels.costs.pieces import Pieces
from hwmodels.errors import UserError, suggestion

PARTS = (
    "sample_hold",
    "shift_add",
    "output_register",
    "adder",
    "accumulator",
    "input_register",
    "buffer",
    "bus",
    "router",
    "activation",
    "pooling",
    "control",
)
"""The parts that are charged in shares per row, column or array, in the order of the report."""


@dataclass(frozen=True, eq=False)
class Work:
    """Units and operations of a checked tile table; arrays are float64 (layers,) unless said otherwise."""

    pieces: Pieces
    arrays: np.ndarray
    cells: np.ndarray
    cells_written: np.ndarray
    rows_of_array: np.ndarray
    """(arrays,): rows in use."""
    cells_of_array: np.ndarray
    """(arrays,): crossings of its pieces."""
    layer_of_array: np.ndarray
    """(arrays,): the layer that is charged with it."""
    units: np.ndarray
    """(parts, layers)."""
    operations: np.ndarray
    """(parts, layers)."""
    drivers: dict[int, np.ndarray]
    """Resolution -> (2, layers): drivers in use, conversions per inference."""
    known_energy_j: np.ndarray
    assumed_energy_s: np.ndarray
    """Σ g · reads [S], times the read time [S·s] where the table states it, of the pieces without a known energy."""
    known_peak: np.ndarray
    """Σ E / reads [J], over the read time [W] where the table states it."""
    assumed_g_s: np.ndarray
    order: np.ndarray
    """(pieces,): the order of the timing kernel."""
    timed: tuple[np.ndarray, ...]
    """array, layer, tile, vectors, input cycles, read time (NaN: the library's), all (pieces,) and in that order."""
    shared: list[tuple[int, int]]
    """Pairs of layers that stand on one array."""
    _converters: dict[tuple[int | str | None, int | None], ConverterWork] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        """The layers in network order."""
        return self.pieces.layers

    @property
    def states_read_time(self) -> bool:
        """Whether the table says how long an array read takes."""
        return "t_read_s" in self.pieces.columns

    @staticmethod
    def of(pieces: Pieces) -> Work:
        """Count a checked table."""
        columns, per_layer = pieces.columns, pieces.per_layer
        arrays = pieces.first_of("array").astype(np.int64)
        row0, col0 = pieces["row0"], pieces["col0"]
        rows = pieces.newly_covered(row0, row0 + pieces["rows"], "array")
        cols = pieces.newly_covered(col0, col0 + pieces.converted_cols, "array")
        # Operations are real numbers: products of three counts may pass 64 bits.
        vectors = pieces["reads_per_inference"].astype(np.float64)
        cycles = vectors * pieces["input_cycles"]
        driven = pieces.newly_covered(row0, row0 + pieces["rows"], "array", "layer", "tile") * cycles
        units, operations = _parts(pieces, arrays, rows, cols, driven)
        known = pieces["read_energy_j"] * vectors
        assumed = np.isnan(known)
        read_s = columns.get("t_read_s", np.ones(cycles.size))
        order = np.lexsort((pieces["tile"], pieces["layer"], pieces["array"]))
        times = columns.get("t_read_s", np.full(cycles.size, np.nan))
        timed = (*(pieces[name] for name in ("array", "layer", "tile", "reads_per_inference", "input_cycles")), times)
        _, first, index = np.unique(pieces["array"], return_index=True, return_inverse=True)
        index = index.reshape(-1)
        return Work(
            pieces=pieces,
            arrays=per_layer(arrays),
            cells=per_layer(arrays * pieces["array_rows"] * pieces["array_cols"]),
            cells_written=per_layer(pieces["rows"] * pieces["cols"]),
            rows_of_array=np.bincount(index, weights=rows),
            cells_of_array=np.bincount(index, weights=pieces["rows"] * pieces["cols"]),
            layer_of_array=pieces["layer"][first],
            units=units,
            operations=operations,
            drivers=by_bits(pieces, pieces["dac_bits"], rows, driven),
            known_energy_j=per_layer(np.where(assumed, 0.0, known)),
            assumed_energy_s=per_layer(np.where(assumed, pieces["g_sum_s"] * read_s * cycles, 0.0)),
            known_peak=per_layer(np.where(assumed, 0.0, known / (cycles * read_s))),
            assumed_g_s=per_layer(np.where(assumed, pieces["g_sum_s"], 0.0)),
            order=order,
            timed=tuple(np.ascontiguousarray(column[order]) for column in timed),
            shared=_sharing(pieces),
        )

    def converters(self, adc_bits: int | str | None, cols_per_adc: int | None) -> ConverterWork:
        """The converters; adc_bits: None (the table's), a number for all, or "required"; cols_per_adc: likewise."""
        key = (adc_bits, cols_per_adc)
        if key not in self._converters:
            self._converters[key] = converter_work(self.pieces, self.order, adc_bits, cols_per_adc)
        return self._converters[key]

    def replicas(self, asked: Mapping[str, int] | None) -> np.ndarray:
        """Copies of each layer, int64 (layers,): the asked ones, else the table's, else 1.

        Raises UserError for an unknown layer, a count below 1, or different counts for layers that share an array.
        """
        result = np.ones(len(self.layers), dtype=np.int64)
        if "replicas" in self.pieces.columns:
            result[self.pieces["layer"]] = self.pieces["replicas"]
        for name, count in (asked or {}).items():
            if name not in self.layers:
                raise UserError(f"replicas: there is no layer {name!r}. {suggestion(name, self.layers)}")
            if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
                raise UserError(f"replicas: {name!r} takes a whole number, at least 1, not {count!r}.")
            result[self.layers.index(name)] = count
        for one, other in self.shared:
            if result[one] != result[other]:
                raise UserError(
                    f"replicas: the layers {self.layers[one]!r} and {self.layers[other]!r} share an array, so they are "
                    "copied equally often."
                )
        return result


def _parts(
    pieces: Pieces, arrays: np.ndarray, rows: np.ndarray, cols: np.ndarray, driven: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Units in use and operations per inference of the shared parts, each (parts, layers)."""
    vectors = pieces["reads_per_inference"].astype(np.float64)
    results = pieces.converted_cols * vectors
    conversions = results * pieces["input_cycles"]
    inputs, outputs = _once_per_tile(pieces, "rows"), _outputs(pieces)
    # A second phase applies the values that are already there, and adds into the same outputs: nothing more moves.
    moved = (inputs + outputs) * vectors * pieces.cycles_of_a_phase * pieces["dac_bits"]
    finished = outputs * vectors
    turns = pieces.first_of("array", "layer", "tile") * vectors * pieces["input_cycles"]
    counted = {
        "sample_hold": (cols, conversions),
        "shift_add": (cols, conversions),
        "output_register": (cols, conversions),
        "adder": (cols, results),
        "accumulator": (cols, results),
        "input_register": (rows, driven * pieces["dac_bits"]),
        "buffer": (rows, 2 * moved),
        "bus": (rows, moved),
        "router": (arrays, moved),
        "activation": (arrays, finished),
        "pooling": (arrays, finished),
        "control": (arrays, turns),
    }
    units, operations = (np.array([pieces.per_layer(counted[part][i]) for part in PARTS]) for i in (0, 1))
    return units, operations


def _sharing(pieces: Pieces) -> list[tuple[int, int]]:
    """Pairs of layers that stand on one array."""
    visits = np.unique(np.stack([pieces["array"], pieces["layer"]]), axis=1)
    same = visits[0, 1:] == visits[0, :-1]
    return sorted({(int(a), int(b)) for a, b in zip(visits[1, :-1][same], visits[1, 1:][same], strict=True)})


def _outputs(pieces: Pieces) -> np.ndarray:
    """Output values of a layer per input vector, each charged to one piece, (pieces,).

    Without a column `outputs` an upper bound: the columns of every tile, as if no two tiles of the layer added up to
    the same output.
    """
    if "outputs" not in pieces.columns:
        return _once_per_tile(pieces, "cols")
    return np.where(_busiest_of_layer(pieces), pieces["outputs"], 0)


def _busiest_of_layer(pieces: Pieces) -> np.ndarray:
    """True at one piece of every layer, one that serves as many input vectors as any of the layer, (pieces,)."""
    order = np.lexsort((-pieces["reads_per_inference"], pieces["layer"]))
    first = np.ones(order.size, dtype=bool)
    first[1:] = pieces["layer"][order][1:] != pieces["layer"][order][:-1]
    mark = np.zeros(order.size, dtype=bool)
    mark[order[first]] = True
    return mark


def _once_per_tile(pieces: Pieces, name: str) -> np.ndarray:
    """The largest value of a column among the pieces of a tile, at the first of them; 0 at the others, (pieces,)."""
    _, index = np.unique(np.stack([pieces["layer"], pieces["tile"]]), axis=1, return_inverse=True)
    index = index.reshape(-1)
    largest = np.zeros(index.max() + 1, dtype=pieces[name].dtype)
    np.maximum.at(largest, index, pieces[name])
    return np.where(pieces.first_of("layer", "tile"), largest[index], 0)
