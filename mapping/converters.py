"""The converters of a layer's strips: which range belongs to which column, and what a chip makes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossbar import ArraySpec
from crossbar.converter_bank import ColumnConverters
from crossbar.converter_choice import converter_of, finest_step
from crossbar.converters import Converter
from crossbar.strip import Strip
from mapping.placement import Calibration
from mapping.strips import unit_conductance


def range_s(calibration: Calibration, spec: ArraySpec) -> float | None:
    """What the highest code of the layer's widest converter stands for, conductance × DAC code [S]; None without one.

    Wider than what was measured where the converter has more codes than there are grid units.
    """
    if spec.adc_bits is None or calibration.adc_full_scale_s <= 0:
        return None
    one = Converter.of_range(1.0, spec.adc_bits, signed=spec.signed_converter)
    return max(calibration.adc_full_scale_s, finest_step(spec) * unit_conductance(spec) * max(one.top, 1))


def converters_of(strip: Strip, spec: ArraySpec) -> np.ndarray:
    """Which converter serves each column: (columns, 2) int64 array and converter of the array; −1, −1 for none."""
    assert strip.place is not None
    array, line = strip.place[:2]
    return np.where(array[:, None] >= 0, np.stack([array, line // spec.columns_per_converter], axis=1), -1)


def grouped(strips: Sequence[Strip], spec: ArraySpec) -> tuple[np.ndarray, list[np.ndarray]]:
    """The ranges that a layer's columns share: the converters (n, 2), and per strip the range of every column.

    One range for all (n = 0) unless every converter has its own; −1 for columns without a converter.
    """
    owners = [converters_of(strip, spec) for strip in strips]
    if spec.adc_range_per == "layer" or not owners:
        return np.zeros((0, 2), dtype=np.int64), [np.minimum(owner[:, 0], 0) for owner in owners]
    found, inverse = np.unique(np.concatenate(owners), axis=0, return_inverse=True)
    absent = int((found[:, 0] < 0).sum())
    ends = np.cumsum([len(owner) for owner in owners])[:-1]
    return found[absent:], np.split(inverse.reshape(-1) - absent, ends)


def full_scales(strip: Strip, calibration: Calibration, spec: ArraySpec) -> np.ndarray:
    """(columns,) full scale of every column's converter, in units of `unit_conductance` × DAC code."""
    scale = np.full(strip.g.shape[1], calibration.adc_full_scale_s)
    if len(calibration.converters):
        known = {
            tuple(owner): value
            for owner, value in zip(
                calibration.converters.tolist(), calibration.converter_full_scale_s.tolist(), strict=True
            )
        }
        scale = np.array([known.get(tuple(owner), scale[0]) for owner in converters_of(strip, spec).tolist()])
    return scale / unit_conductance(spec)


def strip_converter(
    strip: Strip, calibration: Calibration, spec: ArraySpec, seed: int
) -> Converter | ColumnConverters | None:
    """What reads a strip on the chip of this seed: one plain converter where all are alike and ideal."""
    if spec.adc_bits is None or calibration.adc_full_scale_s <= 0:
        return None
    return converter_of(strip, spec, full_scales(strip, calibration, spec), seed)


def lossless_bits(strips: Sequence[Strip], spec: ArraySpec) -> int | None:
    """Bits with which a converter of one grid unit a step reads every sum that these strips can give.

    Over all inputs, so the tight form `hwmodels.required_adc_bits_of` of the fullest column; a converter of both signs
    reaches as far up as down. None where sums are real numbers and no number of bits is enough: levels without a common
    unit, wires, ideal inputs. 0 for a layer without cells.
    """
    from hwmodels import required_adc_bits_of

    if finest_step(spec) == 0.0:
        return None
    most = 0
    for strip in strips:
        levels = np.rint(strip.g.cpu().numpy()).astype(np.int64)
        if spec.signed_converter:
            sides = (required_adc_bits_of(np.maximum(sign * levels, 0), spec.dac_bits) for sign in (1, -1))
            needed = 1 + max(int(side.max(initial=0)) for side in sides)
        else:
            needed = int(required_adc_bits_of(levels, spec.dac_bits).max(initial=0))
        most = max(most, needed)
    return most
