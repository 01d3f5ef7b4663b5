"""Component libraries: what a converter, a driver, a buffer takes, each number with unit, node and source.

A library is a TOML file. Each number is a table `{ value, unit, node_nm, source }`, optionally with `low`, `high` and
`note`; nothing is accepted without a source or with a unit of the wrong kind. A file may build on another one with
`base = "isaac-32nm"` (a name, or a path beside it) and leave parts of it out with `drop = ["router"]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from hwmodels import spec_files
from hwmodels.costs import library_files
from hwmodels.costs.units import to_si
from hwmodels.errors import UserError
from hwmodels.quantities import NonNegative

_SPEC = ConfigDict(extra="forbid")
_Words = Annotated[str, Strict(), Field(min_length=1)]
_Bits = Annotated[int, Field(ge=1)]  # a key of a TOML table is always text, so it is not strict


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Quantity:
    """A published number: value in `unit`, technology node [nm] (0: none), source, and optionally its range."""

    value: NonNegative
    unit: _Words
    source: _Words
    node_nm: NonNegative = 0.0
    low: NonNegative | None = None
    high: NonNegative | None = None
    note: str = ""

    @model_validator(mode="after")
    def _known_unit(self) -> Quantity:
        """Refuse an unknown unit, a range upside down and a range that leaves the value out."""
        to_si(self.unit)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise UserError(f"low = {self.low!r} is above high = {self.high!r}")
        if not (self.low or 0.0) <= self.value <= (float("inf") if self.high is None else self.high):
            raise UserError(
                f"value = {self.value!r} is outside its own range low = {self.low!r} … high = {self.high!r}"
            )
        return self

    @property
    def si(self) -> float:
        """The value in SI units (J, W, m², s, V, 1/s; 1 for a count)."""
        return self.value * to_si(self.unit)[1]

    @property
    def ends_si(self) -> tuple[float, float]:
        """The range (low, high) in SI units; the value itself where an end is not known."""
        factor = to_si(self.unit)[1]
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        return low * factor, high * factor


def _of(dimension: str, example: str, above_zero: bool = False) -> AfterValidator:
    """The check that a quantity has one dimension, and that it and its range are above 0 where it divides."""

    def check(quantity: Quantity) -> Quantity:
        found = to_si(quantity.unit)[0]
        if found != dimension:
            raise UserError(f"the unit {quantity.unit!r} does not fit here: a unit like {example!r} is needed")
        if above_zero and not min(quantity.ends_si[0], quantity.value) > 0:
            raise UserError("it is divided by, so it and its range must be above 0")
        return quantity

    return AfterValidator(check)


Area = Annotated[Quantity, _of("m2", "um2")]
Power = Annotated[Quantity, _of("W", "mW")]
Energy = Annotated[Quantity, _of("J", "pJ/bit")]
Time = Annotated[Quantity, _of("s", "ns", above_zero=True)]
Voltage = Annotated[Quantity, _of("V", "V")]
Rate = Annotated[Quantity, _of("1/s", "GS/s", above_zero=True)]
Number = Annotated[Quantity, _of("1", "rows", above_zero=True)]
AdcModel = Literal["table", "andrulis", "isaac"]
"""Where a converter's cost comes from: the library's table, or a published rule of `hwmodels.costs.adc_cost`."""


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Reading:
    """How an array is read: voltage on a driven row and time of one read (one input cycle)."""

    voltage: Voltage
    time: Time


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Cell:
    """A crossing of the array: `area` for `serves` cells.

    What cells take when read is no number of a library: it follows from the placement's own conductances.
    `printed_power`, the source's figure for the same cells, is kept for comparison only.
    """

    area: Area
    serves: Number | None = None
    printed_power: Power | None = None
    description: str = ""

    @property
    def share(self) -> float:
        """The part of the printed area that one cell takes."""
        return 1.0 if self.serves is None else 1.0 / self.serves.si


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Part:
    """A unit with its area, its power when busy all the time, and what one operation takes (`energy`).

    `serves` says for how many cells, rows, columns, converters or arrays the printed area and power stand (1 by
    default): a chip that uses u of them is charged u / serves of the unit. `leakage`: power when idle.
    """

    area: Area
    power: Power
    energy: Energy | None = None
    serves: Number | None = None
    leakage: Power | None = None
    description: str = ""

    @property
    def share(self) -> float:
        """The part of the printed unit that one row, column or array answers for."""
        return 1.0 if self.serves is None else 1.0 / self.serves.si


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Resolution:
    """A converter or driver of one resolution: as a part; `rate`: its own conversions per second, where they differ."""

    area: Area
    power: Power
    energy: Energy | None = None
    serves: Number | None = None
    leakage: Power | None = None
    rate: Rate | None = None
    description: str = ""

    @property
    def share(self) -> float:
        """The part of the printed group that one converter answers for."""
        return 1.0 if self.serves is None else 1.0 / self.serves.si


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Converter:
    """A converter over its resolution: `bits` maps a number of bits to its cost; `rate` conversions per second each."""

    rate: Rate
    bits: dict[_Bits, Resolution] = Field(default_factory=dict)
    description: str = ""

    def part(self, bits: int, what: str, library: str) -> Resolution:
        """The converter of `bits` bits; raises UserError for a resolution that the table lacks."""
        if bits not in self.bits:
            listed = ", ".join(str(b) for b in sorted(self.bits)) or "no"
            raise UserError(
                f"Library {library!r} has no {bits}-bit {what}; it lists {listed} bits. Choose one of these, "
                "0 for no converter, or add the resolution to a library file of your own."
            )
        return self.bits[bits]


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Programming:
    """Writing the cells once: energy per cell, and time per row of an array (its cells are written together)."""

    energy: Energy
    time: Time
    description: str = ""


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Organisation:
    """How the printed machine is put together: arrays per core, cores per tile, tiles per router and per chip."""

    arrays_per_core: Number
    cores_per_tile: Number
    array_rows: Number
    array_cols: Number
    tiles_per_router: Number
    tiles_per_chip: Number


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Library:
    """What the parts of a crossbar chip take. `cell`, `dac` and `adc` are required; the rest counts 0 when left out.

    per cell: cell; per driven row: dac, input_register, buffer, bus; per column: sample_hold, shift_add,
    output_register, accumulator, adder; per converter: adc; per array: router, activation,
    pooling, control (decoders, sequencers, instruction memories; its energy is per array read).
    """

    name: _Words
    reading: Reading
    cell: Cell
    dac: Converter
    adc: Converter
    description: str = ""
    adc_model: AdcModel = "table"
    organisation: Organisation | None = None
    programming: Programming | None = None
    sample_hold: Part | None = None
    shift_add: Part | None = None
    adder: Part | None = None
    accumulator: Part | None = None
    input_register: Part | None = None
    output_register: Part | None = None
    buffer: Part | None = None
    bus: Part | None = None
    router: Part | None = None
    activation: Part | None = None
    pooling: Part | None = None
    control: Part | None = None
    extra: dict[str, Part] = Field(default_factory=dict)
    """Parts of the printed machine that no network's placement decides (chip-to-chip links): listed, not counted."""
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_converters(self) -> Library:
        """Refuse a library without drivers, or without the converters that its rule starts from."""
        if not self.dac.bits:
            raise UserError("dac.bits lists no resolution: at least one driver is needed")
        if self.adc_model == "table" and not self.adc.bits:
            raise UserError('adc.bits lists no resolution: list one, or choose adc_model = "andrulis"')
        if self.adc_model == "isaac" and 8 not in self.adc.bits:
            raise UserError('adc_model = "isaac" scales the 8-bit converter of the table, which is missing')
        return self

    @staticmethod
    def names() -> list[str]:
        """The packaged libraries."""
        return list(spec_files.packaged("libraries"))

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> Library:
        """Load a packaged library by name (in any case) or a TOML file by path.

        Raises UserError that names the file and every faulty key: unknown keys, missing sources, unknown units,
        an unknown `base`, or bases that go round in a circle.
        """
        where, content = library_files.merged(name_or_path)
        return spec_files.validated(cls, content, where)

    def quantities(self) -> Iterator[tuple[str, str, Quantity]]:
        """Every number of the library as (component, quantity, number); converters carry their bits in the name."""
        for field in fields(self):
            yield from _walk(field.name, getattr(self, field.name))


def _walk(component: str, value: Any) -> Iterator[tuple[str, str, Quantity]]:
    """The quantities below one entry of a library."""
    if isinstance(value, Converter):
        yield component, "rate", value.rate
        for bits, part in sorted(value.bits.items()):
            yield from _walk(f"{component} {bits} bit", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _walk(key, part)
    elif is_dataclass(value):
        for field in fields(value):
            if isinstance(number := getattr(value, field.name), Quantity):
                yield component, field.name, number
