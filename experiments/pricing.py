"""How a run prices its chips: the library and the choices of [hardware], and both chips at one frame rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

import hwmodels
from crossbar import ArraySpec
from experiments.config import Hardware
from hwmodels import Estimate, Library, at_node
from hwmodels.costs.cost import Prepared
from hwmodels.costs.cost_prices import prices
from hwmodels.errors import UserError, suggestion


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """What every chip of a run is priced with; section: the configuration's [hardware]; array: its arrays."""

    section: Hardware
    library: Library
    array: ArraySpec

    @staticmethod
    def of(section: Hardware, array: ArraySpec) -> Pricing:
        """Load the library, move it to the asked node, and check that it prices the array's drivers and converters.

        Raises UserError that names the key of the configuration.
        """
        library = Library.load(section.library)
        if section.node_nm is not None:
            try:
                library = at_node(library, section.node_nm)
            except UserError as error:
                raise UserError(f"hardware.node_nm = {section.node_nm:g}: {error}") from None
        check_converters(library, array, section.adc_model)
        return Pricing(section=section, library=library, array=array)

    def check_layers(self, names: Iterable[str]) -> None:
        """Refuse copies of layers that the network does not have; names: of the layers that arrays can take."""
        known = list(names)
        for name in self.section.replicas:
            if name not in known:
                raise UserError(f"hardware.replicas: there is no layer {name!r}. {suggestion(name, known)}")

    def check_rate(self, chip: pd.DataFrame | Prepared | Estimate) -> None:
        """Refuse a frame rate that a chip (its tile table, that counted, or that priced) does not reach."""
        if self.section.frame_rate_hz is None:
            return
        priced = chip if isinstance(chip, Estimate) else self.estimate(chip)
        try:
            priced.at(self.section.frame_rate_hz)
        except UserError as error:
            raise UserError(f"hardware.{error}") from None

    def both(self, tiles: dict[str, pd.DataFrame]) -> dict[str, Estimate]:
        """Price several chips at the asked frame rate, else at the highest that all of them reach.

        The baseline's full rate, that is: compressed layers are no slower, except where their inputs gained a sign.
        """
        return self.at_one_rate({name: self.estimate(table) for name, table in tiles.items()})

    def at_one_rate(self, chips: dict[str, Estimate]) -> dict[str, Estimate]:
        """The same for chips that are priced, each at its own rate."""
        rate = self.section.frame_rate_hz
        if rate is None:
            rate = min(chip.totals["frame_rate_hz"] for chip in chips.values())
        return {name: chip.at(rate) for name, chip in chips.items()}

    def estimate(
        self, chip: pd.DataFrame | Prepared, frame_rate_hz: float | None = None, converters: ArraySpec | None = None
    ) -> Estimate:
        """Price one chip, its tile table or that counted, at its own full rate unless one is given [1/s].

        converters: an array whose converters take the place of the table's (their bits, and the columns of each).
        """
        prepared = chip if isinstance(chip, Prepared) else hwmodels.prepare(chip)
        placed = set(prepared.work.layers)
        options: dict[str, Any] = {
            "adc_model": self.section.adc_model,
            "execution": self.section.execution,
            # A layer that lost all its weights stands on no array, so there is nothing of it to copy.
            "replicas": {name: count for name, count in self.section.replicas.items() if name in placed},
            "device": self.array.device,
        }
        if converters is not None:
            options |= {"adc_bits": converters.adc_bits, "cols_per_adc": converters.columns_per_converter}
        return prepared.estimate(self.library, frame_rate_hz=frame_rate_hz, **options)


def check_converters(library: Library, array: ArraySpec, adc_model: str | None = None) -> None:
    """Refuse converters that the library cannot price, before hours of training are spent on them."""
    model = library.adc_model if adc_model is None else adc_model
    try:
        if array.input_bits is not None:
            library.dac.part(array.dac_bits, "DAC (crossbar.dac_bits)", library.name)
        if array.adc_bits is not None and model == "table":
            library.adc.part(array.adc_bits, "ADC (crossbar.adc_bits)", library.name)
    except UserError as error:
        # A tile table says 0 where a configuration says "ideal".
        raise UserError(str(error).replace("0 for no converter", '"ideal" for no converter')) from None
    if array.adc_bits is not None and model != "table":
        try:
            prices(library, (), (array.adc_bits,), model)
        except UserError as error:
            raise UserError(f"crossbar.adc_bits = {array.adc_bits}, hardware.adc_model = {model!r}: {error}") from None
