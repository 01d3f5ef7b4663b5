"""What an array is: its size, its device, how weights stand on cells, and its converters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from math import ceil
from os import PathLike
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from crossbar.converter_errors import AdcErrors, DacErrors, drive_levels, transition_levels
from crossbar.encoding import PairEncoding
from hwmodels import Device
from hwmodels.errors import UserError
from hwmodels.quantities import Count, NonNegative, Percentile, Positive

MAX_WEIGHT_LEVELS = 65536
"""A level index is at most 16 bits wide."""


def _load_device(value: Any) -> Any:
    return Device.load(value) if isinstance(value, str | PathLike) else value


@lru_cache(maxsize=64)
def _encoding(g_s: tuple[float, ...], slices: int, idle: Literal["open", "hrs"]) -> PairEncoding:
    # The look-up tables of an encoding are worth keeping: a network asks for them once per layer and tile.
    return PairEncoding(g_s=np.array(g_s), slices=slices, idle=idle)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ArraySpec:
    """One crossbar array with its converters; the single place where each of these numbers lives.

    rows, cols: word lines and bit lines.
    device: a `hwmodels.Device`, or the name or path of one.
    slices: cells that share the magnitude of one weight, most significant last; slice s counts levels**s.
    idle: what stands at a crossing that carries no weight. "open": 0 S, as the papers assume; weights are
        ±g, zero not among them. "hrs": a real cell at g_min with its error and its power; a pair's weight is
        g₊ − g₋, so zero exists. Default: the device's own.
    pair_subtraction: where a pair's halves are subtracted. "digital": both are converted; "analog": their currents are
        subtracted before one converter that takes both signs.
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
        largest sum that the array could ever give.
    adc_range_per: whose sums a calibrated range or a percentile is taken over: all of the "layer", or those of each
        "converter" (the columns of one array that share it); its codes are then scaled digitally by its own step.
    adc_errors: errors of the converters; None: ideal.
    r_word_ohm, r_bit_ohm: resistance of one segment of a word or bit line [Ω], 0 for an ideal wire;
    r_source_ohm, r_sink_ohm: of a word line's driver and of a bit line's read-out [Ω] (`crossbar.wires`).
    t_read_s: time of one array read [s]; the default is ISAAC's 100 ns cycle (Shafiee et al., ISCA 2016, §V).

    Positive and negative weights stand on separate arrays (Yuan et al., ISLPED 2019, §III); the codes of slices, input
    cycles and word-line strips are added up digitally.
    """

    rows: Count = 128
    cols: Count = 128
    device: Annotated[Device, BeforeValidator(_load_device)]
    slices: Count = 1
    idle: Literal["open", "hrs"] | None = None
    pair_subtraction: Literal["digital", "analog"] = "digital"
    input_bits: Count | None = 8
    dac_bits: Count = 1
    signed_inputs: Literal["phases", "twos_complement"] = "phases"
    input_range: Literal["calibrated", "percentile", "fixed"] = "calibrated"
    input_percentile: Percentile | None = None
    input_full_scale: Positive | None = None
    dac_errors: DacErrors | None = None
    adc_bits: Count | None = 8
    cols_per_adc: Count | None = None
    adc_range: Literal["calibrated", "percentile", "full"] = "calibrated"
    adc_percentile: Percentile | None = None
    adc_range_per: Literal["layer", "converter"] = "layer"
    adc_errors: AdcErrors | None = None
    r_word_ohm: NonNegative = 0.0
    r_bit_ohm: NonNegative = 0.0
    r_source_ohm: NonNegative = 0.0
    r_sink_ohm: NonNegative = 0.0
    t_read_s: Positive = 100e-9

    @model_validator(mode="after")
    def _check(self) -> ArraySpec:
        if self.idle is None:
            object.__setattr__(self, "idle", self.device.idle)
        if self.input_bits is not None and self.input_bits > 16:
            raise ValueError(f"input_bits must be at most 16, not {self.input_bits}")
        if self.input_bits is not None and self.dac_bits > self.input_bits:
            raise ValueError(f"dac_bits ({self.dac_bits}) must not exceed input_bits ({self.input_bits})")
        if self.adc_bits is not None and self.adc_bits > 16:
            raise ValueError(f"adc_bits must be at most 16, not {self.adc_bits}")
        self._check_ranges()
        self._check_errors()
        if 2 * self.device.levels**self.slices > MAX_WEIGHT_LEVELS:
            raise ValueError(
                f"{self.device.levels} levels on {self.slices} slices give more than {MAX_WEIGHT_LEVELS} weight "
                "levels; use fewer slices or levels"
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

    @property
    def encoding(self) -> PairEncoding:
        """How a weight's level index becomes conductances, and back."""
        assert self.idle is not None
        return _encoding(tuple(self.device.level_conductances().tolist()), self.slices, self.idle)

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
        """Columns that one converter serves, at most the columns of the array."""
        return min(self.cols_per_adc or self.cols, self.cols)

    @property
    def signed_converter(self) -> bool:
        """Whether a converter sees sums of both signs."""
        return self.pair_subtraction == "analog"

    @property
    def weight_bits(self) -> float:
        """log2 of the magnitudes that a weight can take, plus one for the sign."""
        return self.slices * float(np.log2(self.device.levels)) + 1

    @property
    def has_wires(self) -> bool:
        """Whether any wire, driver or read-out has a resistance."""
        return any((self.r_word_ohm, self.r_bit_ohm, self.r_source_ohm, self.r_sink_ohm))

    def weight_levels(self) -> np.ndarray:
        """Every value a weight can take, float64, ascending, in units of the largest.

        "open": 2·Lˢ values ±v, zero not among them; "hrs": 2·Lˢ − 1 values with zero (fewer where slices of a
        device with uneven levels coincide). Compression, mapping, simulation and cost all read this set.
        """
        return self.encoding.values

    def with_(self, **changes: Any) -> ArraySpec:
        """A copy with some fields changed, validated again."""
        unknown = set(changes) - set(self.__dataclass_fields__)
        if unknown:
            raise UserError(
                f"ArraySpec has no field {sorted(unknown)[0]!r}; fields: {', '.join(self.__dataclass_fields__)}."
            )
        return replace(self, **changes)

    def for_weight_bits(self, bits: int) -> ArraySpec:
        """The same array with as many slices as a `bits`-bit signed weight needs: ⌈(bits − 1) / log2(levels)⌉.

        Where all levels of all slices would be more than an index can name, the cells are used at the next lower
        power of two of levels. Source: Yuan et al. 2019, §III (a 9-bit weight is an 8-bit magnitude on two 4-bit
        cells, once per sign).
        """
        slices = ceil((bits - 1) / float(np.log2(self.device.levels)) - 1e-9)
        if 2 * self.device.levels**slices > MAX_WEIGHT_LEVELS and self.device.level_g_s is None:
            whole_bits = 2 ** (self.device.levels.bit_length() - 1)
            return self.with_(device=self.device.with_(levels=whole_bits), slices=slices)
        return self.with_(slices=slices)
