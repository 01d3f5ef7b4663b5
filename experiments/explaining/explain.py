"""Every number of a result by its key, as a tree that computes it anew from the record and the tables beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from experiments.explaining import accuracy_trees
from experiments.explaining.cost_trees import ChipTrees
from experiments.explaining.tree import Node, leaf, of
from hwmodels.errors import UserError, suggestion

Record = Mapping[str, Any]
Tables = dict[str, pd.DataFrame]

_TOTALS = {
    "area_mm2": ("area", "mm²"),
    "energy_nj": ("energy", "nJ"),
    "power_peak_mw": ("peak", "mW"),
    "leakage_mw": ("leakage", "mW"),
    "programming_energy_nj": ("writing", "nJ"),
}
"""Totals that are plain sums of counts × prices."""
_SAVED = {"area": "area_mm2", "power": "power_mw", "energy": "energy_nj", "arrays": "arrays"}
_LAYER_WORDS = {
    "rows": "word lines of one group's matrix, before pruning",
    "cols": "bit lines of one group's matrix, before pruning",
    "groups": "groups of the layer",
    "kept": "weights that the masks keep",
    "rows_kept": "rows of the matrix with a weight left",
    "cols_kept": "columns of the matrix with a weight left",
    "arrays_baseline": "arrays on which the unpruned layer has cells",
    "arrays_placed": "arrays on which the layer has cells",
    "input_phases": "times that an input vector is driven: 2 where inputs have both signs",
    "levels_used": "different levels among the weights that stay",
    "input_range": "input that the largest code stands for",
    "adc_range_s": "full scale of the converters, conductance × DAC code",
    "adc_ranges": "ranges of their own among the converters",
    "adc_codes_used": "share of the codes that calibration saw",
    "adc_bits": "resolution of the converters",
    "adc_bits_lossless": "fewest bits that lose no sum",
    "adc_bits_tight": "fewest bits that lose nothing, for the stored levels",
    "adc_bits_safe": "fewest bits that lose nothing, whatever is stored",
}
_CALIBRATED = ("input_range", "adc_range_s", "adc_codes_used")


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run; record: `result.json`; tables: those beside it."""

    record: Record
    tables: Tables

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Every number of the record by its key: dotted, layers and steps by their names, ends as low and high."""
        return dict(_numbers(self.record))

    def explain(self, key: str) -> Node:
        """The tree of a number; UserError for an unknown key, with near ones, and for a number that is not known."""
        if key not in self.numbers:
            near = [name for name in self.numbers if name.rpartition(".")[2] == key or name.startswith(f"{key}.")]
            more = f"It stands for several: {', '.join(near[:6])}." if near else suggestion(key, self.numbers)
            raise UserError(f"The result has no number {key!r}. {more}")
        head, _, rest = key.partition(".")
        maker: Callable[[str], Node] | None = getattr(self, f"_of_{head}", None)
        if head in _TOTALS:
            return self._chip(rest).amount(_TOTALS[head][0])
        return self._given(key) if maker is None else maker(rest)

    # --- parts of the record, by the first word of the key ---------------------------------------------------------

    def _given(self, key: str) -> Node:
        return leaf(key, self.numbers[key], source=_SOURCES.get(key.partition(".")[0], "the record"))

    def _of_seconds(self, _: str) -> Node:
        stages = [self._given(f"stage_seconds.{name}") for name in self.record["stage_seconds"]]
        return of("sum", "time of all stages", *(stage.called(stage.label, unit="s") for stage in stages), unit="s")

    def _of_accuracy(self, rest: str) -> Node:
        own = self.record["accuracy"]
        stage, _, number = rest.partition(".")
        if stage == "samples":
            return leaf("test images", own["samples"], "images", source="data.name and data.test_limit")
        if stage == "crossbar_seeds":
            return accuracy_trees.chips(own[stage], own["samples"], self.record["seed"])[int(number)]
        if stage.startswith("crossbar"):
            return accuracy_trees.on_crossbars(self.record, stage)
        return accuracy_trees.accuracy(f"accuracy.{stage}", own[stage], own["samples"])

    def _of_waterfall(self, rest: str) -> Node:
        own = self.record["waterfall"]
        group, _, place = rest.partition(".")
        if not place:
            return leaf(group, own[group], source=f"report.waterfall_{group}")
        name, _, field = place.partition(".")
        rows = own[group]
        index = next(number for number, row in enumerate(rows) if row["key"] == name)
        if field.startswith("accuracies"):
            values = rows[index]["accuracies"]
            return accuracy_trees.chips(values, own["samples"], self.record["seed"])[int(field.rpartition(".")[2])]
        ideal = next(row for row in own["steps"] if row["key"] == "map")
        before = ideal if group == "alone" else rows[index - 1] if index else None
        return accuracy_trees.waterfall_step(self.record, rows[index], before, field)

    def _of_weights(self, rest: str) -> Node:
        layers = [layer["layer"] for layer in self.record["layers"]]
        field = "weights" if rest == "total" else "kept"
        words = "weights of the layers on arrays" if rest == "total" else "weights that stay"
        return of("sum", words, *(self._of_layers(f"{name}.{field}").called(name) for name in layers))

    def _of_compression(self, _: str) -> Node:
        total, kept = self._of_weights("total"), self._of_weights("kept")
        return of("quotient", "compression", total, kept) if kept.value else total.called("compression")

    def _of_arrays(self, rest: str) -> Node:
        return self._chip(rest).arrays()

    def _of_power_mw(self, rest: str) -> Node:
        return self._chip(rest).power(self._of_frame_rate_hz(), f"power of the {rest} chip")

    def _of_power_full_rate_mw(self, rest: str) -> Node:
        trees = self._chip(rest)
        return trees.power(trees.pace(), f"power of the {rest} chip at its own full rate")

    def _of_full_rate_hz(self, rest: str) -> Node:
        return self._chip(rest).pace()

    def _of_latency_us(self, rest: str) -> Node:
        return self._chip(rest).latency()

    def _of_programming_time_us(self, rest: str) -> Node:
        return self._chip(rest).writing_time()

    def _of_frame_rate_hz(self, _: str = "") -> Node:
        asked = self._section("hardware").get("frame_rate_hz")
        if asked is not None:
            return leaf("frame rate of both chips", asked, "1/s", source="hardware.frame_rate_hz")
        chips = [self._chip(name) for name in ("baseline", "placed")]
        pipelined = self._section("hardware").get("execution", "pipelined") == "pipelined"
        rates = [trees.pace() if pipelined else trees.sequential() for trees in chips]
        return of("least", "highest frame rate that both chips reach", *rates, unit="1/s")

    def _of_interval(self, rest: str) -> Node:
        total, _, end = rest.partition(".")
        trees = self._chip("placed", f"{total} {end}")
        if total in _TOTALS:
            return trees.amount(_TOTALS[total][0])
        if total == "latency_us":
            return trees.latency()
        return trees.power(self._of_frame_rate_hz(), f"power of the placed chip, {end} end")

    def _of_reduction(self, rest: str) -> Node:
        key = _SAVED[rest]
        placed, baseline = (self.explain(f"{key}.{chip}") for chip in ("placed", "baseline"))
        return of("saved", f"share of the {rest} saved", placed, baseline)

    def _of_macs_on_arrays(self, _: str) -> Node:
        mapped = of("sum", "on arrays", *(self._of_layers(f"{layer['layer']}.macs") for layer in self.record["layers"]))
        total = self.record.get("macs_total")
        if not total:
            return self._given("macs_on_arrays")
        every = leaf("multiply-accumulates of the network", total, source="traced through the network, dense")
        return of("quotient", "share on arrays", mapped, every)

    def _of_layers(self, rest: str) -> Node:
        name, _, field = rest.rpartition(".")
        layer = next(row for row in self.record["layers"] if row["layer"] == name)
        if field == "weights":
            sides = [leaf(_LAYER_WORDS[side], layer[side], source="the network") for side in ("rows", "cols", "groups")]
            return of("product", f"weights of {name}", *sides)
        if field == "macs":
            weights = self._of_layers(f"{name}.weights")
            vectors = layer["macs"] // layer["weights"] if layer["weights"] else 0
            positions = leaf("input vectors per inference", vectors, source="traced through the network")
            return of("product", f"multiply-accumulates of {name}", weights, positions)
        if field in ("adc_clipped", "input_clipped"):
            return self._clipped(name, field)
        source = "the placement"
        if field in _CALIBRATED:
            source = f"calibration on {self._section('simulate').get('calibration_samples')} training images"
        if field == "adc_bits":
            source = "crossbar.adc_bits"
        return leaf(f"{_LAYER_WORDS.get(field, field)}, {name}", layer[field], source=source)

    def _clipped(self, layer: str, field: str) -> Node:
        """Clipped samples over all samples, chip by chip."""
        table = self.tables.get("clipping")
        if table is None:
            return self._given(f"layers.{layer}.{field}")
        kind = field.partition("_")[0]
        rows: list[dict[str, Any]] = table[table["layer"] == layer].to_dict("records")  # type: ignore[assignment]
        sums = [
            of(
                "sum",
                what,
                *(leaf(f"chip {row['chip']}", row[column], source="counted on the test set") for row in rows),
            )
            for what, column in (
                (f"{kind} samples beyond the range", f"{kind}_clipped"),
                ("samples", f"{kind}_samples"),
            )
        ]
        if not sums[1].value:
            return leaf(f"{kind} samples beyond the range", 0, source="nothing was sampled")
        return of("quotient", f"share of {kind} samples clipped in {layer}", *sums)

    # --- what they share ------------------------------------------------------------------------------------------

    def _section(self, name: str) -> Mapping[str, Any]:
        section = self.record["config"].get(name)
        return section if isinstance(section, Mapping) else {}

    def _chip(self, name: str, case: str = "nominal") -> ChipTrees:
        return ChipTrees.of(self.tables, name, "crossbar.t_read_s", case)


_SOURCES = {
    "config": "the configuration file, a flag, or the key's default",
    "seed": "the configuration's seed",
    "stage_seconds": "measured with a clock, to a millisecond",
    "levels_violations": "counted: live weights off their grid, and dead ones that are not 0",
    "constraint_violations": "counted: pruning constraints that the final weights break",
    "digital": "traced through the network",
    "macs_total": "traced through the network, dense",
    "macs_on_arrays": "traced through the network, dense",
}


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    """Every number of the record with its key."""
    for key, value in record.items():
        if key == "layers":
            for layer in value:
                yield from _inside(f"layers.{layer['layer']}", layer)
        elif key == "waterfall":
            yield from ((f"{key}.{name}", value[name]) for name in ("samples", "chips"))
            for group in ("steps", "alone"):
                for row in value[group]:
                    yield from _inside(f"{key}.{group}.{row['key']}", row)
        elif key == "interval":
            for total, ends in value.items():
                yield from (
                    (f"interval.{total}.{end}", number) for end, number in zip(("low", "high"), ends, strict=True)
                )
        else:
            yield from _inside(key, value)


def _inside(key: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _inside(f"{key}.{name}", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _inside(f"{key}.{number}", inner)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield key, value
