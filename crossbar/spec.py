"""What an array is: its size, its device, how weights stand on cells, and its converters."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil
from os import PathLike
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from crossbar.encoding import PairEncoding
from hwmodels import Device
from hwmodels.errors import UserError
from hwmodels.quantities import Count, NonNegative, Positive

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
    adc_bits: resolution of the converters; None reads the exact sum (no converter).
    cols_per_adc: neighbouring columns that share a converter; default: all columns of the array.
    adc_range: full scale of the converters. "calibrated": the largest column sum of the layer's nominal arrays
        over the calibration inputs; "full": the largest sum that the array could ever give; "grid": one step per unit
        of the grid on which column sums of cells on their levels lie, so nothing is rounded and sums beyond the range
        clip.
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
    adc_bits: Count | None = 8
    cols_per_adc: Count | None = None
    adc_range: Literal["calibrated", "full", "grid"] = "calibrated"
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
        if 2 * self.device.levels**self.slices > MAX_WEIGHT_LEVELS:
            raise ValueError(
                f"{self.device.levels} levels on {self.slices} slices give more than {MAX_WEIGHT_LEVELS} weight "
                "levels; use fewer slices or levels"
            )
        return self

    @property
    def encoding(self) -> PairEncoding:
        """How a weight's level index becomes conductances, and back."""
        assert self.idle is not None
        return _encoding(tuple(self.device.level_conductances().tolist()), self.slices, self.idle)

    @property
    def input_cycles(self) -> int:
        """Array reads in time that one non-negative input vector takes."""
        return 1 if self.input_bits is None else ceil(self.input_bits / self.dac_bits)

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
