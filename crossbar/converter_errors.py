"""What real converters do besides rounding: offset, gain, integral non-linearity and noise, of ADCs and of drivers.

All errors are in LSB, one step of the converter in question, except gain, which is a fraction. Offset and gain are
standard deviations over the converters of a chip: each converter draws its own once (`converter_bank`). Integral
non-linearity (INL) has one shape for all converters of a kind and is terminal-based: it vanishes at both ends of the
range, so that it holds nothing of offset and gain (IEEE Std 1241-2010, §8). With x from 0 to 1 across the range:

    bow   inl(x) = inl_lsb · 4 x (1 − x)                                    largest at the middle
    s     inl(x) = inl_lsb · (3√3 / 2) · t (1 − t²), t = 2 x − 1            largest at t = ± 1/√3, of both signs
    table straight lines between measured values, the first at x = 0, the last at x = 1
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from hwmodels.quantities import NonNegative

Lsb = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number of LSB, of either sign."""

_ROUNDING = 1e-9
"""What a curve may fall [LSB] by rounding alone and still count as monotone."""

InlShape = Literal["bow", "s"]


def _one_inl(inl_lsb: float, table: tuple[float, ...] | None) -> None:
    if table is None:
        return
    if inl_lsb:
        raise ValueError("inl_lsb and inl_table_lsb both describe the integral non-linearity; keep one of them")
    if len(table) < 2:
        raise ValueError(f"inl_table_lsb takes two values or more, from the lowest code to the highest, not {table}")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AdcErrors:
    """Errors of the converters behind the columns; every default is an ideal converter.

    offset_lsb: standard deviation of the offset over the converters of a chip [LSB].
    gain: standard deviation of the relative gain error over the converters of a chip.
    inl_lsb: largest integral non-linearity [LSB], of the shape `inl_shape`; positive: transitions lie too high, so
        codes come out low.
    inl_table_lsb: measured INL of the code transition levels [LSB] instead, evenly spaced from the lowest transition
        to the highest, linear in between (one value per transition gives each its own).
    noise_lsb: standard deviation of the input-referred noise of one conversion [LSB].
    """

    offset_lsb: NonNegative = 0.0
    gain: NonNegative = 0.0
    inl_lsb: Lsb = 0.0
    inl_shape: InlShape = "bow"
    inl_table_lsb: tuple[Lsb, ...] | None = None
    noise_lsb: NonNegative = 0.0

    @model_validator(mode="after")
    def _check(self) -> AdcErrors:
        _one_inl(self.inl_lsb, self.inl_table_lsb)
        return self


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DacErrors:
    """Errors of the word-line drivers; every default is an ideal driver.

    One LSB is one step of a driver, V_read / (2^dac_bits − 1): for a driver of one bit the whole read voltage.
    offset_lsb: standard deviation of the offset over the drivers of a chip [LSB]; a driver applies its offset in every
        input cycle, also at code 0.
    gain: standard deviation of the relative gain error over the drivers of a chip.
    inl_lsb: largest deviation of the output from the straight line through its ends [LSB], of the shape `inl_shape`;
        positive: the output lies too high.
    inl_table_lsb: measured deviation [LSB] instead, evenly spaced from code 0 to the highest, linear in between.
    """

    offset_lsb: NonNegative = 0.0
    gain: NonNegative = 0.0
    inl_lsb: Lsb = 0.0
    inl_shape: InlShape = "bow"
    inl_table_lsb: tuple[Lsb, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> DacErrors:
        _one_inl(self.inl_lsb, self.inl_table_lsb)
        return self

    @property
    def has_inl(self) -> bool:
        """Whether the drivers' output is not a straight line."""
        return bool(self.inl_lsb) or self.inl_table_lsb is not None


def inl(errors: AdcErrors | DacErrors, x: np.ndarray) -> np.ndarray:
    """Integral non-linearity [LSB] at places x in 0 … 1 of the range, float64 of the shape of x."""
    if errors.inl_table_lsb is not None:
        return np.interp(x, np.linspace(0.0, 1.0, len(errors.inl_table_lsb)), errors.inl_table_lsb)
    if errors.inl_shape == "bow":
        return errors.inl_lsb * 4.0 * x * (1.0 - x)
    t = 2.0 * x - 1.0
    return errors.inl_lsb * (1.5 * np.sqrt(3.0)) * t * (1.0 - t * t)


def transition_levels(errors: AdcErrors, bits: int, *, signed: bool = False) -> np.ndarray:
    """The level [LSB] at which a converter goes over to code k, for every code k but the lowest, ascending.

    bits: 1 … 16; signed: codes −2^(bits−1) … 2^(bits−1) − 1, else 0 … 2^bits − 1. Returns float64 (2^bits − 1,):
    k − ½ + INL, the INL at place 0 for the lowest transition and 1 for the highest.
    Raises ValueError for an INL that puts a transition below the one before (missing codes, two transitions at one
    level, are allowed), and for one on a converter of one bit, whose single transition it cannot move.
    """
    count = 2**bits - 1
    first = 1 - 2 ** (bits - 1) if signed else 1
    if bits == 1 and (errors.inl_lsb or errors.inl_table_lsb is not None):
        raise ValueError("a converter of one bit has one transition and no INL; give its shift as offset_lsb")
    level = np.arange(first, first + count) - 0.5 + inl(errors, np.arange(count) / max(count - 1, 1))
    back = np.diff(level).min(initial=0.0)
    if back < -_ROUNDING:
        at = first + int(np.diff(level).argmin())
        raise ValueError(
            f"its INL puts the transition to code {at + 1} {-back:.3g} LSB below that to code {at}: the {bits}-bit "
            "converter is not monotone; use a smaller or smoother INL"
        )
    return np.maximum.accumulate(level)


def drive_levels(errors: DacErrors, bits: int) -> np.ndarray:
    """What a driver applies for each code [LSB]: code + INL, float64 (2^bits,).

    Raises ValueError for an INL that lets the output fall, and for one on a driver of one bit, which has no codes
    between its ends.
    """
    if bits == 1 and errors.has_inl:
        raise ValueError("a driver of one bit has no codes between its ends and no INL")
    level = np.arange(2**bits) + inl(errors, np.arange(2**bits) / (2**bits - 1))
    fall = np.diff(level).min(initial=0.0)
    if fall < -_ROUNDING:
        at = int(np.diff(level).argmin())
        raise ValueError(
            f"its INL lets the output fall by {-fall:.3g} LSB from code {at} to {at + 1}: the {bits}-bit driver is not "
            "monotone; use a smaller or smoother INL"
        )
    return level
