"""Between numbers and volts: input codes and their cycles, column sums and their codes.

Rounding is to the nearest code, ties to even, then clipping. For a converter of `bits` bits with full scale F
there are 2^bits codes, one step apart: step = F / (2^bits − 1).

    bits = 2, F = 3 (step 1)   sum      −0.6  −0.2  0.4  0.5  0.6  1.5  2.5  3.4  9.0
                               code        0     0    0    0    1    2    2    3    3
                               clipped   yes                                        yes

A sample counts as clipped when it lies more than half a step outside the range. A converter behind an analog
subtraction takes both signs: its codes reach from −2^(bits−1) to 2^(bits−1) − 1, step = F / (2^(bits−1) − 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def input_codes(x: Tensor, full_scale: float, bits: int | None) -> Tensor:
    """Non-negative inputs as DAC codes: round(x / full_scale · (2^bits − 1)), clipped to 0 … 2^bits − 1.

    x: any shape, float. bits None: the exact value x / full_scale, neither rounded nor clipped.
    Returns float32 codes (whole numbers, exact below 2²⁴).
    """
    if bits is None:
        return (x / full_scale).clamp_min(0)
    top = 2**bits - 1
    return torch.round(x * (top / full_scale)).clamp_(0, top)


def input_cycles(codes: Tensor, input_bits: int | None, dac_bits: int) -> Iterator[tuple[float, Tensor]]:
    """The input codes of each cycle, least significant first, with what one step of that cycle counts.

    Yields (weight, codes of 0 … 2^dac_bits − 1), where Σ weight · cycle = codes; one cycle without a DAC.
    """
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
    def of_range(cls, full_scale: float, bits: int, *, signed: bool = False) -> Converter:
        """A converter of `bits` bits whose highest code stands for `full_scale` > 0."""
        top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        # One signed bit leaves codes −1 and 0; its step is the full scale itself.
        return cls(step=full_scale / max(top, 1), low=-(2 ** (bits - 1)) if signed else 0, top=top)


def adc_codes(sums: Tensor, converter: Converter) -> tuple[Tensor, Tensor]:
    """Codes of column sums, and how many samples the converter clipped.

    sums: any shape, in the unit of the converter's step; it is overwritten. Returns (codes as floats holding whole
    numbers low … top, count of samples more than half a step outside the range as a 0-d int64 tensor).
    """
    # A tensor divides in float32 on every device; dividing by a Python number would multiply by its inverse on some.
    codes = sums.div_(torch.tensor(converter.step, dtype=sums.dtype, device=sums.device)).round_()
    clipped = ((codes > converter.top) | (codes < converter.low)).sum()
    return codes.clamp_(converter.low, converter.top), clipped
