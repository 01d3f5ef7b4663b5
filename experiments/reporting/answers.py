"""The answer of a run: one sentence of numbers, and the same numbers in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.reporting.wording import (
    UNKNOWN,
    change,
    count,
    known,
    number,
    percent,
    plural,
    points,
    quantity,
    rate,
    times,
)

Record = Mapping[str, Any]


def answer(record: Record) -> str:
    """The answer as one sentence of numbers."""
    accuracy, arrays, reduction = record["accuracy"], record["arrays"], record["reduction"]
    decimals = precision(accuracy)
    mean = accuracy["crossbar_mean"]
    if known(mean):
        runs = len(accuracy["crossbar_seeds"])
        interval = "95 % interval over " if half_width(accuracy) is not None else ""
        reached = (
            f"{with_interval(accuracy)} on crossbars ({interval}{plural(runs, 'device seed')}), "
            f"{_against_dense(accuracy, mean)}"
        )
    else:
        reached = f"{percent(accuracy['dense'], decimals)} before mapping; it was not run on crossbars"
    at = f" at {rate(record['frame_rate_hz'])}" if known(record["frame_rate_hz"]) else ""
    return (
        f"Accuracy {reached}; {times(record['compression'])} compression; "
        f"{count(arrays['placed'])} arrays instead of {count(arrays['baseline'])}; "
        f"area {change(reduction['area'])}, power {change(reduction['power'])}{at}."
    )


def highlights(record: Record) -> list[tuple[str, str, str]]:
    """The answer as a line of numbers: label, value, and what it is measured against."""
    accuracy, arrays, reduction = record["accuracy"], record["arrays"], record["reduction"]
    runs = len(accuracy["crossbar_seeds"])
    area, power = record["area_mm2"], record["power_mw"]
    return [
        ("accuracy on crossbars", with_interval(accuracy), f"{plural(runs, 'device seed')}" if runs else "not run"),
        ("dense accuracy", percent(accuracy["dense"], precision(accuracy)), f"{count(accuracy['samples'])} samples"),
        ("compression", times(record["compression"]), f"{count(record['weights']['kept'])} weights kept"),
        ("arrays", count(arrays["placed"]), f"instead of {count(arrays['baseline'])}"),
        ("area", change(reduction["area"]), f"{number(area['baseline'])} → {quantity(area['placed'], 'mm²')}"),
        ("power", change(reduction["power"]), f"{number(power['baseline'])} → {quantity(power['placed'], 'mW')}"),
    ]


HIGHLIGHT_KEYS = [
    ["", "accuracy.crossbar_mean", ""],
    ["", "accuracy.dense", ""],
    ["", "compression", "weights.kept"],
    ["", "arrays.placed", "arrays.baseline"],
    ["", "reduction.area", "area_mm2.placed"],
    ["", "reduction.power", "power_mw.placed"],
]
"""The keys of the record behind the parts of `highlights`."""


def precision(accuracy: Mapping[str, Any]) -> int:
    """Decimals of a percentage: no finer than the test set can tell."""
    return 2 if accuracy["samples"] >= 1000 else 1


def half_width(accuracy: Mapping[str, Any]) -> float | None:
    """Half the interval; one device has none, whatever its ends are set to."""
    low, high = accuracy["crossbar_low"], accuracy["crossbar_high"]
    return (high - low) / 2 if known(low) and known(high) and len(accuracy["crossbar_seeds"]) > 1 else None


def with_interval(accuracy: Mapping[str, Any]) -> str:
    """The mean on crossbars with half its interval, where it has one."""
    decimals, half = precision(accuracy), half_width(accuracy)
    mean = percent(accuracy["crossbar_mean"], decimals)
    if half is None or mean == UNKNOWN:
        return mean
    return mean.replace("\u00a0%", f"\u00a0±\u00a0{100 * half:.{decimals}f}\u00a0%")


def spread_words(accuracy: Mapping[str, Any]) -> str:
    """Over how many chips the mean on crossbars is, and its interval."""
    decimals, seeds = precision(accuracy), len(accuracy["crossbar_seeds"])
    if half_width(accuracy) is None:
        return plural(seeds, "device seed")
    low, high = (percent(accuracy[key], decimals) for key in ("crossbar_low", "crossbar_high"))
    return f"mean of {plural(seeds, 'device seed')}; 95 % interval {low} to {high}"


def _against_dense(accuracy: Mapping[str, Any], mean: float) -> str:
    decimals = precision(accuracy)
    lost = accuracy["dense"] - mean
    dense = f"the dense network’s {percent(accuracy['dense'], decimals)}"
    if points(lost, decimals) == points(0.0, decimals):
        return f"equal to {dense}"
    return f"{100 * abs(lost):.{decimals}f} points {'below' if lost > 0 else 'above'} {dense}"
