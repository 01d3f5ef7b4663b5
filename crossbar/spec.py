"""What an array is: its size, its device, how weights stand on cells, and its converters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from os import PathLike
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Strict, model_validator
from pydantic.dataclasses import dataclass

from crossbar.circuit import Undriven
from crossbar.converter_errors import AdcErrors, DacErrors, drive_levels, transition_levels
from crossbar.encodings import Encoding, choice
from crossbar.encodings.choice import EncodingKind
from hwmodels import Device
from hwmodels.errors import UserError
from hwmodels.quantities import Count, NonNegative, Percentile, Positive

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
        (k+1)·fragment − 1. They are read together, the fragments of an array in turn. Default: 8. fragment_order: the
        order in which a convolution's rows are counted and stand on arrays, by what runs fastest: kernel width "W" (the
        matrix as it is), kernel height "H" or channels "C" (`crossbar.tiling.row_places`).
    input_bits: resolution of an input; None drives the exact real value (no DAC error).
    dac_bits: bits that a word-line driver applies per input cycle; an input takes ⌈input_bits / dac_bits⌉
        cycles, least significant first.
    signed_inputs: how inputs of both signs are driven. "phases": the positive part, then the negative part, subtracted
        digitally. "twos_complement": one phase of signed codes, whose most significant bit has a cycle of its own that
        counts −2^(input_bits − 1); layers that only see inputs ≥ 0 are driven alike by both.
    input_range: what the largest input code stands for. "calibrated": the largest input of the layer over the
        calibration inputs; "percentile": the `input_percentile` of their magnitudes, zeros included; "fixed":
        `input_full_scale`, the same for every layer, in the unit of its inputs.
    dac_errors: errors of the drivers (`crossbar.converter_errors`); None: ideal.
    adc_bits: resolution of the converters; None reads the exact sum (no converter); 1: sense amplifiers.
    cols_per_adc: neighbouring columns that share a converter; default: all columns of the array.
    adc_range: full scale of the converters. "calibrated": the largest column sum of the nominal arrays over the
        calibration inputs; "percentile": the `adc_percentile` of the sums' magnitudes, zeros included; "full": the
        largest sum that the array could ever give; "grid": one step per unit of the grid on which column sums of cells
        on their levels lie, so nothing is rounded and sums beyond the range clip.
    adc_range_per: whose sums a calibrated range or a percentile is taken over: all of the "layer", or those of each
        "converter" (the columns of one array that share it); its codes are then scaled digitally by its own step.
    adc_errors: errors of the converters; None: ideal.
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
    fragment_order: Literal["W", "H", "C"] = "W"
    input_bits: Count | None = 8
    dac_bits: Count = 1
    signed_inputs: Literal["phases", "twos_complement"] = "phases"
    input_range: Literal["calibrated", "percentile", "fixed"] = "calibrated"
    input_percentile: Percentile | None = None
    input_full_scale: Positive | None = None
    dac_errors: DacErrors | None = None
    adc_bits: Count | None = 8
    cols_per_adc: Count | None = None
    adc_range: Literal["calibrated", "percentile", "full", "grid"] = "calibrated"
    adc_percentile: Percentile | None = None
    adc_range_per: Literal["layer", "converter"] = "layer"
    adc_errors: AdcErrors | None = None
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
        self._check_ranges()
        self._check_errors()
        if self.weight_cols < 1:
            raise ValueError(
                f"cols ({self.cols}) is too few for one weight: its cells beside each other take "
                f"{self.cells_per_weight} column(s) and the array {self.dummy_cols} dummy column(s)"
            )
        return self

    def _check_ranges(self) -> None:
        """Every number that a rule needs is there, and none that no rule reads."""
        for rule, name, owner in (
            (self.input_range == "percentile", "input_percentile", 'input_range = "percentile"'),
            (self.input_range == "fixed", "input_full_scale", 'input_range = "fixed"'),
            (self.adc_range == "percentile", "adc_percentile", 'adc_range = "percentile"'),
        ):
            value = getattr(self, name)
            if rule and value is None:
                example = "such as 99.9" if name.endswith("percentile") else "in the unit of the inputs"
                raise ValueError(f"{owner} needs {name}, {example}")
            if value is not None and not rule:
                raise ValueError(f"{name} = {value:g} is only read with {owner}; set that or leave it out")
        if self.adc_range == "full" and self.adc_range_per == "converter":
            raise ValueError('adc_range_per = "converter" needs a range that is measured; "full" is the same for all')
        if self.signed_inputs == "twos_complement" and (self.input_bits is None or self.input_bits < 2):
            raise ValueError(f'signed_inputs = "twos_complement" needs input_bits of at least 2, not {self.input_bits}')

    def _check_errors(self) -> None:
        """Errors belong to converters that exist, and leave their transfer curves monotone."""
        if self.dac_errors is not None:
            if self.input_bits is None:
                raise ValueError("dac_errors are those of a DAC, but ideal inputs (input_bits = None) have none")
            self._monotone("dac_errors", drive_levels, self.dac_errors, self.dac_bits)
        if self.adc_errors is not None:
            if self.adc_bits is None:
                raise ValueError("adc_errors are those of a converter, but adc_bits = None reads the exact sum")
            self._monotone("adc_errors", transition_levels, self.adc_errors, self.adc_bits)

    @staticmethod
    def _monotone(name: str, levels: Callable[..., np.ndarray], errors: AdcErrors | DacErrors, bits: int) -> None:
        try:
            levels(errors, bits)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

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

    def input_phases(self, signed: bool) -> int:
        """Times that a vector is driven; signed: its layer sees inputs of both signs."""
        return 2 if signed and self.signed_inputs == "phases" else 1

    def twos_complement(self, signed: bool) -> bool:
        """Whether the inputs of a layer are signed codes; signed: the layer sees inputs of both signs."""
        return signed and self.signed_inputs == "twos_complement"

    def cycles_per_vector(self, signed: bool) -> int:
        """Array reads in time that one input vector takes, all phases; signed: inputs of both signs occur.

        Two's complement of b bits takes ⌈(b − 1) / dac_bits⌉ cycles for the lower bits and one for the sign bit.
        """
        if self.input_bits is not None and self.twos_complement(signed):
            return ceil((self.input_bits - 1) / self.dac_bits) + 1
        return self.input_cycles * self.input_phases(signed)

    def input_code_top(self, signed: bool) -> int:
        """The code that the full scale of the inputs stands for, 1 for ideal inputs."""
        if self.input_bits is None:
            return 1
        return 2 ** (self.input_bits - self.twos_complement(signed)) - 1

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
