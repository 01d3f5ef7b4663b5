"""What a placement costs: area, energy, power and latency, from a tile table and a component library.

Counting (equations in docs/hardware.md): the cells of a whole physical array once per array; drivers for the distinct
rows in use, sample-and-holds for the distinct columns in use, converters for the distinct groups of `cols_per_adc`
neighbouring columns in use; everything else in shares of the printed unit per row, column or array in use. Energy:
operations times energy per operation. Power is defined once: energy per inference × frame rate + leakage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hwmodels.costs.adc_cost import checked_model
from hwmodels.costs.cost_assumptions import assumptions, sources
from hwmodels.costs.cost_prices import Ends, Prices
from hwmodels.costs.cost_sum import EXECUTIONS, AdcBits, Costs, Execution, Question, costs_of, totals_of
from hwmodels.costs.cost_tiles import checked
from hwmodels.costs.cost_uncertainty import Uncertainty
from hwmodels.costs.cost_work import PARTS, Work
from hwmodels.costs.library import AdcModel, Library
from hwmodels.costs.writing import Writing
from hwmodels.devices.device import Device
from hwmodels.errors import UserError, unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Estimate:
    """The cost of a placement; tables are made when they are asked for.

    table: a row per (layer, component): layer, component, count, area_mm2, energy_nj (per inference), power_mw,
    power_peak_mw; layers: a row per layer: layer, arrays, replicas, latency_us, area_mm2, energy_nj, power_mw; totals:
    area_mm2, power_mw, energy_nj, latency_us, arrays, power_peak_mw, frame_rate_hz, full_rate_hz, …; assumptions:
    sentences; sources: the numbers used, as dicts of component, quantity, value, unit, node_nm, source; interval and
    tornado: what the ranges of the library's numbers do to the totals.
    """

    work: Work
    library: Library
    question: Question
    prices: Prices
    costs: Costs

    @cached_property
    def totals(self) -> dict[str, float]:
        """Sums over the chip: area_mm2, energy_nj (per inference), arrays, latency_us (layers one after the other).

        power_mw = energy per inference × frame_rate_hz + leakage_mw; power_full_rate_mw is the same at full_rate_hz
        (pipelined) and power_sequential_mw at sequential_rate_hz = 1 / latency (layer by layer); power_peak_mw has
        every unit busy. programming_energy_nj, programming_time_us (every array at once, row by row) and
        programming_serial_us (array after array) write all cells once; present where the device or the library says.
        """
        return totals_of(self.work, self.question, self.prices, self.costs)

    def at(self, frame_rate_hz: float) -> Estimate:
        """The same chip at another rate [1/s]: what it is made of and what an inference takes stay as they are.

        Raises UserError for a rate beyond the full one.
        """
        _check_rate(frame_rate_hz, self.question.own_rate_hz(self.costs))
        asked = replace(self.question, frame_rate_hz=frame_rate_hz)
        return Estimate(self.work, self.library, asked, self.prices, self.costs)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per (layer, component), layers in network order."""
        import pandas as pd

        costs, rate = self.costs, self.totals["frame_rate_hz"]
        components, layers = len(costs.components), len(self.work.layers)
        return pd.DataFrame(
            {
                "layer": np.repeat(np.array(self.work.layers, dtype=object), components),
                "component": np.tile(np.array(costs.components, dtype=object), layers),
                "count": costs.count.T.ravel(),
                "area_mm2": costs.area.T.ravel() * 1e6,
                "energy_nj": costs.energy.T.ravel() * 1e9,
                "power_mw": (costs.energy * rate + costs.leakage).T.ravel() * 1e3,
                "power_peak_mw": costs.peak.T.ravel() * 1e3,
            }
        )

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row per layer."""
        import pandas as pd

        costs, rate = self.costs, self.totals["frame_rate_hz"]
        return pd.DataFrame(
            {
                "layer": self.work.layers,
                "arrays": (self.work.arrays * self.question.replicas).astype(np.int64),
                "latency_us": costs.latency_s * 1e6,
                "area_mm2": costs.area.sum(axis=0) * 1e6,
                "energy_nj": costs.energy.sum(axis=0) * 1e9,
                "power_mw": (costs.energy * rate + costs.leakage).sum(axis=0) * 1e3,
                "replicas": self.question.replicas,
            }
        )

    @cached_property
    def assumptions(self) -> list[str]:
        """What was taken for granted, in sentences."""
        return assumptions(self)

    @cached_property
    def sources(self) -> list[dict[str, Any]]:
        """The numbers used, with their sources."""
        return sources(self)

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """What every ranged number of the library does to the totals, one at a time."""
        return Uncertainty.of(self.library, set(self.used()), self._totals_at)

    @property
    def interval(self) -> dict[str, tuple[float, float]]:
        """Low and high of every total with each ranged number at the end that moves it that way, all at once."""
        return self.uncertainty.interval

    def tornado(self, total: str = "energy_nj") -> pd.DataFrame:
        """Which number matters most: a row per ranged number, by falling swing; see `Uncertainty.tornado`."""
        return self.uncertainty.tornado(total)

    def used(self) -> list[str]:
        """The components of the library that this estimate reads."""
        adc = {8} if self.question.model == "isaac" else set(self.prices.adc)
        entries = [f"dac {bits} bit" for bits in self.prices.dac]
        if self.question.model != "andrulis":
            entries += [f"adc {bits} bit" for bits in self.library.adc.bits if bits in adc or self.question.round_up]
        writing = [] if self.question.writing is not None else ["programming"]
        return ["cell", "dac", "adc", "reading", *writing, *PARTS, *entries]

    def _totals_at(self, ends: Ends) -> dict[str, float]:
        """The totals with some numbers of the library replaced; the frame rate stays what was asked."""
        moved = self.question.prices(self.library, ends)
        return totals_of(self.work, self.question, moved, costs_of(self.work, self.question, moved))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A placement that is checked and counted once, to be priced many times."""

    work: Work
    # By identity, as a device holds dictionaries; the device is kept, so that no other takes its place.
    _writings: dict[int, tuple[Device, Writing | None]] = field(default_factory=dict)

    def estimate(
        self,
        library: str | Library,
        *,
        frame_rate_hz: float | None = None,
        adc_model: AdcModel | None = None,
        adc_bits: AdcBits = None,
        cols_per_adc: int | None = None,
        replicas: Mapping[str, int] | None = None,
        execution: Execution = "pipelined",
        device: Device | None = None,
    ) -> Estimate:
        """Price the placement; arguments and errors as in `estimate`."""
        if execution not in EXECUTIONS:
            raise unknown("execution", execution, EXECUTIONS)
        if not isinstance(library, Library):
            library = Library.load(library)
        work = self.work
        question = Question(
            frame_rate_hz=frame_rate_hz,
            model=checked_model(library, adc_model),
            adc_bits=adc_bits,
            converters=work.converters(adc_bits, cols_per_adc),
            dac_bits=tuple(work.drivers),
            replicas=work.replicas(replicas),
            execution=execution,
            writing=None if device is None else self._writing(device),
        )
        priced = question.prices(library)
        costs = costs_of(work, question, priced)
        _check_rate(frame_rate_hz, question.own_rate_hz(costs))
        return Estimate(work, library, question, priced, costs)

    def _writing(self, device: Device) -> Writing | None:
        """How a device is written, worked out once."""
        if id(device) not in self._writings:
            self._writings[id(device)] = (device, Writing.of(device))
        return self._writings[id(device)][1]


