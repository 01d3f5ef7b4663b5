"""How an estimate's figures come about, as tables: counts × prices, prices as printed numbers, times term by term.

Every total of an estimate is a sum over `counts` of amount × copies × price, where a price is the product of its
factors in `prices`, each a number as its source prints it; times are the largest of sums over `times`. The tables hold
all that is needed to add a figure up again by hand, so a result stays explainable when its program is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.costs.cost import Estimate
from hwmodels.costs.cost_factors import Factors
from hwmodels.costs.cost_work import PARTS

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

COUNT_COLUMNS = ("quantity", "layer", "component", "part", "amount", "of", "copies")
"""quantity: area, energy (per inference), peak, leakage, writing (of all cells once) or arrays; part: whose price."""
PRICE_COLUMNS = (
    "case", "part", "quantity", "number", "exponent", "value", "unit", "si", "node_nm", "source",
)  # fmt: skip
"""case: "nominal", or "power_mw low": the same with every number at the end that lowers this total; only what moves."""
TIME_COLUMNS = (
    "case", "what", "layer", "turns", "vectors", "cycles", "read_s", "columns", "rate_hz", "rate_of",
)  # fmt: skip
"""what: latency (of the layer), pace (of the busiest array) or writing; a row's time is turns · vectors · cycles ·
max(read_s, columns / rate_hz), without the second where rate_hz is 0; rate_of: the part whose rate it is."""

_OF = {
    "sample_hold": ("columns", "conversions"),
    "shift_add": ("columns", "conversions"),
    "output_register": ("columns", "conversions"),
    "adder": ("columns", "results"),
    "accumulator": ("columns", "results"),
    "input_register": ("rows", "bits"),
    "buffer": ("rows", "bits, written and read"),
    "bus": ("rows", "bits"),
    "router": ("arrays", "bits"),
    "activation": ("arrays", "outputs"),
    "pooling": ("arrays", "outputs"),
    "control": ("arrays", "array reads"),
}
"""What is counted of a shared part: units in use, and operations per inference."""


@dataclass(frozen=True)
class Reading:
    """How the cells of a placement are read: voltage [V] and time of a read [s], and who says so."""

    voltage_v: float
    t_read_s: float
    voltage_source: str
    time_source: str


def counts(result: Estimate, reading: Reading | None = None) -> pd.DataFrame:
    """What the chip of an estimate has and does: see `COUNT_COLUMNS`; rows without an amount are left out.

    reading: how the cells are read; with it their energy is counted in siemens (G · t-normalised drive) and priced at
    V² · t, else in joules as the placement states it.
    """
    import pandas as pd

    rows = [row for row in _counted(result, reading) if row["amount"]]
    return pd.DataFrame(rows, columns=list(COUNT_COLUMNS))


def prices(result: Estimate, reading: Reading | None = None, totals: tuple[str, ...] = ()) -> pd.DataFrame:
    """The factors of every price that `counts` needs: see `PRICE_COLUMNS`.

    totals: those of `Estimate.totals` for whose interval the numbers at both ends are listed as well.
    """
    import pandas as pd

    nominal = list(Factors.of(result, {}).rows())
    found = [{"case": "nominal", **row} for row in (*nominal, *_of_cells(result, reading), *_of_writing(result))]
    known = {_named(row): row["si"] for row in nominal}
    for case, ends in _cases(result, totals):
        moved = Factors.of(result, ends).rows()
        found += [{"case": case, **row} for row in moved if row["si"] != known[_named(row)]]
    return pd.DataFrame(found, columns=list(PRICE_COLUMNS))


def times(result: Estimate, totals: tuple[str, ...] = ()) -> pd.DataFrame:
    """The terms of latency, pace and writing time: see `TIME_COLUMNS`; of every layer the array that takes longest."""
    import pandas as pd

    found = [{"case": "nominal", **row} for row in (*_timed(result, {}), *_written(result))]
    for case, ends in _cases(result, tuple(total for total in totals if total == "latency_us")):
        found += [{"case": case, **row} for row in _timed(result, ends)]
    return pd.DataFrame(found, columns=list(TIME_COLUMNS))


def _cases(result: Estimate, totals: tuple[str, ...]) -> Iterator[tuple[str, dict[tuple[str, str], float]]]:
    for total in totals:
        for end in ("low", "high"):
            yield f"{total} {end}", result.uncertainty.corner(total, least=end == "low")


def _named(row: Row) -> tuple[str, ...]:
    return row["part"], row["quantity"], row["number"]


def _counted(result: Estimate, reading: Reading | None) -> Iterator[Row]:
    work, priced = result.work, result.prices
    yield from _rows(result, "arrays", "array", "array", work.arrays, "arrays")
    yield from _rows(result, "area", "cell", "cell", work.cells, "cells")
    yield from _cells(result, reading)
    if any(row["part"] == "writing" for row in _of_writing(result)):
        yield from _rows(result, "writing", "cell", "writing", work.cells_written, "cells written")
    for component, by_bits, costs, of in (
        ("dac", work.drivers, priced.dac, ("drivers", "values driven")),
        ("adc", result.question.converters.by_bits, priced.adc, ("converters", "conversions")),
    ):
        for bits, (units, operations) in by_bits.items():
            one = costs[bits]
            paid = {"area": one.area_m2, "energy": one.energy_j, "peak": one.power_w, "leakage": one.leakage_w}
            yield from _shares(result, component, f"{component} {bits} bit", units, operations, of, paid)
    for number, name in enumerate(PARTS):
        area, energy, peak, leakage = priced.parts[number]
        paid = {"area": area, "energy": energy, "peak": peak, "leakage": leakage}
        yield from _shares(result, name, name, work.units[number], work.operations[number], _OF[name], paid)


def _shares(
    result: Estimate,
    component: str,
    part: str,
    units: np.ndarray,
    operations: np.ndarray,
    of: tuple[str, str],
    paid: dict[str, float],
) -> Iterator[Row]:
    """Rows of one part for every quantity that it has a price for."""
    for quantity, price in paid.items():
        if price:
            amounts, what = (operations, of[1]) if quantity == "energy" else (units, of[0])
            yield from _rows(result, quantity, component, part, amounts, what)


def _rows(result: Estimate, quantity: str, component: str, part: str, amounts: np.ndarray, of: str) -> Iterator[Row]:
    # Copies share the input vectors, so what is done per inference stays the same.
    copies = np.ones_like(result.question.replicas) if quantity == "energy" else result.question.replicas
    for layer, amount, count in zip(result.work.layers, amounts.tolist(), copies.tolist(), strict=True):
        yield {
            "quantity": quantity,
            "layer": layer,
            "component": component,
            "part": part,
            "amount": float(amount),
            "of": of,
            "copies": int(count),
        }


def _cells(result: Estimate, reading: Reading | None) -> Iterator[Row]:
    """Energy and peak power of the cells: what the placement knows, and what is assumed where it does not."""
    work = result.work
    stated = work.states_read_time
    if reading is None:
        known, peak, words = work.known_energy_j, work.known_peak, ("J", "J" if not stated else "W")
    else:
        assert stated, "a placement that says how its cells are read says how long"
        squared = reading.voltage_v**2
        known, peak = work.known_energy_j / (squared * reading.t_read_s), work.known_peak / squared
        words = ("S, cells times squared drive over all reads", "S, cells times squared drive")
    yield from _rows(result, "energy", "cell", "cell read", known, words[0])
    yield from _rows(result, "peak", "cell", "cell read", peak, words[1])
    seconds = "S·s" if stated else "S, over all reads"
    yield from _rows(result, "energy", "cell", "cell assumed", work.assumed_energy_s, seconds)
    yield from _rows(result, "peak", "cell", "cell assumed", work.assumed_g_s, "S")


def _of_cells(result: Estimate, reading: Reading | None) -> Iterator[Row]:
    """What the energy that comes with a placement is priced at."""
    stated = result.work.states_read_time
    if reading is None:
        own = {"part": "cell read", "exponent": 1, "value": 1.0, "si": 1.0, "node_nm": 0.0, "source": "the placement"}
        yield own | {"quantity": "energy", "number": "as stated", "unit": "J"}
        if stated:
            yield own | {"quantity": "peak", "number": "as stated", "unit": "W"}
        return
    volt = {"number": "read voltage", "exponent": 2, "value": reading.voltage_v, "unit": "V", "si": reading.voltage_v}
    time = {"number": "read time", "exponent": 1, "value": reading.t_read_s * 1e9, "unit": "ns", "si": reading.t_read_s}
    for quantity in ("energy", "peak"):
        row = {"part": "cell read", "quantity": quantity, "node_nm": 0.0}
        yield row | volt | {"source": reading.voltage_source}
        if quantity == "energy":
            yield row | time | {"source": reading.time_source}


def _of_writing(result: Estimate) -> Iterator[Row]:
    """What writing a cell takes: the device's pulses, or the library's number."""
    writing, stated = result.question.writing, result.library.programming
    if writing is not None:
        row = {"part": "writing", "quantity": "writing", "exponent": 1, "node_nm": 0.0}
        source = f"device {writing.device}: {writing.source}"
        mean = writing.mean_pulses
        yield row | {"number": "mean pulses a cell", "value": mean, "unit": "1", "si": mean, "source": source}
        joule = {"number": "energy of a pulse and its read-back", "value": writing.pulse_j * 1e12, "unit": "pJ"}
        yield row | joule | {"si": writing.pulse_j, "source": source}
    elif stated is not None:
        energy = stated.energy
        row = {"part": "writing", "quantity": "writing", "number": "programming energy", "exponent": 1}
        said = {"value": energy.value, "unit": energy.unit, "si": energy.si, "node_nm": energy.node_nm}
        yield row | said | {"source": energy.source}


def _timed(result: Estimate, ends: dict[tuple[str, str], float]) -> Iterator[Row]:
    """The terms of the latency of every layer, and of the busiest array, with some numbers of the library replaced."""
    work, question = result.work, result.question
    priced = question.prices(result.library, ends) if ends else result.prices
    array, layer, tile, vectors, cycles, read_s = work.timed
    columns, bits = question.converters.columns, question.converters.bits
    if not work.states_read_time:
        read_s = np.full(vectors.size, priced.read_s)
    rates = priced.rates()[bits]
    share = -(-vectors // question.replicas[layer])
    converting = np.where(bits > 0, columns / np.where(bits > 0, rates, np.inf), 0.0)
    spent = share * cycles * np.maximum(read_s, converting)
    # Of the pieces of a tile on one array, which are read at once, the one that takes longest stands for all.
    order = np.lexsort((-spent, tile, layer, array))
    turn = order[_first((array, layer, tile), order)]
    visits = _groups((array[turn], layer[turn]))
    visit_s = np.array([spent[turn[group]].sum() for group in visits])
    owner = np.array([layer[turn[group[0]]] for group in visits])

    def terms(what: str, pieces: np.ndarray) -> Iterator[Row]:
        drawn = (layer, share, cycles, read_s, columns, bits)
        cases, many = np.unique(np.stack([column[pieces] for column in drawn]), axis=1, return_counts=True)
        for (number, each, cycle, second, column, bit), turns in zip(cases.T.tolist(), many.tolist(), strict=True):
            converter = {"columns": int(column), "rate_hz": float(priced.rates()[int(bit)])} if bit else {}
            yield {
                "what": what,
                "layer": work.layers[int(number)],
                "turns": int(turns),
                "vectors": float(each),
                "cycles": float(cycle),
                "read_s": float(second),
                "columns": 0,
                "rate_hz": 0.0,
                "rate_of": f"adc {int(bit)} bit" if bit else "",
            } | converter

    for number in range(len(work.layers)):
        mine = np.flatnonzero(owner == number)
        if mine.size:
            yield from terms("latency", turn[visits[mine[int(visit_s[mine].argmax())]]])
    arrays = _groups((array[turn],))
    busiest = max(arrays, key=lambda group: float(spent[turn[group]].sum()))
    yield from terms("pace", turn[busiest])


def _written(result: Estimate) -> Iterator[Row]:
    """The term of the array that takes longest to write, row after row; none where nobody says how long."""
    work, writing, stated = result.work, result.question.writing, result.library.programming
    if writing is not None:
        row_s = writing.row_s(work.cells_of_array / work.rows_of_array)
    elif stated is not None:
        row_s = np.full(work.rows_of_array.size, result.prices.programming_s)
    else:
        return
    longest = int((work.rows_of_array * row_s).argmax())
    once = {"vectors": 1.0, "cycles": 1.0, "columns": 0, "rate_hz": 0.0, "rate_of": ""}
    where = {"what": "writing", "layer": work.layers[int(work.layer_of_array[longest])]}
    yield where | once | {"turns": int(work.rows_of_array[longest]), "read_s": float(row_s[longest])}


def _first(columns: tuple[np.ndarray, ...], order: np.ndarray) -> np.ndarray:
    """True where, in the given order, a new combination of the columns begins."""
    new = np.ones(order.size, dtype=bool)
    new[1:] = np.any([column[order][1:] != column[order][:-1] for column in columns], axis=0)
    return new


def _groups(columns: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Indices of every run of equal combinations of the columns, which are sorted by them."""
    new = _first(columns, np.arange(columns[0].size))
    return np.split(np.arange(columns[0].size), np.flatnonzero(new)[1:])


assert set(_OF) == set(PARTS)
