"""Hardware in the loop layer by layer: what a training loop of someone else's wraps its layers with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from crossbar import ArraySpec, LevelGrid, to_matrix
from mapping.chips import strips_of_chip
from mapping.conditions import Conditions
from mapping.hardware_aware import compute, with_weights
from mapping.inputs import Inputs
from mapping.place import place
from mapping.placement import Placement
from mapping.placing import Placing

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Parts:
    """A network that is being compressed, as `place` takes it."""

    model: nn.Module
    masks: Mapping[str, Tensor]
    grids: Mapping[str, LevelGrid]


class LayersOnArrays:
    """Lets Conv2d and Linear layers compute on arrays while they are trained; the `wrap` of `admm.compress`.

    array: the arrays, with the errors to train against; example_input: sets the ranges, as in `mapping.place`;
    conditions: of reading. placing: how layers are put on arrays, as they will be later. chips: "step" draws another
    chip at every call of a layer, "epoch" at every `prepare`; each layer has chips of its own.
    `prepare` takes tiles, ranges and level grids from the network as it is; between two of them only the weights on the
    cells follow. Chips are drawn from torch's generator, so that what seeds an epoch seeds its chips. Gradients are
    those of `mapping.HardwareAware`; layers that arrays cannot compute compute as ever.
    """

    def __init__(
        self,
        array: ArraySpec,
        example_input: Inputs,
        *,
        conditions: Conditions | None = None,
        chips: Literal["step", "epoch"] = "step",
        placing: Placing | None = None,
    ) -> None:
        """Set up without a network; `prepare` must come before the first layer is wrapped."""
        self.array, self.example_input, self.chips = array, example_input, chips
        self.conditions = conditions or Conditions()
        self.placing = placing or Placing()
        self._placed: dict[int, tuple[Placement, int]] = {}

    def prepare(self, model: nn.Module, masks: Mapping[str, Tensor], grids: Mapping[str, LevelGrid]) -> None:
        """Place the network as it is: weights where masks say, on the levels of grids where there are any.

        Raises UserError as `mapping.place` does.
        """
        # Arrays are laid out on the processor, wherever the network is trained.
        elsewhere = any(tensor.device.type != "cpu" for tensor in model.parameters())
        here = copy.deepcopy(model).to("cpu") if elsewhere else model
        parts = _Parts(here, {name: mask.cpu() for name, mask in masks.items()}, grids)
        options = self.placing.options()
        placement = place(parts, self.array, self.example_input, snap=True, free_unused=False, **options)
        modules, self._placed = dict(model.named_modules()), {}
        for name, layer in placement.layers.items():
            if name not in modules:
                continue  # a projection of a layer that holds several
            if name in masks:  # a weight at a zero level has no cell now, but may have one later
                mask = layer.geometry.lowered(masks[name].detach().cpu())
                layer = replace(layer, live=np.ascontiguousarray(to_matrix(mask.numpy(), layer.geometry.groups)))
            alone = replace(placement, layers={name: layer})
            self._placed[id(modules[name].weight)] = alone, _drawn()

    def __call__(self, module: nn.Module) -> Forward:
        """What computes the outputs of a layer of the prepared network; module: the layer, or a twin of its weight."""
        found = self._placed.get(id(module.weight))
        if found is None:
            return module.forward
        return partial(self._forward, module, *found)

    def _forward(self, module: nn.Module, placement: Placement, chip: int, input: Tensor) -> Tensor:
        chip = _drawn() if self.chips == "step" else chip
        (placed,) = placement.layers.values()
        spec = placement.spec_of(placed)
        with torch.no_grad():
            now = with_weights(placed, module, spec, skip_zeros=True)
            pieces = list(replace(placement, layers={placed.name: now}).pieces())
            strips = strips_of_chip(now, pieces, spec, chip, self.conditions, input.device)
        return compute(module, placed, spec, strips, chip, input)


def _drawn() -> int:
    """A chip's seed, from torch's generator."""
    return int(torch.randint(2**63 - 1, (1,)))