def prepare(tiles: pd.DataFrame) -> Prepared:
    """Check and count a tile table once; `Prepared.estimate` then prices it with any library, converter or rate.

    Raises UserError for a faulty table.
    """
    return Prepared(Work.of(checked(tiles)))


def estimate(
    tiles: pd.DataFrame,
    library: str | Library,
    *,
    frame_rate_hz: float | None = None,
    adc_model: AdcModel | None = None,
    adc_bits: AdcBits = None,
    cols_per_adc: int | None = None,
    replicas: Mapping[str, int] | None = None,
    execution: Execution = "pipelined",
    device: Device | None = None,
) -> Estimate:
    """Price a placement.

    tiles: the tile table, a row per piece (tile × sign × slice); library: component library or its name or path;
    frame_rate_hz: inferences per second [1/s], None for the placement's own full pipelined rate;
    adc_model: "table", "andrulis" or "isaac" (see `hwmodels.costs.adc_cost`), None for the library's own;
    adc_bits: bits of every converter, "required" for what its live cells need (the safe form of
    `hwmodels.required_adc_bits`), None for the table's; cols_per_adc: likewise, None for the table's;
    replicas: copies of each layer's arrays, {layer: count}, which share its input vectors; execution: "pipelined",
    where the next inference starts as soon as the busiest array is free, or "layer-by-layer", one inference at a time:
    it sets the full rate; device: the cells' device, whose write_verify, where it has one, then says what writing takes
    instead of the library.
    Raises UserError for a faulty table, a converter that the library lacks, or a rate beyond the full one.
    """
    return prepare(tiles).estimate(
        library,
        frame_rate_hz=frame_rate_hz,
        adc_model=adc_model,
        adc_bits=adc_bits,
        cols_per_adc=cols_per_adc,
        replicas=replicas,
        execution=execution,
        device=device,
    )


def _check_rate(asked: float | None, full: float) -> None:
    """Raise UserError when the rate asked for is no rate or beyond the full one [1/s]."""
    if asked is None:
        return
    if not (np.isfinite(asked) and asked > 0):
        raise UserError(f"frame_rate_hz is a finite number above 0, or None for the full rate, not {asked!r}.")
    if asked > full * (1 + 1e-9):
        raise UserError(
            f"frame_rate_hz = {asked:g} is beyond the placement's full rate of {full:g} Hz. Ask for less, use more "
            "converters (a smaller cols_per_adc), copy the slowest layer (replicas), or run pipelined."
        )
