"""Sections on the chip: arrays with their converters, the device, and what the parts cost."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, Strict

from experiments.sections.section import section
from hwmodels.quantities import Count, Fraction, NonNegative, NonNegativeInt, Percentile, Positive

Lsb = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number of converter steps, of either sign."""


@section
class AdcErrors:
    """Errors of the converters, [crossbar.adc_errors]: every key is a field of `crossbar.AdcErrors`."""

    offset_lsb: NonNegative = 0.0
    """Standard deviation of the offset over the converters of a chip [LSB]."""
    gain: NonNegative = 0.0
    """Standard deviation of the relative gain error over the converters of a chip."""
    inl_lsb: Lsb = 0.0
    """Largest integral non-linearity [LSB], of the shape inl_shape."""
    inl_shape: Literal["bow", "s"] = "bow"
    """Its shape: one bow, or an S of both signs."""
    inl_table_lsb: tuple[Lsb, ...] | None = None
    """Measured INL of the transition levels [LSB] instead, evenly spaced over the range."""
    noise_lsb: NonNegative = 0.0
    """Standard deviation of the input-referred noise of a conversion [LSB]."""


@section
class DacErrors:
    """Errors of the word-line drivers, [crossbar.dac_errors]: every key is a field of `crossbar.DacErrors`."""

    offset_lsb: NonNegative = 0.0
    """Standard deviation of the offset over the drivers of a chip [LSB]; one LSB of a 1-bit driver is V_read."""
    gain: NonNegative = 0.0
    """Standard deviation of the relative gain error over the drivers of a chip."""
    inl_lsb: Lsb = 0.0
    """Largest deviation of the output from a straight line [LSB], of the shape inl_shape."""
    inl_shape: Literal["bow", "s"] = "bow"
    """Its shape: one bow, or an S of both signs."""
    inl_table_lsb: tuple[Lsb, ...] | None = None
    """Measured deviation [LSB] instead, evenly spaced from code 0 to the highest."""


@section
class Crossbar:
    """One array and its converters: every key is a field of `crossbar.ArraySpec`."""

    rows: Count = 128
    """Word lines."""
    cols: Count = 128
    """Bit lines."""
    encoding: Literal["pair", "offset", "flipped", "polarised"] = "pair"
    """Weights on cells: positive and negative apart, offset codes, ISAAC's flipped columns, or one sign a fragment."""
    slices: Count = 1
    """Cells that share the digits of one weight."""
    slice_bits: tuple[Count, ...] | None = None
    """Bits on each slice, least significant first (3 3 2); default: all levels of the cell on every slice."""
    slice_layout: Literal["arrays", "columns"] = "arrays"
    """Slices on arrays of their own, or on neighbouring columns of one."""
    idle: Literal["open", "hrs"] | None = None
    """What stands where no weight does: open (0 S) or hrs (a cell at g_min); default: the device's own."""
    pair_subtraction: Literal["digital", "analog"] = "digital"
    """Subtract a pair's halves after their converters, or their currents before one that takes both signs."""
    pair_layout: Literal["arrays", "columns"] = "arrays"
    """A pair's halves on two arrays, or on neighbouring columns of one."""
    offset_correction: Literal["digital", "analog"] = "digital"
    """Take the offset off digitally, or as the current of a dummy column before the converter."""
    fragment: Count | None = None
    """Rows that share a sign in a column, for encoding = "polarised"; default: 8."""
    fragment_order: Literal["W", "H", "C"] = "W"
    """What runs fastest along a fragment of a convolution: kernel width, kernel height or channels."""
    input_bits: Count | Literal["ideal"] = 8
    """Resolution of an input; ideal: the exact real value."""
    dac_bits: Count = 1
    """Bits that a word-line driver applies per cycle."""
    signed_inputs: Literal["phases", "twos_complement"] = "phases"
    """Inputs of both signs: positive part, then negative part; or one phase of signed codes."""
    input_range: Literal["calibrated", "percentile", "fixed"] = "calibrated"
    """Range of the inputs: the largest seen in calibration, their input_percentile, or input_full_scale."""
    input_percentile: Percentile | None = None
    """Percentile of the inputs' magnitudes, for input_range = "percentile"."""
    input_full_scale: Positive | None = None
    """Range of the inputs of every layer, for input_range = "fixed"."""
    dac_errors: DacErrors = field(default_factory=DacErrors)
    """Errors of the word-line drivers."""
    adc_bits: Count | Literal["ideal"] = 8
    """Resolution of the converters; ideal: the exact sum; 1: sense amplifiers."""
    cols_per_adc: Count | None = None
    """Columns that share a converter; default: all of the array."""
    adc_range: Literal["calibrated", "percentile", "full"] = "calibrated"
    """Full scale: the largest sum seen in calibration, the sums' adc_percentile, or the largest possible."""
    adc_percentile: Percentile | None = None
    """Percentile of the sums' magnitudes, for adc_range = "percentile"."""
    adc_range_per: Literal["layer", "converter"] = "layer"
    """Whose sums a measured range is taken over."""
    adc_errors: AdcErrors = field(default_factory=AdcErrors)
    """Errors of the converters."""
    r_word_ohm: NonNegative = 0.0
    """Resistance of a word-line segment [Ω]; 0: an ideal wire."""
    r_bit_ohm: NonNegative = 0.0
    """Resistance of a bit-line segment [Ω]."""
    r_source_ohm: NonNegative = 0.0
    """Resistance of a word-line driver [Ω]."""
    r_sink_ohm: NonNegative = 0.0
    """Resistance of a bit line's read-out [Ω]."""
    r_access_ohm: NonNegative = 0.0
    """Resistance of the access transistor in series with every cell [Ω]; 0: cells without transistors (1R)."""
    both_ends: Annotated[bool, Strict()] = False
    """A second, equal driver stands at the far end of every word line."""
    unused_rows: Literal["off", "grounded", "floating"] = "off"
    """Word lines without weights whose idle cells conduct (idle = "hrs"): shut off, held at 0 V, or floating."""
    wire_model: Literal["exact", "fast"] = "exact"
    """fast: an approximation for screening, over ten times faster, with a bound of its error that it warns by."""
    t_read_s: Positive = 100e-9
    """Time of one array read [s]."""


