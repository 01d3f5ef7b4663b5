"""The network that runs on a placement: every mapped layer on its arrays, the rest as it was."""

from __future__ import annotations

from itertools import groupby
from numbers import Integral
from typing import Any

import pandas as pd
import torch
from torch import nn

from hwmodels.errors import UserError
from mapping.chips import strips_of_chip
from mapping.conditions import Conditions
from mapping.layer import Clipping, CrossbarLayer
from mapping.placement import Placement


class CrossbarNetwork(nn.Module):
    """A network with the original's forward signature that computes its mapped layers on crossbars.

    placement: what stands where. seed: the device seed; the draw of a cell depends on (seed, purpose, array, row,
    column) alone, so the same seed gives the same chip. conditions: how long after programming and at which temperature
    the chip is read; default: at once, at the device's reference temperature. network: the original module, if the
    placement was loaded without one. conductance_bits: hold every layer's conductances as signed fixed-point numbers of
    so many bits, 2 … 16, whole multiples of its largest conductance (behind an analog subtraction: difference) /
    (2^(bits−1) − 1); None: as programmed. Integer products read them faster. Always in evaluation mode. With an ideal
    device, no DAC (`input_bits=None`) and no converter (`adc_bits=None`) it equals `placement.reference()` to float
    rounding.
    """

    def __init__(
        self,
        placement: Placement,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        network: nn.Module | None = None,
        conductance_bits: int | None = None,
    ) -> None:
        """Build the network and program its cells."""
        super().__init__()
        if conductance_bits is not None and not 2 <= conductance_bits <= 16:
            raise UserError(f"conductance_bits must be from 2 to 16, not {conductance_bits!r}.")
        self.placement = placement
        self.conditions = conditions or Conditions()
        self.model = placement.reference(network)
        self._layers: dict[str, CrossbarLayer] = {}
        for layer in placement.layers.values():
            module = self.model.get_submodule(layer.name)
            replacement = CrossbarLayer(
                layer, placement.array, getattr(module, "bias", None), conductance_bits=conductance_bits
            )
            self._layers[layer.name] = replacement
            for name in [n for n, m in self.model.named_modules(remove_duplicate=False) if m is module]:
                self.model = _replaced(self.model, name, replacement)
        self.program(seed)
        self.eval()

    def program(self, seed: int) -> None:
        """Write every cell anew with the device's errors and faults; one seed is one chip."""
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**64:
            raise UserError(f"The device seed must be a whole number from 0 to 2⁶⁴ − 1, not {seed!r}.")
        self.seed = seed = int(seed)

        spec = self.placement.array
        where = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        for name, pieces in groupby(self.placement.pieces(), key=lambda piece: piece.layer.name):
            layer = self._layers[name]
            layer.load(strips_of_chip(layer.placed, list(pieces), spec, seed, self.conditions, where), seed)

    def train(self, mode: bool = True) -> CrossbarNetwork:
        """Stay in evaluation mode: programmed cells are not trained."""
        return super().train(False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The original's forward, on arrays."""
        return self.model(*args, **kwargs)

    def clipping(self) -> dict[str, Clipping]:
        """Per layer, the converter and input samples beyond their range in everything computed so far."""
        return {name: layer.clipping for name, layer in self._layers.items()}

    def reset_clipping(self) -> None:
        """Start counting clipped samples anew."""
        for layer in self._layers.values():
            layer.clipping = Clipping()

    def describe(self) -> pd.DataFrame:
        """What really runs, a row per layer: arrays, cells, cycles, converters, calibration; then the digital rest."""
        spec = self.placement.array
        table = self.placement.layer_table
        arrays = dict(zip(table["layer"], table["arrays"], strict=True))
        rows: list[dict[str, Any]] = [
            {
                "layer": name,
                "runs": "crossbar",
                "arrays": arrays[name],
                "encoding": spec.encoding,
                "slices": spec.slices,
                "input_cycles": spec.cycles_per_vector(layer.placed.calibration.signed),
                "adc_bits": spec.adc_bits,
                "input_scale": layer.placed.calibration.input_scale,
                "adc_full_scale_s": layer.placed.calibration.adc_full_scale_s,
                "note": "",
            }
            for name, layer in self._layers.items()
        ]
        rows += [
            {"layer": item.module, "runs": "digital", "note": f"{item.type}: {item.reason}"}
            for item in self.placement.digital
        ]
        return pd.DataFrame(rows)


def _replaced(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of another; the network itself may be that layer."""
    if name == "":
        return module
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
    return model
