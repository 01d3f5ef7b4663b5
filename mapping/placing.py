"""How a network is put on arrays: the choices that every later placing of it has to make again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from hwmodels.quantities import NonNegativeInt
from mapping.sharing import Sharing

Scale = Literal["layer", "channel"]
"""Whether the levels of a layer have one scale, or one a column."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Placing:
    """Choices of `mapping.place` that do not depend on the network; see there what each means."""

    scale: Scale = "layer"
    repack: bool = False
    share: Sharing = "none"
    spare_rows: NonNegativeInt = 0
    spare_cols: NonNegativeInt = 0

    def options(self) -> dict[str, Any]:
        """As keyword arguments of `mapping.place`."""
        return dict(vars(self))
