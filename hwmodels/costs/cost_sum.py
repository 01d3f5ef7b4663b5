"""Units × price, component by component, and the totals: the sums behind an estimate, in SI units until the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwmodels.costs.adc_cost import AdcCost
from hwmodels.costs.cost_prices import Ends, Prices, prices
from hwmodels.costs.cost_work import PARTS, ConverterWork, Work
from hwmodels.costs.library import Library
from hwmodels.costs.writing import Writing

AdcBits = int | Literal["required"] | None
Execution = Literal["pipelined", "layer-by-layer"]
"""How inferences follow one another: every layer on the next one at once, or one inference at a time."""
EXECUTIONS: tuple[Execution, ...] = ("pipelined", "layer-by-layer")


@dataclass(frozen=True, eq=False)
class Costs:
    """Components over the layers, each (components, layers): number, area [m²], energy [J], peak and leakage [W]."""

    components: tuple[str, ...]
    count: np.ndarray
    area: np.ndarray
    energy: np.ndarray
    peak: np.ndarray
    leakage: np.ndarray
    latency_s: np.ndarray
    """(layers,)."""
    slowest_s: float
    """Of the array that is busy longest per inference: the pace of the pipeline."""


@dataclass(frozen=True, eq=False)
class Question:
    """How a placement is to be priced, resolved against the placement."""

    frame_rate_hz: float | None
    model: str
    adc_bits: AdcBits
    converters: ConverterWork
    dac_bits: tuple[int, ...]
    replicas: np.ndarray
    execution: Execution = "pipelined"
    writing: Writing | None = None
    """The device's own way of writing; None: the library's."""

    @property
    def round_up(self) -> bool:
        """Whether a resolution that the table lacks becomes the next listed one."""
        return self.adc_bits == "required"

    def own_rate_hz(self, costs: Costs) -> float:
        """The most inferences per second that this way of execution reaches [1/s]."""
        pace = costs.slowest_s if self.execution == "pipelined" else float(costs.latency_s.sum())
        return 1.0 / pace

    def prices(self, library: Library, ends: Ends | None = None) -> Prices:
        """The library's numbers for the resolutions in use."""
        bits = self.converters.by_bits
        return prices(library, self.dac_bits, bits, self.model, round_up=self.round_up, ends=ends)


def costs_of(work: Work, question: Question, priced: Prices) -> Costs:
    """Count × price, component by component, in SI units."""
    from hwmodels.costs import cost_kernels

    layers, copies = len(work.layers), question.replicas
    present: np.ndarray = np.array(priced.parts.any(axis=1))
    units, parts = work.units[present], priced.parts[present][:, :, None]
    share = priced.read_s if not work.states_read_time else 1.0
    squared = priced.voltage_v**2
    cell_energy = work.known_energy_j + work.assumed_energy_s * squared * share
    cell_peak = work.known_peak / share + work.assumed_g_s * squared
    dac, adc = (
        _converters(by_bits, cost, layers)
        for by_bits, cost in ((work.drivers, priced.dac), (question.converters.by_bits, priced.adc))
    )
    none = np.zeros(layers)
    rows = (
        np.vstack((work.cells, dac[0], adc[0], units)),
        np.vstack((work.cells * priced.cell_m2, dac[1], adc[1], units * parts[:, 0])),
        np.vstack((cell_energy, dac[2], adc[2], work.operations[present] * parts[:, 1])),
        np.vstack((cell_peak, dac[3], adc[3], units * parts[:, 2])),
        np.vstack((none, dac[4], adc[4], units * parts[:, 3])),
    )
    count, area, energy, peak, leakage = rows
    array, layer, tile, vectors, cycles, times = work.timed
    read_s = times if work.states_read_time else np.full(times.size, priced.read_s)
    latency = np.zeros(layers)
    converters = question.converters
    slowest = cost_kernels.timing(
        array,
        layer,
        tile,
        vectors,
        cycles,
        read_s,
        converters.columns,
        converters.bits,
        priced.rates(),
        copies,
        latency,
    )
    names = ("cell", "dac", "adc", *(name for name, here in zip(PARTS, present, strict=True) if here))
    return Costs(names, count * copies, area * copies, energy, peak * copies, leakage * copies, latency, slowest)


def _converters(by_bits: dict[int, np.ndarray], cost: dict[int, AdcCost], layers: int) -> np.ndarray:
    """Number, area, energy, peak and leakage of drivers or converters, (5, layers)."""
    result = np.zeros((5, layers))
    for bits, (units, operations) in by_bits.items():
        each = cost[bits]
        result[0] += units
        result[1] += units * each.area_m2
        result[2] += operations * each.energy_j
        result[3] += units * each.power_w
        result[4] += units * each.leakage_w
    return result


def totals_of(work: Work, question: Question, priced: Prices, costs: Costs) -> dict[str, float]:
    """Sums in the units of people."""
    full, sequential = 1.0 / costs.slowest_s, 1.0 / float(costs.latency_s.sum())
    rate = question.own_rate_hz(costs) if question.frame_rate_hz is None else float(question.frame_rate_hz)
    energy, leakage = float(costs.energy.sum()), float(costs.leakage.sum())
    copies = question.replicas
    totals = {
        "area_mm2": float(costs.area.sum()) * 1e6,
        "power_mw": (energy * rate + leakage) * 1e3,
        "energy_nj": energy * 1e9,
        "latency_us": float(costs.latency_s.sum()) * 1e6,
        "arrays": int((work.arrays * copies).sum()),
        "power_peak_mw": float(costs.peak.sum()) * 1e3,
        "frame_rate_hz": rate,
        "full_rate_hz": full,
        "sequential_rate_hz": sequential,
        "power_full_rate_mw": (energy * full + leakage) * 1e3,
        "power_sequential_mw": (energy * sequential + leakage) * 1e3,
        "leakage_mw": leakage * 1e3,
    }
    return totals | _programming(work, question, priced)


def _programming(work: Work, question: Question, priced: Prices) -> dict[str, float]:
    """Energy and time of writing all cells once; empty where neither the device nor the library says."""
    writing = question.writing
    if writing is not None:
        cell_j = writing.cell_j
        array_s = work.rows_of_array * writing.row_s(work.cells_of_array / work.rows_of_array)
    elif priced.programming_j is not None and priced.programming_s is not None:
        cell_j, array_s = priced.programming_j, work.rows_of_array * priced.programming_s
    else:
        return {}
    copies = question.replicas
    return {
        "programming_energy_nj": float((work.cells_written * copies).sum()) * cell_j * 1e9,
        "programming_time_us": float(array_s.max()) * 1e6,
        "programming_serial_us": float((array_s * copies[work.layer_of_array]).sum()) * 1e6,
    }
