"""When and where a programmed chip is read: time since programming, temperature, noise."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from hwmodels.quantities import NonNegative


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Conditions:
    """The circumstances of a simulation; what a device has no data for does nothing.

    t_s: time since programming [s], over which cells drift; temperature_k: temperature of the cells [K], None for the
    reference temperature of the device; read_noise: draw the device's read noise anew at every read.
    """

    t_s: NonNegative = 0.0
    temperature_k: NonNegative | None = None
    read_noise: bool = True
