"""Which converters read a strip: one plain transfer curve where all are alike and ideal, else one per column."""

from __future__ import annotations

import numpy as np

from crossbar import readout
from crossbar.converter_bank import ColumnConverters, column_converters
from crossbar.converters import Converter
from crossbar.spec import ArraySpec
from crossbar.strip import Strip


def finest_step(spec: ArraySpec) -> float:
    """The step below which a converter tells nothing more, in grid units × DAC code; 0 where there is no such step.

    On cells that sit on a grid, and with whole input codes, every sum is a whole multiple of the grid's unit.
    """
    whole = spec.encoder.grid_unit_s is not None and not spec.has_wires and spec.input_bits is not None
    return 1.0 if whole else 0.0


def converter_of(strip: Strip, spec: ArraySpec, full_scale: np.ndarray, seed: int) -> Converter | ColumnConverters:
    """The converters of a strip on the chip of this seed.

    full_scale: (columns,) of every column's converter, conductance unit × DAC code. Raises UserError for a range that
    is not above 0.
    """
    assert spec.adc_bits is not None
    signed, finest = spec.signed_converter, finest_step(spec)
    one_range = full_scale.size > 0 and bool((full_scale == full_scale[0]).all())
    alike = one_range and spec.adc_errors is None and not readout.errs(strip, spec)
    if alike and not (signed and spec.adc_bits == 1):
        return Converter.of_range(float(full_scale[0]), spec.adc_bits, signed=signed, finest=finest)
    assert strip.place is not None
    return column_converters(
        full_scale,
        spec.adc_bits,
        signed=signed,
        errors=spec.adc_errors,
        place=strip.place,
        columns_per_converter=spec.columns_per_converter,
        seed=seed,
        drive_offset=None if strip.drive_offset is None else strip.drive_offset.cpu().numpy(),
        finest=finest,
    )
