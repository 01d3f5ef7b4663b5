"""The converters of a placement: how many there are, of what resolution, and how often each converts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwmodels.costs.adc_bits import required_adc_bits
from hwmodels.costs.pieces import Pieces
from hwmodels.errors import UserError


@dataclass(frozen=True, eq=False)
class ConverterWork:
    """The converters of a placement: resolution and columns per converter of each piece, sums per resolution."""

    bits: np.ndarray
    columns: np.ndarray
    """Columns that one converter reads, (pieces,), in the order of the timing kernel (as `bits`)."""
    by_bits: dict[int, np.ndarray]
    """Resolution -> (2, layers): converters in use, conversions per inference; without the 0 of no converter."""


def converter_work(
    pieces: Pieces, order: np.ndarray, adc_bits: int | str | None, cols_per_adc: int | None
) -> ConverterWork:
    """Converters and conversions of a placement.

    order: (pieces,) order of the timing kernel; adc_bits: None (the table's), a number for all, or "required";
    cols_per_adc: None (the table's) or a number for all. Raises UserError for anything else.
    """
    bits = _resolutions(pieces, adc_bits)
    per = pieces["cols_per_adc"]
    if cols_per_adc is not None:
        if isinstance(cols_per_adc, bool) or not isinstance(cols_per_adc, (int, np.integer)) or cols_per_adc < 1:
            raise UserError(f"cols_per_adc is a whole number, at least 1, or None, not {cols_per_adc!r}.")
        per = np.full_like(per, cols_per_adc)
    units, operations = converters_in_use(pieces, per), conversions_per_inference(pieces)
    columns = np.minimum(per, pieces["array_cols"])
    return ConverterWork(bits[order], columns[order], by_bits(pieces, bits, units, operations))


def converters_in_use(pieces: Pieces, cols_per_adc: np.ndarray) -> np.ndarray:
    """Converters that each piece is charged with, (pieces,): one for a group of neighbouring columns in use.

    cols_per_adc: (pieces,). A group that several pieces of an array use is charged to the first of them.
    This and `conversions_per_inference` are the only places that say how many converters stand on which columns.
    """
    converted = pieces.converted_cols
    first = pieces["col0"] // cols_per_adc
    past = np.where(converted > 0, (pieces["col0"] + converted - 1) // cols_per_adc + 1, first)
    return pieces.newly_covered(first, past, "array")


def conversions_per_inference(pieces: Pieces) -> np.ndarray:
    """Conversions of each piece, float64 (pieces,): every converted column, in every input cycle of every vector."""
    return pieces.converted_cols.astype(np.float64) * pieces["reads_per_inference"] * pieces["input_cycles"]


def _resolutions(pieces: Pieces, adc_bits: int | str | None) -> np.ndarray:
    """Bits of the converter of every piece, int64 (pieces,)."""
    if adc_bits is None:
        return pieces["adc_bits"]
    if adc_bits == "required":
        return _required(pieces)
    if isinstance(adc_bits, bool) or not isinstance(adc_bits, (int, np.integer)) or adc_bits < 0:
        raise UserError(f"adc_bits is a whole number, at least 0, 'required', or None, not {adc_bits!r}.")
    return np.full_like(pieces["adc_bits"], adc_bits)


def _required(pieces: Pieces) -> np.ndarray:
    """Safe resolution, the table's own or from the live cells of the fullest column; one per array, the largest."""
    table = np.stack([pieces["max_live_per_col"], np.rint(2 ** pieces["cell_bits"]), pieces["dac_bits"]])
    cases, index = np.unique(table.astype(np.int64), axis=1, return_inverse=True)
    if (cases[2] == 0).any():
        raise UserError(
            "adc_bits = 'required' counts integer inputs, but some pieces have ideal analog inputs (dac_bits = 0). "
            "Give the drivers a resolution, or state adc_bits."
        )
    needed = np.array([required_adc_bits(int(r), max(int(n), 2), int(v)) for r, n, v in cases.T])[index.reshape(-1)]
    needed = pieces.columns.get("adc_bits_needed", needed)
    _, array = np.unique(pieces["array"], return_inverse=True)
    most = np.zeros(array.max() + 1, dtype=np.int64)
    np.maximum.at(most, array.reshape(-1), needed)
    return most[array.reshape(-1)]


def by_bits(pieces: Pieces, bits: np.ndarray, units: np.ndarray, operations: np.ndarray) -> dict[int, np.ndarray]:
    """Units and operations per layer for every resolution in use; 0 bits: none."""
    return {
        int(one): np.array([pieces.per_layer(np.where(bits == one, amount, 0)) for amount in (units, operations)])
        for one in np.unique(bits[bits > 0])
    }
