"""What an estimate takes for granted, in sentences, and the sources of the numbers that it used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwmodels.cost_tiles import Pieces
from hwmodels.library import Library, Part

_OPTIONAL = ("sample_hold", "shift_add", "output_register", "adder", "accumulator", "input_register", "buffer", "bus")
_OPTIONAL += ("router", "activation", "pooling")


def assumptions(pieces: Pieces, library: Library, rate: float, full_rate: float) -> list[str]:
    """What the estimate takes for granted, as sentences."""
    found = [f"Component numbers are those of the library {library.name}: {library.description}."]
    found += [note if note.endswith(".") else f"{note}." for note in library.notes]
    found += [_share_sentence(library), *_table_sentences(pieces, library)]
    pace = "its own full pipelined rate" if rate == full_rate else "a chosen frame rate"
    found.append(f"Power is energy per inference times {rate:.6g} inferences per second ({pace}), plus leakage.")
    if not any(part.leakage for part in _parts(library)):
        found.append(f"The library {library.name} states no leakage, so leakage counts 0.")
    lacking = [name for name in _OPTIONAL if getattr(library, name) is None]
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
        "Writing the cells is not part of any number.",
    ]
    return [sentence for sentence in found if sentence]


def _share_sentence(library: Library) -> str:
    """How the printed units are scaled to what is used."""
    shared = [
        f"{name} 1/{part.serves.value:g} per {part.serves.unit.removesuffix('s')}"
        for name in _OPTIONAL
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


def _parts(library: Library) -> Iterator[Part]:
    """Every part of a library that an estimate can charge."""
    yield from library.dac.bits.values()
    yield from library.adc.bits.values()
    for name in _OPTIONAL:
        if (part := getattr(library, name)) is not None:
            yield part


def sources(pieces: Pieces, library: Library) -> list[dict[str, Any]]:
    """The numbers that this estimate used, with their sources."""
    used = {f"{name} {bits} bit" for name in ("dac", "adc") for bits in np.unique(pieces[f"{name}_bits"])}
    used |= {"cell", "dac", "adc", "reading", *_OPTIONAL}
    return [
        {
            "component": component,
            "quantity": quantity,
            "value": number.value,
            "unit": number.unit,
            "node_nm": number.node_nm,
            "source": number.source,
        }
        for component, quantity, number in library.quantities()
        if component in used
    ]
