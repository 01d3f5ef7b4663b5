"""What a run says about its converters: ranges, how much of them is used, what is clipped, and a histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crossbar import ArraySpec, CodeHistogram
from crossbar.figures import adc_histogram
from experiments.reporting.drawing import colour
from experiments.reporting.wording import UNKNOWN, count, number, plural, share
from mapping import Placement
from mapping.converters import range_s
from mapping.placement import LayerPlacement

COLUMNS = ("input_range", "adc_range_s", "adc_ranges", "adc_codes_used", "adc_bits", "adc_bits_lossless")
"""What the record says of every layer's converters."""

HEADS = ("layer", "input range", "inputs clipped", "ADC range (µS × code)", "codes used", "ADC clipped", "bits",
         "bits that lose nothing")  # fmt: skip


def of_layer(layer: LayerPlacement, spec: ArraySpec) -> dict[str, Any]:
    """Ranges of one layer for the record; None where there is no converter, or no number of bits is enough."""
    calibration = layer.calibration
    full_scale = range_s(calibration, spec)
    return {
        "input_range": calibration.input_scale,
        "adc_range_s": full_scale,
        "adc_ranges": 0 if full_scale is None else max(len(calibration.converters), 1),
        "adc_codes_used": calibration.histogram.codes_used if calibration.histogram else None,
        "adc_bits": spec.adc_bits,
        "adc_bits_lossless": calibration.lossless_adc_bits,
    }


def histograms(placement: Placement) -> pd.DataFrame:
    """The table adc_histogram, a row per layer and bin of column sums: layer, low, top, code, width, samples."""
    rows = [
        {
            "layer": layer.name,
            "low": histogram.low,
            "top": histogram.top,
            "code": histogram.first + number * histogram.width,
            "width": histogram.width,
            "samples": int(samples),
        }
        for layer in placement.layers.values()
        if (histogram := layer.calibration.histogram) is not None
        for number, samples in enumerate(histogram.counts)
    ]
    return pd.DataFrame(rows, columns=["layer", "low", "top", "code", "width", "samples"])


def worst_layer(layers: Sequence[Mapping[str, Any]], table: pd.DataFrame) -> str | None:
    """The layer of the table whose converters clipped most; of equals the first."""
    known = set(table["layer"].tolist()) if len(table) else set()
    found = [layer for layer in layers if layer["layer"] in known]
    return max(found, key=lambda layer: layer["adc_clipped"] or 0.0)["layer"] if found else None


def draw(figure: Figure, table: pd.DataFrame, layer: str) -> None:
    """Column sums of one layer in codes, from the table adc_histogram, with the range of its converters marked."""
    own = table[table["layer"] == layer]
    first = own.iloc[0]
    histogram = CodeHistogram(
        first=int(first["code"]),
        width=int(first["width"]),
        low=int(first["low"]),
        top=int(first["top"]),
        counts=np.asarray(own["samples"]),
    )
    figure.set_figheight(2.7)
    ax = figure.add_subplot()
    adc_histogram(ax, histogram, inside=colour("after"), outside=colour("red"), edge=colour("muted"))
    ax.grid(axis="y")


def caption(record: Mapping[str, Any], table: pd.DataFrame) -> str:
    """What the histogram shows."""
    layer = worst_layer(record["layers"], table)
    own = next(item for item in record["layers"] if item["layer"] == layer)
    ranges = own.get("adc_ranges") or 1
    whose = f" Each of {plural(ranges, 'converter')} has a range of its own." if ranges > 1 else ""
    return (
        f"Column sums of {layer}, the layer whose converters clip most, over the calibration inputs on arrays without "
        f"errors, in codes of the converter that reads them; dashed: its range.{whose} On the test set "
        f"{share(own['adc_clipped'])} of its conversions are clipped."
    )


def row(layer: Mapping[str, Any]) -> list[str]:
    """The cells of a layer under `HEADS`."""
    scale, lossless = layer.get("adc_range_s"), layer.get("adc_bits_lossless")
    several = (layer.get("adc_ranges") or 0) > 1
    return [
        layer["layer"],
        number(layer["input_range"]) if layer.get("input_range") is not None else UNKNOWN,
        share(layer["input_clipped"]),
        UNKNOWN if scale is None else f"{'up to ' if several else ''}{number(1e6 * scale)}",
        share(layer.get("adc_codes_used")),
        share(layer["adc_clipped"]),
        count(layer["adc_bits"]) if layer.get("adc_bits") else "ideal",
        "none do" if lossless is None else count(lossless),
    ]


def assumption(spec: ArraySpec) -> str:
    """How the chips' converters differ from ideal ones, in a sentence."""
    said = [text for text in (_errors(spec.adc_errors, "converters"), _errors(spec.dac_errors, "drivers")) if text]
    if not said:
        return "Drivers and converters have no errors besides their resolution and range."
    return f"Drawn once per chip: {'; '.join(said)}. Ranges are calibrated without these errors."


def _errors(errors: Any, what: str) -> str:
    if errors is None:
        return ""
    parts = [
        f"offset σ {errors.offset_lsb:g} LSB" if errors.offset_lsb else "",
        f"gain σ {100 * errors.gain:g} %" if errors.gain else "",
        f"INL {errors.inl_lsb:g} LSB ({errors.inl_shape})" if errors.inl_lsb else "",
        "a measured INL" if errors.inl_table_lsb is not None else "",
        f"noise σ {errors.noise_lsb:g} LSB a conversion" if getattr(errors, "noise_lsb", 0) else "",
    ]
    return f"{what} with " + ", ".join(part for part in parts if part)
