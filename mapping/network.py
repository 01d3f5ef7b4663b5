"""The network that runs on a placement: every mapped layer on its arrays, the rest as it was."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from numbers import Integral
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from hwmodels.errors import UserError
from mapping.chips import strips_of_chip
from mapping.conditions import Conditions
from mapping.fault_maps import FaultMaps, checked_faults
from mapping.layer import Clipping, CrossbarLayer
from mapping.network_state import fingerprint, packed, unpacked
from mapping.placement import Placement
from mapping.rewriting import replaced
from mapping.trace import NEVER_CALLED


class CrossbarNetwork(nn.Module):
    """A network with the original's forward signature that computes its mapped layers on crossbars.

    placement: what stands where. seed: the device seed; the draw of a cell depends on (seed, purpose, array, row,
    column) alone, so the same seed gives the same chip. conditions: how long after programming and at which temperature
    the chip is read; default: at once, at the device's reference temperature. network: the original module, if the
    placement was loaded without one. conductance_bits: hold every layer's conductances as signed fixed-point numbers of
    so many bits, 2 … 16, whole multiples of its largest conductance (behind an analog subtraction: difference) /
    (2^(bits−1) − 1); None: as programmed. Integer products read them faster. faults: the fault maps of a real chip, by
    array (`mapping.fault_maps`), in the place of those that the device draws. Always in evaluation mode. With an ideal
    device, no DAC (`input_bits=None`) and no converter (`adc_bits=None`) it equals `placement.reference()` to float
    rounding. A state_dict holds the digital tensors and, in a few bytes, which chip it is; loading it into a network on
    the same placement gives the same outputs bit for bit. A layer that the example of the placement never reached
    stands on no array: calling it is an error, not a digital product.
    """

    def __init__(
        self,
        placement: Placement,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        network: nn.Module | None = None,
        conductance_bits: int | None = None,
        faults: FaultMaps | None = None,
    ) -> None:
        """Build the network and program its cells."""
        super().__init__()
        if conductance_bits is not None and not 2 <= conductance_bits <= 16:
            raise UserError(f"conductance_bits must be from 2 to 16, not {conductance_bits!r}.")
        self.placement = placement
        self.conditions = conditions or Conditions()
        self.faults = None if faults is None else checked_faults(placement, faults)
        self.model = placement.reference(network)
        self._layers: dict[str, CrossbarLayer] = {}
        for layer in placement.layers.values():
            module = self.model.get_submodule(layer.name)
            replacement = CrossbarLayer(
                layer, placement.spec_of(layer), getattr(module, "bias", None), conductance_bits=conductance_bits
            )
            self._layers[layer.name] = replacement
            for name in [n for n, m in self.model.named_modules(remove_duplicate=False) if m is module]:
                self.model = replaced(self.model, name, replacement)
        self._conductance_bits = conductance_bits
        for item in placement.digital:
            if item.reason == NEVER_CALLED:
                self.model.get_submodule(item.module).register_forward_pre_hook(partial(_refuse_call, item.module))
        self.program(seed)
        self.eval()

    def program(self, seed: int) -> None:
        """Write every cell anew with the device's errors and faults; one seed is one chip."""
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**64:
            raise UserError(f"The device seed must be a whole number from 0 to 2⁶⁴ − 1, not {seed!r}.")
        self.seed = seed = int(seed)

        where = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        for name, pieces in groupby(self.placement.pieces(), key=lambda piece: piece.layer.name):
            layer = self._layers[name]
            strips = strips_of_chip(
                layer.placed, list(pieces), layer.spec, seed, self.conditions, where, faults=self.faults
            )
            layer.load(strips, seed)

    def train(self, mode: bool = True) -> CrossbarNetwork:
        """Stay in evaluation mode: programmed cells are not trained."""
        return super().train(False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The original's forward, on arrays."""
        return self.model(*args, **kwargs)

    def get_extra_state(self) -> Tensor:
        """Which chip this is, and how far its draws have got; bytes."""
        return packed(
            {
                "placement": fingerprint(self.placement, self.conditions, self._conductance_bits, self.faults),
                "seed": self.seed,
                "vectors": {name: layer.vectors for name, layer in self._layers.items()},
            }
        )

    def set_extra_state(self, state: Tensor) -> None:
        """Become the chip of `get_extra_state`; UserError for that of another placement or of other conditions."""
        found = unpacked(state)
        if found["placement"] != fingerprint(self.placement, self.conditions, self._conductance_bits, self.faults):
            raise UserError(
                "This state belongs to another placement, or to one read under other conditions or conductance_bits; "
                "build the CrossbarNetwork on the same ones first."
            )
        self.program(found["seed"])
        for name, count in found["vectors"].items():
            self._layers[name].vectors = count

    def clipping(self) -> dict[str, Clipping]:
        """Per layer, the converter and input samples beyond their range in everything computed so far."""
        return {name: layer.clipping for name, layer in self._layers.items()}

    def reset_clipping(self) -> None:
        """Start counting clipped samples anew."""
        for layer in self._layers.values():
            layer.clipping = Clipping()

    def describe(self) -> pd.DataFrame:
        """What really runs, a row per layer: arrays, cycles, converters, calibration; then the digital rest.

        arrays_bound: arrays that no tiling of the layer's mask can go below; macs: multiply-accumulates per inference;
        operations: of a digital module, elements by torch's names. What masks freed across layers stands in
        `.attrs["notes"]`, the share of multiply-accumulates on arrays in `.attrs["macs_on_arrays"]`.
        """
        table = self.placement.layer_table
        arrays = {
            name: (count, bound)
            for name, count, bound in zip(table["layer"], table["arrays"], table["arrays_bound"], strict=True)
        }
        rows: list[dict[str, Any]] = [
            {
                "layer": name,
                "runs": "crossbar",
                "arrays": arrays[name][0],
                "arrays_bound": arrays[name][1],
                "encoding": layer.spec.encoding,
                "slices": layer.spec.slices,
                "input_cycles": layer.spec.cycles_per_vector(layer.placed.calibration.signed),
                "adc_bits": layer.spec.adc_bits,
                "input_scale": layer.placed.calibration.input_scale,
                "adc_full_scale_s": layer.placed.calibration.adc_full_scale_s,
                "macs": layer.placed.shape.macs,
                "note": "",
            }
            for name, layer in self._layers.items()
        ]
        rows += [
            {
                "layer": item.module,
                "runs": "digital",
                "macs": item.macs,
                "operations": ", ".join(f"{key} {count}" for key, count in item.operations.items()),
                "note": f"{item.type}: {item.reason}",
            }
            for item in self.placement.digital
        ]
        table = pd.DataFrame(rows)
        table.attrs = {"macs_on_arrays": self.placement.macs_on_arrays, "notes": list(self.placement.notes)}
        return table


def _refuse_call(name: str, module: nn.Module, args: Any) -> None:
    raise UserError(
        f"Layer {name!r} stands on no array: the example input that the network was placed with never called it. "
        "Place the network with an example that does."
    )
