"""A library as plain SI numbers, for the resolutions that a placement uses; any number can be replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwmodels.costs.adc_cost import AdcCost, andrulis, checked_model, isaac_rule, listed
from hwmodels.costs.cost_work import PARTS
from hwmodels.costs.library import Library, Part, Quantity, Resolution
from hwmodels.errors import UserError

Ends = Mapping[tuple[str, str], float]
"""(component, quantity), named as by `Library.quantities`, -> the SI value to take instead of the library's."""


@dataclass(frozen=True, eq=False)
class Prices:
    """SI numbers of a library."""

    voltage_v: float
    read_s: float
    cell_m2: float
    parts: np.ndarray
    """(parts, 4): area per unit [m²], energy per operation [J], power per unit [W], leakage per unit [W]."""
    dac: dict[int, AdcCost]
    adc: dict[int, AdcCost]
    programming_j: float | None
    programming_s: float | None
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(
        library: Library, dac_bits: Iterable[int], adc_bits: Iterable[int], model: str, round_up: bool, ends: Ends
    ) -> Prices:
        """Price the parts; round_up: a resolution that the table lacks becomes the next listed one.

        Raises UserError for a resolution that the library or the converter model does not have.
        """
        read = _Reader(library, ends)
        programming = library.programming
        adc = {bits: read.converter(bits, model, round_up) for bits in adc_bits}
        return Prices(
            voltage_v=read("reading", "voltage", library.reading.voltage),
            read_s=read("reading", "time", library.reading.time),
            cell_m2=read("cell", "area", library.cell.area) / read.serves("cell", library.cell.serves),
            parts=np.array([read.part(name) for name in PARTS]),
            dac={bits: read.driver(bits) for bits in dac_bits},
            adc=adc,
            programming_j=programming and read("programming", "energy", programming.energy),
            programming_s=programming and read("programming", "time", programming.time),
            notes=tuple(dict.fromkeys(note for cost in adc.values() for note in cost.notes)),
        )

    def rates(self) -> np.ndarray:
        """Conversions per second of a converter by its number of bits [1/s], (most bits + 1,)."""
        result = np.full(max(self.adc, default=0) + 1, np.inf)
        for bits, cost in self.adc.items():
            result[bits] = cost.rate_hz
        return result


@dataclass(frozen=True)
class _Reader:
    """Reads numbers of a library in SI units, with some of them replaced."""

    library: Library
    ends: Ends

    def __call__(self, component: str, name: str, number: Quantity | None) -> float:
        """A number in SI units; 0 where the library has none."""
        if self.ends and (component, name) in self.ends:
            return self.ends[component, name]
        return 0.0 if number is None else number.si

    def serves(self, component: str, number: Quantity | None) -> float:
        """For how many units a printed group stands."""
        return 1.0 if number is None else self(component, "serves", number)

    def part(self, name: str) -> tuple[float, float, float, float]:
        """Area, energy, power and leakage of a shared part; 0 where the library lacks it."""
        part: Part | None = getattr(self.library, name)
        if part is None:
            return (0.0, 0.0, 0.0, 0.0)
        share = 1.0 / self.serves(name, part.serves)
        energy = self(name, "energy", part.energy)
        area, power, leakage = (self(name, what, getattr(part, what)) * share for what in ("area", "power", "leakage"))
        return (area, energy, power, leakage)

    def driver(self, bits: int) -> AdcCost:
        """A driver of the library's table."""
        entry = self.library.dac.part(bits, "driver (dac_bits)", self.library.name)
        return self.resolution("dac", bits, entry, self("dac", "rate", self.library.dac.rate))

    def converter(self, bits: int, model: str, round_up: bool) -> AdcCost:
        """A converter by the chosen model."""
        converter = self.library.adc
        rate = self("adc", "rate", converter.rate)
        if model == "andrulis":
            node = converter.rate.node_nm
            if not node:
                raise UserError(
                    f"The converter model 'andrulis' needs a node: library {self.library.name!r} states none for "
                    "adc.rate (node_nm)."
                )
            return andrulis(max(bits, 4) if round_up else bits, rate, node)
        if model == "isaac":
            eight = converter.part(8, "converter for the rule 'isaac' to scale", self.library.name)
            return isaac_rule(bits, self.resolution("adc", 8, eight, rate))
        larger = [size for size in converter.bits if size >= bits]
        if round_up and larger and bits not in converter.bits:
            cost = self.resolution("adc", min(larger), converter.bits[min(larger)], rate)
            note = f"A {bits}-bit converter is priced as the {min(larger)}-bit one, the next that the table lists"
            return replace(cost, notes=(note,))
        entry = converter.part(bits, "converter (adc_bits)", self.library.name)
        return self.resolution("adc", bits, entry, rate)

    def resolution(self, component: str, bits: int, entry: Resolution, rate: float) -> AdcCost:
        """One entry of a table of resolutions."""
        if not self.ends:
            return listed(entry, rate)
        name = f"{component} {bits} bit"
        share = 1.0 / self.serves(name, entry.serves)
        own_rate = rate if entry.rate is None else self(name, "rate", entry.rate)
        power = self(name, "power", entry.power) * share
        energy = power / own_rate if entry.energy is None else self(name, "energy", entry.energy)
        area, leakage = (self(name, what, getattr(entry, what)) * share for what in ("area", "leakage"))
        return AdcCost(area, energy, power, leakage, own_rate)


def prices(
    library: Library,
    dac_bits: Iterable[int],
    adc_bits: Iterable[int],
    model: str | None,
    *,
    round_up: bool = False,
    ends: Ends | None = None,
) -> Prices:
    """The prices of a library by a converter model (None: the library's own choice); see `Prices.of`."""
    return Prices.of(library, dac_bits, adc_bits, checked_model(library, model), round_up, ends or {})
