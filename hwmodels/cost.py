"""What a placement costs: area, energy, power and latency, from a tile table and a component library.

Counting (equations in docs/hardware.md): the cells of a whole physical array once per array; drivers for the distinct
rows in use, sample-and-holds for the distinct columns in use, converters for the distinct groups of `cols_per_adc`
neighbouring columns in use; everything else in shares of the printed unit per row, column or array in use. Energy:
operations times energy per operation. Power is defined once: energy per inference × frame rate + leakage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.cost_assumptions import assumptions, sources
from hwmodels.cost_tiles import Pieces, checked
from hwmodels.errors import UserError
from hwmodels.library import Converter, Library, Part

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Estimate:
    """The cost of a placement.

    table: a row per (layer, component): layer, component, count, area_mm2, energy_nj (per inference), power_mw,
    power_peak_mw; layers: a row per layer: layer, arrays, latency_us, area_mm2, energy_nj, power_mw; totals: area_mm2,
    power_mw, energy_nj, latency_us, arrays, power_peak_mw, frame_rate_hz, full_rate_hz; assumptions: sentences;
    sources: the numbers used, as dicts of component, quantity, value, unit, node_nm, source.
    """

    table: pd.DataFrame
    layers: pd.DataFrame
    totals: dict[str, float]
    assumptions: list[str]
    sources: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class _Line:
    """One component over the layers: how many, and its area [m²], energy [J], peak power [W], leakage [W]."""

    component: str
    count: np.ndarray
    area: np.ndarray
    energy: np.ndarray
    peak: np.ndarray
    leakage: np.ndarray


def estimate(tiles: pd.DataFrame, library: str | Library, *, frame_rate_hz: float | None = None) -> Estimate:
    """Price a placement.

    tiles: the tile table, a row per piece (tile × sign × slice); library: component library or its name or path;
    frame_rate_hz: inferences per second [1/s], None for the placement's own full pipelined rate.
    Raises UserError for a faulty table, a converter that the library lacks, or a rate beyond the full one.
    """
    if not isinstance(library, Library):
        library = Library.load(library)
    pieces = checked(tiles)
    work = _Work.of(pieces, library)
    full_rate = 1.0 / work.slowest_s
    rate = _frame_rate(frame_rate_hz, full_rate)
    lines = list(_lines(pieces, work, library))
    return _assembled(pieces, work, library, lines, rate, full_rate)


def _frame_rate(asked: float | None, full: float) -> float:
    """The rate to report at [1/s]; raises UserError when it is no rate or beyond the full one."""
    if asked is None:
        return full
    if not (np.isfinite(asked) and asked > 0):
        raise UserError(f"frame_rate_hz is a finite number above 0, or None for the full rate, not {asked!r}.")
    if asked > full * (1 + 1e-9):
        raise UserError(
            f"frame_rate_hz = {asked:g} is beyond the placement's full rate of {full:g} Hz. Ask for less, use more "
            "converters (a smaller cols_per_adc), or duplicate the slowest layer."
        )
    return float(asked)


@dataclass(frozen=True, eq=False)
class _Work:
    """What each piece does per inference, and how long its array is busy with it."""

    cycles: np.ndarray
    """Reads of the piece in time: input vectors × input cycles."""
    input_bits: np.ndarray
    """Bits of one input value: input cycles × DAC bits."""
    t_read_s: np.ndarray
    latency_s: np.ndarray
    """Per layer."""
    slowest_s: float
    """Of the array that is busy longest per inference: the pace of the pipeline."""

    @staticmethod
    def of(pieces: Pieces, library: Library) -> _Work:
        """Work and time from a checked table; raises UserError for a converter that the library lacks."""
        cycles = pieces["reads_per_inference"] * pieces["input_cycles"]
        t_read = pieces.columns.get("t_read_s", np.full(cycles.shape, library.reading.time.si))
        per_converter = np.minimum(pieces["cols_per_adc"], pieces["array_cols"])
        drain = np.where(pieces["adc_bits"] > 0, per_converter / library.adc.rate.si, 0.0)
        latency, slowest = _timing(pieces, cycles * np.maximum(t_read, drain))
        return _Work(
            cycles=cycles,
            input_bits=pieces["input_cycles"] * pieces["dac_bits"],
            t_read_s=t_read,
            latency_s=latency,
            slowest_s=slowest,
        )


def _timing(pieces: Pieces, busy: np.ndarray) -> tuple[np.ndarray, float]:
    """Latency per layer [s] and the longest busy time of any array [s] from the busy time of every piece.

    The pieces of a tile on one array are read at once; different tiles on one array take turns.
    """
    turn, at_once = _grouped(np.stack([pieces["array"], pieces["layer"], pieces["tile"]]), busy, np.maximum)
    visit, in_turn = _grouped(turn[:2], at_once, np.add)
    _, latency = _grouped(visit[1:], in_turn, np.maximum)
    _, occupied = _grouped(visit[:1], in_turn, np.add)
    return latency, float(occupied.max())


def _grouped(keys: np.ndarray, values: np.ndarray, combine: np.ufunc) -> tuple[np.ndarray, np.ndarray]:
    """Combine the values of equal keys: keys (k, n), values (n,) ≥ 0 -> distinct keys (k, m), sorted, and (m,)."""
    distinct, index = np.unique(keys, axis=1, return_inverse=True)
    result = np.zeros(distinct.shape[1], dtype=values.dtype)
    combine.at(result, index.reshape(-1), values)
    return distinct, result


def _lines(pieces: Pieces, work: _Work, library: Library) -> Iterator[_Line]:
    """The components in the order of the report."""
    cells, rows, cols, groups, arrays = _in_use(pieces)
    per_layer, cycles = pieces.per_layer, work.cycles
    none = np.zeros(len(pieces.layers))
    cell_energy = _cell_energy(pieces, work, library)
    peak = per_layer(cell_energy / (cycles * work.t_read_s))
    share = library.cell.share * library.cell.area.si
    yield _Line("cell", per_layer(cells), per_layer(cells) * share, per_layer(cell_energy), peak, none)

    row0, row1 = pieces["row0"], pieces["row0"] + pieces["rows"]
    driven = pieces.newly_covered(row0, row1, "array", "layer", "tile") * cycles
    yield _converters(pieces, library, "dac", rows, driven)
    results = pieces["cols"] * pieces["reads_per_inference"]
    conversions = results * pieces["input_cycles"]
    yield _converters(pieces, library, "adc", groups, conversions)

    vectors, inputs, outputs = pieces["reads_per_inference"], _inputs(pieces), _outputs(pieces)
    moved = (inputs + outputs) * vectors * work.input_bits
    for component, units, operations in (
        ("sample_hold", cols, conversions),
        ("shift_add", cols, conversions),
        ("output_register", cols, conversions),
        ("adder", cols, results),
        ("accumulator", cols, results),
        ("input_register", rows, driven * pieces["dac_bits"]),
        ("buffer", rows, 2 * moved),
        ("bus", rows, moved),
        ("router", arrays, moved),
        ("activation", arrays, outputs * vectors),
        ("pooling", arrays, outputs * vectors),
    ):
        part: Part | None = getattr(library, component)
        if part is not None:
            yield _part_line(component, part, per_layer(units), per_layer(operations))


def _in_use(pieces: Pieces) -> tuple[np.ndarray, ...]:
    """Per piece, what it is the first to use: cells, rows, columns, groups of columns, arrays."""
    arrays = pieces.first_of("array").astype(np.int64)
    cells = arrays * pieces["array_rows"] * pieces["array_cols"]
    row0, col0 = pieces["row0"], pieces["col0"]
    rows = pieces.newly_covered(row0, row0 + pieces["rows"], "array")
    cols = pieces.newly_covered(col0, col0 + pieces["cols"], "array")
    group0 = col0 // pieces["cols_per_adc"]
    group1 = (col0 + pieces["cols"] - 1) // pieces["cols_per_adc"] + 1
    return cells, rows, cols, pieces.newly_covered(group0, group1, "array"), arrays


def _cell_energy(pieces: Pieces, work: _Work, library: Library) -> np.ndarray:
    """Energy of the cells per inference [J], (pieces,); where it is not known, Σg V² t with every row driven."""
    known = pieces["read_energy_j"] * pieces["reads_per_inference"]
    assumed = pieces["g_sum_s"] * library.reading.voltage.si**2 * work.t_read_s * work.cycles
    return np.where(np.isnan(known), assumed, known)


def _inputs(pieces: Pieces) -> np.ndarray:
    """Input values fetched per input vector: the rows of a tile, once for all its signs and slices, (pieces,)."""
    return _once_per_tile(pieces, "rows")


def _outputs(pieces: Pieces) -> np.ndarray:
    """Output values of a layer per input vector, each charged to one piece, (pieces,).

    Without a column `outputs` an upper bound: the columns of every tile, as if no two tiles of the layer added up to
    the same output.
    """
    if "outputs" not in pieces.columns:
        return _once_per_tile(pieces, "cols")
    return np.where(_busiest_of_layer(pieces), pieces["outputs"], 0)


def _busiest_of_layer(pieces: Pieces) -> np.ndarray:
    """True at one piece of every layer, one that serves as many input vectors as any of the layer, (pieces,)."""
    order = np.lexsort((-pieces["reads_per_inference"], pieces["layer"]))
    first = np.ones(order.size, dtype=bool)
    first[1:] = pieces["layer"][order][1:] != pieces["layer"][order][:-1]
    mark = np.zeros(order.size, dtype=bool)
    mark[order[first]] = True
    return mark


def _once_per_tile(pieces: Pieces, name: str) -> np.ndarray:
    """The largest value of a column among the pieces of a tile, at the first of them; 0 at the others, (pieces,)."""
    _, largest = _grouped(np.stack([pieces["layer"], pieces["tile"]]), pieces[name], np.maximum)
    result = np.zeros_like(pieces[name])
    # Both sides are sorted by (layer, tile), so the tiles meet their first pieces.
    first = np.flatnonzero(pieces.first_of("layer", "tile"))
    result[first[np.lexsort((pieces["tile"][first], pieces["layer"][first]))]] = largest
    return result


def _converters(pieces: Pieces, library: Library, component: str, units: np.ndarray, operations: np.ndarray) -> _Line:
    """Drivers or converters, whose size follows from the resolution of the piece; 0 bits: none."""
    converter: Converter = getattr(library, component)
    bits = pieces[f"{component}_bits"]
    what = {"dac": "driver (dac_bits)", "adc": "converter (adc_bits)"}[component]
    each = np.zeros((4, bits.size))
    for resolution in np.unique(bits[bits > 0]):
        part = converter.part(int(resolution), what, library.name)
        energy = part.power.si * part.share / converter.rate.si if part.energy is None else part.energy.si
        leakage = 0.0 if part.leakage is None else part.leakage.si
        values = (part.area.si * part.share, energy, part.power.si * part.share, leakage * part.share)
        each[:, bits == resolution] = np.array(values)[:, None]
    counted = np.where(bits > 0, units, 0)
    amounts = (counted, each[0] * counted, each[1] * operations, each[2] * counted, each[3] * counted)
    count, area, energy, peak, leakage = (pieces.per_layer(amount) for amount in amounts)
    return _Line(component, count, area, energy, peak, leakage)


def _part_line(component: str, part: Part, units: np.ndarray, operations: np.ndarray) -> _Line:
    """A part charged in shares of its printed unit; without an energy per operation it takes none."""
    energy = 0.0 if part.energy is None else part.energy.si
    leakage = 0.0 if part.leakage is None else part.leakage.si
    share = units * part.share
    return _Line(component, units, share * part.area.si, operations * energy, share * part.power.si, share * leakage)


def _assembled(
    pieces: Pieces, work: _Work, library: Library, lines: list[_Line], rate: float, full_rate: float
) -> Estimate:
    """Tables in the units of people from lines in SI."""
    import pandas as pd

    frames = [
        pd.DataFrame(
            {
                "layer": pieces.layers,
                "component": line.component,
                "count": line.count,
                "area_mm2": line.area * 1e6,
                "energy_nj": line.energy * 1e9,
                "power_mw": (line.energy * rate + line.leakage) * 1e3,
                "power_peak_mw": line.peak * 1e3,
            }
        )
        for line in lines
    ]
    table = pd.concat(frames, ignore_index=True)
    by_layer = np.argsort(np.tile(np.arange(len(pieces.layers)), len(lines)), kind="stable")
    table = table.iloc[by_layer].reset_index(drop=True)
    sums = table.groupby("layer", sort=False)[["area_mm2", "energy_nj", "power_mw"]].sum().reset_index()
    sums.insert(1, "arrays", pieces.per_layer(pieces.first_of("array")).astype(np.int64))
    sums.insert(2, "latency_us", work.latency_s * 1e6)
    totals = {name: float(table[name].sum()) for name in ("area_mm2", "power_mw", "energy_nj")}
    totals |= {"latency_us": float(work.latency_s.sum() * 1e6), "arrays": int(sums["arrays"].sum())}
    totals |= {"power_peak_mw": float(table["power_peak_mw"].sum()), "frame_rate_hz": rate, "full_rate_hz": full_rate}
    return Estimate(table, sums, totals, assumptions(pieces, library, rate, full_rate), sources(pieces, library))
