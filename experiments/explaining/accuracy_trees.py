"""Accuracies as trees: images that were classified right, chip by chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.explaining.tree import Node, leaf, of

_CLASSIFIED = "counted on the test set, in its order"


def accuracy(label: str, value: float, samples: int, note: str = "") -> Node:
    """Right answers over samples: a share of whole images."""
    right = leaf("classified right", round(value * samples), "images", source=_CLASSIFIED)
    return of("quotient", label, right, leaf("test images", samples, "images", source="data.name, test set"), note=note)


def chips(values: Sequence[float], samples: int, seed: int) -> list[Node]:
    """The accuracy of every chip."""
    return [
        accuracy(f"chip {number}", value, samples, f"device seed {seed} · 2³² + {number}")
        for number, value in enumerate(values)
    ]


def on_crossbars(record: Mapping[str, Any], key: str) -> Node:
    """Mean, spread and interval over the chips; key: crossbar_mean, crossbar_std, crossbar_low or crossbar_high."""
    own, seed = record["accuracy"], record["seed"]
    how = {"mean": "mean", "std": "deviation", "low": "low_share", "high": "high_share"}[key.rpartition("_")[2]]
    return of(how, f"accuracy.{key}", *chips(own["crossbar_seeds"], own["samples"], seed))


def waterfall_step(
    record: Mapping[str, Any], row: Mapping[str, Any], before: Mapping[str, Any] | None, key: str
) -> Node:
    """Accuracy of a step, or its change from the step before: mean, or an end of the paired interval."""
    samples, seed = record["waterfall"]["samples"], record["seed"]
    mine = _rung(row, samples, seed)
    if key == "accuracy":
        return mine
    assert before is not None
    last = _rung(before, samples, seed)
    if key == "change":
        return of("difference", f"change by {row['key']}", mine, last)
    each = _against_itself(row["accuracies"], before["accuracies"], samples, seed)
    return of("low" if key == "change_low" else "high", f"{key} by {row['key']}", *each)


def _rung(row: Mapping[str, Any], samples: int, seed: int) -> Node:
    values = row["accuracies"]
    if len(values) == 1:
        return accuracy(row["key"], values[0], samples, "nothing in it is drawn, or one chip")
    return of("mean", row["key"], *chips(values, samples, seed))


def _against_itself(now: Sequence[float], then: Sequence[float], samples: int, seed: int) -> list[Node]:
    """Differences chip by chip; a single value stands for all chips."""
    count = max(len(now), len(then))
    here, there = (list(values) * count if len(values) == 1 else list(values) for values in (now, then))
    pairs = zip(chips(here, samples, seed), chips(there, samples, seed), strict=True)
    return [of("difference", one.label, one, other.called("before")) for one, other in pairs]
