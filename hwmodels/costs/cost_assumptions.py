"""What an estimate takes for granted, in sentences, and the sources of the numbers that it used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.costs.adc_cost import published
from hwmodels.costs.cost_tiles import Pieces
from hwmodels.costs.cost_work import PARTS
from hwmodels.costs.library import Library

if TYPE_CHECKING:
    from hwmodels.costs.cost import Estimate


def assumptions(result: Estimate) -> list[str]:
    """What the estimate takes for granted, as sentences."""
    library, pieces = result.library, result.work.pieces
    found = [f"Component numbers are those of the library {library.name}: {library.description}."]
    found += [*library.notes, *_node_sentences(result), *_converter_sentences(result)]
    found += [_share_sentence(library), *_table_sentences(pieces, library), *_copy_sentences(result)]
    rate = result.totals["frame_rate_hz"]
    pace = "its own full pipelined rate" if rate == result.totals["full_rate_hz"] else "a chosen frame rate"
    found.append(f"Power is energy per inference times {rate:.6g} inferences per second ({pace}), plus leakage.")
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
        "Layers run one after the other for the latency and overlap (pipelined) for the full rate; the tiles of a "
        "layer work in parallel, except that tiles which share an array take turns.",
        "Input vectors are fetched from the buffer anew for every read, without reuse of overlapping windows.",
        "What several layers share (an array, its rows, groups of its columns) is charged to the first of them.",
        "Writing the cells is not part of any number."
        if library.programming is None
        else "Writing the cells once is reported apart (programming_…) and is part of no other number.",
    ]
    return [sentence if sentence.endswith(".") else f"{sentence}." for sentence in found if sentence]


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
    if "t_read_s" not in pieces.columns:
        yield f"An array read takes the library's {reading.time.value:g} {reading.time.unit}."
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
    if result.question.model == "table":
        return found
    law = published("adc")[result.question.model]
    for bits, cost in result.prices.adc.items():
        energy = {"component": f"adc {bits} bit", "quantity": "energy", "value": cost.energy_j * 1e12, "unit": "pJ"}
        found.append(energy | {"node_nm": result.library.adc.rate.node_nm, "source": law["source"]})
    return found
