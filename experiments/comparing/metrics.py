"""The axes of a comparison: what is compared, in which unit, and what must agree before a difference means anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One axis. words, unit: for people; better: which way; needs: the parts of the context that must agree."""

    words: str
    unit: str
    better: Literal["more", "less"]
    needs: tuple[str, ...] = ()
    interval: tuple[str, str] | None = None
    """Columns with its lower and upper end, where there are any."""

    @property
    def share(self) -> bool:
        """Whether differences are in percentage points."""
        return self.unit == "%"


_TASK = ("network", "data", "samples")
_CHIP = ("network", "library", "node_nm", "adc_model")
_AT_RATE = (*_CHIP, "frame_rate_hz")
_BASELINE = ("network", "baseline_bits", "library", "node_nm", "adc_model")

METRICS: dict[str, Metric] = {
    "accuracy_dense": Metric("trained accuracy", "%", "more", _TASK),
    "accuracy_pruned": Metric("pruned accuracy", "%", "more", _TASK),
    "accuracy_quantised": Metric("accuracy on levels", "%", "more", _TASK),
    "accuracy_crossbar_mean": Metric(
        "accuracy on crossbars", "%", "more", _TASK, ("accuracy_crossbar_low", "accuracy_crossbar_high")
    ),
    "compression": Metric("compression", "×", "more", ("network",)),
    "weights_kept": Metric("weights kept", "", "less", ("network",)),
    "arrays": Metric("arrays", "", "less", ("network",)),
    "area_mm2": Metric("area", "mm²", "less", _CHIP),
    "power_mw": Metric("power", "mW", "less", _AT_RATE),
    "energy_nj": Metric("energy per inference", "nJ", "less", _CHIP),
    "latency_us": Metric("latency per inference", "µs", "less", _CHIP),
    "full_rate_hz": Metric("own full rate", "1/s", "more", _CHIP),
    "macs_on_arrays": Metric("multiply-accumulates on arrays", "%", "more", ("network",)),
    "reduction_arrays": Metric("arrays saved", "%", "more", _BASELINE[:2]),
    "reduction_area": Metric("area saved", "%", "more", _BASELINE),
    "reduction_power": Metric("power saved", "%", "more", _BASELINE),
    "reduction_energy": Metric("energy saved", "%", "more", _BASELINE),
}
"""Every axis by its column, named as the columns of a sweep's table; shares are fractions inside."""

CONTEXT: dict[str, str] = {
    "network": "network",
    "data": "data set",
    "samples": "test samples",
    "library": "component library",
    "node_nm": "technology node",
    "adc_model": "converter model",
    "frame_rate_hz": "frame rate",
    "baseline_bits": "bits of the baseline",
    "kind": "kind",
}
"""What an entry is measured on and priced with; where it differs, some axes cannot be compared."""

ALIASES = {"lenet-5": "lenet5", "lenet5": "lenet5", "resnet-18": "resnet18", "vgg-16": "vgg16", "cifar-10": "cifar10"}
"""Spellings of one network or data set."""


@dataclass(frozen=True)
class Entry:
    """One thing that is compared. name: heading of its column; kind: run, estimate, point or published.

    numbers: by column of `METRICS` and its intervals; context: by key of `CONTEXT`, None: not stated; settings: keys of
    its configuration with their values; source: who says so; notes: what to know of it.
    """

    name: str
    kind: str
    numbers: Mapping[str, float]
    context: Mapping[str, str | float | None]
    settings: Mapping[str, object]
    source: str
    notes: tuple[str, ...] = ()
