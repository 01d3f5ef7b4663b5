"""A memristor technology: its conductance range, its levels, how far a programmed cell misses, and who says so."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, Strict, model_validator
from pydantic.dataclasses import dataclass

from hwmodels import spec_files
from hwmodels.devices.effects import (
    ClusteredFaults,
    Conduction,
    Drift,
    LineFaults,
    PolynomialConduction,
    ReadNoise,
    TelegraphNoise,
    Temperature,
    WriteVerify,
)
from hwmodels.devices.programming_error import ConstantError as ConstantError
from hwmodels.devices.programming_error import InverseError as InverseError
from hwmodels.devices.programming_error import LognormalError as LognormalError
from hwmodels.devices.programming_error import NoError as NoError
from hwmodels.devices.programming_error import PolynomialError as PolynomialError
from hwmodels.devices.programming_error import ProgrammingError as ProgrammingError
from hwmodels.devices.programming_error import ProportionalError as ProportionalError
from hwmodels.devices.programming_error import SaturatingError as SaturatingError
from hwmodels.devices.programming_error import TableError as TableError
from hwmodels.devices.programming_error import scaled
from hwmodels.errors import UserError, unknown
from hwmodels.quantities import Fraction, Positive

_SPEC = ConfigDict(extra="forbid")


ALIASES = {"milo": "hfox", "wan": "neurram"}
"""Second names of presets: the first author of the measurement behind them."""

EFFECTS = (
    "clustered_faults",
    "line_faults",
    "read_noise",
    "telegraph_noise",
    "drift",
    "temperature",
    "write_verify",
    "conduction",
)
"""Fields of a device that each hold the table of one effect, or None."""

_CITED = ("g_min_s", "g_max_s", "levels", "level_g_s", "programming_error", "stuck_at_lrs", "stuck_at_hrs", *EFFECTS)


@dataclass(frozen=True, kw_only=True, config=_SPEC)
class Device:
    """A memristor technology.

    g_min_s, g_max_s: conductance of the high- and the low-resistance state [S]; levels: programmable conductances, at
    least 2; level_g_s: those conductances [S], ascending (None: evenly spaced from g_min_s to g_max_s);
    programming_error: how a programmed cell misses its target; stuck_at_lrs, stuck_at_hrs: fraction of cells that
    stand at g_max_s or g_min_s whatever is programmed; clustered_faults, line_faults: faults that neighbours share;
    read_noise, telegraph_noise, drift, temperature, write_verify: what else happens to a cell (None: nothing; see
    `effects`); conduction: how its current depends on the voltage (None: linear, I = G V); read_voltage_v [V]; idle:
    what stands at a crossing without a weight, `open` (0 S) or `hrs` (a real cell at g_min_s); sources: field ->
    citation; unverified: fields whose number no publication backs.
    """

    name: str
    g_min_s: Positive
    g_max_s: Positive
    levels: Annotated[int, Strict(), Field(ge=2)]
    technology: str = ""
    description: str = ""
    level_g_s: tuple[Positive, ...] | None = None
    programming_error: ProgrammingError = NoError()
    stuck_at_lrs: Fraction = 0.0
    stuck_at_hrs: Fraction = 0.0
    clustered_faults: ClusteredFaults | None = None
    line_faults: LineFaults | None = None
    read_noise: ReadNoise | None = None
    telegraph_noise: TelegraphNoise | None = None
    drift: Drift | None = None
    temperature: Temperature | None = None
    write_verify: WriteVerify | None = None
    conduction: Conduction | None = None
    read_voltage_v: Positive = 0.2
    idle: Literal["open", "hrs"] = "hrs"
    sources: dict[str, str] = Field(default_factory=dict)
    unverified: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Device:
        """What no single field can tell: order of the range, number and order of the levels, sum of the faults."""
        if self.g_min_s >= self.g_max_s:
            raise UserError(
                f"g_min_s = {self.g_min_s!r} is not below g_max_s = {self.g_max_s!r}: "
                "g_min_s is the high-resistance state, g_max_s the low-resistance one"
            )
        if self.stuck_at_lrs + self.stuck_at_hrs > 1 + 1e-12:
            raise UserError(
                f"stuck_at_lrs + stuck_at_hrs = {self.stuck_at_lrs + self.stuck_at_hrs:g} is above 1: "
                "they are fractions of the cells, so lower one of them"
            )
        self._check_levels()
        self._check_conduction()
        names = {field.name for field in fields(self)}
        for field in (*self.sources, *self.unverified):
            if field not in names:
                raise unknown("field in `sources` or `unverified`:", field, names)
        return self

    def _check_levels(self) -> None:
        """Explicit levels: as many as `levels` says, ascending, within the range."""
        if self.level_g_s is None:
            return
        if len(self.level_g_s) != self.levels:
            raise UserError(
                f"levels = {self.levels}, but level_g_s lists {len(self.level_g_s)} conductances: "
                "change both together, or set level_g_s to None for evenly spaced levels"
            )
        if not all(low < high for low, high in zip(self.level_g_s, self.level_g_s[1:], strict=False)):
            raise UserError(f"level_g_s = {list(self.level_g_s)} does not ascend: sort it and drop repeated values")
        if self.level_g_s[0] < self.g_min_s or self.level_g_s[-1] > self.g_max_s:
            raise UserError(
                f"level_g_s reaches from {self.level_g_s[0]!r} to {self.level_g_s[-1]!r}, beyond g_min_s = "
                f"{self.g_min_s!r} … g_max_s = {self.g_max_s!r}: widen the range or drop the levels outside"
            )

    def _check_conduction(self) -> None:
        """A law that is known wherever the device uses it."""
        law = self.conduction
        if law is None:
            return
        if self.read_voltage_v > law.max_v:
            raise UserError(
                f"read_voltage_v = {self.read_voltage_v!r} is above max_v = {law.max_v!r} of the conduction, up to "
                "where it is known: lower the one, measure the other further, or set conduction to None"
            )
        if isinstance(law, PolynomialConduction) and not (law.g_low_s <= self.g_min_s and self.g_max_s <= law.g_high_s):
            raise UserError(
                f"g_min_s = {self.g_min_s!r} … g_max_s = {self.g_max_s!r} reaches beyond g_low_s = {law.g_low_s!r} … "
                f"g_high_s = {law.g_high_s!r}, where the conduction was fitted: narrow the range of the device, or set "
                "conduction to None for linear cells"
            )

    @staticmethod
    def names() -> list[str]:
        """The packaged presets."""
        return list(spec_files.packaged("presets"))

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> Device:
        """Load a preset by name (in any case), a TOML file, or a CSV file of measured states or readings by path.

        A CSV file is fitted by `fit_device`. Every number in a TOML file needs an entry under [sources]. A file without
        read_voltage_v gets 0.2 V, listed as unverified. Raises UserError that names the file and every faulty key.
        """
        if str(name_or_path).lower().endswith(".csv"):
            from hwmodels.devices.fitting import fit_device  # here, because fitting builds on this module

            return fit_device(name_or_path).device
        name = ALIASES.get(str(name_or_path).lower(), name_or_path)
        where, content = spec_files.read("device", "presets", name)
        if "level_g_s" in content and isinstance(content["level_g_s"], list):
            content.setdefault("levels", len(content["level_g_s"]))
        if isinstance(content.get("sources", {}), dict) and isinstance(content.get("unverified", []), list):
            _cite(content, where)
        return spec_files.validated(cls, content, where)

    def with_(self, **changes: Any) -> Device:
        """The same device with some fields changed and validated anew; their sources say that the user set them.

        Raises UserError for an unknown field, or when the result makes no sense (levels against level_g_s).
        """
        allowed = {field.name for field in fields(self)}
        for name in changes:
            if name not in allowed:
                raise unknown("field of a device:", name, allowed)
        sources = self.sources | {name: f"set by the user on {self.name}" for name in changes if name in _NUMBERS}
        content = {name: getattr(self, name) for name in allowed} | {"sources": sources} | changes
        return spec_files.validated(Device, content, f"device {self.name!r}")

    def scaled_error(self, factor: float) -> Device:
        """The same device with its programming error `factor` ≥ 0 times as wide (0 switches it off)."""
        if not (np.isfinite(factor) and factor >= 0):
            raise UserError(f"The factor on the programming error is a finite number, at least 0, not {factor!r}.")
        return self.with_(programming_error=scaled(self.programming_error, float(factor)))

    def level_conductances(self) -> np.ndarray:
        """The programmable conductances: float64 (levels,), ascending [S]."""
        if self.level_g_s is not None:
            return np.array(self.level_g_s, dtype=np.float64)
        return np.linspace(self.g_min_s, self.g_max_s, self.levels)


_NUMBERS = (*_CITED, "read_voltage_v")


def _cite(content: dict[str, Any], where: str) -> None:
    """Refuse numbers without a source; note the read voltage that a file leaves out."""
    sources = content.setdefault("sources", {})
    derived = {"levels"} if "level_g_s" in content else set()
    lacking = [name for name in _NUMBERS if name in content and name not in derived and name not in sources]
    if lacking:
        raise UserError(
            f"{where}: no source for {', '.join(lacking)}. Add the citation under [sources] "
            f'({lacking[0]} = "…"); where none exists, say so there and list the field in `unverified`.'
        )
    if "read_voltage_v" not in content:
        sources["read_voltage_v"] = "not stated; 0.2 V assumed"
        content["unverified"] = [*content.get("unverified", []), "read_voltage_v"]
