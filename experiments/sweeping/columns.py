"""The columns of a sweep's table: their names, units and meanings. No name has a point, as those of swept keys do."""

from __future__ import annotations

from typing import Literal

RESULTS: dict[str, tuple[str, str]] = {
    "status": ("", "done; infeasible: a constraint is broken (what was not computed is empty); failed: see message"),
    "accuracy_dense": ("share", "test accuracy of the trained network"),
    "accuracy_pruned": ("share", "after pruning and retraining, weights still free"),
    "accuracy_quantised": ("share", "of the weights on the device's levels"),
    "accuracy_crossbar_mean": ("share", "on crossbars, mean over the chips"),
    "accuracy_crossbar_std": ("share", "standard deviation over the chips (n − 1)"),
    "accuracy_crossbar_low": ("share", "lower end of the mean's 95 % interval (Student's t)"),
    "accuracy_crossbar_high": ("share", "upper end of it"),
    "chips": ("", "simulated chips (device seeds)"),
    "area_mm2": ("mm²", "of the chip"),
    "power_mw": ("mW", "at frame_rate_hz"),
    "energy_nj": ("nJ", "per inference"),
    "latency_us": ("µs", "of one inference"),
    "arrays": ("", "physical arrays"),
    "frame_rate_hz": ("1/s", "inferences per second that both chips are priced at"),
    "power_peak_mw": ("mW", "with every unit busy"),
    "leakage_mw": ("mW", "share of power_mw that flows all the time"),
    "full_rate_hz": ("1/s", "the chip's own highest rate"),
    "area_mm2_baseline": ("mm²", "of the unpruned baseline"),
    "power_mw_baseline": ("mW", "of the baseline at the same rate"),
    "energy_nj_baseline": ("nJ", "of the baseline, per inference"),
    "latency_us_baseline": ("µs", "of the baseline"),
    "arrays_baseline": ("", "arrays of the baseline"),
    "weights": ("", "weights of the layers on arrays"),
    "weights_kept": ("", "of them not pruned"),
    "compression": ("", "weights / weights_kept"),
    "macs_on_arrays": ("share", "of the multiply-accumulates that arrays compute; the rest is not priced"),
    "adc_clipped": ("share", "of all converter samples that lay beyond the calibrated range"),
    "input_clipped": ("share", "of all inputs beyond it"),
    "message": ("", "why a point failed or is infeasible"),
}
"""Name → (unit, meaning), in the order of the table."""

BOOKKEEPING: dict[str, tuple[str, str]] = {
    "cached": ("", "nothing had to be computed for this point, not even its price"),
    "attempts": ("", "times that the point was tried, lost workers included"),
    "seconds": ("s", "spent on it by its own job"),
    "host": ("", "machine that did it"),
    "worker": ("", "process that did it"),
    "key": ("", "hash of all stage keys: what the store knows the point by"),
}

TEXTS = ("status", "message")
COUNTS = ("chips", "arrays", "arrays_baseline", "weights", "weights_kept")
MEASURED = tuple(name for name in RESULTS if name not in TEXTS)
SIMULATED = (
    "accuracy_crossbar_mean", "accuracy_crossbar_std", "accuracy_crossbar_low", "accuracy_crossbar_high", "chips",
    "adc_clipped", "input_clipped",
)  # fmt: skip
"""Results that only simulation gives."""


def direction(column: str) -> Literal["maximize", "minimize"]:
    """Which way a result is better: accuracies, rates and compression upwards, everything else downwards."""
    up = column.startswith("accuracy") and column != "accuracy_crossbar_std"
    return "maximize" if up or column in ("compression", "full_rate_hz", "macs_on_arrays") else "minimize"
