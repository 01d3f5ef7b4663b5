"""Reading a strip with drivers and converters that differ or err: one input cycle after the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from crossbar.converter_bank import CYCLES, ColumnConverters
from crossbar.converter_errors import drive_levels
from crossbar.converters import Converter, input_cycles
from crossbar.spec import ArraySpec
from crossbar.strip import Strip


def errs(strip: Strip, spec: ArraySpec) -> bool:
    """Whether what the drivers apply is not just the code, or the cells' currents differ from read to read."""
    if strip.read_noise is not None:
        return True
    return strip.drive_offset is not None or (spec.dac_errors is not None and spec.dac_errors.has_inl)


def read(
    strip: Strip,
    codes: Tensor,
    spec: ArraySpec,
    converter: Converter | ColumnConverters | None,
    signed: bool,
    first: int,
    phase: int,
) -> tuple[Tensor, int, int]:
    """What a strip gives for input codes (n, rows), with everything that `errs` or `ColumnConverters` may hold.

    Returns (sums (n, cols) float64 in `unit`s, without the digital input terms; clipped samples; all samples). The
    drivers' gain errors already stand in the strip's conductances, which is exact. Every input cycle is a product of
    its own, also without a converter. Cost: O(cycles · n · rows · planes · cols).
    """
    assert not isinstance(converter, Converter), "plain converters know no drive errors: use column_converters"
    weights = _column_weights(strip)
    step = None if converter is None else converter.common_step
    # Codes are whole numbers and add up exactly, so a common step is multiplied only once, by the caller.
    counts = weights if converter is None or step is not None else weights * converter.step
    real = 0 if converter is None else int((converter.place[0] >= 0).sum())
    total = torch.zeros(codes.shape[0], strip.cols, dtype=torch.float64, device=codes.device)
    clipped = samples = 0
    for number, (weight, driven) in enumerate(_driven(codes, spec, signed)):
        sums = strip.column_sums(driven)
        if strip.read_noise is not None:
            strip.read_noise.add_to(sums, driven, first, phase * CYCLES + number)
        if converter is None:
            whole = sums.double() if strip.drive_offset is None else sums.double() + strip.drive_offset
            total += (whole * (weight * weights)).view(len(codes), -1, strip.cols).sum(dim=1)
            continue
        samples += real * len(codes)
        clipped += converter.convert_and_add(sums, weight * counts, total, first, phase * CYCLES + number)
    return total, clipped, samples


def unit(converter: Converter | ColumnConverters | None) -> float:
    """What 1 in the sums of `read` means, in conductance unit × input code: the step that all share, or 1."""
    return (converter.common_step or 1.0) if isinstance(converter, ColumnConverters) else 1.0


def _column_weights(strip: Strip) -> Tensor:
    """What one code of each column counts: (planes · cols,) float64."""
    weights = torch.from_numpy(strip.plane_weights).double().repeat_interleave(strip.cols).to(strip.g.device)
    return weights if strip.column_sign is None else weights * strip.column_sign.double()


def _driven(codes: Tensor, spec: ArraySpec, signed: bool) -> Iterator[tuple[float, Tensor]]:
    """What the drivers apply in each cycle [LSB], their offsets and gain errors apart, with its weight."""
    levels = None
    if spec.dac_errors is not None and spec.dac_errors.has_inl:
        levels = torch.from_numpy(drive_levels(spec.dac_errors, spec.dac_bits)).to(codes.device, codes.dtype)
    for weight, cycle in input_cycles(codes, spec.input_bits, spec.dac_bits, signed=signed):
        yield weight, cycle if levels is None else levels[cycle.long()]
