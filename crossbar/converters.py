"""Between numbers and volts: input codes and their cycles, column sums and their codes.

Rounding is to the nearest code, ties to even, then clipping. For a converter of `bits` bits with full scale F
there are 2^bits codes, one step apart: step = F / (2^bits − 1). A converter behind an analog subtraction takes both
signs: its codes reach from −2^(bits−1) to 2^(bits−1) − 1, step = F / (2^(bits−1) − 1). A sample counts as clipped when
it lies more than half a step outside the range.

    2 bits, F = 3 (step 1)          sum     −0.6  −0.2   0.4   0.5   0.6   1.5   2.5   3.4   9.0
                                    code       0     0     0     0     1     2     2     3     3
                                    clipped  yes                                             yes
    3 bits, both signs,             sum     −9.0  −4.6  −4.4  −0.5   0.5   1.5   2.5   3.4   3.6
    F = 3 (step 1)                  code      −4    −4    −4     0     0     2     2     3     3
                                    clipped  yes   yes                                       yes

One bit is a sense amplifier. Of one sign it compares with F / 2, and its codes 0 and 1 stand for 0 and F. Of both signs
it compares with 0 and its codes −1 and 0 stand for the middles of the halves, −F / 2 and F / 2 (`converter_bank`):

    1 bit, F = 3 (step 3)           sum     −2.0   0.0   1.4   1.5   1.6   4.4   4.6
                                    stands for 0     0     0     0     3     3     3
                                    clipped  yes                                 yes
    1 bit, both signs, F = 3        sum     −3.1  −3.0  −0.1   0.0   0.1   3.0   3.1
                                    stands  −1.5  −1.5  −1.5   1.5   1.5   1.5   1.5
                                    clipped  yes                                 yes

A sense amplifier of both signs clips where the sum lies outside ±F. Offset, gain, non-linearity and noise of real
converters: `converter_errors`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hwmodels.errors import UserError


def input_codes(x: Tensor, full_scale: float, bits: int | None, *, signed: bool = False) -> Tensor:
    """Non-negative inputs as DAC codes: round(x / full_scale · (2^bits − 1)), clipped to 0 … 2^bits − 1.

    x: any shape, float. bits None: the exact value x / full_scale, neither rounded nor clipped. signed: inputs of both
    signs in two's complement, round(x / full_scale · (2^(bits−1) − 1)), clipped to −2^(bits−1) … 2^(bits−1) − 1.
    Returns float32 codes (whole numbers, exact below 2²⁴). Raises UserError for a range that is not above 0.
    """
    _wide("input", full_scale)
    if bits is None:
        assert not signed
        return (x / full_scale).clamp_min(0)
    top = 2 ** (bits - signed) - 1
    return torch.round(x * (top / full_scale)).clamp_(-top - 1 if signed else 0, top)


def _wide(what: str, full_scale: float) -> None:
    if not 0 < full_scale < math.inf:
        raise UserError(f"An {what} range of {full_scale!r} holds no code; a range is a finite number above 0.")


def input_cycles(
    codes: Tensor, input_bits: int | None, dac_bits: int, *, signed: bool = False
) -> Iterator[tuple[float, Tensor]]:
    """The input codes of each cycle, least significant first, with what one step of that cycle counts.

    Yields (weight, codes of 0 … 2^dac_bits − 1), where Σ weight · cycle = codes; one cycle without a DAC.
    signed: codes in two's complement; a last cycle of its own applies the most significant bit and counts
    −2^(input_bits − 1).
    """
    if signed:
        assert input_bits is not None
        negative = (codes < 0).to(codes.dtype)
        weight = 2.0 ** (input_bits - 1)
        yield from input_cycles(codes + weight * negative, input_bits - 1, min(dac_bits, input_bits - 1))
        yield -weight, negative
        return
    if input_bits is None or input_bits == dac_bits:
        yield 1.0, codes
        return
    rest, weight, radix = codes, 1.0, 2**dac_bits
    for _ in range(-(-input_bits // dac_bits)):
        # Whole numbers below 2²⁴ divide by a power of two exactly in float32, so floor is exact too.
        quotient = torch.floor(rest / radix)
        yield weight, rest - quotient * radix
        rest, weight = quotient, weight * radix


@dataclass(frozen=True)
class Converter:
    """The transfer curve of an ADC: code = round(sum / step), clipped to low … top. step: in the unit of the sums."""

    step: float
    low: int
    top: int

    @classmethod
    def of_range(cls, full_scale: float, bits: int, *, signed: bool = False, finest: float = 0.0) -> Converter:
        """A converter of `bits` bits whose highest code stands for `full_scale`.

        finest: the step is never finer than this; for cells on a grid its unit, of which all sums are whole multiples,
        so that a converter with codes enough for all of them reads them exactly.
        Raises UserError for bits outside 1 … 16 and for a range that is not above 0.
        """
        _wide("ADC", full_scale)
        if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 16:
            raise UserError(f"A converter has from 1 to 16 bits, not {bits!r}.")
        top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        # One signed bit leaves codes −1 and 0; its step is the full scale itself.
        step = max(full_scale / max(top, 1), finest)
        return cls(step=step, low=-(2 ** (bits - 1)) if signed else 0, top=top)


def adc_codes(sums: Tensor, converter: Converter) -> tuple[Tensor, Tensor]:
    """Codes of column sums, and how many samples the converter clipped.

    sums: any shape, in the unit of the converter's step; it is overwritten. Returns (codes as floats holding whole
    numbers low … top, count of samples more than half a step outside the range as a 0-d int64 tensor).
    """
    # A tensor divides in float32 on every device; dividing by a Python number would multiply by its inverse on some.
    codes = sums.div_(torch.tensor(converter.step, dtype=sums.dtype, device=sums.device)).round_()
    clipped = ((codes > converter.top) | (codes < converter.low)).sum()
    return codes.clamp_(converter.low, converter.top), clipped
