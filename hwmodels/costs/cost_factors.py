"""The price of every part as a product of numbers that a library prints, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwmodels.costs.adc_cost import AdcCost, isaac_rule, published
from hwmodels.costs.cost import Estimate
from hwmodels.costs.cost_prices import Ends, Prices
from hwmodels.costs.cost_work import PARTS
from hwmodels.costs.library import Library, Quantity, Resolution
from hwmodels.costs.units import to_si

Row = dict[str, Any]
_PER_UNIT = (("area", "area"), ("peak", "power"), ("leakage", "leakage"))
"""Quantities that a printed group's number is shared out for: quantity, field of the library."""


@dataclass(frozen=True)
class Factors:
    """The factors of a library's prices, with some of its numbers replaced.

    A row: part and quantity whose price it belongs to, number ("adc 8 bit power"), exponent (1, −1 or 2), value in
    unit, si, node_nm, source. A price is the product of its rows' si ** exponent.
    """

    library: Library
    ends: Ends
    prices: Prices
    model: str
    reads_time: bool
    """Whether the table of tiles says how long a read takes, and not the library."""

    @staticmethod
    def of(result: Estimate, ends: Mapping[tuple[str, str], float]) -> Factors:
        """Those of an estimate; ends: (component, quantity) -> SI value to take instead."""
        question = result.question
        priced = question.prices(result.library, ends) if ends else result.prices
        return Factors(result.library, ends, priced, question.model, result.work.states_read_time)

    def rows(self) -> Iterator[Row]:
        """Every factor of every price."""
        cell, reading = self.library.cell, self.library.reading
        yield self._row("cell", "area", "cell", "area", cell.area)
        yield from self._serving("cell", "area", "cell", cell.serves)
        for quantity in ("energy", "peak"):
            yield self._row("cell assumed", quantity, "reading", "voltage", reading.voltage, 2)
        if not self.reads_time:
            yield self._row("cell assumed", "energy", "reading", "time", reading.time)
            yield self._row("cell read", "peak", "reading", "time", reading.time, -1)
        for bits in self.prices.dac:
            yield from self._listed("dac", bits, bits)
        for bits in self.prices.adc:
            yield from self._converter(bits)
            yield self._rate(bits)
        for name in PARTS:
            yield from self._part(name)

    def _part(self, name: str) -> Iterator[Row]:
        part = getattr(self.library, name)
        if part is None:
            return
        if part.energy is not None:
            yield self._row(name, "energy", name, "energy", part.energy)
        for quantity, field in _PER_UNIT:
            if (number := getattr(part, field)) is not None:
                yield self._row(name, quantity, name, field, number)
                yield from self._serving(name, quantity, name, part.serves)

    def _converter(self, bits: int) -> Iterator[Row]:
        """A converter by the table, by ISAAC's rule from the one of 8 bits, or by a law."""
        part, cost = f"adc {bits} bit", self.prices.adc[bits]
        if self.model == "table":
            listed = self.library.adc.bits
            yield from self._listed("adc", bits, bits if bits in listed else min(b for b in listed if b >= bits))
            return
        law = published("adc")[self.model]
        said = {"part": part, "exponent": 1, "node_nm": self.library.adc.rate.node_nm, "source": law["source"]}
        if self.model == "isaac":
            yield from self._listed("adc", bits, 8)
            one = isaac_rule(bits, AdcCost(1.0, 1.0, 1.0, 1.0, 1.0))
            for quantity, factor in (("area", one.area_m2), ("energy", one.energy_j), ("peak", one.power_w),
                                     ("leakage", one.leakage_w)):  # fmt: skip
                number = f"ISAAC's rule from 8 to {bits} bit"
                yield said | {"quantity": quantity, "number": number, "value": factor, "unit": "1", "si": factor}
            return
        number = f"{self.model} at {bits} bit, the library's rate and {self.library.adc.rate.node_nm:g} nm"
        for quantity, value, unit in (("area", cost.area_m2, "um2"), ("energy", cost.energy_j, "pJ"),
                                      ("peak", cost.power_w, "mW")):  # fmt: skip
            si = {"value": value / to_si(unit)[1], "unit": unit, "si": value}
            yield said | {"quantity": quantity, "number": number} | si

    def _rate(self, bits: int) -> Row:
        """Conversions per second of a converter."""
        part, listed = f"adc {bits} bit", self.library.adc.bits
        entered = {"isaac": 8, "table": min((b for b in listed if b >= bits), default=bits)}.get(self.model, 0)
        own = listed[entered].rate if entered in listed else None
        if own is None:
            return self._row(part, "rate", "adc", "rate", self.library.adc.rate)
        return self._row(part, "rate", f"adc {entered} bit", "rate", own)

    def _listed(self, component: str, bits: int, entered: int) -> Iterator[Row]:
        """A converter or driver of a table, priced by the entry of `entered` bits."""
        converter = getattr(self.library, component)
        entry: Resolution = converter.bits[entered]
        part, name = f"{component} {bits} bit", f"{component} {entered} bit"
        for quantity, field in _PER_UNIT:
            if (number := getattr(entry, field)) is not None:
                yield self._row(part, quantity, name, field, number)
                yield from self._serving(part, quantity, name, entry.serves)
        if entry.energy is not None:
            yield self._row(part, "energy", name, "energy", entry.energy)
            return
        # Energy of a conversion: power over rate.
        yield self._row(part, "energy", name, "power", entry.power)
        yield from self._serving(part, "energy", name, entry.serves)
        owner, rate = (component, converter.rate) if entry.rate is None else (name, entry.rate)
        yield self._row(part, "energy", owner, "rate", rate, -1)

    def _serving(self, part: str, quantity: str, component: str, serves: Quantity | None) -> Iterator[Row]:
        """For how many units the printed number stands."""
        if serves is not None:
            yield self._row(part, quantity, component, "serves", serves, -1)

    def _row(self, part: str, quantity: str, component: str, field: str, number: Quantity, exponent: int = 1) -> Row:
        si = self.ends.get((component, field), number.si)
        return {
            "part": part,
            "quantity": quantity,
            "number": f"{component} {field}",
            "exponent": exponent,
            "value": number.value if si == number.si else si / to_si(number.unit)[1],
            "unit": number.unit,
            "si": si,
            "node_nm": number.node_nm,
            "source": number.source,
        }
