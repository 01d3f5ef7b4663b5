"""What an array is: its size, its device, how weights stand on cells, and its converters."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from os import PathLike
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Strict, model_validator
from pydantic.dataclasses import dataclass

from crossbar.circuit import Undriven
from crossbar.encodings import Encoding, choice
from crossbar.encodings.choice import EncodingKind
from hwmodels import Device
from hwmodels.errors import UserError
from hwmodels.quantities import Count, NonNegative, Positive

MAX_WEIGHT_LEVELS = 65536
"""A level index is at most 16 bits wide."""


def _load_device(value: Any) -> Any:
    return Device.load(value) if isinstance(value, str | PathLike) else value


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ArraySpec:
    """One crossbar array with its converters; the single place where each of these numbers lives.

    rows, cols: word lines and bit lines.
    device: a `hwmodels.Device`, or the name or path of one.
    encoding: how weights stand on cells (`crossbar.encodings`). "pair": positive and negative weights on cells of their
        own; "offset": unsigned codes less a fixed reference; "flipped": the same with ISAAC's flipped columns;
        "polarised": magnitudes on one array, one digital sign per fragment of a column (FORMS).
    slices: cells that share the digits of one weight, most significant last; slice s counts levels**s.
    slice_bits: bits on each slice instead, least significant first, each at most log2 of the levels: (3, 3, 2) for 8
        bits on cells of 8 levels. None: every slice holds all levels of its cell.
    slice_layout: the slices of a weight on "arrays" of their own, or on neighbouring "columns" of one.
    idle: what stands at a crossing that carries no weight. "open": 0 S, as the papers assume; weights are
        ±g, zero not among them. "hrs": a real cell at g_min with its error and its power; a pair's weight is
        g₊ − g₋, so zero exists. Default: the device's own. With "offset" and "flipped" every crossing holds a cell, a
        pruned weight one at the reference: always "hrs".
    pair_subtraction: where a pair's halves are subtracted. "digital": both are converted; "analog": their currents are
        subtracted before one converter that takes both signs.
    pair_layout: a pair's halves on two "arrays", or on neighbouring "columns" of one, which then holds half as many
        weight columns.
    offset_correction: "digital": the converters' sums less the reference times Σ of the input codes, which a digital
        accumulator counts; "analog": every array has a dummy column (one per slice on it) of real cells at the
        reference, whose current is subtracted before the converter, which then takes both signs.
    fragment: rows of the layer's matrix that share a sign in a column, for "polarised": rows k·fragment up to
        (k+1)·fragment − 1. They are read together, the fragments of an array in turn. Default: 8.
    input_bits: resolution of an input; None drives the exact real value (no DAC error).
    dac_bits: bits that a word-line driver applies per input cycle; an input takes ⌈input_bits / dac_bits⌉
        cycles, least significant first.
    adc_bits: resolution of the converters; None reads the exact sum (no converter).
    cols_per_adc: neighbouring columns that share a converter; default: all columns of the array.
    adc_range: full scale of the converters. "calibrated": the largest column sum of the layer's nominal arrays
        over the calibration inputs; "full": the largest sum that the array could ever give; "grid": one step per unit
        of the grid on which column sums of cells on their levels lie, so nothing is rounded and sums beyond the range
        clip.
    r_word_ohm, r_bit_ohm: resistance of one segment of a word or bit line [Ω], 0 for an ideal wire;
    r_source_ohm, r_sink_ohm: of a word line's driver and of a bit line's read-out [Ω] (`crossbar.wires`);
    r_access_ohm: of the access transistor in series with every cell [Ω]; 0: none (1R).
    both_ends: every word line has a second, equal driver behind its last cell (`crossbar.Wiring`).
    unused_rows: what word lines that bear no weights do while the others are read, where cells stand on them (idle:
        "hrs"). "off": their cells are cut off by access transistors; "grounded"; "floating".
    wire_model: "exact", or "fast": `approximate_conductance`, which warns where it may be far off.
    t_read_s: time of one array read [s]; the default is ISAAC's 100 ns cycle (Shafiee et al., ISCA 2016, §V).

    By default positive and negative weights stand on separate arrays (Yuan et al., ISLPED 2019, §III); the codes of
    slices, input cycles and word-line strips are added up digitally.
    """

    rows: Count = 128
    cols: Count = 128
    device: Annotated[Device, BeforeValidator(_load_device)]
    encoding: EncodingKind = "pair"
    slices: Count = 1
    slice_bits: tuple[Count, ...] | None = None
    slice_layout: Literal["arrays", "columns"] = "arrays"
    idle: Literal["open", "hrs"] | None = None
    pair_subtraction: Literal["digital", "analog"] = "digital"
    pair_layout: Literal["arrays", "columns"] = "arrays"
    offset_correction: Literal["digital", "analog"] = "digital"
    fragment: Count | None = None
    input_bits: Count | None = 8
    dac_bits: Count = 1
    adc_bits: Count | None = 8
    cols_per_adc: Count | None = None
    adc_range: Literal["calibrated", "full", "grid"] = "calibrated"
    r_word_ohm: NonNegative = 0.0
    r_bit_ohm: NonNegative = 0.0
    r_source_ohm: NonNegative = 0.0
    r_sink_ohm: NonNegative = 0.0
    r_access_ohm: NonNegative = 0.0
    both_ends: Annotated[bool, Strict()] = False
    unused_rows: Undriven = "off"
    wire_model: Literal["exact", "fast"] = "exact"
    t_read_s: Positive = 100e-9

    @model_validator(mode="after")
    def _check(self) -> ArraySpec:
        if self.input_bits is not None and self.input_bits > 16:
            raise ValueError(f"input_bits must be at most 16, not {self.input_bits}")
        if self.input_bits is not None and self.dac_bits > self.input_bits:
            raise ValueError(f"dac_bits ({self.dac_bits}) must not exceed input_bits ({self.input_bits})")
        if self.adc_bits is not None and self.adc_bits > 16:
            raise ValueError(f"adc_bits must be at most 16, not {self.adc_bits}")
        self._check_slices()
        self._check_encoding()
        if self.weight_cols < 1:
            raise ValueError(
                f"cols ({self.cols}) is too few for one weight: its cells beside each other take "
                f"{self.cells_per_weight} column(s) and the array {self.dummy_cols} dummy column(s)"
            )
        return self

    def _check_slices(self) -> None:
        levels = self.device.levels
        if self.slice_bits is not None:
            if not self.slice_bits or any(2**bits > levels for bits in self.slice_bits):
                raise ValueError(
                    f"slice_bits {self.slice_bits!r}: every slice takes at least 1 and at most log2 of the device's "
                    f"{levels} levels = {levels.bit_length() - 1} bits"
                )
            if self.slices not in (1, len(self.slice_bits)):
                raise ValueError(f"slices ({self.slices}) contradicts slice_bits of {len(self.slice_bits)}: leave it 1")
            object.__setattr__(self, "slices", len(self.slice_bits))
        halves = 1 if self.encoding in choice.UNSIGNED else 2
        if self.slices > 16 or halves * np.prod(self.radices, dtype=float) > MAX_WEIGHT_LEVELS:
            raise ValueError(
                f"{levels} levels on {self.slices} slices give more than {MAX_WEIGHT_LEVELS} weight levels; use fewer "
                "slices or levels"
            )

    def _check_encoding(self) -> None:
        choice.check_options(
            self.encoding, {"idle": self.idle} | {name: getattr(self, name) for name in choice.OWN_FIELDS}
        )
        if self.idle is None:
            object.__setattr__(self, "idle", "hrs" if self.encoding in choice.UNSIGNED else self.device.idle)
        if self.encoding == "polarised" and self.fragment is None:
            object.__setattr__(self, "fragment", min(choice.FRAGMENT, self.rows))
        if self.encoding == "flipped":
            choice.check_complements(self.device.level_conductances(), self.radices, self.device.name)

    @property
    def radices(self) -> tuple[int, ...]:
        """Values of the digit on each slice, least significant first."""
        if self.slice_bits is not None:
            return tuple(2**bits for bits in self.slice_bits)
        return (self.device.levels,) * self.slices

    @property
    def encoder(self) -> Encoding:
        """How a weight's level index becomes conductances, and back."""
        options = {
            "pair": (self.idle, self.pair_subtraction),
            "offset": (self.offset_correction,),
            "flipped": (),
            "polarised": (self.idle, self.fragment),
        }[self.encoding]
        g_s = tuple(self.device.level_conductances().tolist())
        return choice.encoder(g_s, self.radices, self.encoding, options)

    @property
    def plane_groups(self) -> tuple[tuple[int, ...], ...]:
        """Which planes of the encoding stand on one array, each group on neighbouring columns, in order."""
        halves = 2 if self.encoding == "pair" else 1
        number = np.arange(halves * self.slices).reshape(halves, self.slices)
        if self.pair_layout == "columns" and self.slice_layout == "columns":
            return (tuple(number.T.ravel().tolist()),)
        if self.slice_layout == "columns":
            return tuple(tuple(half.tolist()) for half in number)
        if self.pair_layout == "columns":
            return tuple(tuple(part.tolist()) for part in number.T)
        return tuple((plane,) for plane in number.ravel().tolist())

    @property
    def cells_per_weight(self) -> int:
        """Neighbouring columns of one array that a weight takes."""
        return len(self.plane_groups[0])

    @property
    def dummy_cols(self) -> int:
        """Reference columns of an array: one per slice on it where an offset is subtracted before the converter."""
        return self.cells_per_weight if self.offset_correction == "analog" else 0

    @property
    def weight_cols(self) -> int:
        """Weight columns that fit one array."""
        return (self.cols - self.dummy_cols) // self.cells_per_weight

    @property
    def rows_per_read(self) -> int:
        """Word lines that are driven together at most."""
        return self.rows if self.fragment is None else min(self.fragment, self.rows)

    @property
    def converted_cols(self) -> int:
        """Sums of one array that are converted: its weight columns times their cells, pairs on it subtracted or not."""
        subtracted = self.pair_subtraction == "analog" and self.pair_layout == "columns"
        return self.weight_cols * self.cells_per_weight // (2 if subtracted else 1)

    @property
    def largest_sum_s(self) -> float:
        """The largest sum that a column could ever give, in conductance × DAC code [S]; full scale of a full range."""
        code = 1 if self.input_bits is None else 2**self.dac_bits - 1
        g_min, g_max = self.device.g_min_s, self.device.g_max_s
        each = (g_min + g_max) / 2 if self.encoding == "flipped" else g_max
        return self.rows_per_read * each * code

    @property
    def input_cycles(self) -> int:
        """Array reads in time that one non-negative input vector takes."""
        return 1 if self.input_bits is None else ceil(self.input_bits / self.dac_bits)

    @property
    def columns_per_converter(self) -> int:
        """Columns that one converter serves, at most those of the array that are converted."""
        return min(self.cols_per_adc or self.cols, self.converted_cols)

    @property
    def signed_converter(self) -> bool:
        """Whether a converter sees sums of both signs."""
        return "analog" in (self.pair_subtraction, self.offset_correction)

    @property
    def weight_bits(self) -> float:
        """log2 of the numbers that a weight's cells can hold, plus one for a sign that is kept beside them."""
        return float(np.log2(self.radices).sum()) + self._sign_bits

    @property
    def _sign_bits(self) -> int:
        return 0 if self.encoding in choice.UNSIGNED else 1

    @property
    def has_wires(self) -> bool:
        """Whether any wire, driver, read-out or access transistor has a resistance."""
        return any((self.r_word_ohm, self.r_bit_ohm, self.r_source_ohm, self.r_sink_ohm, self.r_access_ohm))

    def weight_levels(self) -> np.ndarray:
        """Every value a weight can take, float64, ascending, in units of the largest magnitude.

        Pair and polarised, N numbers on a weight's cells: "open" 2·N values ±v, zero not among them; "hrs" 2·N − 1
        values with zero. Offset and flipped: N values −N/2 … N/2 − 1 (from −(N−1)/2 where N is odd), in steps. Fewer
        where slices of a device with uneven levels coincide. Compression, mapping, simulation and cost all read this.
        """
        return self.encoder.values

    def with_(self, **changes: Any) -> ArraySpec:
        """A copy with some fields changed, validated again."""
        unknown = set(changes) - set(self.__dataclass_fields__)
        if unknown:
            raise UserError(
                f"ArraySpec has no field {sorted(unknown)[0]!r}; fields: {', '.join(self.__dataclass_fields__)}."
            )
        return replace(self, **changes)

    def for_weight_bits(self, bits: int) -> ArraySpec:
        """The same array with as many slices as a `bits`-bit signed weight needs.

        ⌈(bits − 1) / log2(levels)⌉, ⌈bits / log2(levels)⌉ where the sign is part of the code (offset, flipped); with
        slice_bits, slices of its largest one and the rest on the last. Where all levels of all slices would be more
        than an index can name, the cells are used at the next lower power of two of levels. Source: Yuan et al. 2019,
        §III (a 9-bit weight is an 8-bit magnitude on two 4-bit cells, once per sign).
        """
        needed, sign = bits - self._sign_bits, self._sign_bits
        if self.slice_bits is not None:
            most = max(self.slice_bits)
            whole, rest = divmod(max(needed, 1), most)
            return self.with_(slice_bits=(most,) * whole + ((rest,) if rest else ()), slices=1)
        slices = ceil(needed / float(np.log2(self.device.levels)) - 1e-9)
        if 2**sign * self.device.levels**slices > MAX_WEIGHT_LEVELS and self.device.level_g_s is None:
            whole_bits = 2 ** (self.device.levels.bit_length() - 1)
            return self.with_(device=self.device.with_(levels=whole_bits), slices=slices)
        return self.with_(slices=slices)
