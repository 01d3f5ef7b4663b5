"""What stands below every picture of a run, and what it shows in words for readers who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.reporting import converter_report, figures, waterfall_figure
from experiments.reporting.answers import half_width, precision
from experiments.reporting.rows import stages, table_of
from experiments.reporting.wording import count, known, plural, rate

Record = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]


def captions(record: Record, tables: Tables) -> dict[str, str]:
    """A caption for each picture."""
    accuracy, lost = record["accuracy"], record.get("waterfall")
    seeds = len(accuracy["crossbar_seeds"])
    bar = (
        ". Bar: 95 % confidence interval of the mean; small dots: single devices"
        if half_width(accuracy) is not None
        else ""
    )
    over = f", on crossbars the mean of {plural(seeds, 'device seed')}" if seeds else ""
    at = f", power at {rate(record['frame_rate_hz'])}" if known(record["frame_rate_hz"]) else ""
    many = len(record["layers"]) > figures.MAX_ROWS
    together = " Neighbouring layers are summed; “+ 2” stands for the next two." if many else ""
    sums = table_of(tables, "adc_histogram")
    sums_seen = converter_report.worst_layer(record["layers"], sums) is not None
    return ({"adc_range": converter_report.caption(record, sums)} if sums_seen else {}) | {
        "accuracy": f"Accuracy on {count(accuracy['samples'])} test samples{over}{bar}.",
        **({"waterfall": waterfall_figure.caption(lost, precision(accuracy))} if lost else {}),
        "cost_by_component": f"Area and power by component{at}. Energy per inference is power less leakage over the "
        "rate; latency belongs to no component.",
        "cost_by_layer": f"Area, power, energy and latency by layer{at}; the layers' latencies add up.{together}",
        "uncertainty": "What is not known about the placed chip: the total with one number of the component library at "
        f"its low and at its high end, the largest swings first{at}. Ranges are of the unit as its source prints it; "
        "numbers without one count as exact, and the smallest swings stand in the table uncertainty only.",
        "convergence": f"Accuracy over the epochs, stage by stage: {', '.join(_stage_names(tables))}."
        + (
            " Below, the ADMM residuals over the norm of the weights: primal, the distance between the weights and "
            "their copies; dual, how far the copies still move. Then the training loss, the weights that would be kept "
            "if pruning were final at that epoch, and the tiles that they would fill."
            if not table_of(tables, "history").empty
            else ""
        ),
        "placement": f"The chip as a sheet of {plural(record['arrays']['placed'], 'array')}: the coloured part holds "
        "weights, word lines run from left to right. Arrays that several layers share stand with the first of them.",
    }


def _stage_names(tables: Tables) -> list[str]:
    history = table_of(tables, "history")
    train = [] if table_of(tables, "training").empty else ["train"]
    return list(dict.fromkeys([*train, *(str(stage) for stage in (history["stage"] if len(history) else ()))]))


def alternatives(record: Record, tables: Tables) -> dict[str, str]:
    """What each picture shows, in words, for readers who cannot see it."""
    layers, lost = len(record["layers"]), record.get("waterfall")
    return {
        "accuracy": "Accuracy: " + ", ".join(f"{row[0]} {row[1]}" for row in stages(record)) + ".",
        **({"waterfall": waterfall_figure.alternative(lost, precision(record["accuracy"]))} if lost else {}),
        "cost_by_component": "Paired bars of area and power by component; the numbers are in the table below.",
        "cost_by_layer": "Paired bars of area, power, energy and latency by layer; the numbers are in the table below.",
        "uncertainty": "Tornado charts of area and power; the numbers are in the table below.",
        "convergence": "Lines of accuracy, ADMM residuals, loss, weights kept and tiles over the epochs; the "
        "numbers are in the table history.",
        "adc_range": "Histogram of column sums with the range of the converters; the numbers are in the table "
        "adc_histogram.",
        "placement": f"Sheet of {plural(record['arrays']['placed'], 'array')} in bands of {plural(layers, 'layer')}; "
        "the numbers are in the table of layers.",
    }