@section
class DeviceSection:
    """The cells: a preset, and what to change of it."""

    preset: str = "yuan2019"
    """A name that `ohmweave devices` lists, or the path of your own file."""
    levels: Annotated[int, Strict(), Field(ge=2)] | None = None
    """Programmable conductances per cell; default: the preset's."""
    stuck_at_lrs: Fraction | None = None
    """Share of cells stuck at low resistance (g_max); default: the preset's."""
    stuck_at_hrs: Fraction | None = None
    """Share of cells stuck at high resistance (g_min)."""
    mismatch: NonNegative = 1.0
    """Factor on the preset's programming error; 0 switches it off."""


@section
class MappingSection:
    """How the compressed network is put on the arrays; the unpruned baseline is tiled plainly."""

    repack: Annotated[bool, Strict()] = False
    """Choose which rows and columns of a masked matrix stand together, so that they fill fewer arrays."""
    share: Literal["none", "layer", "network"] = "none"
    """Let small blocks of a layer, or of the network, stand on one array and be read in turn."""
    spare_rows: NonNegativeInt = 0
    """Word lines of every array that stay free, for avoid_faults to move rows to."""
    spare_cols: NonNegativeInt = 0
    """Weight columns of every array that stay free."""
    avoid_faults: Annotated[bool, Strict()] = False
    """Place every chip around its own stuck cells, as if it had been tested; it is run as placed, too."""


@section
class Hardware:
    """What the parts cost."""

    library: str = "isaac-32nm"
    """A name that `ohmweave libraries` lists, or the path of your own file."""
    adc_model: Literal["table", "andrulis", "isaac"] | None = None
    """Where a converter's cost comes from: the library's table, the published regression, or ISAAC's scaling rule."""
    node_nm: Positive | None = None
    """Move the digital parts to this node [nm]; converters, drivers and cells stay."""
    execution: Literal["pipelined", "layer-by-layer"] = "pipelined"
    """Whether inferences overlap, every layer on the next one, or run one at a time."""
    frame_rate_hz: Positive | None = None
    """Inferences per second that both chips are priced at; default: the highest that both reach."""
    replicas: dict[str, Count] = field(default_factory=dict)
    """Copies of a layer's arrays, by layer name; they share its input vectors."""
    baseline_bits: Annotated[int, Strict(), Field(ge=2, le=17)] = 9
    """Signed weight precision of the unpruned baseline (9 in Yuan et al. 2019)."""
