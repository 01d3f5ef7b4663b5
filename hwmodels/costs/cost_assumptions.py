"""What an estimate takes for granted, in sentences, and the sources of the numbers that it used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.costs.adc_cost import published
from hwmodels.costs.cost_work import PARTS
from hwmodels.costs.library import Library
from hwmodels.costs.pieces import Pieces

if TYPE_CHECKING:
    from hwmodels.costs.cost import Estimate


def assumptions(result: Estimate) -> list[str]:
    """What the estimate takes for granted, as sentences."""
    library, pieces = result.library, result.work.pieces
    found = [f"Component numbers are those of the library {library.name}: {library.description}."]
    found += [*library.notes, *_node_sentences(result), *_converter_sentences(result)]
    found += [_share_sentence(library), *_table_sentences(pieces, library), *_copy_sentences(result)]
    found += [*_pace_sentences(result)]
    if not result.costs.leakage.any():
        found.append(f"The library {library.name} states no leakage, so leakage counts 0.")
    lacking = [name for name in PARTS if name != "control" and getattr(library, name) is None]
    if lacking:
        found.append(f"The library {library.name} lists no {', '.join(lacking)}; these count 0.")
    if library.extra:
        found.append(
            f"Listed in the library but not counted, as no placement decides them: {', '.join(library.extra)}."
        )
    found += [
        "Input vectors are fetched from the buffer anew for every read, without reuse of overlapping windows.",
        "What several layers share (an array, its rows, groups of its columns) is charged to the first of them.",
        *_writing_sentences(result),
    ]
    return [sentence if sentence.endswith(".") else f"{sentence}." for sentence in found if sentence]


def _pace_sentences(result: Estimate) -> Iterator[str]:
    """How inferences follow one another, and the rate that power is stated at."""
    totals, own = result.totals, result.question.own_rate_hz(result.costs)
    rate = totals["frame_rate_hz"]
    pace = f"its own full rate, {result.question.execution}" if rate == own else "a chosen frame rate"
    yield f"Power is energy per inference times {rate:.6g} inferences per second ({pace}), plus leakage."
    yield (
        "Layers run one after the other for the latency and overlap (pipelined) for the full rate; the tiles of a "
        "layer work in parallel, except that tiles which share an array take turns."
    )
    if result.question.execution == "layer-by-layer":
        yield "Execution is layer by layer: the next inference starts when the last layer is done."


def _writing_sentences(result: Estimate) -> Iterator[str]:
    """Who says what writing the cells takes."""
    writing, stated = result.question.writing, result.library.programming
    if writing is None and stated is None:
        yield "Writing the cells is not part of any number."
        return
    yield "Writing the cells once is reported apart (programming_…) and is part of no other number."
    if writing is None:
        yield f"What writing takes is the library's figure ({result.library.name}): no device says how it is written."
        return
    yield (
        f"What writing takes follows from the device {writing.device}: {writing.mean_pulses:.4g} pulses a cell on "
        f"average, {writing.pulse_j * 1e12:.4g} pJ and {writing.pulse_s * 1e6:.4g} us each with its read-back; the "
        "cells of a row are written together, every crossing of a piece among them."
    )
    if stated is not None:
        yield (
            f"The library's own figures for writing ({stated.energy.value:g} {stated.energy.unit}, "
            f"{stated.time.value:g} {stated.time.unit}) are not used."
        )


def _reading_sentences(pieces: Pieces, library: Library) -> Iterator[str]:
    """Which read time and read voltage stand, where table and library both state one."""
    time, voltage = library.reading.time, library.reading.voltage
    if "t_read_s" not in pieces.columns:
        yield f"An array read takes the library's {time.value:g} {time.unit}."
    elif not np.allclose(pieces["t_read_s"], time.si, rtol=1e-9, atol=0):
        stated = ", ".join(f"{seconds * 1e9:g} ns" for seconds in np.unique(pieces["t_read_s"]))
        yield (
            f"An array read takes what the array states ({stated}); the library's {time.value:g} {time.unit} is not "
            "used."
        )
    if not np.isnan(pieces["read_energy_j"]).all():
        yield (
            "The energy of the cells comes with the placement, at the device's read voltage; the library's "
            f"{voltage.value:g} {voltage.unit} is not used for it."
        )


def _node_sentences(result: Estimate) -> Iterator[str]:
    """That numbers from different nodes stand side by side."""
    used = set(result.used())
    nodes = sorted({n.node_nm for component, _, n in result.library.quantities() if component in used and n.node_nm})
    if len(nodes) > 1:
        listed = ", ".join(f"{node:g}" for node in nodes)
        yield f"Numbers of {listed} nm stand side by side, each as its source states it."


def _converter_sentences(result: Estimate) -> Iterator[str]:
    """Which converter model was used, and where it was stretched."""
    question = result.question
    if question.model != "table":
        yield f"Converters are priced by the model {question.model!r}: {published('adc')[question.model]['source']}."
    if question.adc_bits == "required" and "adc_bits_needed" in result.work.pieces.columns:
        yield (
            "Converter bits are, as the tile table states them for its encoding, what no column sum of an array can "
            "exceed, whatever comes in."
        )
    elif question.adc_bits == "required":
        yield (
            "Converter bits are what the live cells of the fullest column of an array need, in the safe form "
            "ceil(log2(R (2^v − 1)(L − 1) + 1)) for R live cells of L levels and v-bit drivers; a g_min baseline is "
            "taken to be cancelled by the pair or a reference column."
        )
    elif question.adc_bits is not None:
        yield f"Every converter is taken to have {question.adc_bits} bits, whatever the table says."
    yield from result.prices.notes


def _copy_sentences(result: Estimate) -> Iterator[str]:
    """That layers are copied."""
    copies = result.question.replicas
    if (copies > 1).any():
        named = ", ".join(f"{name} × {n}" for name, n in zip(result.work.layers, copies, strict=True) if n > 1)
        yield f"Copies of a layer share its input vectors evenly and have all parts of their own: {named}."


def _share_sentence(library: Library) -> str:
    """How the printed units are scaled to what is used."""
    shared = [
        f"{name} 1/{part.serves.value:g} per {part.serves.unit.removesuffix('s')}"
        for name in PARTS
        if (part := getattr(library, name)) is not None and part.serves is not None
    ]
    return (
        f"Shared units are charged in shares of the printed unit for what is in use: {', '.join(shared)}."
        if shared
        else ""
    )


def _table_sentences(pieces: Pieces, library: Library) -> Iterator[str]:
    """What the tile table left open."""
    missing = int(np.isnan(pieces["read_energy_j"]).sum())
    reading = library.reading
    if missing:
        yield (
            f"The read energy of {missing} of {pieces['rows'].size} pieces is not known; assumed is every row driven "
            f"in every cycle: Σg · ({reading.voltage.value:g} {reading.voltage.unit})² · read time."
        )
    yield from _reading_sentences(pieces, library)
    if "outputs" not in pieces.columns:
        yield (
            "The table does not say how many outputs a layer has; the columns of all its tiles are taken, an upper "
            "bound where several tiles add up to one output."
        )
    if (pieces["adc_bits"] == 0).any():
        yield "Pieces with adc_bits = 0 are read out without a converter, which costs nothing and takes no time."
    if (pieces["dac_bits"] == 0).any():
        yield "Pieces with dac_bits = 0 get ideal analog inputs: driving them and moving their values costs nothing."


def sources(result: Estimate) -> list[dict[str, Any]]:
    """The numbers that an estimate used, with their sources; a published law of converters is cited as a whole."""
    used = set(result.used())
    found = [
        {
            "component": component,
            "quantity": quantity,
            "value": number.value,
            "unit": number.unit,
            "node_nm": number.node_nm,
            "source": number.source,
        }
        for component, quantity, number in result.library.quantities()
        if component in used
    ]
    writing = result.question.writing
    if writing is not None:
        row = {"component": "programming", "quantity": "energy", "value": writing.cell_j * 1e12, "unit": "pJ/cell"}
        found.append(row | {"node_nm": 0.0, "source": f"device {writing.device}: {writing.source}"})
    if result.question.model == "table":
        return found
    law = published("adc")[result.question.model]
    for bits, cost in result.prices.adc.items():
        energy = {"component": f"adc {bits} bit", "quantity": "energy", "value": cost.energy_j * 1e12, "unit": "pJ"}
        found.append(energy | {"node_nm": result.library.adc.rate.node_nm, "source": law["source"]})
    return found
